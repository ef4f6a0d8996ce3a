from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webrtc_transport.errors import ConfigurationError
from webrtc_transport.protocol.ice_url import IceUrl, parse_ice_url


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("stun:stun.example.org", IceUrl("stun", "stun.example.org", 3478, "udp")),
        ("stun:stun.example.org:19302", IceUrl("stun", "stun.example.org", 19302, "udp")),
        ("STUN:Stun.Example.ORG", IceUrl("stun", "stun.example.org", 3478, "udp")),
        ("stun:192.0.2.1", IceUrl("stun", "192.0.2.1", 3478, "udp")),
        ("stun:localhost", IceUrl("stun", "localhost", 3478, "udp")),
        ("stun:[2001:DB8::1]:1", IceUrl("stun", "2001:db8::1", 1, "udp")),
        ("stun:example.org.", IceUrl("stun", "example.org.", 3478, "udp")),
        ("turn:turn.example.org", IceUrl("turn", "turn.example.org", 3478, "udp")),
        ("turn:turn.example.org?transport=udp", IceUrl("turn", "turn.example.org", 3478, "udp")),
        ("turn:turn.example.org:80?transport=TCP", IceUrl("turn", "turn.example.org", 80, "tcp")),
        ("turns:turn.example.org", IceUrl("turns", "turn.example.org", 5349, "tcp")),
        ("turns:[2001:db8::1]:443?transport=tcp", IceUrl("turns", "2001:db8::1", 443, "tcp")),
        ("turn:1.example.org", IceUrl("turn", "1.example.org", 3478, "udp")),
    ],
)
def test_urls_and_their_defaults(url: str, parsed: IceUrl) -> None:
    assert parse_ice_url(url) == parsed
    assert parse_ice_url(str(parsed)) == parsed


def test_kinds() -> None:
    assert not parse_ice_url("stun:a").is_turn
    assert parse_ice_url("turn:a").is_turn
    assert not parse_ice_url("turn:a?transport=tcp").secure
    assert parse_ice_url("turns:a").is_turn
    assert parse_ice_url("turns:a").secure


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("stun:a", "stun:a:3478"),
        ("turns:[2001:db8::1]", "turns:[2001:db8::1]:5349?transport=tcp"),
    ],
)
def test_text(url: str, text: str) -> None:
    assert str(parse_ice_url(url)) == text


@pytest.mark.parametrize(
    "url",
    [
        "",
        "stun",
        "stun:",
        "stun://stun.example.org",
        "http://stun.example.org",
        "stun:2001:db8::1",
        "stun:[2001:db8::1",
        "stun:[fe80::1%eth0]",
        "stun:a:b",
        "stun:a:",
        "stun:a:123456",
        "stun:a/b",
        "stun:a..b",
        "stun:.a",
        "stun:" + "a" * 64,
        "stun:a b",
        "stun:bücher.example",
        " stun:a",
        "stun:a\n",
        "turn:a?transport=sctp",
        "turn:a?transport=",
        "turn:a?foo=bar",
        "turn:a:٣٤٧٨",
        "stun:" + "a" * 1000,
    ],
)
def test_malformed_urls_are_answered_with_an_example(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected one like stun:") as caught:
        parse_ice_url(url)
    assert len(str(caught.value)) < 900


@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("stuns:a", "use stun:a"),
        ("stun:a?transport=udp", "use stun:a"),
        ("turns:a?transport=udp", "use turns:a"),
        ("stun:1.2.3.256", "use an address like"),
        ("stun:1.2.3", "use an address like"),
        ("stun:[1:2]", "use an address like"),
        ("turn:a:0", "from 1 to 65535, and 3478 if left out"),
        ("turns:a:65536", "from 1 to 65535, and 5349 if left out"),
    ],
)
def test_what_cannot_work_is_refused_with_a_cure(url: str, cure: str) -> None:
    with pytest.raises(ConfigurationError, match=cure):
        parse_ice_url(url)


def test_a_password_in_the_url_is_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="username and credential") as caught:
        parse_ice_url("turn:alice:hunter2@turn.example.org")
    assert "hunter2" not in str(caught.value)


def test_it_is_a_value() -> None:
    assert parse_ice_url("stun:a") == parse_ice_url("STUN:A:3478")
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_ice_url("stun:a").port = 1  # type: ignore[misc]


PARTS = st.sampled_from(
    ["stun", "turn", "turns", ":", "[", "]", "?transport=", "udp", "::1", "1.2.3.4", "99999"]
)


@given(st.text() | st.lists(PARTS | st.text(max_size=3)).map("".join))
def test_no_text_raises_anything_else(url: str) -> None:
    try:
        parsed = parse_ice_url(url)
    except ConfigurationError:
        return
    assert parse_ice_url(str(parsed)) == parsed
