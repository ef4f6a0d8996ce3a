"""The transport: what an application makes first, dials with, and listens on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType, UnionType
from typing import Self

import anyio
from anyio.abc import TaskGroup
from multiaddr import Multiaddr

from . import plugins
from .abc import Engine, SignalingBackend, SignalingContext
from .addresses import parse_dial_address, parse_listen_address
from .config import TransportConfig
from .connection import Connection
from .connector import Connector, TransportStatistics, all_failed
from .dialer import Dialer
from .errors import AddressError, ConfigurationError, ConnectionClosed, SignalingError
from .identity import Identity, PeerId
from .listener import Listener
from .portal import open_portal
from .task_group import bare_task_group

_logger = logging.getLogger("libp2p.transport.webrtc")

BackendSource = str | SignalingBackend | Callable[[SignalingContext], SignalingBackend]
"""A URL, a backend, or a function that makes one of a context."""


class WebRTCTransport:
    """Connects to libp2p peers over WebRTC data channels.

    Use it as an async context manager, on asyncio or trio. On the way out it closes what it made: listeners,
    connections, signaling sessions, and, on trio, the engine's thread.

    :param identity: who we are
    :param signaling: ways to exchange descriptions, tried in this order when dialing: URLs whose scheme names a
        plugin (``ws://…``), backends, or functions that make one
    :param config: the settings
    :param engine: a protocol stack to use instead of the one that ``config.engine`` names
    """

    def __init__(
        self,
        identity: Identity,
        *,
        signaling: Sequence[BackendSource] = (),
        config: TransportConfig | None = None,
        engine: Engine | None = None,
    ) -> None:
        if isinstance(signaling, str):
            msg = f"signaling is a list of URLs or backends: pass signaling=[{signaling!r}]"
            raise ConfigurationError(msg)
        _check_type("identity", identity, Identity, "Identity.load_or_create(path) makes one")
        _check_type("config", config, TransportConfig | None, "pass TransportConfig(dial_timeout=…)")
        _check_type("engine", engine, Engine | None, "its name is a field: TransportConfig(engine='native')")
        self._identity = identity
        self._signaling = signaling
        self._config = config or TransportConfig()
        self._engine = engine or plugins.engine_factory(self._config.engine)()
        self._stack: AsyncExitStack | None = None
        self._tasks: TaskGroup | None = None
        self._backends: list[SignalingBackend] = []
        self._connector: Connector | None = None

    @property
    def identity(self) -> Identity:
        """Who we are."""
        return self._identity

    @property
    def peer_id(self) -> PeerId:
        """Our peer id."""
        return self._identity.peer_id

    @property
    def config(self) -> TransportConfig:
        """The settings."""
        return self._config

    def statistics(self) -> TransportStatistics:
        """The counters, now; zeros while the transport isn't running."""
        return TransportStatistics() if self._connector is None else self._connector.statistics()

    async def dial(self, address: str | Multiaddr) -> Connection:
        """Connect to the peer at ``address``, of the form ``/webrtc/p2p/<peer id>``.

        :raises AddressError: if the address is none that can be dialed
        :raises ConnectError: if no connection can be made; the error names the phase and the cure
        :raises TypeError: if it is neither text nor a ``Multiaddr``
        """
        connector = self._entered()
        target = parse_dial_address(address)
        if target.peer == self.peer_id:
            msg = f"{address} is this peer's own address"
            raise AddressError(msg)
        return await Dialer(connector, self._backends).dial(target.peer)

    async def listen(self, address: str | Multiaddr) -> Listener:
        """Listen on ``address``, of the form ``/webrtc``. Returns once peers can reach us.

        :raises AddressError: if the address is none that can be listened on
        :raises SignalingError: if no signaling backend can be reached, or all refuse us
        :raises AlreadyListening: if this transport listens already
        :raises TypeError: if the address is neither text nor a ``Multiaddr``
        """
        connector = self._entered()
        parse_listen_address(address, self.peer_id)
        if not self._backends:
            msg = "this transport has no signaling backend; pass signaling=['ws://…'] to listen on /webrtc"
            raise ConfigurationError(msg)
        assert self._tasks is not None
        listener = Listener(connector, self.peer_id)
        failures: list[tuple[str, SignalingError]] = []
        try:
            for backend in self._backends:
                try:
                    await self._tasks.start(listener.serve_backend, backend)
                except SignalingError as exc:
                    failures.append((type(backend).__name__, exc))
        except BaseException:
            # Nobody has the listener, so nobody else can end what it has begun.
            with anyio.CancelScope(shield=True):
                await listener.aclose()
            raise
        if len(failures) == len(self._backends):
            raise all_failed([failure for _, failure in failures])
        for name, failure in failures:
            _logger.warning("not listening over %s: %s", name, failure)
        return listener

    async def __aenter__(self) -> Self:
        if self._stack is not None:
            msg = "a transport is entered once; make a new one"
            raise RuntimeError(msg)
        async with AsyncExitStack() as stack:
            portal = await stack.enter_async_context(open_portal())
            context = SignalingContext(self._identity, self._config, portal)
            for source in self._signaling:
                backend = make_backend(source, context)
                self._backends.append(await stack.enter_async_context(backend))
            self._connector = Connector(self._identity, portal, self._engine, self._config)
            reason = ConnectionClosed("the transport was closed")
            stack.push_async_callback(self._connector.close_links, reason)
            self._tasks = await stack.enter_async_context(bare_task_group())
            if self._config.stalled_stream_timeout is not None:
                self._tasks.start_soon(
                    self._connector.reset_stalled_streams, self._config.stalled_stream_timeout
                )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        assert self._stack is not None
        assert self._tasks is not None
        self._connector = None
        self._tasks.cancel_scope.cancel()
        # What left the block goes on as it is: a task group would wrap it.
        await self._stack.aclose()

    def _entered(self) -> Connector:
        if self._connector is None:
            msg = "the transport isn't running; use it inside `async with WebRTCTransport(…) as transport:`"
            raise RuntimeError(msg)
        return self._connector


def _check_type(name: str, value: object, expected: type | UnionType, cure: str) -> None:
    if not isinstance(value, expected):
        wanted = getattr(expected, "__name__", str(expected))
        raise TypeError(f"{name} has to be {wanted.partition(' |')[0]}, not {type(value).__name__}; {cure}")


def make_backend(source: BackendSource, context: SignalingContext) -> SignalingBackend:
    """The backend that ``source`` stands for.

    :raises ConfigurationError: if it is a URL without scheme, or no plugin has its scheme
    :raises TypeError: if it is nothing of that kind, or a function that makes something else
    """
    if isinstance(source, SignalingBackend):
        return source
    if not isinstance(source, str):
        if not callable(source):
            raise TypeError(f"signaling takes URLs, backends and functions that make one, not {source!r}")
        backend = source(context)
        if not isinstance(backend, SignalingBackend):
            raise TypeError(f"{source!r} in signaling has to return a SignalingBackend, not {backend!r}")
        return backend
    scheme, separator, _ = source.partition("://")
    if not separator:
        msg = f"{source!r} is no signaling URL; it begins with a scheme, such as ws://"
        raise ConfigurationError(msg)
    return plugins.signaling_backend_class(scheme).from_url(source, context)
