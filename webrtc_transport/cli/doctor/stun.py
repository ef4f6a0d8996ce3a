"""What STUN servers see of us, and what that says of the NAT in between (RFC 8489, RFC 5780, section 4.3).

All servers are asked from one socket. A NAT that shows the same address to all of them maps by endpoint of its own
alone: peers reach us by that address. One that shows each another address doesn't let strangers in by any of them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from ...engine.resolver import resolve
from ...protocol.ice_url import IceUrl
from ...protocol.stun import Attribute
from ...protocol.stun_message import (
    TRANSACTION_ID_LENGTH,
    Address,
    MessageKind,
    StunError,
    StunMessage,
    encode_message,
)
from .findings import Finding, Outcome, reason_of

CHECK = "STUN"
NAT = "NAT"

_FIRST_WAIT: Final = 0.1
"""Seconds until a request is sent again; doubled each time."""

_NO_STUN_CURE: Final = "name another STUN server, or let UDP to it through the firewall"
_TURN_CURE: Final = "to reach peers behind another such NAT, configure a TURN server (--turn)"


@dataclass
class Mappings:
    """What servers saw of one local socket."""

    local: Address
    seen: dict[Address, Address] = field(default_factory=dict)
    """Our address, by that of the server."""


async def check_stun(urls: Sequence[IceUrl], timeout: float, bind: str | None = None) -> list[Finding]:  # noqa: ASYNC109
    """Ask all servers at once, for at most ``timeout`` seconds.

    :param bind: the local address to ask from; by default, the system chooses
    """
    if not urls:
        return [Finding(CHECK, Outcome.SKIPPED, "no STUN server is named", "name one: --stun stun:host")]
    sockets = _Sockets(bind)
    try:
        findings = await asyncio.gather(*(_check_server(sockets, url, timeout) for url in urls))
    finally:
        sockets.close()
    mappings = [client.mappings for client in sockets.clients.values() if client.mappings.seen]
    return [*findings, *(judge(mapping) for mapping in mappings)]


def judge(mappings: Mappings) -> Finding:
    """What the mappings say of the NAT."""
    seen = set(mappings.seen.values())
    shown = ", ".join(f"{host} port {port}" for host, port in sorted(seen))
    details: dict[str, str | int | float | bool] = {"mapped": shown}
    if seen == {mappings.local}:
        text = f"none on the way to the STUN servers: {shown} is this machine's own address"
        return Finding(NAT, Outcome.OK, text, details=details | {"kind": "none"})
    if len(seen) > 1:
        text = f"endpoint-dependent mapping (a symmetric NAT): it shows each server another address ({shown})"
        return Finding(NAT, Outcome.WARNING, text, _TURN_CURE, details | {"kind": "endpoint-dependent"})
    if len({host for host, _ in mappings.seen}) > 1:
        text = f"endpoint-independent mapping: all servers see {shown}; direct paths work with most peers"
        return Finding(NAT, Outcome.OK, text, details=details | {"kind": "endpoint-independent"})
    text = f"there is one: it shows {shown}. Its kind takes servers at two addresses to tell"
    cure = "name a second STUN server: --stun, twice"
    return Finding(NAT, Outcome.SKIPPED, text, cure, details | {"kind": "unknown"})


async def _check_server(sockets: _Sockets, url: IceUrl, timeout: float) -> Finding:  # noqa: ASYNC109
    try:
        async with asyncio.timeout(timeout):
            family, host = (await resolve(url.host, url.port))[0]
            client = await sockets.client(family, (host, url.port))
            answer, seconds = await client.ask((host, url.port))
            await client.ask_other(answer, seconds)
    except TimeoutError:
        return Finding(CHECK, Outcome.FAILED, f"{url}: no answer within {timeout:g} s", _NO_STUN_CURE)
    except OSError as exc:
        return Finding(CHECK, Outcome.FAILED, f"{url}: {reason_of(exc)}", "check the name of the server")
    except StunError as exc:
        return Finding(CHECK, Outcome.FAILED, f"{url}: {exc}", "it is no STUN server; check host and port")
    mapped = client.mappings.seen[host, url.port]
    text = f"{url} sees us as {mapped[0]} port {mapped[1]}, after {seconds * 1000:.0f} ms"
    details: dict[str, str | int | float | bool] = {
        "url": str(url),
        "mapped_address": mapped[0],
        "mapped_port": mapped[1],
        "trip_ms": seconds * 1000,
    }
    return Finding(CHECK, Outcome.OK, text, details=details)


class _Sockets:
    """One socket per address family: mappings of several could not be compared."""

    def __init__(self, bind: str | None) -> None:
        self.clients: dict[int, _Client] = {}
        self._bind = bind
        self._lock = asyncio.Lock()

    async def client(self, family: int, server: Address) -> _Client:
        async with self._lock:
            if family not in self.clients:
                local = self._bind or _local_address(family, server)
                _, client = await asyncio.get_running_loop().create_datagram_endpoint(
                    _Client, local_addr=(local, 0), family=family
                )
                self.clients[family] = client
            return self.clients[family]

    def close(self) -> None:
        for client in self.clients.values():
            client.transport.abort()


def _local_address(family: int, server: Address) -> str:
    """The address that packets to ``server`` leave from. None is sent."""
    with socket.socket(socket.AddressFamily(family), socket.SOCK_DGRAM) as sock:
        sock.connect(server)
        return str(sock.getsockname()[0])


class _Client(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport
    mappings: Mappings

    def __init__(self) -> None:
        self._waiting: dict[bytes, asyncio.Future[StunMessage]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own is no subclass of it on Python 3.11.
        self.transport = cast("asyncio.DatagramTransport", transport)
        host, port = transport.get_extra_info("sockname")[:2]
        self.mappings = Mappings((host, port))

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:  # noqa: ARG002
        try:
            message = StunMessage(data)
        except StunError:
            return
        waiter = self._waiting.get(message.transaction_id)
        if waiter is not None and not waiter.done():
            waiter.set_result(message)

    async def ask(self, server: Address) -> tuple[StunMessage, float]:
        """Send requests until ``server`` answers; remembers our address. Returns the answer, and the seconds it took.

        :raises StunError: if the answer has no address
        """
        transaction_id = secrets.token_bytes(TRANSACTION_ID_LENGTH)
        request = encode_message(MessageKind.BINDING_REQUEST, transaction_id, ())
        waiter: asyncio.Future[StunMessage] = asyncio.get_running_loop().create_future()
        self._waiting[transaction_id] = waiter
        wait = _FIRST_WAIT
        started = time.perf_counter()
        try:
            while not waiter.done():
                self.transport.sendto(request, server)
                await asyncio.wait([waiter], timeout=wait)
                wait *= 2
        finally:
            del self._waiting[transaction_id]
        answer = waiter.result()
        mapped = answer.mapped_address
        if answer.kind != MessageKind.BINDING_SUCCESS or mapped is None:
            raise StunError("its answer has no address")
        self.mappings.seen[server] = mapped
        return answer, time.perf_counter() - started

    async def ask_other(self, answer: StunMessage, seconds: float) -> None:
        """Ask the server's other address, if it has told one (RFC 5780, section 7.4); don't wait long for it."""
        value = answer.attributes.get(Attribute.OTHER_ADDRESS)
        if value is None:
            return
        other = str(ipaddress.ip_address(value[4:])), int.from_bytes(value[2:4])
        try:
            async with asyncio.timeout(10 * seconds + _FIRST_WAIT):
                await self.ask(other)
        except (TimeoutError, StunError, OSError):
            # It is one more opinion; without it the others have to do.
            return
