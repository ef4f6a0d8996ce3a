"""Entries as Redis gives them; those of a real one are in test_redis_backplane.py."""

import pytest

from tests.webrtc_signaling.samples import BOB_ID
from webrtc_signaling.server.frames import Unknown, pack
from webrtc_signaling.server.redis_entries import complaining, entries_in, take
from webrtc_transport.errors import InvalidSignal

LOGGER = "libp2p.transport.webrtc.signaling.server"
SERVER = "server-0123456789"
FRAMES = [Unknown(peer=BOB_ID, flow=f"flow-{number:016}", is_here=True) for number in range(3)]


@pytest.mark.parametrize(
    ("answer", "entries"),
    [
        ([[b"inbox", [(b"1-0", {b"a": b"b"}), (b"2-0", {})]]], [(b"1-0", {b"a": b"b"}), (b"2-0", {})]),
        ([[b"inbox", [None, (b"1-0", None), (b"2-0", {})]]], [(b"2-0", {})]),
        ([], []),
        (None, []),
        (b"OK", []),
    ],
)
def test_what_is_no_entry_is_passed_over(answer, entries):
    assert list(entries_in(answer)) == entries


def test_a_frame_that_fails_is_logged_and_the_others_are_told(caplog):
    caplog.set_level("WARNING", LOGGER)
    told = []

    class Events:
        def on_frame(self, server, frame):
            told.append((server, frame))
            if len(told) == 2:
                raise RuntimeError("a defect")

    [entry] = pack(FRAMES)
    take(Events(), {b"from": SERVER.encode(), b"frames": entry})
    assert told == [(SERVER, frame) for frame in FRAMES]
    [record] = caplog.records
    assert str(record.exc_info[1]) == "a defect"
    take(Events(), {b"from": b"../..", b"frames": entry})
    assert len(told) == len(FRAMES)
    assert "an entry of nobody" in caplog.records[-1].getMessage()


def test_what_no_server_wrote_needs_no_traceback(caplog):
    with complaining():
        raise InvalidSignal("nonsense")
    [record] = caplog.records
    assert (record.levelname, record.exc_info) == ("WARNING", None)
