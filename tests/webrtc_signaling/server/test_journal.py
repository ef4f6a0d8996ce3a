import pytest

from tests.webrtc_signaling.browsers import OFFER_DATA, serve
from tests.webrtc_signaling.samples import ALICE, BOB, SESSION
from webrtc_signaling.messages import Failure, error_data
from webrtc_signaling.server.journal import Event, Journal

ALICE_ID, BOB_ID = str(ALICE.peer_id), str(BOB.peer_id)
LOGGER = "libp2p.transport.webrtc.signaling.server"


def events(caplog):
    return [
        (record.msg.text, dict(record.msg.fields))
        for record in caplog.records
        if isinstance(record.msg, Event)
    ]


def test_an_event_as_text():
    assert (
        str(Event("registered", peer="12D3", address="[::1]:80")) == "registered peer=12D3 address=[::1]:80"
    )
    assert str(Event("refused", reason='a "b"\nx=1', code="")) == 'refused reason="a \\"b\\"\\nx=1" code=""'


def test_what_is_not_known_is_left_out(caplog):
    caplog.set_level("INFO", LOGGER)
    Journal().refused(None, "127.0.0.1", Failure(data=error_data("invalid-proof", "no")))
    assert events(caplog) == [("refused", {"address": "127.0.0.1", "code": "invalid-proof", "reason": "no"})]


def test_a_server_that_logs_warnings_alone_still_counts(caplog):
    caplog.set_level("WARNING", LOGGER)
    journal = Journal()
    journal.failed(SESSION, ALICE_ID, BOB_ID, "peer-gone", "has left")
    assert events(caplog) == []
    assert journal.statistics.failures == {"peer-gone": 1}


def test_connections_are_counted_if_they_fail_too():
    journal = Journal()
    with pytest.raises(ValueError, match="x"), journal.connection("websocket"):
        assert journal.statistics.connections()["websocket"] == 1
        raise ValueError("x")
    assert journal.statistics.connections()["websocket"] == 0


@pytest.mark.anyio
async def test_a_session_from_its_begin_to_its_end(caplog):
    caplog.set_level("INFO", LOGGER)
    async with serve() as server, server.registered(BOB) as bob:
        async with server.registered(ALICE) as alice:
            await alice.signal("offer", BOB_ID, OFFER_DATA)
            await bob.receive()
            await alice.signal("bye", BOB_ID, {"reason": "enough"}, index=1)
            await bob.receive()
            await alice.signal("offer", BOB_ID, OFFER_DATA, session="s" * 16)
            await bob.receive()
            await alice.socket.close()
        failure = await bob.receive()
        assert failure["data"]["code"] == "undeliverable" or failure["data"]["code"] == "peer-gone"
        statistics = server.hub.journal.statistics
        assert statistics.routed["offer"] == 2
        assert statistics.routed["bye"] == 1
        assert sum(statistics.latency.counts) == 3
        assert statistics.registered["new"] == 2
        assert statistics.connections()["websocket"] == 1
    told = events(caplog)
    assert ("session began", {"session": SESSION, "peer": ALICE_ID, "other": BOB_ID}) in told
    assert ("session ended", {"session": SESSION, "peer": ALICE_ID, "other": BOB_ID, "by": "bye"}) in told
    assert ("left", {"peer": ALICE_ID, "address": "127.0.0.1"}) in told
    [failed] = [fields for text, fields in told if text == "session failed"]
    assert (failed["session"], failed["peer"], failed["other"]) == ("s" * 16, BOB_ID, ALICE_ID)
