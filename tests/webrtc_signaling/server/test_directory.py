import pytest

from webrtc_signaling.server.backplane import Location
from webrtc_signaling.server.directory import parse_located, parse_location, parse_move
from webrtc_transport.errors import InvalidSignal

ENTRY = b"1700000000123456|1|server-0123456789|instance-012345678"
LOCATION = Location("server-0123456789", "instance-012345678", proven=True, stamp=1700000000123456)


def test_an_entry_says_where_and_since_when():
    assert parse_location(ENTRY) == LOCATION
    assert not parse_location(ENTRY.replace(b"|1|", b"|0|")).proven


@pytest.mark.parametrize(
    "entry",
    [
        None,
        7,
        "text",
        b"",
        ENTRY + b"\n",
        b"x" + ENTRY,
        ENTRY.replace(b"|1|", b"|2|"),
        ENTRY.replace(b"server-0123456789", b"short"),
        b"9" * 40 + ENTRY,
        b"1|1|" + b"s" * 100 + b"|" + b"i" * 20,
    ],
)
def test_what_is_no_entry_is_refused(entry):
    with pytest.raises(InvalidSignal):
        parse_location(entry)


def test_somebody_is_somewhere_or_nowhere():
    assert parse_located(None) == (None, False)
    assert parse_located([ENTRY, 1]) == (LOCATION, True)
    assert parse_located([ENTRY, 0]) == (LOCATION, False)


@pytest.mark.parametrize("answer", [b"x", [], [ENTRY], [ENTRY, b"1"], [b"", 1], 3])
def test_another_answer_is_refused(answer):
    with pytest.raises(InvalidSignal):
        parse_located(answer)


def test_a_move_names_who_moves():
    assert parse_move(b"12D3KooWDave|" + ENTRY) == ("12D3KooWDave", LOCATION)


@pytest.mark.parametrize(
    "message",
    [None, 1, b"", ENTRY, b"|" + ENTRY, b"0OIl|" + ENTRY, b"1" * 200 + b"|" + ENTRY, b"12D3|" + b"x" * 500],
)
def test_another_message_is_refused(message):
    with pytest.raises(InvalidSignal):
        parse_move(message)
