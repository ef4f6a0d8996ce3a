"""The life of a peer, with a stack that does as it is told; ICE is real."""

import asyncio
import logging
import time

import pytest

from tests.compliance.engine_ends import CLOSED, ChannelRecord, End, Journal, nothing_left
from tests.compliance.engine_ends import start as start_ends
from webrtc_transport.abc import Engine, PeerStatistics
from webrtc_transport.config import IceServer
from webrtc_transport.engine.driver import AsyncioDriver
from webrtc_transport.engine.peer import EARLY_PACKETS, IcePeer, Stack
from webrtc_transport.errors import (
    LOOP_ENDED,
    ConnectionClosed,
    ConnectionLost,
    DtlsFailed,
    EngineError,
    SctpFailed,
)
from webrtc_transport.portal import AsyncioPortal

pytestmark = pytest.mark.anyio


class ScriptedStack(Stack):
    """Waits in each phase until the test tells its events to go on, or to fail."""

    def __init__(self, send_packets, is_server, remote, settings, events):
        self.send_packets, self.is_server, self.remote = send_packets, is_server, remote
        self.events = events
        self.packets, self.granted = [], []
        self.is_started = self.is_closed = False

    def packet_received(self, data):
        self.packets.append(data)

    def start(self):
        self.is_started = True

    def open_channel(self, events, label, negotiated_id):
        return (events, label, negotiated_id)

    def grant(self, size):
        self.granted.append(size)

    def statistics(self):
        return PeerStatistics(1, 2, 3, 4, 5, 6)

    def close(self, done):
        self.is_closed = True
        done()


class ScriptedEngine(Engine):
    name = "scripted"

    def create_peer(self, settings, events):
        return IcePeer(AsyncioDriver(), AsyncioPortal(), settings, events, ScriptedStack)


class Ends:
    def __init__(self, **changes):
        self.journal = Journal()
        engine = ScriptedEngine()
        self.a = End(engine, self.journal, offerer=True, **changes)
        self.b = End(engine, self.journal, offerer=False, **changes)

    async def reach(self, phase):
        """Take both to a phase."""
        start_ends(self.a, self.b)
        for earlier, done in (("dtls", "on_secured"), ("sctp", "on_established")):
            if phase == "ice":
                break
            await self.journal.until(
                lambda earlier=earlier: earlier in self.a.phases and earlier in self.b.phases
            )
            if phase == earlier:
                return self.a.peer._stack
            for end in (self.a, self.b):
                getattr(end.peer._stack.events, done)()
        await self.journal.until(lambda: phase in self.a.phases and phase in self.b.phases)
        return self.a.peer._stack


@pytest.fixture
async def ends():
    async with nothing_left():
        pair = Ends()
        yield pair
        for end in (pair.a, pair.b):
            end.peer.close(CLOSED)
        await pair.journal.until(lambda: pair.a.closed and pair.b.closed, 3)


async def test_the_stack_is_built_when_ice_is_done(ends):
    stack = await ends.reach("dtls")
    assert ends.a.phases == ["ice", "dtls"]
    assert stack.is_server
    assert not ends.b.peer._stack.is_server
    assert stack.remote == ends.b.peer.local_description
    stack.send_packets([b"\x16hello", b"\x16again"])
    await ends.journal.until(lambda: ends.b.peer._stack.packets == [b"\x16hello", b"\x16again"])


async def test_connected_is_told_after_the_association(ends):
    stack = await ends.reach("connected")
    assert ends.a.phases == ["ice", "dtls", "sctp", "connected"]
    assert ends.a.peer.statistics() == stack.statistics()
    assert ends.a.peer.max_message_size == 16384
    ends.a.peer.grant(7)
    assert stack.granted == [7]
    events = ChannelRecord(ends.a)
    assert ends.a.peer.open_channel(events, label="a", negotiated_id=3) == (events, "a", 3)


async def test_before_it_is_connected(ends):
    assert ends.a.peer.statistics() == PeerStatistics(0, 0, 0, 0, 0, 0)
    assert ends.a.peer.max_message_size == 0
    assert ends.a.peer.candidate_pair is None
    ends.a.peer.grant(7)
    with pytest.raises(AssertionError):
        ends.a.open()


async def test_packets_that_come_before_our_checks_are_done_are_kept(ends):
    packets = [b"\x16%d" % number for number in range(EARLY_PACKETS + 2)]
    for packet in packets:
        ends.a.peer.on_packet(packet)
    stack = await ends.reach("dtls")
    assert stack.packets == packets[:EARLY_PACKETS]
    ends.a.peer.on_packet(b"\x16last")
    assert stack.packets[-1] == b"\x16last"


