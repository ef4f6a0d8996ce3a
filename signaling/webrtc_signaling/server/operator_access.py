"""Who may see how the server is doing: who has the operator's token; without one, people on the server's machine."""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final

from aiohttp import hdrs, web
from pydantic import SecretStr
from yarl import URL

_PROXY_HEADERS: Final = frozenset({"forwarded", "via", "x-real-ip"})
_PROXY_PREFIX: Final = "x-forwarded-"
"""What reverse proxies add. Through one that runs on the same machine, everybody seems to come from there."""

_CHALLENGE: Final = {hdrs.WWW_AUTHENTICATE: 'Bearer realm="operator"'}


class OperatorAccess:
    """Lets in who has the token, or, if there is none, who connects from this machine without a proxy.

    With a token, this machine needs it too: through a proxy that adds no header, everybody seems to come from there.

    :param token: as given in ``Authorization: Bearer …``
    """

    def __init__(self, token: SecretStr | None) -> None:
        self._token = None if token is None else token.get_secret_value().encode()

    def check(self, request: web.Request) -> None:
        """Let a request in, or not.

        :raises HTTPException: if it may not see this; 401 if a token would help
        """
        if self._token is None:
            if is_local(request):
                return
            raise web.HTTPForbidden(
                text="only for requests from the server's own machine, not through a proxy; for others, set "
                "operator_token, and send it as Authorization: Bearer …\n"
            )
        if not _has_token(request, self._token):
            raise web.HTTPUnauthorized(
                text="the operator's token is needed: Authorization: Bearer …\n", headers=_CHALLENGE
            )


def _has_token(request: web.Request, token: bytes) -> bool:
    scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    is_bearer = scheme.lower() == "bearer"
    return is_bearer and hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token)


def is_local(request: web.Request) -> bool:
    """Whether a request was made on this machine, for this machine, and by no proxy.

    The ``Host`` has to be local, too: a page of somebody else's, in a browser on this machine, can let its own name
    stand for 127.0.0.1 (DNS rebinding). So does the ``Origin``, if there is one: then a page asks, and not a person.
    """
    names = [name.lower() for name in request.headers]
    if any(name in _PROXY_HEADERS or name.startswith(_PROXY_PREFIX) for name in names):
        return False
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and not _is_loopback(_host_of(origin)):
        return False
    peer = None if request.transport is None else request.transport.get_extra_info("peername")
    return peer is not None and _is_loopback(peer[0]) and _is_loopback(_host_of(f"http://{request.host}"))


def _host_of(url: str) -> str:
    try:
        return URL(url).host or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
