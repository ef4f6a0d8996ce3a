"""The two halves of a stream, alone and connected to a peer."""

from __future__ import annotations

import re
from collections import deque
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webrtc_transport.errors import FramingError
from webrtc_transport.protocol.stream_state import (
    TRANSITIONS,
    ReceiveHalf,
    SendHalf,
    StreamInput,
    StreamState,
    state_diagram,
)

OURS = {event for event in StreamInput if event.name.startswith("SEND_")}
THEIRS = set(StreamInput) - OURS
inputs = st.sampled_from(StreamInput)

# What may not happen, by hand: together with the table it has to cover every state and input.
ILLEGAL_SEND = {
    StreamInput.SEND_DATA: set(SendHalf) - {SendHalf.OPEN},
    StreamInput.SEND_FIN: {SendHalf.FIN_SENT, SendHalf.FIN_ACKED, SendHalf.RESET},
    StreamInput.RECEIVE_FIN_ACK: {SendHalf.OPEN, SendHalf.STOPPED},
}
ILLEGAL_RECEIVE = {
    StreamInput.SEND_STOP: set(ReceiveHalf) - {ReceiveHalf.OPEN},
    StreamInput.RECEIVE_DATA: {ReceiveHalf.FIN_RECEIVED},
}
# What a peer does after a reset is ignored before the table is asked.
IGNORED = {(event, half) for event in THEIRS for half in (SendHalf.RESET, ReceiveHalf.RESET)}


def state(send: SendHalf, receive: ReceiveHalf) -> StreamState:
    return StreamState(send, receive)


def after(*events: StreamInput) -> tuple[SendHalf, ReceiveHalf]:
    stream = StreamState()
    for event in events:
        stream.apply(event)
    return stream.send, stream.receive


class TestTable:
    def test_has_every_input(self):
        assert set(TRANSITIONS) == set(StreamInput)

    @pytest.mark.parametrize("event", StreamInput)
    def test_is_complete_and_has_nothing_illegal(self, event):
        concerned = (
            (TRANSITIONS[event].send, SendHalf, ILLEGAL_SEND),
            (TRANSITIONS[event].receive, ReceiveHalf, ILLEGAL_RECEIVE),
        )
        assert any(row for row, _, _ in concerned)
        for row, half, illegal in concerned:
            if not row:
                assert event not in illegal
                continue
            ignored = {before for before in half if (event, before) in IGNORED}
            assert set(row) & illegal.get(event, set()) == set()
            assert set(row) | illegal.get(event, set()) | ignored == set(half)

    @pytest.mark.parametrize(("send", "receive", "event"), list(product(SendHalf, ReceiveHalf, StreamInput)))
    def test_every_input_in_every_state(self, send, receive, event):
        stream = state(send, receive)
        if stream.is_reset and event in THEIRS:
            stream.apply(event)
            assert (stream.send, stream.receive) == (send, receive)
        elif send in ILLEGAL_SEND.get(event, ()) or receive in ILLEGAL_RECEIVE.get(event, ()):
            with pytest.raises(ValueError if event in OURS else FramingError, match=event.name):
                stream.apply(event)
            assert (stream.send, stream.receive) == (send, receive)
        else:
            stream.apply(event)


