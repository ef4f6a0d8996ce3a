"""ICE sessions on both sides of a portal: on asyncio, and on trio with the agent in another loop."""

import asyncio
import contextlib
import threading
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest
from aioice import stun

from tests.asyncio_loops import LOOPS
from tests.compliance.engine_ends import settings
from tests.engine_loop import end_the_loop
from tests.webrtc_transport.engine.ice_ends import host_candidate
from tests.webrtc_transport.engine.turn_server import PASSWORD, USER
from webrtc_transport import IceServer
from webrtc_transport.engine import gathering, ice_session, udp_port
from webrtc_transport.engine.description import describe
from webrtc_transport.engine.driver import open_driver
from webrtc_transport.engine.ice import IceAgent
from webrtc_transport.engine.ice_session import IceEvents, IceSession
from webrtc_transport.errors import LOOP_ENDED, EngineError, IceFailed
from webrtc_transport.portal import open_portal
from webrtc_transport.wakeup import Wakeup

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*LOOPS, "trio"])
def anyio_backend(request):
    return request.param


class End(IceEvents):
    """A session, and what it told: each in the loop and the thread that the test runs in."""

    def __init__(self, driver, portal, *, offerer, **changes):
        self.changed = Wakeup()
        self.other = None
        self.candidates, self.packets, self.told = [], [], []
        self._thread = threading.get_ident()
        given = settings(offerer=offerer, **changes)
        self.description = describe(given)
        self.portal = portal
        self.session = IceSession(driver, portal, self, given, self.description)

    def _tell(self, into, what):
        assert threading.get_ident() == self._thread
        assert "closed" not in self.told
        into.append(what)
        self.changed.notify()

    def on_local_candidate(self, candidate):
        self._tell(self.candidates, candidate)
        if self.other is not None:
            self.other.session.add_remote(candidate)

    def on_packet(self, data):
        self._tell(self.packets, data)

    def on_consent(self, state):
        self._tell(self.told, state)

    def on_nominated(self):
        self._tell(self.told, "nominated")

    def on_ice_failed(self, reason):
        self._tell(self.told, reason)

    def on_ice_closed(self):
        self._tell(self.told, "closed")

    async def until(self, condition):
        with anyio.fail_after(10):
            while not condition():
                await self.changed.wait()

    async def until_told(self, what):
        await self.until(lambda: what in self.told)


@asynccontextmanager
async def two(**changes):
    """Two sessions that tell each other of their candidates."""
    async with open_driver() as driver, open_portal() as portal:
        ends = [End(driver, portal, offerer=offerer, **changes) for offerer in (True, False)]
        for end, other in (ends, ends[::-1]):
            end.other = other
        yield ends
        for end in ends:
            if "closed" not in end.told:
                end.session.close()
                await end.until_told("closed")
        for end in ends:
            assert all(host._port.is_closed for host in end.session.agent._gathering.hosts)
        assert not portal.at_fault


async def connect(ends):
    for end in ends:
        end.session.start(end.other.description)
    for end in ends:
        await end.until_told("nominated")


async def exchange(ends):
    for end in ends:
        assert end.session.transmit([b"\x16one", b"\x16two"])
    for end in ends:
        await end.until(lambda end=end: end.packets == [b"\x16one", b"\x16two"])


async def test_packets_pass_when_a_pair_is_nominated():
    async with two() as ends:
        assert ends[0].session.selected_pair is None
        await connect(ends)
        assert ends[0].session.selected_pair.kind == "host"
        await exchange(ends)


async def test_packets_cross_to_a_relay_and_back(turn):
    relays = (IceServer(urls=f"turn:127.0.0.1:{turn.port}", username=USER, credential=PASSWORD),)
    async with two(ice_servers=relays, ice_transport_policy="relay") as ends:
        await connect(ends)
        assert ends[0].session.selected_pair.kind == "relay"
        await exchange(ends)


async def test_a_failure_is_told_by_name():
    async with two(ice_transport_policy="relay") as (end, other):
        end.session.start(other.description)
        await end.until(lambda: end.told)
        (failure,) = end.told
        assert isinstance(failure, IceFailed)
        assert end.candidates == [None]


async def test_a_fault_is_told_as_the_engines(monkeypatch, caplog):
    async def broken(self, *_arguments, **_options):
        raise KeyError("a bug")

    monkeypatch.setattr(IceAgent, "establish", broken)
    async with two() as (end, other):
        end.session.start(other.description)
        await end.until(lambda: end.told)
        assert [repr(failure) for failure in end.told] == [repr(EngineError("KeyError: 'a bug'"))]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError]


async def test_a_system_that_cant_tell_its_addresses_is_told_as_a_fault(monkeypatch, caplog):
    def broken(**_families):
        raise OSError("no more memory")

    monkeypatch.setattr("webrtc_transport.engine.gathering.get_host_addresses", broken)
    async with two(bind_addresses=None) as (end, _):
        end.session.gather()
        assert [repr(failure) for failure in end.told] == [repr(EngineError("OSError: no more memory"))]
    assert "error in the engine" in caplog.text


