"""An allocation on a TURN server that is made and given back: whether the server works (RFC 8656)."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Final

from aioice import stun

from ..config import IceServer
from ..errors import IceFailed
from ..protocol.ice_url import IceUrl
from .turn_client import CLOSE_TIMEOUT, TurnServer, connect_turn
from .udp_port import Address

_UNAUTHENTICATED: Final = 401
_WRONG_CREDENTIALS: Final = 441
"""RFC 8656, section 19."""


class TurnRefused(IceFailed):
    """A TURN server answers, and gives no relay; ``code`` is its error code (RFC 8489, section 14.8)."""

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_about_credentials(self) -> bool:
        """Whether user name or password are wrong, or have expired."""
        return self.code in (_UNAUTHENTICATED, _WRONG_CREDENTIALS)


class TurnCertificateRefused(IceFailed):
    """The certificate of a TURN server isn't valid for its name, or nobody vouches for it."""


async def try_allocation(server: IceServer, url: IceUrl) -> Address:
    """Allocate an address on the TURN server ``url`` with the credentials of ``server``, and give it back.

    It waits as long as the server lets it: the caller bounds the time.

    :return: the relayed address
    :raises TurnRefused: if it refuses
    :raises TurnCertificateRefused: if TLS does
    :raises IceFailed: if its answer makes no sense, or there is none
    :raises OSError: if it can't be reached
    """
    try:
        client = await connect_turn(TurnServer(url, server.username or "", server.password))
    except ssl.SSLError as exc:
        raise TurnCertificateRefused(
            f"TLS: {getattr(exc, 'verify_message', '') or exc.reason or exc}"
        ) from None
    try:
        address = await client.connect()
        with contextlib.suppress(TimeoutError, OSError, stun.TransactionError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await client.delete()
    except stun.TransactionFailed as exc:
        code, reason = exc.response.attributes.get("ERROR-CODE", (0, "no reason is told"))
        raise TurnRefused(f"it refuses: {reason} ({code})", code=code) from None
    except stun.TransactionError as exc:
        raise IceFailed(f"it doesn't answer: {exc}") from None
    finally:
        if client.refresh_task is not None:
            client.refresh_task.cancel()
        client.transport.abort()
    return address
