"""The state of one stream: two halves, and what moves them.

The rules, from libp2p's specs (webrtc/README.md, "Closing an RTCDataChannel") and, where those are silent, from
what go-libp2p and js-libp2p do:

1. A half that we send on ends well when our FIN is acknowledged, a half that we receive on when the peer's FIN
   is here. A half that has ended stays as it is.
2. A reset, by either end, ends both halves; one that ended well before has lost nothing and keeps that state.
3. STOP_SENDING ends nothing: its receiver sends no more data but still its FIN, its sender discards data but
   still acts on flags. After our FIN it is moot.
4. FIN may be repeated, and the first is answered with FIN_ACK: the channel loses nothing. FIN_ACK may be repeated
   too. Data after FIN, and a FIN_ACK before our FIN, break the protocol.
5. When the channel closes, a half that has not ended well is reset, for bytes may be lost. One exception: a peer
   that has sent FIN may close the channel once it has ours, and its last FIN_ACK may be lost in that (js does
   so). So if both ends have sent FIN, the close stands for the missing FIN_ACK.
6. After a reset nothing that the peer sends matters.

Those rules are :data:`TRANSITIONS`; the diagram in the documentation is drawn from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from typing import Final, NamedTuple, TypeVar

from ..errors import FramingError


class SendHalf(Enum):
    """The direction from us to the peer."""

    # The members are looked up for each frame, and the hash of Enum is made in Python.
    __hash__ = object.__hash__

    OPEN = auto()
    STOPPED = auto()
    """The peer has sent STOP_SENDING: only FIN or RESET may follow."""
    FIN_SENT = auto()
    FIN_ACKED = auto()
    """The peer has all that we sent."""
    RESET = auto()


class ReceiveHalf(Enum):
    """The direction from the peer to us."""

    # The members are looked up for each frame, and the hash of Enum is made in Python.
    __hash__ = object.__hash__

    OPEN = auto()
    STOPPED = auto()
    """We have sent STOP_SENDING: data is discarded, flags still act."""
    FIN_RECEIVED = auto()
    """We have all that the peer sent."""
    RESET = auto()


class StreamInput(Enum):
    """What happens to a stream: we send, we receive, or the channel below it closes.

    ``CHANNEL_CLOSED`` is for a channel that is closed while its connection stands. When the connection is lost,
    use ``SEND_RESET``: a lost connection acknowledges nothing.
    """

    # The members are looked up for each frame, and the hash of Enum is made in Python.
    __hash__ = object.__hash__

    SEND_DATA = auto()
    SEND_FIN = auto()
    SEND_STOP = auto()
    SEND_RESET = auto()
    RECEIVE_DATA = auto()
    RECEIVE_FIN = auto()
    RECEIVE_FIN_ACK = auto()
    RECEIVE_STOP = auto()
    RECEIVE_RESET = auto()
    CHANNEL_CLOSED = auto()


class Transitions(NamedTuple):
    """What one input does to each half, by the half's state before it.

    An empty mapping leaves its half alone. In any other a state that is missing makes the input illegal.
    """

    send: Mapping[SendHalf, SendHalf] = {}
    receive: Mapping[ReceiveHalf, ReceiveHalf] = {}


_END: Final = Transitions(
    {
        SendHalf.OPEN: SendHalf.RESET,
        SendHalf.STOPPED: SendHalf.RESET,
        SendHalf.FIN_SENT: SendHalf.RESET,
        SendHalf.FIN_ACKED: SendHalf.FIN_ACKED,
        SendHalf.RESET: SendHalf.RESET,
    },
    {
        ReceiveHalf.OPEN: ReceiveHalf.RESET,
        ReceiveHalf.STOPPED: ReceiveHalf.RESET,
        ReceiveHalf.FIN_RECEIVED: ReceiveHalf.FIN_RECEIVED,
        ReceiveHalf.RESET: ReceiveHalf.RESET,
    },
)

TRANSITIONS: Final[Mapping[StreamInput, Transitions]] = {
    StreamInput.SEND_DATA: Transitions(send={SendHalf.OPEN: SendHalf.OPEN}),
    StreamInput.SEND_FIN: Transitions(
        send={SendHalf.OPEN: SendHalf.FIN_SENT, SendHalf.STOPPED: SendHalf.FIN_SENT},
    ),
    StreamInput.SEND_STOP: Transitions(receive={ReceiveHalf.OPEN: ReceiveHalf.STOPPED}),
    StreamInput.SEND_RESET: _END,
    StreamInput.RECEIVE_DATA: Transitions(
        receive={
            ReceiveHalf.OPEN: ReceiveHalf.OPEN,
            ReceiveHalf.STOPPED: ReceiveHalf.STOPPED,
        },
    ),
    StreamInput.RECEIVE_FIN: Transitions(
        receive={
            ReceiveHalf.OPEN: ReceiveHalf.FIN_RECEIVED,
            ReceiveHalf.STOPPED: ReceiveHalf.FIN_RECEIVED,
            ReceiveHalf.FIN_RECEIVED: ReceiveHalf.FIN_RECEIVED,
        },
    ),
    StreamInput.RECEIVE_FIN_ACK: Transitions(
        send={
            SendHalf.FIN_SENT: SendHalf.FIN_ACKED,
            SendHalf.FIN_ACKED: SendHalf.FIN_ACKED,
        },
    ),
    StreamInput.RECEIVE_STOP: Transitions(
        send={
            SendHalf.OPEN: SendHalf.STOPPED,
            SendHalf.STOPPED: SendHalf.STOPPED,
            SendHalf.FIN_SENT: SendHalf.FIN_SENT,
            SendHalf.FIN_ACKED: SendHalf.FIN_ACKED,
        },
    ),
    StreamInput.RECEIVE_RESET: _END,
    StreamInput.CHANNEL_CLOSED: _END,
}
"""Every transition of either half. Once a half is reset, rule 6 comes before the table."""

_SEND_ENDS: Final = (SendHalf.FIN_ACKED, SendHalf.RESET)
_RECEIVE_ENDS: Final = (ReceiveHalf.FIN_RECEIVED, ReceiveHalf.RESET)

_OURS: Final = frozenset(
    {StreamInput.SEND_DATA, StreamInput.SEND_FIN, StreamInput.SEND_STOP, StreamInput.SEND_RESET}
)


class StreamState:
    """The state of one stream, without its data: tell it what happens, ask it what may happen."""

    __slots__ = ("is_finished", "is_reset", "receive", "send")

    def __init__(self, send: SendHalf = SendHalf.OPEN, receive: ReceiveHalf = ReceiveHalf.OPEN) -> None:
        self._enter(send, receive)

    def __repr__(self) -> str:
        return f"<StreamState send={self.send.name} receive={self.receive.name}>"

    @property
    def may_send(self) -> bool:
        """Whether data may be sent."""
        return self.send is SendHalf.OPEN

    @property
    def may_read(self) -> bool:
        """Whether data for the application can still arrive."""
        return self.receive is ReceiveHalf.OPEN

    def apply(self, event: StreamInput) -> None:
        """Move on. An illegal input changes nothing.

        :raises FramingError: if the peer must not send that now
        :raises ValueError: if *we* must not send that now: the caller has to ask first
        """
        if self.is_reset and event not in _OURS:
            return
        if (
            event is StreamInput.CHANNEL_CLOSED
            and self.send is SendHalf.FIN_SENT
            and self.receive is ReceiveHalf.FIN_RECEIVED
        ):
            event = StreamInput.RECEIVE_FIN_ACK
        send, receive = TRANSITIONS[event]
        if (send and self.send not in send) or (receive and self.receive not in receive):
            message = f"{event.name} is illegal in {self!r}"
            raise ValueError(message) if event in _OURS else FramingError(message)
        self._enter(send.get(self.send, self.send), receive.get(self.receive, self.receive))

    def _enter(self, send: SendHalf, receive: ReceiveHalf) -> None:
        self.send = send
        self.receive = receive
        # These are asked for several times for each input.
        self.is_finished = send in _SEND_ENDS and receive in _RECEIVE_ENDS
        """Whether both halves have ended, well or not: the channel may be closed."""
        self.is_reset = send is SendHalf.RESET or receive is ReceiveHalf.RESET
        """Whether a half was ended by a reset, or by a close that may have lost bytes."""


def state_diagram() -> str:
    """The transitions as a mermaid ``stateDiagram-v2``, one composite state per half.

    Inputs that leave a half in its state are not drawn.
    """
    sends = [(event, transitions.send) for event, transitions in TRANSITIONS.items()]
    receives = [(event, transitions.receive) for event, transitions in TRANSITIONS.items()]
    return "\n".join(
        ["stateDiagram-v2", *_draw("send", SendHalf, sends), *_draw("receive", ReceiveHalf, receives), ""]
    )


_Half = TypeVar("_Half", SendHalf, ReceiveHalf)


def _draw(
    name: str, half: type[_Half], rows: Iterable[tuple[StreamInput, Mapping[_Half, _Half]]]
) -> Iterator[str]:
    arrows: dict[tuple[_Half, _Half], list[str]] = {}
    for event, row in rows:
        for before, after in row.items():
            if before is not after:
                arrows.setdefault((before, after), []).append(event.name)
    yield f"    state {name} {{"
    # The two halves share names of states, and a diagram needs one id for each.
    yield from (f'        state "{state.name}" as {name}_{state.name}' for state in half)
    yield f"        [*] --> {name}_{half.OPEN.name}"
    for (before, after), events in arrows.items():
        yield f"        {name}_{before.name} --> {name}_{after.name}: {', '.join(events)}"
    left = {before for before, _ in arrows}
    yield from (f"        {name}_{state.name} --> [*]" for state in half if state not in left)
    yield "    }"
