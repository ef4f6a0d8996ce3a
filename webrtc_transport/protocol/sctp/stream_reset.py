"""Resetting streams (RFC 6525): requests, and the responses to them.

Each end numbers its requests and has one under way. A request names the last TSN of the streams that it ends: the
other end answers "in progress" until it has everything up to there, and is asked again.

The first stream that ends is told at once. Those that end soon after it share a request: one for each of many short
streams would cost a tenth of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from .packet import ChunkType, PacketError, ParameterType, encode_chunk, encode_parameter, split_parameters
from .rto import RTO_MAX, RtoEstimator

MAX_STREAMS_PER_REQUEST: Final = 512
"""Stream ids in one request: with 20 bytes of headers it fits into the smallest packet, beside an acknowledgement.
There is one request in a round trip, so with fewer ids who opens streams by the thousand would outrun who closes
them."""

REQUEST_INTERVAL: Final = 0.02
"""Seconds from a request to the next one, unless that is full. Nobody waits for a stream's end but who wants its id
again, and there are thousands."""

MAX_TRIES: Final = 10
"""Times that a request is sent before the association is given up (RFC 6525, section 5.1.1)."""

MAX_POSTPONEMENT: Final = 60.0
"""Seconds that a peer may answer that another request is in progress when it has all data that this one names: about as
long as one that doesn't answer at all is asked. What it waits for before is data, and whether that arrives is the
sender's business: a peer whose application doesn't read may well refuse the last of it for hours."""

MAX_DEFERRED: Final = 4096
"""Streams of the peer whose end may wait for data at once: more than end in a round trip. A request that would make
them more is put off, and may be made again."""

UNSUPPORTED: Final = (
    "a channel was closed, and the peer does not know how (its SCTP has no RE-CONFIG, RFC 6525)"
)
"""Why an association ends at the first end of a stream. RFC 8831 (section 6.7) asks for RE-CONFIG; without it neither
end could ever use the stream's id again."""

_REQUEST: Final = struct.Struct("!III")
_RESPONSE: Final = struct.Struct("!II")
_NUMBER: Final = struct.Struct("!I")
_MASK: Final = 0xFFFFFFFF

_REQUESTS: Final = frozenset(
    {
        ParameterType.OUTGOING_RESET_REQUEST,
        ParameterType.INCOMING_RESET_REQUEST,
        ParameterType.TSN_RESET_REQUEST,
        ParameterType.ADD_OUTGOING_STREAMS,
        ParameterType.ADD_INCOMING_STREAMS,
    }
)


class Result(IntEnum):
    """Results of a request (RFC 6525, section 4.4)."""

    NOTHING_TO_DO = 0
    PERFORMED = 1
    DENIED = 2
    WRONG_SSN = 3
    ALREADY_IN_PROGRESS = 4
    BAD_SEQUENCE_NUMBER = 5
    IN_PROGRESS = 6


