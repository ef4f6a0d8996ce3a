"""The set-up of an association: INIT, INIT ACK, COOKIE ECHO, COOKIE ACK (RFC 9260, section 5).

Both ends of a data-channel association send INIT, so there is no client and no server here. Who gets an INIT keeps
nothing of it: all goes into the cookie, which the peer sends back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .cookie import StaleCookie, make_cookie, open_cookie
from .lifecycle import Lifecycle
from .packet import CauseCode, ChunkType, Init, PacketError, encode_cause, encode_chunk, parse_cause
from .settings import AssociationSettings
from .states import SETTING_UP, State
from .transmitter import Transmitter

MAX_INIT_TRIES: Final = 45
"""Times that INIT and COOKIE ECHO are sent, a second apart at most: for 45 s. Dials end earlier."""

_EXTENSIONS: Final = frozenset({ChunkType.RE_CONFIG, ChunkType.FORWARD_TSN, ChunkType.PAD})


class Handshake:
    """Finds out who the peer is, and that it is there.

    :param initial_tsn: of our data
    :param random: gives random bytes
    """

    def __init__(
        self,
        settings: AssociationSettings,
        initial_tsn: int,
        random: Callable[[int], bytes],
        lifecycle: Lifecycle,
        transmitter: Transmitter,
    ) -> None:
        self._settings = settings
        self._initial_tsn = initial_tsn
        self._lifecycle = lifecycle
        self._transmitter = transmitter
        self._key = random(32)
        # Zero is no tag (RFC 9260, section 5.3.1).
        self.tag = int.from_bytes(random(4)) or 1
        """Ours: the peer's packets carry it."""
        self.peer: Init | None = None
        """What the peer said of itself, as far as it is known."""

    def begin(self, now: float) -> None:
        """Send INIT."""
        if self._lifecycle.state is State.CLOSED:
            self._lifecycle.move(State.COOKIE_WAIT)
            self._lifecycle.repeat(self._encode_init(ChunkType.INIT), MAX_INIT_TRIES, now)

    def _encode_init(
        self, kind: ChunkType, cookie: bytes = b"", unrecognized: tuple[bytes, ...] = ()
    ) -> bytes:
        settings = self._settings
        init = Init(
            self.tag,
            settings.window,
            settings.streams,
            settings.streams,
            self._initial_tsn,
            cookie,
            _EXTENSIONS,
            unrecognized,
        )
        return init.encode(kind)

    def receive_init(self, value: memoryview, now: float) -> None:
        """Answer an INIT.

        :raises PacketError: if it is malformed
        """
        init = Init.parse(value)
        is_open = self._lifecycle.state is not State.COOKIE_ECHOED
        if self.peer is not None and init.tag != self.peer.tag and is_open:
            # An association over DTLS doesn't restart: the new one would have a DTLS association of its own.
            return
        cookie = make_cookie(self._key, init, now)
        answer = self._encode_init(ChunkType.INIT_ACK, cookie, init.unrecognized)
        self._transmitter.answer_with_tag(init.tag, answer)

    def receive_init_ack(self, value: memoryview, now: float) -> None:
        """Send the peer its cookie back.

        :raises PacketError: if the chunk is malformed
        """
        if self._lifecycle.state is not State.COOKIE_WAIT:
            return
        init = Init.parse(value)
        if not init.cookie:
            raise PacketError("an INIT ACK without a cookie")
        self._adopt(init)
        self._lifecycle.move(State.COOKIE_ECHOED)
        self._lifecycle.repeat(encode_chunk(ChunkType.COOKIE_ECHO, init.cookie), MAX_INIT_TRIES, now)

    def receive_cookie_echo(self, value: memoryview, now: float) -> None:
        """The peer sends a cookie back: if it is ours, the association stands."""
        try:
            init = open_cookie(self._key, bytes(value), now)
        except StaleCookie as stale:
            chunk = encode_cause(ChunkType.ERROR, CauseCode.STALE_COOKIE, bytes(4))
            self._transmitter.answer_with_tag(stale.tag, chunk)
            return
        if init is None:
            return
        is_peer = self.peer is not None and self.peer.tag == init.tag
        if self._lifecycle.state in SETTING_UP:
            if not is_peer:
                self._adopt(init)
            self.establish()
        elif not is_peer:
            return
        self._transmitter.acknowledge_cookie()

    def establish(self) -> None:
        """The peer has our cookie, or knows that we have its: COOKIE ACK says so, and so does data."""
        if self._lifecycle.state in SETTING_UP:
            self._lifecycle.move(State.ESTABLISHED)
            self._lifecycle.stop_repeating()

    def receive_cookie_ack(self) -> None:
        """The peer has taken our cookie."""
        if self._lifecycle.state is State.COOKIE_ECHOED:
            self.establish()

    def receive_error(self, value: memoryview) -> None:
        """The only error that matters is that our cookie was too old."""
        is_stale = parse_cause(value)[0] == CauseCode.STALE_COOKIE
        if is_stale and self._lifecycle.state is State.COOKIE_ECHOED:
            self._lifecycle.end("the peer's cookie reached it too late", is_orderly=False)

    def _adopt(self, peer: Init) -> None:
        self.peer = peer
        self._transmitter.address(peer.tag)
