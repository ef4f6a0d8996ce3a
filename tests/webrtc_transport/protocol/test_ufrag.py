from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webrtc_transport.protocol.stun_message import binding_request
from webrtc_transport.protocol.ufrag import (
    DirectCredentials,
    Flow,
    IceCredentials,
    UfragError,
    new_credentials,
    parse_username,
    peek_username,
)

V1 = "libp2p+webrtc+v1/"
V2 = "libp2p+webrtc+v2/"
PASSWORD = "p" * 22


@pytest.mark.parametrize("flow", Flow)
class TestNew:
    def test_the_server_infers_the_same(self, flow):
        credentials = new_credentials(flow)
        assert parse_username(credentials.username) == credentials

    def test_they_keep_to_the_bounds(self, flow):
        credentials = new_credentials(flow)
        for end in (credentials.client, credentials.server):
            assert re.fullmatch("[A-Za-z0-9+/]{4,256}", end.ufrag)
            assert re.fullmatch("[A-Za-z0-9+/]{22,256}", end.password)

    def test_each_is_another(self, flow):
        assert len({new_credentials(flow).username for _ in range(50)}) == 50


class TestFlows:
    def test_v1(self):
        both = IceCredentials(V1 + "abcdefgh", V1 + "abcdefgh")
        parsed = parse_username(f"{both.ufrag}:{both.ufrag}".encode())
        assert parsed == DirectCredentials(Flow.V1, both, both)
        assert parsed.answering_username == parsed.username

    def test_v2(self):
        parsed = parse_username(f"{V2}{PASSWORD}:abcd".encode())
        assert parsed.flow is Flow.V2
        assert parsed.server == IceCredentials(V2 + PASSWORD, V2 + PASSWORD)
        assert parsed.client == IceCredentials("abcd", PASSWORD)
        assert parsed.username == f"{V2}{PASSWORD}:abcd".encode()
        assert parsed.answering_username == f"abcd:{V2}{PASSWORD}".encode()


@pytest.mark.parametrize(
    ("username", "message"),
    [
        ("", "two ufrags"),
        (V2 + PASSWORD, "two ufrags"),
        (f"{V2}{PASSWORD}:", "two ufrags"),
        (f":{V2}{PASSWORD}", "two ufrags"),
        (f"{V2}{PASSWORD}:abc", "two ufrags"),
        (f"{V2}{PASSWORD}:abcd:efgh", "two ufrags"),
        (f"{V2}{PASSWORD}:abcd\n", "two ufrags"),
        (f"{V2}{PASSWORD}\r\na=x:abcd", "two ufrags"),
        (f"{V2}{PASSWORD}:ab_d", "two ufrags"),
        (f"{V2}{PASSWORD}:äbcd", "two ufrags"),
        (f"{V2}{'p' * 240}:abcd", "two ufrags"),
        (f"{V2}{PASSWORD}:{'a' * 257}", "two ufrags"),
        (f"abcd{PASSWORD}:abcd", "doesn't begin"),
        (f"libp2p+webrtc+v/{PASSWORD}:abcd", "doesn't begin"),
        (f"x{V2}{PASSWORD}:abcd", "doesn't begin"),
        (f"LIBP2P+webrtc+v2/{PASSWORD}:abcd", "doesn't begin"),
        (f"libp2p+webrtc+v3/{PASSWORD}:abcd", "version 3"),
        (f"libp2p+webrtc+v02/{PASSWORD}:abcd", "version 02"),
        (f"libp2p+webrtc+v0/{PASSWORD}:abcd", "version 0"),
        (f"{V2}{PASSWORD[:-1]}:abcd", "at least 22"),
        (f"{V2}:abcd", "at least 22"),
        (f"{V1}abcdefgh:abcd", "at least 22"),
        (f"{V1}abcd:{V1}abcd", "at least 22"),
    ],
)
def test_refused(username, message):
    with pytest.raises(UfragError, match=message):
        parse_username(username.encode())


def test_the_longest_and_the_shortest():
    parse_username(f"{V2}{'p' * 239}:{'a' * 256}".encode())
    parse_username(f"{V1}abcde:{V1}abcde".encode())


@given(st.binary(max_size=600))
def test_any_bytes(username):
    try:
        parsed = parse_username(username)
    except UfragError:
        return
    assert parsed.username == username


@given(st.from_regex(rb"libp2p\+webrtc\+v[0-9]{0,3}/[ -~]{0,60}", fullmatch=True))
def test_anything_with_a_prefix(username):
    try:
        parsed = parse_username(username)
    except UfragError:
        return
    assert parsed.username == username


class TestPeek:
    @pytest.mark.parametrize("flow", Flow)
    def test_it_is_the_username_of_a_check(self, flow):
        credentials = new_credentials(flow)
        check = binding_request(
            bytes(12), username=credentials.username, password=b"x", priority=1, tie_breaker=1
        )
        assert peek_username(check) == credentials.username
        assert peek_username(b"\x01" + check[1:]) == b""

    @given(st.binary(max_size=100))
    def test_any_bytes(self, data):
        assert peek_username(b"\x00\x01" + data) in data + b"\0"
