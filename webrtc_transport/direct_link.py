"""The link of a webrtc-direct connection: when it stands, Noise on channel 0 proves who is at the other end.

Channel 0 is no stream: it is there from the beginning at both ends, and js and go never close it. What comes on it
after the handshake is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

from .abc import ChannelEvents, EngineChannel
from .config import TransportConfig
from .connection import Connection
from .engine.direct_peer import DirectPeer
from .errors import (
    ConnectionEnded,
    ConnectTimeout,
    EngineError,
    FramingError,
    NoiseFailed,
    set_up_failed,
)
from .identity import Identity, PeerId, PublicKey
from .link import PeerLink
from .portal import same_loop_portal
from .protocol.direct_address import DirectAddress
from .protocol.framing import Flag, FrameDecoder, encode_frame
from .protocol.limits import FRAME_OVERHEAD, MAX_DIRECT_FRAME, MAX_UNPROVEN_STREAMS
from .protocol.noise import NoiseHandshake, make_prologue
from .protocol.sdp import Fingerprint
from .protocol.stun_message import Address

NOISE_TIMEOUT: Final = 10.0
"""Seconds for the three messages of Noise: what js gives a whole dial."""

_PROLOGUE_HASH: Final = "sha-256"
"""Of both fingerprints in the prologue. A ``certhash`` may be of another kind, but a listener can't know of which."""


class DirectLink(PeerLink):
    """The caller's end of a :class:`~webrtc_transport.engine.direct_peer.DirectPeer`, in its own loop.

    :param remote: where the other end is, for logs
    :param own: the fingerprint of our certificate, SHA-256
    :param is_server: whether this end listens
    :param expected: who has to be there, if that is known
    :param certhashes: what the other end's address says of its certificate
    """

    def __init__(
        self,
        identity: Identity,
        config: TransportConfig,
        remote: Address,
        *,
        own: Fingerprint,
        is_server: bool,
        expected: PeerId | None = None,
        certhashes: tuple[Fingerprint, ...] = (),
        on_end: Callable[[PeerLink], object],
    ) -> None:
        host, port = remote[0], remote[1]
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        super().__init__(same_loop_portal(), config, shown, first_phase="ice", on_end=on_end)
        self.payload_limit = MAX_DIRECT_FRAME - FRAME_OVERHEAD
        self._identity = identity
        self._own = own
        self._is_server = is_server
        self._expected = expected
        self._certhashes = certhashes
        self._direct: DirectPeer | None = None
        self._noise: NoiseChannel | None = None
        self._unproven_streams = 0
        """Streams that the dialer has opened before it was known who it is."""

    def attach(self, peer: DirectPeer) -> None:
        """Take the engine's peer, whose events this link gets."""
        self._peer = self._direct = peer

    @property
    def direct(self) -> DirectPeer:
        """The engine's peer."""
        assert self._direct is not None
        return self._direct

    def on_phase(self, phase: str) -> None:
        if self._noise is not None:
            # The peer has fallen silent, or is back. Until it is proven who it is, there is no connection to say it of.
            if self._is_proven:
                super().on_phase(phase)
            return
        if phase != "connected":
            super().on_phase(phase)
            return
        super().on_phase("noise")
        fingerprints = self.direct.remote_fingerprint(_PROLOGUE_HASH), self._own
        client, server = fingerprints if self._is_server else fingerprints[::-1]
        handshake = NoiseHandshake(
            self._identity,
            is_server=self._is_server,
            prologue=make_prologue(client, server),
            expected=self._expected,
        )
        self._noise = NoiseChannel(self.direct, handshake, on_over=self._noise_over)

    @property
    def _is_proven(self) -> bool:
        return self._noise is not None and self._noise.remote is not None

    def on_channel(self, channel: EngineChannel) -> None:
        # The certificate of a listener is the one that was dialed: it is no stranger.
        if self._is_server and not self._is_proven:
            if self._unproven_streams >= MAX_UNPROVEN_STREAMS:
                channel.close()
                return
            self._unproven_streams += 1
        super().on_channel(channel)

    def timed_out(self, timeout: float) -> ConnectTimeout:
        """The error for a deadline. A port that is dialed by its address has no use for a TURN server."""
        if self.phase != "ice":
            return super().timed_out(timeout)
        cure = "does the peer listen there, and do firewalls let UDP pass?"
        return ConnectTimeout(
            f"not connected after {timeout:g} s, in phase 'ice': no answer from UDP port {self.remote}; {cure}"
        )

    def _noise_over(self, failure: NoiseFailed | None) -> None:
        if failure is None:
            super().on_phase("connected")
        else:
            self.direct.close(failure)

    async def prove(self) -> Connection:
        """Wait until the peer has proven who it is, and make the connection. It may be over by then.

        :raises ConnectError: if the set-up failed; :exc:`~webrtc_transport.errors.NoiseFailed` if the proof did, and
            :exc:`~webrtc_transport.errors.OwnFault` if our engine
        """
        while self._noise is None:
            if self.end_reason is not None:
                raise set_up_failed(self.end_reason)
            await self.changed.wait()
        with anyio.move_on_after(NOISE_TIMEOUT):
            while self.phase == "noise" and self.end_reason is None:
                await self.changed.wait()
        remote = self._noise.remote
        if remote is not None and self.phase != "noise":
            # If the peer has left since then, what it sent can still be read.
            return self._connection(remote.peer_id)
        # A fault of our engine says nothing of the peer's proof.
        if isinstance(self.end_reason, ConnectionEnded) and not isinstance(self.end_reason, EngineError):
            raise NoiseFailed(f"the connection ended while {self._noise.progress}: {self.end_reason}")
        if self.end_reason is not None:
            raise set_up_failed(self.end_reason)
        raise NoiseFailed(f"Noise wasn't done within {NOISE_TIMEOUT:g} s: {self._noise.progress}")

    def _connection(self, peer: PeerId) -> Connection:
        pair = self.candidate_pair = self.direct.candidate_pair
        assert pair is not None, "somebody has been heard"
        host, port = pair.remote.address, pair.remote.port
        address = DirectAddress("ip6" if ":" in host else "ip4", host, port, self._certhashes, peer)
        fingerprint = self.direct.remote_fingerprint(_PROLOGUE_HASH)
        return Connection(self, peer, fingerprint, address.to_multiaddr())


