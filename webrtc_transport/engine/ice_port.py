"""Where ICE packets leave and arrive: a local socket, or a relay.

aioice takes these in place of its own protocol objects. It needs of them ``local_candidate``, ``request``,
``send_stun``, ``send_data`` and ``close``.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Self, cast

import aioice
from aioice import stun, turn

from ..protocol.stun import PacketKind, classify, is_well_formed_stun
from .crossing import Crossing
from .driver import Driver
from .turn_client import CLOSE_TIMEOUT, TurnServer, connect_turn
from .udp_port import Address, UdpPort

if TYPE_CHECKING:
    from aioice.ice import StunProtocol

    from .ice import IceAgent

_logger = logging.getLogger("libp2p.transport.webrtc.ice")

FIRST_RETRANSMISSION: Final = 0.05
"""Seconds. RFC 8445 (section 14.3) asks for 500 ms because of TURN at scale; on a lost check that is the whole dial."""

LAST_RETRANSMISSION: Final = 1.6
"""Seconds: five doublings. It isn't doubled further, so that a NAT that opens late is found in time."""

TRANSACTION_TIMEOUT: Final = 10.0
"""Seconds for a check: both ends may start that far apart (js-libp2p gives a dial as long)."""

ALLOCATION_MISMATCH: Final = 437
"""The error code of an address that has an allocation already (RFC 8656, section 19)."""


class IcePort(ABC):
    """The base of one or more candidates."""

    local_candidate: aioice.Candidate
    address: Address

    def __init__(self, agent: IceAgent) -> None:
        self._agent = agent
        self._on_packet: Callable[[bytes, Address], object] = agent.packet_received
        self._on_stun: Callable[[stun.Message, Address], object] = self._stun_received
        self._transactions: dict[bytes, _Transaction] = {}

    @abstractmethod
    def send(self, data: bytes, address: Address) -> None:
        """Send one datagram, on the engine's loop."""

    @abstractmethod
    def send_batch(self, datagrams: Sequence[bytes], address: Address, *, may_fragment: bool = False) -> bool:
        """Send datagrams to one address, in order, in the caller's loop. See :class:`.stack.SendPackets`."""

    @abstractmethod
    async def close(self) -> None:
        """Release what the port holds on the engine's loop. Safe to call twice."""

    @abstractmethod
    def abort(self) -> None:
        """The same, at once: nobody is told."""

    async def send_data(self, data: bytes, addr: Address) -> None:
        """Send one datagram (aioice's name)."""
        self.send(data, addr)

    def send_stun(self, message: stun.Message, addr: Address) -> None:
        """Send one STUN message (aioice's name)."""
        self.send(bytes(message), addr)

    async def request(
        self,
        request: stun.Message,
        addr: Address,
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,  # noqa: ARG002 - aioice's signature
        timeout: float = TRANSACTION_TIMEOUT,  # noqa: ASYNC109 - of the transaction
        *,
        first_retransmission: float = FIRST_RETRANSMISSION,
    ) -> tuple[stun.Message, Address]:
        """Run a STUN transaction (RFC 8489, section 6.2.1).

        :param first_retransmission: seconds until the request is sent again, then doubling
        :return: the response and its source
        :raises aioice.stun.TransactionError: if the peer refuses or doesn't answer
        """
        if integrity_key is not None:
            request.add_message_integrity(integrity_key)
        transaction = _Transaction(self, request, addr, integrity_key, timeout, delay=first_retransmission)
        self._transactions[request.transaction_id] = transaction
        try:
            return await transaction.result
        finally:
            transaction.stop()
            del self._transactions[request.transaction_id]

    def answer_with_check(self, address: Address) -> None:
        """Send checks that are under way to ``address`` again: it has just shown that it is reachable."""
        for transaction in self._transactions.values():
            if transaction.address == address:
                transaction.send()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """A datagram arrived (asyncio's name: relays call it too)."""
        kind = classify(data)
        if kind is PacketKind.DTLS:
            self._on_packet(data, addr)
        elif kind is PacketKind.STUN and is_well_formed_stun(data):
            try:
                message = stun.parse_message(data)
            except ValueError:
                return
            self._on_stun(message, addr)

    def _stun_received(self, message: stun.Message, address: Address) -> None:
        if message.message_class is stun.Class.REQUEST:
            self._agent.request_received(message, address, cast("StunProtocol", self))
        elif message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR):
            transaction = self._transactions.get(message.transaction_id)
            if transaction is not None:
                transaction.response_received(message, address)


