"""The WebRTC transport of a py-libp2p host."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final
from weakref import WeakSet

import trio
from libp2p.abc import IHost, ITransport
from libp2p.crypto.keys import KeyPair
from libp2p.custom_types import THandler
from libp2p.network.swarm import Swarm
from libp2p.transport.exceptions import OpenConnectionError
from multiaddr import Multiaddr

import webrtc_transport as core
from webrtc_signaling.manager import WebRTCSignalingManager
from webrtc_transport import IceServer, TransportConfig
from webrtc_transport.arguments import check_signaling
from webrtc_transport.errors import AddressError, ConfigurationError, ConnectError, WebRTCError
from webrtc_transport.transport import BackendSource

from .circuit import CircuitSignaling
from .connection import WebRTCConnection
from .dial_log import DialLog
from .errors import opening_connections
from .ice_servers import IceServerLike, RTCConfigurationLike, ice_servers_of
from .identity import identity_from_key_pair
from .installation import check_installation
from .listener import WebRTCListener
from .multiaddrs import parse_dial_target, parse_listen_target, protocol_names
from .observer import EndedConnections
from .rendezvous import Rendezvous
from .running import RunningTransport
from .signaling import CircuitRelaySignalingChannel

_logger = logging.getLogger("libp2p.transport.webrtc")

_NO_HOST: Final = "this transport belongs to no running host; pass it to new_host(transports=[…])"

_waiting: Final[WeakSet[WebRTCTransport]] = WeakSet()
"""Transports that were made, and put into no host."""


class WebRTCTransport(ITransport):
    """Connects a py-libp2p host over WebRTC data channels: ``new_host(transports=[WebRTCTransport(…)])``.

    It runs as long as its host, and as who that is.

    :param signaling_manager: ways to exchange descriptions, as channels
    :param signaling: more of them, as URLs (``ws://…``), backends, or functions that make one
    :param ice_servers: STUN and TURN servers, in place of those of ``config``: our own ``IceServer`` objects, or
        aiortc's
    :param config: the settings
    :raises ConfigurationError: if an ICE server is malformed, or what is installed doesn't work together
    """

    provides_native_muxing = True

    def __init__(
        self,
        *,
        signaling_manager: WebRTCSignalingManager | None = None,
        signaling: Sequence[BackendSource] = (),
        ice_servers: Sequence[IceServerLike] | None = None,
        config: TransportConfig | None = None,
    ) -> None:
        check_installation()
        check_signaling(signaling)
        self.signaling_manager = signaling_manager
        self._signaling = signaling
        self._config = config or TransportConfig()
        self._ice_servers = None if ice_servers is None else ice_servers_of(ice_servers)
        self._rtc_configuration: RTCConfigurationLike | None = None
        self._nursery: trio.Nursery | None = None
        self._swarm: Swarm | None = None
        self._running: RunningTransport | None = None
        self._failure: WebRTCError | None = None
        self._dial_log = DialLog()
        self._changed = trio.Event()
        self._closing = trio.Event()
        _waiting.add(self)

    # --- settings -----------------------------------------------------------------------------------------------------

    @property
    def swarm(self) -> Swarm | None:
        """The swarm of the host that it belongs to, once that runs."""
        return self._swarm

    @property
    def _rtc_config(self) -> RTCConfigurationLike | None:
        """An aiortc ``RTCConfiguration``, whose ICE servers are used from now on. ``ice_servers`` does the same."""
        return self._rtc_configuration

    @_rtc_config.setter
    def _rtc_config(self, configuration: RTCConfigurationLike | None) -> None:
        servers = None if configuration is None else ice_servers_of(configuration.iceServers or ())
        self._rtc_configuration, self._ice_servers = configuration, servers

    async def _current_ice_servers(self) -> Sequence[IceServer]:
        if self._ice_servers is not None:
            return self._ice_servers
        configured = self._config.ice_servers
        return await configured() if callable(configured) else configured

    # --- ITransport ---------------------------------------------------------------------------------------------------

    def protocols(self) -> list[str]:
        """What the addresses contain that it dials and listens on."""
        return ["webrtc", "webrtc-direct"]

    def listen_order(self) -> int:
        """Before libp2p's relay transport, which claims every address with a relay in it."""
        return -1

    def can_dial(self, maddr: Multiaddr) -> bool:
        """Whether it is ``/webrtc/p2p/<id>``, the same behind a relay's ``…/p2p-circuit``, or one of webrtc-direct.

        ``/webrtc`` alone too: py-libp2p keeps addresses without the peer id, which it puts behind them for a dial.
        """
        if protocol_names(maddr) == ["webrtc"]:
            return True
        try:
            parse_dial_target(maddr)
        except AddressError:
            return False
        return True

    def can_listen(self, maddr: Multiaddr) -> bool:
        """Whether it is ``/webrtc``, the same behind a relay's ``…/p2p-circuit``, or ``/ip4/…/udp/…/webrtc-direct``."""
        try:
            parse_listen_target(maddr)
        except AddressError:
            return False
        return True

    async def dial(self, maddr: Multiaddr) -> WebRTCConnection:
        """Connect to the peer at ``maddr``.

        :raises OpenConnectionError: if that can't be; the text names the phase and the cure
        """
        try:
            with opening_connections():
                target = parse_dial_target(maddr)
                return await (await self.wait_running()).dial(target)
        except OpenConnectionError as exc:
            self._dial_log.failed(maddr, exc)
            raise

    def create_listener(self, handler_function: THandler) -> WebRTCListener:
        """A listener that hands its connections to ``handler_function``."""
        return WebRTCListener(self, handler_function)

    async def close(self) -> None:
        """Close what the transport has made. The host calls it at its end."""
        self._closing.set()
        while self._running is not None:
            await self._changed.wait()

    # --- for the host -------------------------------------------------------------------------------------------------

    def joins_host(self) -> None:
        """It has a host now."""
        _waiting.discard(self)

    def set_background_nursery(self, nursery: trio.Nursery) -> None:
        """Called by the host when it starts, with where tasks may run."""
        self._nursery = nursery

    def set_swarm(self, swarm: Swarm) -> None:
        """Called by the host when it starts, after the nursery."""
        if self._swarm is not None:
            raise ConfigurationError(
                "a WebRTCTransport belongs to one host, and is run once; make another one"
            )
        assert self._nursery is not None
        self.joins_host()
        self._swarm = swarm
        if self.signaling_manager is not None:
            self.signaling_manager.attached()
        self._nursery.start_soon(self._run, swarm)

    async def _run(self, swarm: Swarm) -> None:
        circuit, rendezvous = self._circuit_of(swarm), Rendezvous(self._rendezvous())
        observer = EndedConnections()
        swarm.register_notifee(observer)
        try:
            async with (
                core.WebRTCTransport(
                    identity_from_key_pair(_key_pair_of(swarm)),
                    signaling=[*(() if circuit is None else (circuit.backend,)), *rendezvous.sources],
                    config=self._running_config(),
                ) as transport,
                trio.open_nursery() as nursery,
            ):
                self._running = RunningTransport(swarm, transport, nursery, circuit, rendezvous)
                self._notify()
                if self.signaling_manager is not None:
                    self.signaling_manager.connected()
                await self._closing.wait()
                nursery.cancel_scope.cancel()
        except WebRTCError as exc:
            # One transport that can't run is no reason to end the host, which may have others.
            _logger.warning("the WebRTC transport doesn't run: %s", exc)
            self._failed(exc)
        finally:
            swarm.remove_notifee(observer)
            self._running = None
            self._failure = self._failure or ConnectError("the host has ended")
            self._notify()
            if self.signaling_manager is not None:
                self.signaling_manager.detached()

    def _running_config(self) -> TransportConfig:
        return self._config.model_copy(update={"ice_servers": self._current_ice_servers})

    def _rendezvous(self) -> Sequence[BackendSource]:
        """The ways to signal but for relays, which come first: they know at once whether they lead to a peer."""
        managed: Sequence[BackendSource] = ()
        if self.signaling_manager is not None:
            managed = self.signaling_manager.backends(but=CircuitRelaySignalingChannel)
        return [*managed, *self._signaling]

    def _circuit_of(self, swarm: Swarm) -> CircuitSignaling | None:
        channels = () if self.signaling_manager is None else self.signaling_manager.channels
        for channel in channels:
            if isinstance(channel, CircuitRelaySignalingChannel):
                return channel.circuit
        # The host is what the swarm hands its streams to.
        host = getattr(swarm.common_stream_handler, "__self__", None)
        return CircuitSignaling(host) if isinstance(host, IHost) else None

    async def wait_running(self) -> RunningTransport:
        """Wait until the host runs.

        :raises ConfigurationError: if the transport belongs to no host
        :raises WebRTCError: if the transport could not start, or the host has ended
        """
        if self._swarm is None:
            raise ConfigurationError(_NO_HOST)
        while self._running is None:
            if self._failure is not None:
                raise self._failure
            await self._changed.wait()
        return self._running

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _failed(self, reason: WebRTCError) -> None:
        self._failure = reason
        if self.signaling_manager is not None:
            self.signaling_manager.failed(reason)


def waiting_transports() -> Sequence[WebRTCTransport]:
    """Transports that were made, and put into no host."""
    return list(_waiting)


def _key_pair_of(swarm: Swarm) -> KeyPair:
    private_key = swarm.peerstore.privkey(swarm.self_id)
    return KeyPair(private_key, private_key.get_public_key())