class NoiseChannel(ChannelEvents):
    """The handshake on channel 0, one call for each message that comes.

    :param on_over: told once, of the failure or of None
    """

    def __init__(
        self,
        peer: DirectPeer,
        handshake: NoiseHandshake,
        *,
        on_over: Callable[[NoiseFailed | None], object],
    ) -> None:
        self._peer = peer
        self._handshake = handshake
        self._on_over = on_over
        self._is_over = False
        self._decoder = FrameDecoder()
        self._channel: EngineChannel = peer.open_channel(self, negotiated_id=0)
        self._send()

    @property
    def progress(self) -> str:
        """What the handshake is at."""
        return self._handshake.progress

    @property
    def remote(self) -> PublicKey | None:
        """The peer's key, once it is proven."""
        return self._handshake.remote

    def _send(self) -> None:
        outbox = self._handshake.outbox
        if outbox:
            self._channel.send(encode_frame(bytes(outbox)))
            outbox.clear()

    def on_message(self, data: bytes) -> None:
        self._peer.grant(len(data))
        if self._is_over:
            return
        try:
            self._receive(data)
        except (FramingError, NoiseFailed) as exc:
            self._end(exc if isinstance(exc, NoiseFailed) else NoiseFailed(f"on channel 0: {exc}"))
            return
        self._send()
        if self._handshake.is_done:
            self._end(None)

    def _receive(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            if frame.payload:
                self._handshake.receive(frame.payload)
            if frame.flag in (Flag.FIN, Flag.RESET) and not self._handshake.is_done:
                raise NoiseFailed(f"the peer ended channel 0 while {self.progress}")

    def on_sent(self, size: int) -> None:
        """Nobody waits for it: three messages fit everywhere."""

    def on_closed(self) -> None:
        if not self._is_over:
            self._end(NoiseFailed(f"the peer closed channel 0 while {self.progress}"))

    def _end(self, failure: NoiseFailed | None) -> None:
        self._is_over = True
        self._on_over(failure)