async def test_the_offers_servers_go_to_the_right_lists():
    servers = (
        IceServer(urls=("stun:192.0.2.1", "turn:192.0.2.2"), username="u", credential="c"),
        IceServer(urls="stun:192.0.2.3"),
    )
    async with nothing_left():
        pair = Ends(ice_servers=servers, ice_transport_policy="relay", liveness_timeout=7.0)
        agent = pair.a.peer._ice.agent
        gathering = agent._gathering
        assert [str(url) for url in gathering._stun_servers] == ["stun:192.0.2.1:3478", "stun:192.0.2.3:3478"]
        assert [(str(s.url), s.username, s.credential) for s in gathering._turn_servers] == [
            ("turn:192.0.2.2:3478?transport=udp", "u", "c")
        ]
        assert agent._relay_only
        assert agent._consent._timeout == 7
        assert (agent.local_username, agent.local_password) == (
            pair.a.peer.local_description.ufrag,
            pair.a.peer.local_description.pwd,
        )
        for end in (pair.a, pair.b):
            await end.close()


# --- how it ends -----------------------------------------------------------------------------------------------------


async def test_the_stacks_reason_is_told(ends):
    stack = await ends.reach("connected")
    reason = ConnectionClosed("the peer closed the connection")
    stack.events.on_ended(reason)
    await ends.journal.until(lambda: ends.a.closed)
    assert ends.a.closed == [reason]
    assert stack.is_closed


@pytest.mark.parametrize("phase", ["dtls", "sctp"])
async def test_a_failed_handshake_is_told(ends, phase):
    stack = await ends.reach(phase)
    error = DtlsFailed("no")
    stack.events.on_ended(error)
    await ends.journal.until(lambda: ends.a.closed)
    assert ends.a.closed == [error]
    assert stack.is_closed
    assert ends.a.phases[-1] == phase


async def test_a_bug_in_a_stack_ends_the_peer_and_is_logged(ends, caplog, monkeypatch):
    def start(_stack):
        raise KeyError("a bug")

    monkeypatch.setattr(ScriptedStack, "start", start)
    start_ends(ends.a, ends.b)
    await ends.journal.until(lambda: ends.a.closed and ends.b.closed)
    assert isinstance(ends.a.closed[0], EngineError)
    assert "KeyError: 'a bug'" in str(ends.a.closed[0])
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError] * 2


async def test_ice_is_closed_when_the_stack_is(ends, monkeypatch):
    kept = []
    monkeypatch.setattr(ScriptedStack, "close", lambda _stack, done: kept.append(done))
    await ends.reach("connected")
    ends.a.peer.close(CLOSED)
    ends.a.peer.close(EngineError("another one"))
    (done,) = kept
    assert not ends.a.peer._ice._end.is_set()
    done()
    await ends.journal.until(lambda: ends.a.closed)
    assert ends.a.closed == [CLOSED]
    assert ends.a.peer._ice.agent._closed
    monkeypatch.undo()


async def test_the_first_reason_is_kept(ends):
    stack = await ends.reach("connected")
    ends.a.peer.close(CLOSED)
    stack.events.on_ended(EngineError("later"))
    ends.a.peer.on_consent("expired")
    await ends.journal.until(lambda: ends.a.closed)
    await asyncio.sleep(0)
    assert ends.a.closed == [CLOSED]


async def test_the_stacks_reason_comes_before_that_of_a_later_close(ends):
    stack = await ends.reach("connected")
    reason = EngineError("first")
    stack.events.on_ended(reason)
    ends.a.peer.close(CLOSED)
    await ends.journal.until(lambda: ends.a.closed)
    assert ends.a.closed == [reason]


def test_a_loop_that_ends_ends_its_peers(caplog):
    caplog.set_level(logging.WARNING)
    told = []

    async def abandon():
        pair = Ends()
        await pair.reach("connected")
        told.append(pair)

    # asyncio.run() cancels what is left, as a transport's engine thread does.
    asyncio.run(abandon())
    for end in (told[0].a, told[0].b):
        assert [str(reason) for reason in end.closed] == [LOOP_ENDED]
    assert not [record for record in caplog.records if "destroyed" in record.message]


# --- consent ---------------------------------------------------------------------------------------------------------


async def test_consent_is_told_as_a_phase(ends):
    await ends.reach("connected")
    ends.a.peer.on_consent("missed")
    ends.a.peer.on_consent("fresh")
    assert ends.a.phases[3:] == ["connected", "disconnected", "connected"]


@pytest.mark.parametrize("phase", ["dtls", "sctp"])
async def test_consent_during_the_set_up_is_no_phase(ends, phase):
    await ends.reach(phase)
    before = list(ends.a.phases)
    ends.a.peer.on_consent("missed")
    ends.a.peer.on_consent("fresh")
    assert ends.a.phases == before


@pytest.mark.parametrize(
    ("phase", "error"), [("dtls", DtlsFailed), ("sctp", SctpFailed), ("connected", ConnectionLost)]
)
async def test_expired_consent_ends_the_peer_in_the_words_of_its_phase(ends, phase, error):
    await ends.reach(phase)
    started = time.monotonic()
    ends.a.peer.on_consent("expired")
    await ends.journal.until(lambda: ends.a.closed)
    assert time.monotonic() - started < 1
    assert type(ends.a.closed[0]) is error
    assert str(ends.a.closed[0]) == "the peer has not answered for 30 s"