class StreamResetter:
    """Our requests and the peer's, of one association.

    :param own_tsn: our initial TSN: requests are numbered from there (RFC 6525, section 5.1)
    :param peer_tsn: the peer's
    :param has_all_until: whether everything of the peer up to a TSN has arrived
    :param peer_has_all_until: whether the peer has acknowledged everything of ours up to a TSN
    :param is_supported: whether the peer said that it knows RE-CONFIG chunks; else streams can't be ended, and nothing
        is asked of it (RFC 6525, section 5.1)
    """

    def __init__(
        self,
        own_tsn: int,
        peer_tsn: int,
        rto: RtoEstimator,
        has_all_until: Callable[[int], bool],
        peer_has_all_until: Callable[[int], bool],
        *,
        is_supported: bool = True,
    ) -> None:
        self.timer: float | None = None
        """When our request is sent again, or the next one may be made."""
        self.inbound_reset: list[int] = []
        """Streams that the peer has ended. The owner takes them away."""
        self.outbound_reset: list[int] = []
        """Streams of ours whose end the peer has confirmed. Likewise."""
        self.failure: str | None = None
        """Why our request can't succeed any more."""
        self._number = own_tsn
        self._waiting: list[int] = []
        self._next_at = 0.0
        """When the next request may be made."""
        self._under_way: list[int] = []
        self._request = b""
        self._is_due = False
        self._tries = 0
        self._last_tsn = 0
        """Of the streams that our request ends."""
        self._early = 0
        """Times that the request was sent when the peer may not have had all data that it names."""
        self._in_progress = 0
        """Answers to it that said so. Each time that it is sent it gets one at most: DTLS lets none through twice (RFC
        6347, section 4.1.2.6)."""
        self._postponed_at: float | None = None
        """When the peer first put the request off although it had all data."""
        self._rto = rto
        self._has_all_until = has_all_until
        self._peer_has_all_until = peer_has_all_until
        self._is_supported = is_supported
        self._next_peer_number = peer_tsn
        self._last_result = Result.NOTHING_TO_DO
        self.deferred: dict[int, None] = {}
        """Streams of a request that waits for data, in its order."""
        self._deferred_until = 0
        """The TSN that it waits for."""

    # --- our requests ---------------------------------------------------------------------------------------------

    def request(self, stream_ids: list[int]) -> None:
        """End streams of ours, each once, on which nothing is queued."""
        self._waiting += stream_ids

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way, or is to be made."""
        return bool(self._under_way or self._waiting)

    def output(self, last_tsn: int, now: float) -> list[bytes]:
        """Chunks to be sent now.

        :param last_tsn: the last TSN that we assigned
        """
        if not self._under_way:
            if not self._waiting:
                return []
            if not self._is_supported:
                self.failure = UNSUPPORTED
                return []
            if now < self._next_at and len(self._waiting) < MAX_STREAMS_PER_REQUEST:
                self.timer = self._next_at
                return []
            self._begin(last_tsn)
            self._next_at = now + REQUEST_INTERVAL
        if not self._is_due:
            return []
        self._is_due = False
        self._early += not self._peer_has_all_until(self._last_tsn)
        self.timer = now + min(RTO_MAX, self._rto.timeout * 2**self._tries)
        self._tries += 1
        return [self._request]

    def _begin(self, last_tsn: int) -> None:
        streams = self._waiting[:MAX_STREAMS_PER_REQUEST]
        del self._waiting[: len(streams)]
        self._under_way = streams
        value = _REQUEST.pack(self._number & _MASK, (self._next_peer_number - 1) & _MASK, last_tsn)
        value += struct.pack(f"!{len(streams)}H", *streams)
        parameter = encode_parameter(ParameterType.OUTGOING_RESET_REQUEST, value)
        self._request = encode_chunk(ChunkType.RE_CONFIG, parameter)
        self._last_tsn = last_tsn
        self._tries = self._early = self._in_progress = 0
        self._postponed_at = None
        self._is_due = True

    def handle_timer(self, now: float) -> None:
        """Have the request sent again, if that is due."""
        if self.timer is None or now < self.timer:
            return
        self.timer = None
        if not self._under_way:
            # What waits may be asked for now.
            return
        if self._tries >= MAX_TRIES:
            self.failure = "the peer does not answer that streams end"
        else:
            self._is_due = True

    # --- the peer's -----------------------------------------------------------------------------------------------

    def receive(self, value: memoryview, now: float) -> list[bytes]:
        """Act on a RE-CONFIG chunk; returns the chunks that answer it.

        :raises PacketError: if it is malformed
        """
        answers: list[bytes] = []
        for kind, parameter in split_parameters(value):
            if kind in _REQUESTS:
                answers.append(self._receive_request(kind, parameter))
            elif kind == ParameterType.RECONFIG_RESPONSE:
                self._receive_response(parameter, now)
        return answers

    def _receive_request(self, kind: int, parameter: bytes) -> bytes:
        if len(parameter) < _NUMBER.size:
            raise PacketError(f"a request of {len(parameter)} bytes")
        (number,) = _NUMBER.unpack_from(parameter)
        if number == (self._next_peer_number - 1) & _MASK:
            # Sent again: our answer was lost, or the request waits for data.
            self.check_deferred()
            return _response(number, self._last_result)
        if number != self._next_peer_number:
            return _response(number, Result.BAD_SEQUENCE_NUMBER)
        if len(self.deferred) + len(parameter) // 2 > MAX_DEFERRED:
            return _response(number, Result.ALREADY_IN_PROGRESS)
        if (
            kind == ParameterType.OUTGOING_RESET_REQUEST
            and len(parameter) > _REQUEST.size
            and not len(parameter) % 2
        ):
            self._last_result = self._accept(parameter)
        else:
            # Data channels are ended one by one, by who wants to (RFC 8831, section 6.7), and never added.
            self._last_result = Result.DENIED
        self._next_peer_number = (number + 1) & _MASK
        return _response(number, self._last_result)

    def _accept(self, parameter: bytes) -> Result:
        _, _, self._deferred_until = _REQUEST.unpack_from(parameter)
        # One that was told "in progress" may come back under a new number: then these are the same streams.
        for (stream_id,) in struct.iter_unpack("!H", parameter[_REQUEST.size :]):
            self.deferred[stream_id] = None
        self._last_result = Result.IN_PROGRESS
        self.check_deferred()
        return self._last_result

    def check_deferred(self) -> None:
        """Carry out a request of the peer that waited for data, if that is here."""
        if self.deferred and self._has_all_until(self._deferred_until):
            self.inbound_reset += self.deferred
            self.deferred = {}
            self._last_result = Result.PERFORMED

    def _receive_response(self, parameter: bytes, now: float) -> None:
        if len(parameter) < _RESPONSE.size:
            raise PacketError(f"a reset response of {len(parameter)} bytes")
        number, result = _RESPONSE.unpack_from(parameter)
        if not self._under_way or number != self._number:
            return
        if result == Result.IN_PROGRESS:
            self._in_progress += 1
            if self._in_progress > max(self._early, 1):
                # Asked again when it had all data, it says so. It has to carry the request out with the last of the
                # data (section 5.2.2). usrsctp does so, and tells it once; if that is lost, it goes on to say of this
                # number what it said first. Of earlier answers none is left that may just have been on its way.
                result = Result.PERFORMED
        if result in (Result.IN_PROGRESS, Result.ALREADY_IN_PROGRESS):
            self._postpone(now)
            return
        if result not in (Result.PERFORMED, Result.NOTHING_TO_DO):
            # It would take the next life of these streams for the last one's.
            self.failure = f"the peer refuses that streams end (result {result})"
            return
        self.outbound_reset += self._under_way
        self._under_way = []
        self._number = (self._number + 1) & _MASK
        self._is_due, self.timer = False, None

    def _postpone(self, now: float) -> None:
        """The peer can't do it yet. That is no failure: it is asked again in a while (section 5.2.7)."""
        self._tries, self._is_due = 1, False
        self.timer = now + self._rto.timeout
        if self._peer_has_all_until(self._last_tsn):
            if self._postponed_at is None:
                self._postponed_at = now
            elif now - self._postponed_at >= MAX_POSTPONEMENT:
                self.failure = "the peer does not carry out that streams end"


def _response(number: int, result: Result) -> bytes:
    parameter = encode_parameter(ParameterType.RECONFIG_RESPONSE, _RESPONSE.pack(number, result))
    return encode_chunk(ChunkType.RE_CONFIG, parameter)
