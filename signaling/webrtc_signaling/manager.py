"""What an application makes of its way to signal, before there is a transport: channels, and their manager.

A channel says how to signal, and as whom. A manager is handed to a transport, which connects the channels when it
runs; :meth:`WebRTCSignalingManager.setup` waits for that.
"""

from __future__ import annotations

import copy
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

from webrtc_transport.abc import SignalingBackend, SignalingContext
from webrtc_transport.errors import ConfigurationError
from webrtc_transport.identity import PeerId
from webrtc_transport.wakeup import Wakeup

from .tokens import TokenSource, check_token_source

_NO_HOST: Final = (
    "no running host has a transport with this signaling manager: pass WebRTCTransport(signaling_manager=…) to "
    "new_host(transports=[…]), or call register_transport() before host.run()"
)


class SignalingChannel(ABC):
    """A way to signal, as one peer."""

    @abstractmethod
    def create_backend(self, context: SignalingContext) -> SignalingBackend:
        """Build the backend that does it; no I/O yet.

        :raises ConfigurationError: if the channel was made for another peer, or its settings are wrong
        """


class WebSocketSignalingChannel(SignalingChannel):
    """Signals through a rendezvous server.

    :param url: ``ws://…`` or ``wss://…``; ``http://…`` or ``https://…`` to poll where no WebSocket gets through
    :param peer_id: our own peer id
    :param token: of the server's operator, or an async function that gets one. It is called for each connection, in the
        host's event loop
    :param ssl: for ``wss://`` and ``https://``: ``ssl.create_default_context(cafile=…)`` trusts a private authority
    :raises IdentityError: if ``peer_id`` is malformed
    :raises ConfigurationError: if ``token`` is no token
    """

    def __init__(
        self,
        url: str,
        peer_id: PeerId | str,
        *,
        token: TokenSource | None = None,
        ssl: ssl.SSLContext | None = None,
    ) -> None:
        check_token_source(token)
        self.url = url
        self.peer_id = PeerId.from_string(str(peer_id))
        self._token = token
        self._ssl = ssl

    def create_backend(self, context: SignalingContext) -> SignalingBackend:
        # It needs aiohttp, which users of other channels needn't have.
        from .rendezvous_server import RendezvousServer  # noqa: PLC0415

        check_peer(self.peer_id, context)
        return RendezvousServer(self.url, token=self._token, ssl=self._ssl)(context)


class WebRTCSignalingManager:
    """The channels of one peer.

    :param channel: how to signal
    :param peer_id: our own peer id
    :param more_channels: tried after it, in this order, when dialing; listening is over all
    :raises IdentityError: if ``peer_id`` is malformed
    """

    def __init__(
        self, channel: SignalingChannel, peer_id: PeerId | str, *more_channels: SignalingChannel
    ) -> None:
        self.peer_id = PeerId.from_string(str(peer_id))
        self.channels: Sequence[SignalingChannel] = (channel, *more_channels)
        self._changed = Wakeup()
        self._users = 0
        self._is_ready = False
        self._pending = 0
        """Listeners that aren't ready yet."""
        self._failure: Exception | None = None

    def backends(
        self, *, but: type[SignalingChannel] | None = None
    ) -> Sequence[Callable[[SignalingContext], SignalingBackend]]:
        """For a transport: functions that make a backend of each channel, but for those of one class."""
        return [
            self._backend_of(channel)
            for channel in self.channels
            if but is None or not isinstance(channel, but)
        ]

    async def setup(self) -> None:
        """Wait until peers can reach us over the channels, or, if nobody listens, until they can be used.

        It may be called at any time while the host runs, and more than once.

        :raises ConfigurationError: if no running host uses the manager
        :raises SignalingError: if no channel could be connected
        """
        while self._pending or self._failure is not None or not self._is_ready:
            if self._failure is not None:
                raise copy.copy(self._failure)
            if not self._users:
                raise ConfigurationError(_NO_HOST)
            await self._changed.wait()

    # --- for the transport --------------------------------------------------------------------------------------------

    def attached(self) -> None:
        """A host that is going to run has a transport with this manager."""
        self._users += 1

    def detached(self) -> None:
        """The host has ended."""
        self._users -= 1
        self._is_ready = False
        self._changed.notify()

    def connecting(self) -> None:
        """The host begins to listen."""
        self._pending += 1
        self._failure = None

    def connected(self, *, listening: bool = False) -> None:
        """The channels can be used; with ``listening``, and peers can reach the host by them."""
        self._pending -= listening
        self._is_ready = True
        self._changed.notify()

    def failed(self, reason: Exception) -> None:
        """The host could not listen, or the transport could not start."""
        self._pending = 0
        self._failure = reason
        self._changed.notify()

    def _backend_of(self, channel: SignalingChannel) -> Callable[[SignalingContext], SignalingBackend]:
        def create(context: SignalingContext) -> SignalingBackend:
            check_peer(self.peer_id, context)
            return channel.create_backend(context)

        return create


def check_peer(peer_id: PeerId, context: SignalingContext) -> None:
    """:raises ConfigurationError: if ``context`` is for another peer than ``peer_id``"""
    if peer_id != context.identity.peer_id:
        raise ConfigurationError(
            f"the signaling was made for {peer_id}, and the host is {context.identity.peer_id}; "
            "make both with the peer id of the host"
        )
