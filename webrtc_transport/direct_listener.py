"""Listening for webrtc-direct: one UDP socket, and whoever dials its address."""

from __future__ import annotations

import errno
import ipaddress
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import anyio
from anyio.abc import TaskStatus
from multiaddr import Multiaddr

from .abc import PeerEvents
from .direct_connector import DirectConnector
from .direct_link import DirectLink
from .engine.direct_hosts import addresses_of
from .engine.direct_peer import DirectPeer
from .engine.direct_port import DirectListenerPort
from .errors import AddressError, ConnectError, LimitExceeded
from .listener import Listener
from .protocol.direct_address import DirectAddress
from .protocol.rate_limit import prefix_of
from .protocol.stun_message import Address
from .task_group import bare_task_group
from .wakeup import Wakeup

_logger = logging.getLogger("libp2p.transport.webrtc.listener")

_BIND_CURES: Final[Mapping[int, str]] = {
    errno.EADDRINUSE: "; stop the program that listens there, or take another port (0 picks a free one)",
    errno.EADDRNOTAVAIL: "; it is no address of this machine (0.0.0.0 is every IPv4 address, and :: every IPv6 one)",
    errno.EACCES: "; ports below 1024 are for the administrator: take another one",
}


class DirectListener(Listener):
    """Accepts the connections of peers that dial one UDP port.

    Closing it closes the socket too, with the last of the connections that it has handed over: they share it.

    :raises AddressError: if the address can't be bound
    """

    def __init__(self, connector: DirectConnector, address: DirectAddress) -> None:
        super().__init__(connector.config)
        connector.check_certificate()
        if any(certhash != connector.fingerprint for certhash in address.certhashes):
            raise AddressError(f"{address} names another certificate than this peer's; leave /certhash/… out")
        self._connector = connector
        self._newcomers: deque[tuple[DirectLink, str]] = deque()
        """Links whose handshake has begun, and the IP prefixes that they count for."""
        self._arrived = Wakeup()
        self._has_gater_failed = False
        try:
            self._port = DirectListenerPort(
                connector.driver,
                address.host,
                address.port,
                context=connector.context,
                accept=self._accept,
                config=connector.config,
                gater=self._is_let_in,
            )
        except OSError as exc:
            cure = _BIND_CURES.get(exc.errno or 0, "")
            raise AddressError(f"can't listen on {address}: {exc.strerror}{cure}") from exc

    @property
    def addresses(self) -> Sequence[Multiaddr]:
        """Where peers reach us, as they are to dial it: with ``certhash`` and peer id.

        ``announce_addresses``, if there are any; else those of this host that the socket is bound to, loopback's last.
        """
        announced = [DirectAddress.parse(text) for text in self._config.announce_addresses]
        connector = self._connector
        return [
            replace(
                address, certhashes=(connector.fingerprint,), peer=connector.identity.peer_id
            ).to_multiaddr()
            for address in announced or self._own_addresses()
        ]

    def _own_addresses(self) -> list[DirectAddress]:
        host, port = self._port.address
        protocol = f"ip{ipaddress.ip_address(host).version}"
        return [DirectAddress(protocol, own, port) for own in addresses_of(host)]

    # --- for the transport ----------------------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Take care of who comes, until closed."""
        with anyio.CancelScope() as scope:
            self._scopes.append(scope)
            try:
                async with bare_task_group() as handshakes:
                    task_status.started()
                    while True:
                        while self._newcomers:
                            handshakes.start_soon(self._handshake, *self._newcomers.popleft())
                        await self._arrived.wait()
            finally:
                self._port.stop()
                self._scopes.remove(scope)
                self._changed.notify()

    # --- newcomers ------------------------------------------------------------------------------------------------

    def _is_let_in(self, source: Address) -> bool:
        gater = self._config.gater
        try:
            return gater is None or gater(*source)
        except Exception:
            # The application's. Said once: strangers would fill the log.
            if not self._has_gater_failed:
                self._has_gater_failed = True
                _logger.exception("the gater failed; nobody is let in by it")
            return False

    def _accept(self, peer: DirectPeer) -> PeerEvents | None:
        """Called when a newcomer begins DTLS; whoever is refused may come again."""
        source = peer.remote_address
        assert source is not None, "DTLS is taken from a validated address"
        prefix = prefix_of(source[0])
        try:
            self._begin_handshake(prefix)
        except LimitExceeded as exc:
            _logger.info("no connection with %s: %s", _name(source), exc)
            return None
        link = self._connector.link(source, is_server=True)
        link.attach(peer)
        self._newcomers.append((link, prefix))
        self._arrived.notify()
        return link

    async def _handshake(self, link: DirectLink, prefix: str) -> None:
        """Make a connection of a newcomer. Whatever goes wrong in it ends with it."""
        timeout = self._config.inbound_timeout
        try:
            async with self._connector.links.setting_up(link):
                connection = None
                with anyio.move_on_after(timeout):
                    connection = await link.prove()
                if connection is None:
                    raise link.timed_out(timeout)
                self._connector.connected(connection.remote_peer, link.direct.flow)
                if link.end_reason is None:
                    self._port.established(link.direct)
        except ConnectError as exc:
            _logger.info("no connection with %s: %s", link.remote, exc)
        else:
            await self._hand_over(connection)
        finally:
            self._end_handshake(prefix)


def _name(address: Address) -> str:
    return f"{address[0]}:{address[1]}"
