"""The same random programs have the same results on both engines, and when each engine talks to the other one.

A program opens streams, sends, ends one direction, closes and resets, at either end and in any order. What has to come
of it follows from the program alone, so every pairing of engines is compared with that.
"""

import contextlib
from dataclasses import dataclass, field

import anyio
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.interop.peers.actor import make_message
from tests.pairs import config, connected
from webrtc_transport.errors import StreamReset, StreamStopped

PAIRINGS = [("native", "native"), ("native", "aiortc"), ("aiortc", "native"), ("aiortc", "aiortc")]
"""The engine of who dials, and of who listens."""

STREAMS = 4
ENDS = (0, 1)
MAX_SIZE = 20_000
"""Bytes of a send: all sends of a program fit into the buffers, so that none waits for a reader."""

OPERATIONS = st.tuples(
    st.sampled_from(["send", "send", "send", "read", "send_eof", "aclose", "reset"]),
    st.sampled_from(ENDS),
    st.integers(0, STREAMS - 1),
    st.integers(0, MAX_SIZE),
)

EXAMPLES = [pytest.param(25, id="25"), pytest.param(300, id="300", marks=pytest.mark.soak)]


@dataclass
class Side:
    """One end of a stream: what the program has made it do, and what it has read."""

    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)
    is_ended: bool = False
    """It has sent its end."""
    is_closed: bool = False
    outcome: str = ""


@dataclass
class Model:
    """A stream as the program has left it."""

    sides: tuple[Side, Side] = field(default_factory=lambda: (Side(), Side()))
    is_reset: bool = False

    def may(self, operation, end):
        """Whether what this does depends on nothing but the program."""
        own, other = self.sides[end], self.sides[1 - end]
        if self.is_reset or own.is_closed:
            return False
        if operation == "send":
            # A peer that has closed the stream says that it reads no more, sooner or later.
            return not own.is_ended and not other.is_closed
        if operation == "aclose":
            # What isn't read is thrown away, and what the peer sends later is refused.
            return not other.is_closed
        return operation in {"read", "send_eof"} or not (own.is_ended and other.is_ended)


class Run:
    """One program on one pair of connections."""

    def __init__(self, pair):
        self._connections = (pair.dialer, pair.listener)
        self.models = {}
        self._streams = {}

    async def do(self, operation, end, number, size):
        if number not in self.models:
            await self._open(end, number)
        model, stream = self.models[number], self._streams[number][end]
        if not model.may(operation, end):
            return
        own = model.sides[end]
        match operation:
            case "send":
                data = make_message(number, size)
                own.sent += data
                await stream.send(data)
            case "read":
                await self._read(number, end, len(model.sides[1 - end].sent))
            case "send_eof":
                own.is_ended = True
                await stream.send_eof()
            case "aclose":
                own.is_ended = own.is_closed = True
                await stream.aclose()
            case "reset":
                model.is_reset = True
                stream.reset()

    async def _open(self, end, number):
        stream = await self._connections[end].open_stream()
        await stream.send(bytes([number]))
        other = await self._connections[1 - end].accept_stream()
        assert await other.receive() == bytes([number])
        self.models[number] = Model()
        self._streams[number] = (stream, other) if end == 0 else (other, stream)

    async def _read(self, number, end, until):
        side, stream = self.models[number].sides[end], self._streams[number][end]
        while len(side.received) < until:
            side.received += await stream.receive()

    async def finish(self):
        """End what isn't ended, and read everything."""
        for number, model in self.models.items():
            for end in ENDS:
                if not model.is_reset and not model.sides[end].is_ended:
                    # The peer may be closed, which doesn't keep us from ending our half.
                    await self._streams[number][end].send_eof()
            for end in ENDS:
                if not model.sides[end].is_closed:
                    model.sides[end].outcome = await self._rest(number, end)

    async def _rest(self, number, end):
        try:
            with contextlib.suppress(anyio.EndOfStream):
                await self._read(number, end, float("inf"))
        except (StreamReset, StreamStopped) as exc:
            return type(exc).__name__
        return "end"

    def check(self):
        """What came of the program is what it says."""
        for model in self.models.values():
            for end in ENDS:
                own, other = model.sides[end], model.sides[1 - end]
                if model.is_reset:
                    assert other.sent.startswith(own.received)
                    assert own.outcome in (
                        {"", "StreamReset"} if not other.is_ended else {"", "StreamReset", "end"}
                    )
                elif not own.is_closed:
                    assert own.outcome == "end"
                    assert own.received == other.sent


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("pairing", PAIRINGS, ids="-".join)
def test_a_program_has_the_result_that_it_says(pairing, examples):
    dialer, listener = pairing

    async def run(program):
        async with connected(
            dialer_settings=config(engine=dialer), listener_settings=config(engine=listener)
        ) as pair:
            run = Run(pair)
            for operation in program:
                await run.do(*operation)
            await run.finish()
            run.check()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
    @given(st.lists(OPERATIONS, min_size=5, max_size=30))
    def check(program):
        anyio.run(run, program)

    check()
