import asyncio

import pytest

from tests.webrtc_signaling.browsers import OFFER_DATA, http_url, serve
from tests.webrtc_signaling.samples import ALICE, BOB
from webrtc_signaling.server.hub import Hub
from webrtc_signaling.server.readiness import Readiness
from webrtc_signaling.server.settings import ServerSettings
from webrtc_signaling.server.status import HISTORY, Status, StatusReporter

pytestmark = pytest.mark.anyio


async def status(server):
    async with server.http.get(http_url(server, "/status.json")) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        return Status.model_validate_json(await response.text())


async def test_what_goes_on_shows_up():
    async with serve() as server, server.registered(ALICE) as alice, server.registered(BOB) as bob:
        await alice.signal("offer", str(BOB.peer_id), OFFER_DATA)
        await bob.receive()
        seen = await status(server)
        assert (seen.peers, seen.away, seen.sessions) == (2, 0, 1)
        assert seen.messages["offer"] == 1
        assert seen.failures == {}
        assert seen.connections == {"websocket": 2, "long-poll": 0}
        assert seen.queued_bytes > 0
        assert sum(seen.latency.counts) == 1
        assert len(seen.latency.counts) == len(seen.latency.bounds) + 1
        assert seen.readiness.ready
        bob.socket._response.connection.transport.abort()
        while (seen := await status(server)).away == 0:
            await asyncio.sleep(0)
        assert (seen.peers, seen.away) == (1, 1)


async def test_samples_are_taken():
    async with serve() as server:
        while not (seen := await status(server)).history:
            await asyncio.sleep(0)
        assert seen.history[0].at <= seen.uptime


async def sample(reporter, monkeypatch, seconds):
    """Take samples for so long, which pass at once."""

    async def no_time(_seconds):
        passed.append(1)
        if len(passed) > seconds:
            raise asyncio.CancelledError

    passed = []
    monkeypatch.setattr(asyncio, "sleep", no_time)
    with pytest.raises(asyncio.CancelledError):
        await reporter.sample()


async def test_what_is_long_ago_is_forgotten(monkeypatch):
    reporter = StatusReporter(Hub(ServerSettings()), Readiness(), ServerSettings())
    await sample(reporter, monkeypatch, HISTORY + 5)
    assert len(reporter.status().history) == HISTORY


async def test_a_sample_that_fails_is_logged_and_others_follow(monkeypatch, caplog):
    hub = Hub(ServerSettings())
    reporter = StatusReporter(hub, Readiness(), ServerSettings())
    counts = iter([-1, 2, 2])
    monkeypatch.setattr(Hub, "__len__", lambda _: next(counts))
    await sample(reporter, monkeypatch, 1)
    [record] = [record for record in caplog.records if record.exc_info]
    assert "take a sample for the status page" in record.getMessage()
    caplog.clear()
    assert [taken.peers for taken in reporter.status().history] == [2]