class TestRules:
    def test_begins_open(self):
        stream = StreamState()
        assert stream.may_send
        assert stream.may_read
        assert not stream.is_finished
        assert not stream.is_reset

    def test_half_close(self):
        assert after(StreamInput.SEND_FIN, StreamInput.RECEIVE_FIN_ACK) == (
            SendHalf.FIN_ACKED,
            ReceiveHalf.OPEN,
        )
        assert after(StreamInput.RECEIVE_FIN) == (SendHalf.OPEN, ReceiveHalf.FIN_RECEIVED)

    def test_both_ends_close(self):
        stream = StreamState()
        for event in (StreamInput.SEND_DATA, StreamInput.SEND_FIN, StreamInput.RECEIVE_FIN):
            stream.apply(event)
            assert not stream.is_finished
        stream.apply(StreamInput.RECEIVE_FIN_ACK)
        assert stream.is_finished
        assert not stream.is_reset
        stream.apply(StreamInput.CHANNEL_CLOSED)
        assert not stream.is_reset

    def test_stop_sending_lets_fin_and_reset_follow(self):
        assert after(StreamInput.RECEIVE_STOP, StreamInput.SEND_FIN)[0] is SendHalf.FIN_SENT
        assert after(StreamInput.RECEIVE_STOP, StreamInput.SEND_RESET)[0] is SendHalf.RESET
        assert not state(SendHalf.STOPPED, ReceiveHalf.OPEN).may_send

    def test_stop_sending_after_fin_is_moot(self):
        # As ping does: FIN early, STOP_SENDING once the pong is there.
        events = (StreamInput.SEND_FIN, StreamInput.RECEIVE_STOP)
        assert after(*events)[0] is SendHalf.FIN_SENT
        assert after(*events, StreamInput.RECEIVE_FIN_ACK)[0] is SendHalf.FIN_ACKED

    def test_flags_act_after_our_stop_sending(self):
        stopped = (StreamInput.SEND_FIN, StreamInput.SEND_STOP, StreamInput.RECEIVE_DATA)
        assert after(*stopped) == (SendHalf.FIN_SENT, ReceiveHalf.STOPPED)
        assert after(*stopped, StreamInput.RECEIVE_FIN)[1] is ReceiveHalf.FIN_RECEIVED
        assert after(*stopped, StreamInput.RECEIVE_FIN_ACK)[0] is SendHalf.FIN_ACKED
        assert not state(SendHalf.OPEN, ReceiveHalf.STOPPED).may_read

    def test_fin_may_be_repeated(self):
        assert after(StreamInput.RECEIVE_FIN, StreamInput.RECEIVE_FIN)[1] is ReceiveHalf.FIN_RECEIVED

    @pytest.mark.parametrize("event", [StreamInput.SEND_RESET, StreamInput.RECEIVE_RESET])
    def test_a_reset_ends_both_halves(self, event):
        assert after(event) == (SendHalf.RESET, ReceiveHalf.RESET)

    @pytest.mark.parametrize("event", [StreamInput.SEND_RESET, StreamInput.RECEIVE_RESET])
    def test_a_reset_leaves_what_ended_well(self, event):
        assert after(StreamInput.RECEIVE_FIN, event) == (SendHalf.RESET, ReceiveHalf.FIN_RECEIVED)
        acknowledged = (StreamInput.SEND_FIN, StreamInput.RECEIVE_FIN_ACK)
        assert after(*acknowledged, event) == (SendHalf.FIN_ACKED, ReceiveHalf.RESET)

    def test_after_a_reset_the_peer_is_ignored(self):
        # Data after FIN would be an error in any other state.
        events = (StreamInput.RECEIVE_FIN, StreamInput.SEND_RESET, StreamInput.RECEIVE_DATA)
        assert after(*events) == (SendHalf.RESET, ReceiveHalf.FIN_RECEIVED)


class TestChannelClosed:
    @pytest.mark.parametrize(
        ("before", "send", "receive"),
        [
            ((), SendHalf.RESET, ReceiveHalf.RESET),
            ((StreamInput.SEND_FIN,), SendHalf.RESET, ReceiveHalf.RESET),
            ((StreamInput.RECEIVE_FIN,), SendHalf.RESET, ReceiveHalf.FIN_RECEIVED),
            ((StreamInput.RECEIVE_STOP,), SendHalf.RESET, ReceiveHalf.RESET),
            ((StreamInput.SEND_FIN, StreamInput.RECEIVE_FIN_ACK), SendHalf.FIN_ACKED, ReceiveHalf.RESET),
        ],
    )
    def test_resets_what_has_not_ended(self, before, send, receive):
        assert after(*before, StreamInput.CHANNEL_CLOSED) == (send, receive)

    @pytest.mark.parametrize("first", [StreamInput.SEND_FIN, StreamInput.RECEIVE_FIN])
    def test_acknowledges_our_fin_when_both_ends_sent_theirs(self, first):
        second = StreamInput.RECEIVE_FIN if first is StreamInput.SEND_FIN else StreamInput.SEND_FIN
        ended = after(first, second, StreamInput.CHANNEL_CLOSED)
        assert ended == (SendHalf.FIN_ACKED, ReceiveHalf.FIN_RECEIVED)