class _Transaction:
    """A request on its way: sent again after ``delay`` seconds, then at doubling intervals."""

    def __init__(
        self,
        port: IcePort,
        request: stun.Message,
        address: Address,
        key: bytes | None,
        timeout: float,
        *,
        delay: float,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.address = address
        self.result: asyncio.Future[tuple[stun.Message, Address]] = loop.create_future()
        self._loop = loop
        self._port = port
        self._packet = bytes(request)
        self._key = key
        self._delay = delay
        self._timer = loop.call_later(self._delay, self._retransmit)
        self._deadline = loop.call_later(timeout, self._expire)
        self.send()

    def send(self) -> None:
        self._port.send(self._packet, self.address)

    def stop(self) -> None:
        self._timer.cancel()
        self._deadline.cancel()

    def response_received(self, message: stun.Message, address: Address) -> None:
        # A response that isn't authenticated like the request is nobody's (RFC 8489, section 9.1.4).
        if self._key is not None and not message.check_message_integrity(self._key):
            return
        if self.result.done():
            return
        if message.message_class is stun.Class.RESPONSE:
            self.result.set_result((message, address))
        else:
            self.result.set_exception(stun.TransactionFailed(message))

    def _retransmit(self) -> None:
        self.send()
        self._delay = min(2 * self._delay, LAST_RETRANSMISSION)
        self._timer = self._loop.call_later(self._delay, self._retransmit)

    def _expire(self) -> None:
        if not self.result.done():
            self.result.set_exception(stun.TransactionTimeout())


class HostPort(IcePort):
    """A socket on one local address, in the caller's loop: of what comes in, only STUN crosses to the engine's.

    Sending needs no loop, so each sends from its own.

    :param driver: of the caller's loop
    :raises OSError: if the address can't be bound
    """

    def __init__(self, agent: IceAgent, driver: Driver, host: str) -> None:
        super().__init__(agent)
        self._on_stun = Crossing(agent.portal.post, self._stun_received).send
        self._port = UdpPort(driver, host, self.datagram_received)
        self.address = self._port.address
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET

    def send(self, data: bytes, address: Address) -> None:
        """Send one datagram, while the socket is certain to be ours: its number may be somebody else's later."""
        if not self._agent.is_finished:
            self._port.send(data, address)

    def send_batch(self, datagrams: Sequence[bytes], address: Address, *, may_fragment: bool = False) -> bool:
        """Send datagrams to one address, in order. See :class:`.stack.SendPackets`."""
        return self._port.send_batch(datagrams, address, may_fragment=may_fragment)

    async def close(self) -> None:
        """Nothing is held there: the caller's loop closes the socket."""

    def abort(self) -> None:
        """Nothing is held there."""

    def close_socket(self) -> None:
        """Close the socket, in the caller's loop. Safe to call twice."""
        self._port.close()

    async def reflexive_address(self, server: Address) -> Address:
        """Ask a STUN server which address it sees.

        :raises aioice.stun.TransactionError: if it doesn't answer
        :raises ConnectionError: if its answer has no address
        """
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        response, _ = await self.request(request, server)
        mapped = response.attributes.get("XOR-MAPPED-ADDRESS")
        if mapped is None:
            msg = "the response has no XOR-MAPPED-ADDRESS"
            raise ConnectionError(msg)
        return cast("Address", mapped)


class RelayPort(IcePort):
    """An allocation on a TURN server (RFC 8656), by aioice's TURN client."""

    def __init__(self, agent: IceAgent, client: turn.TurnClientProtocol, address: Address) -> None:
        super().__init__(agent)
        self._on_packet = Crossing(agent.portal.deliver, agent.packet_received).send
        self._client = client
        self.address = address
        self._sends: set[asyncio.Task[None]] = set()
        self._disconnected = asyncio.Event()

    @classmethod
    async def allocate(cls, agent: IceAgent, server: TurnServer) -> Self:
        """Make the allocation.

        :raises OSError: if the server can't be reached
        :raises aioice.stun.TransactionError: if it refuses
        """
        try:
            return await cls._allocate(agent, server)
        except stun.TransactionFailed as exc:
            if exc.response.error_code != ALLOCATION_MISMATCH:
                raise
            # An allocation of somebody who had our port before lives on: another port (RFC 8656, section 7.4).
            return await cls._allocate(agent, server)

    @classmethod
    async def _allocate(cls, agent: IceAgent, server: TurnServer) -> Self:
        client = await connect_turn(server)
        try:
            port = cls(agent, client, await client.connect())
        except BaseException:
            client.transport.abort()
            raise
        client.receiver = cast("asyncio.DatagramProtocol", port)
        return port

    @property
    def mapped_address(self) -> Address | None:
        """Our own address, as the server sees it."""
        return self._client.mapped_address

    def send(self, data: bytes, address: Address) -> None:
        """Relay one datagram; the first to an address binds a channel for it."""
        if self._client.transport.is_closing():
            return
        task = asyncio.get_running_loop().create_task(self._client.send_data(data, address))
        self._sends.add(task)
        task.add_done_callback(self._sent)

    def send_batch(
        self,
        datagrams: Sequence[bytes],
        address: Address,
        *,
        may_fragment: bool = False,  # noqa: ARG002 - a relay decides that by itself (RFC 8656, section 15)
    ) -> bool:
        """Relay datagrams to one address, in order. See :class:`.stack.SendPackets`."""
        self._agent.portal.post(self._send_each, datagrams, address)
        return True

    def _send_each(self, datagrams: Sequence[bytes], address: Address) -> None:
        for data in datagrams:
            self.send(data, address)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sends.discard(task)
        if not task.cancelled():
            # The server refused the channel or is gone: the datagram is lost, and checks will show it.
            task.exception()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The socket is closed (asyncio's name). If that was the server's doing, consent will expire."""
        self._disconnected.set()

    def error_received(self, exc: Exception) -> None:
        """An ICMP error (asyncio's name): to UDP that is loss."""

    async def close(self) -> None:
        """Give the allocation back, within half a second."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._client.delete()
        except (TimeoutError, OSError) as exc:
            _logger.info("the relay %s is left to expire: %r", self.address, exc)
        finally:
            self.abort()
            await self._disconnected.wait()

    def abort(self) -> None:
        """Leave the allocation to expire."""
        for task in self._sends:
            task.cancel()
        if self._client.refresh_task is not None:
            self._client.refresh_task.cancel()
        # close() would wait for unsent data, and over TLS for the server's good-bye.
        self._client.transport.abort()
