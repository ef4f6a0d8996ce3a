"""The transport: what an application makes first, dials with, and listens on."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self
from weakref import WeakSet

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import RunVar
from multiaddr import Multiaddr

from . import plugins
from .abc import Engine, SignalingBackend, SignalingContext
from .addresses import parse_dial_address, parse_listen_address
from .arguments import check_signaling, check_type
from .config import TransportConfig
from .connection import Connection
from .direct_connector import DirectConnector
from .direct_dialer import DirectDialer
from .direct_listener import DirectListener
from .engine.driver import Driver, open_driver
from .errors import AddressError, ConfigurationError, ConnectionClosed, SignalingError
from .identity import Identity, PeerId
from .links import Links, TransportStatistics
from .listener import Listener
from .portal import open_portal
from .protocol.direct_address import DirectAddress
from .redaction import redacted
from .signaled_connector import SignaledConnector, all_failed
from .signaled_dialer import SignaledDialer
from .signaled_listener import SignaledListener
from .task_group import bare_task_group

_logger = logging.getLogger("libp2p.transport.webrtc")

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)
"""Of a URL (RFC 3986, section 3.1)."""

_running_here: Final[RunVar[WeakSet[WebRTCTransport]]] = RunVar("webrtc_transport.running")
"""The transports that were entered in this event loop."""

BackendSource = str | SignalingBackend | Callable[[SignalingContext], SignalingBackend]
"""A URL, a backend, or a function that makes one of a context."""


class WebRTCTransport:
    """Connects to libp2p peers over WebRTC data channels.

    Use it as an async context manager, on asyncio or trio. On the way out it closes what it made: listeners,
    connections, signaling sessions, and, on trio with signaling, the engine's thread. webrtc-direct needs no signaling,
    and no thread.

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
        check_signaling(signaling)
        check_type("identity", identity, Identity, "Identity.load_or_create(path) makes one")
        check_type("config", config, TransportConfig | None, "pass TransportConfig(dial_timeout=…)")
        check_type("engine", engine, Engine | None, "its name is a field: TransportConfig(engine='native')")
        self._identity = identity
        self._signaling = signaling
        self._config = config or TransportConfig()
        self._engine = engine or plugins.engine_factory(self._config.engine)()
        self._stack: AsyncExitStack | None = None
        self._tasks: TaskGroup | None = None
        self._backends: list[SignalingBackend] = []
        self._links = Links()
        self._signaled: SignaledConnector | None = None
        self._direct: DirectConnector | None = None

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
        return TransportStatistics() if self._direct is None else self._links.statistics()

    async def dial(self, address: str | Multiaddr) -> Connection:
        """Connect to the peer at ``address``.

        ``/webrtc/p2p/<peer id>`` is reached by signaling, and
        ``/ip4/…/udp/…/webrtc-direct/certhash/…[/p2p/<peer id>]`` directly; ``ip6``, ``dns``, ``dns4`` and ``dns6`` may
        stand for ``ip4``.

        :raises AddressError: if the address is none that can be dialed
        :raises ConnectError: if no connection can be made; the error names the phase and the cure
        :raises TypeError: if it is neither text nor a ``Multiaddr``
        """
        direct = self._entered()
        target = parse_dial_address(address)
        if target.peer == self.peer_id:
            msg = f"{address} is this peer's own address"
            raise AddressError(msg)
        if isinstance(target, DirectAddress):
            return await DirectDialer(direct).dial(target)
        if self._signaled is None:
            msg = "this transport has no signaling backend; pass signaling=['ws://…'] to reach /webrtc addresses"
            raise ConfigurationError(msg)
        return await SignaledDialer(self._signaled, self._backends).dial(target.peer)

    async def listen(self, address: str | Multiaddr) -> Listener:
        """Listen on ``address``. Returns once peers can reach us.

        ``/webrtc`` is reached by signaling. ``/ip4/…/udp/…/webrtc-direct`` (or ``ip6``) is a UDP port of this host: 0
        lets the system pick one, and ``0.0.0.0`` and ``::`` stand for all addresses. There may be several such
        listeners, and one of ``/webrtc`` besides.

        :raises AddressError: if the address is none that can be listened on, or its port is taken
        :raises ConfigurationError: if the configured certificate has expired
        :raises SignalingError: if no signaling backend can be reached, or all refuse us
        :raises EngineError: if the engine's event loop has ended
        :raises AlreadyListening: if this transport listens on ``/webrtc`` already
        :raises TypeError: if the address is neither text nor a ``Multiaddr``
        """
        direct = self._entered()
        target = parse_listen_address(address, self.peer_id)
        if isinstance(target, DirectAddress):
            return await self._listen_directly(DirectListener(direct, target))
        if self._signaled is None:
            msg = "this transport has no signaling backend; pass signaling=['ws://…'] to listen on /webrtc"
            raise ConfigurationError(msg)
        return await self._listen_by_signaling(SignaledListener(self._signaled, self.peer_id))

    async def _listen_directly(self, listener: DirectListener) -> Listener:
        assert self._tasks is not None
        # It has its port, so who is cancelled here must not leave it behind: the task gives the port back.
        with anyio.CancelScope(shield=True):
            await self._tasks.start(listener.run)
        return listener

    async def _listen_by_signaling(self, listener: SignaledListener) -> Listener:
        assert self._tasks is not None
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
            driver = await stack.enter_async_context(open_driver())
            direct = DirectConnector(self._identity, driver, self._config, self._links)
            signaled = await self._open_signaling(stack, driver) if self._signaling else None
            await stack.enter_async_context(self._links.watched(self._config))
            stack.push_async_callback(self._links.close, ConnectionClosed("the transport was closed"))
            self._tasks = await stack.enter_async_context(bare_task_group())
            self._stack = stack.pop_all()
        self._direct, self._signaled = direct, signaled
        here = _running_here.get(WeakSet())
        here.add(self)
        _running_here.set(here)
        return self

    async def _open_signaling(self, stack: AsyncExitStack, driver: Driver) -> SignaledConnector:
        portal = await stack.enter_async_context(open_portal())
        context = SignalingContext(self._identity, self._config, portal)
        self._backends = [
            await stack.enter_async_context(make_backend(source, context)) for source in self._signaling
        ]
        return SignaledConnector(
            self._identity, driver, portal, self._engine, config=self._config, links=self._links
        )

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        assert self._stack is not None
        assert self._tasks is not None
        self._direct = self._signaled = None
        self._tasks.cancel_scope.cancel()
        # What left the block goes on as it is: a task group would wrap it.
        await self._stack.aclose()

    def _entered(self) -> DirectConnector:
        if self._direct is None:
            msg = "the transport isn't running; use it inside `async with WebRTCTransport(…) as transport:`"
            raise RuntimeError(msg)
        if self not in _running_here.get(WeakSet()):
            # Another loop would wait for events that nobody sets, or set those that this one waits for.
            msg = "the transport runs in another event loop; make one for each"
            raise RuntimeError(msg)
        return self._direct


def make_backend(source: BackendSource, context: SignalingContext) -> SignalingBackend:
    """The backend that ``source`` stands for.

    :raises ConfigurationError: if it is a URL without scheme, or no plugin has its scheme
    :raises TypeError: if it is nothing of that kind, or a function that makes something else
    """
    if isinstance(source, SignalingBackend):
        return source
    if not isinstance(source, str):
        if not callable(source):
            # Not shown, like what is returned: there may be a URL in it, as in a functools.partial.
            raise TypeError(
                f"signaling takes URLs, backends and functions that make one, not {type(source).__name__}"
            )
        backend = source(context)
        if not isinstance(backend, SignalingBackend):
            raise TypeError(
                f"a function in signaling has to return a SignalingBackend, not {type(backend).__name__}"
            )
        return backend
    scheme, separator, _ = source.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        msg = f"{redacted(source)!r} is no signaling URL; it begins with a scheme, such as ws://"
        raise ConfigurationError(msg)
    return plugins.signaling_backend_class(scheme).from_url(source, context)