@given(st.lists(inputs, max_size=30))
def test_invariants_of_any_sequence(events):
    stream = StreamState()
    for event in events:
        send, receive, finished, reset = stream.send, stream.receive, stream.is_finished, stream.is_reset
        try:
            stream.apply(event)
        except (ValueError, FramingError):
            assert (stream.send, stream.receive) == (send, receive)
        if send in (SendHalf.FIN_ACKED, SendHalf.RESET):
            assert stream.send is send
        if receive in (ReceiveHalf.FIN_RECEIVED, ReceiveHalf.RESET):
            assert stream.receive is receive
        assert stream.is_finished >= finished
        assert stream.is_reset >= reset
        assert stream.is_finished or not stream.is_reset
        assert not (stream.is_finished and (stream.may_send or stream.may_read))


class Peer:
    """One end of a stream, as the facade drives it: it answers FIN, and closes the channel when it has finished."""

    def __init__(self, inbox: deque[StreamInput], outbox: deque[StreamInput]) -> None:
        self.state = StreamState()
        self.inbox = inbox
        self.outbox = outbox
        self.closed = False

    def act(self, event: StreamInput) -> None:
        if self.closed:
            return
        try:
            self.state.apply(event)
        except ValueError:
            return
        self.outbox.append(StreamInput[event.name.replace("SEND_", "RECEIVE_")])

    def deliver(self) -> None:
        if self.inbox and not self.closed:
            event = self.inbox.popleft()
            answers = event is StreamInput.RECEIVE_FIN and not self.state.is_reset
            self.state.apply(event)
            if answers:
                self.outbox.append(StreamInput.RECEIVE_FIN_ACK)
            self.closed = event is StreamInput.CHANNEL_CLOSED

    def close(self) -> None:
        """Close the channel as js does: an acknowledgement that is still buffered is lost."""
        if self.state.is_finished and not self.closed:
            self.closed = True
            kept = [event for event in self.outbox if event is not StreamInput.RECEIVE_FIN_ACK]
            self.outbox.clear()
            self.outbox.extend([*kept, StreamInput.CHANNEL_CLOSED])


steps = st.sampled_from(
    [
        *((Peer.act, event) for event in sorted(OURS, key=lambda event: event.value)),
        (Peer.deliver,),
        (Peer.close,),
    ]
)


@given(st.lists(st.tuples(st.booleans(), steps), max_size=60))
def test_two_ends_agree(program):
    there: deque[StreamInput] = deque()
    back: deque[StreamInput] = deque()
    ends = (Peer(inbox=back, outbox=there), Peer(inbox=there, outbox=back))
    for end, (step, *arguments) in program:
        step(ends[end], *arguments)
    for end in ends:
        end.act(StreamInput.SEND_FIN)
    while not all(end.closed for end in ends):
        for end in ends:
            end.deliver()
            end.close()
    asked = any(step == (Peer.act, StreamInput.SEND_RESET) for _, step in program)
    for end, other in (ends, ends[::-1]):
        assert end.state.is_finished
        assert end.closed
        assert end.state.is_reset <= asked
        # What is told to the sender as received has been received, and a loss is told to both.
        if end.state.send is SendHalf.FIN_ACKED:
            assert other.state.receive is ReceiveHalf.FIN_RECEIVED
        if end.state.receive is ReceiveHalf.RESET:
            assert other.state.send is SendHalf.RESET


class TestDiagram:
    def test_draws_every_change_once(self):
        drawn = set()
        for half, before, end, events in re.findall(
            r"^        (send|receive)_(\w+) --> \1_(\w+): (.+)$", state_diagram(), re.MULTILINE
        ):
            for event in events.split(", "):
                assert (half, before, end, event) not in drawn
                drawn.add((half, before, end, event))
        assert drawn == {
            (half, before.name, end.name, event.name)
            for event, transitions in TRANSITIONS.items()
            for half, row in zip(("send", "receive"), transitions, strict=True)
            for before, end in row.items()
            if before is not end
        }

    def test_begins_and_ends(self):
        lines = state_diagram().splitlines()
        assert lines[0] == "stateDiagram-v2"
        assert [line.split()[-1] for line in lines if "[*] -->" in line] == ["send_OPEN", "receive_OPEN"]
        assert [line.split()[0] for line in lines if "--> [*]" in line] == [
            "send_FIN_ACKED",
            "send_RESET",
            "receive_FIN_RECEIVED",
            "receive_RESET",
        ]