@pytest.mark.parametrize("where", ["at its socket", "behind it"])
async def test_a_fault_amid_gathering_leaves_no_socket_and_begins_no_checks(monkeypatch, caplog, where):
    bound = []

    def bind(host, port, bind=udp_port._bind):
        bound.append(bind(host, port))
        return bound[-1]

    monkeypatch.setattr(udp_port, "_bind", bind)
    async with two(bind_addresses=("127.0.0.1", "127.0.0.1")) as (end, other):
        driver = end.session.agent._gathering._driver
        place, name = (driver, "add_reader") if where == "at its socket" else (gathering, "_local_candidate")
        work = getattr(place, name)

        def fail_at_the_second(*arguments):
            if len(bound) == 2:
                raise KeyError("a bug")
            return work(*arguments)

        monkeypatch.setattr(place, name, fail_at_the_second)
        end.session.start(other.description)
        assert [repr(failure) for failure in end.told] == [repr(EngineError("KeyError: 'a bug'"))]
        end.session.close()
        await end.until_told("closed")
        assert end.told[1:] == ["closed"]
        assert len(bound) == 2
        assert all(sock.fileno() < 0 for sock in bound)
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


async def test_it_can_be_closed_before_and_while_it_gathers():
    async with two() as (end, other):
        end.session.close()
        other.session.gather()
        other.session.close()
        for one in (end, other):
            await one.until_told("closed")


async def test_candidates_from_the_description_are_taken():
    async with two() as ends:
        for end in ends:
            end.other = None
            end.session.gather()
        for end in ends:
            await end.until(lambda end=end: None in end.candidates)
        first, second = ends
        for end, other in ((first, second), (second, first)):
            candidates = tuple(other.candidates[:-1])
            end.session.start(replace(other.description, candidates=candidates, end_of_candidates=True))
        for end in ends:
            await end.until_told("nominated")


async def test_closing_is_bounded(monkeypatch, caplog):
    async def endless(_agent):
        await asyncio.Event().wait()

    monkeypatch.setattr(ice_session, "CLOSE_TIMEOUT", 0.05)
    monkeypatch.setattr(IceAgent, "close", endless)
    async with two() as (end, _):
        end.session.gather()
        await end.until(lambda: None in end.candidates)
        end.session.close()
        await end.until_told("closed")
    assert "an ICE session took more than 0.05 s to close" in caplog.text


async def test_closing_is_bounded_also_when_what_is_closed_swallows_the_time_out(monkeypatch, caplog):
    # aioice's close() takes any cancellation for that of a task that it has cancelled itself.
    release = asyncio.Event()

    async def deaf(_agent):
        with contextlib.suppress(asyncio.CancelledError):
            await release.wait()
        await release.wait()

    monkeypatch.setattr(ice_session, "CLOSE_TIMEOUT", 0.05)
    monkeypatch.setattr(IceAgent, "close", deaf)
    async with two() as (end, other):
        for one in (end, other):
            one.session.close()
            await one.until_told("closed")
        assert "an ICE session took more than 0.05 s to close" in caplog.text
        await end.portal.call(release.set)


async def test_a_fault_while_it_is_closed_is_logged(monkeypatch, caplog):
    async def broken(_agent):
        raise KeyError("a bug")

    async with two() as (end, _):
        monkeypatch.setattr(IceAgent, "close", broken)
        end.session.close()
        await end.until_told("closed")
        monkeypatch.undo()
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError]


async def test_the_relays_of_a_session_that_is_cancelled_for_good_are_left(turn):
    relays = (IceServer(urls=f"turn:127.0.0.1:{turn.port}", username=USER, credential=PASSWORD),)
    async with two(ice_servers=relays, ice_transport_policy="relay") as (end, _):
        end.session.gather()
        await end.until(lambda: None in end.candidates)
        (relay,) = end.session.agent._protocols
        # An event loop that is shutting down cancels what is left, and what is still left again.
        await end.portal.call(end.session._life.cancel)
        await end.until(lambda: end.told)
        await end.portal.call(end.session._life.cancel)
        await end.until_told("closed")
        assert relay._client.transport.is_closing()
        await end.portal.run(relay._disconnected.wait)


async def test_a_flood_of_stun_waits_in_no_queue(anyio_backend_name):
    if anyio_backend_name != "trio":
        return  # On asyncio nothing crosses.
    async with two() as (end, _):
        end.session.gather()
        await end.until(lambda: None in end.candidates)
        (host,) = end.session.agent._gathering.hosts
        release = threading.Event()
        end.portal.post(release.wait)
        request = bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST))
        for _ in range(3000):
            host.datagram_received(request, ("127.0.0.1", 9))
        assert len(end.portal._to_engine._items) < 1100
        release.set()


@pytest.mark.parametrize("way", ["exit", "stop"])
async def test_the_end_of_the_engines_loop_ends_it(anyio_backend_name, way):
    if anyio_backend_name != "trio":
        return
    async with two() as ends:
        await connect(ends)
        await end_the_loop(ends[0].portal, way)
        for end in ends:
            await end.until_told("closed")
            assert [str(told) for told in end.told if isinstance(told, EngineError)] == [LOOP_ENDED]
        with pytest.raises(EngineError, match="event loop has ended"):
            End(None, ends[0].portal, offerer=True)


async def test_a_session_that_is_cancelled_before_its_first_step_is_closed():
    async with two() as (end, _):

        def begin_and_cancel():
            end.session._begin()
            return end.session._life.cancel()

        assert await end.portal.call(begin_and_cancel)
        await end.until_told("closed")
        assert end.session.agent.is_finished
        assert isinstance(end.told[0], EngineError)


async def test_a_candidate_after_the_end_is_ignored():
    async with two() as (end, _):
        end.session.close()
        await end.until_told("closed")
        end.session.add_remote(host_candidate(9))
