import pytest
import typer

from webrtc_transport.cli.ice_options import (
    option,
    signaling_url,
    stun_server,
    transport_config,
    turn_servers,
)

CREDENTIALS = {"user": "alice", "password": "wonderland"}
NOTHING = {"stun": [], "turn": [], "user": None, "password": None, "bind": None, "relay": False}


def test_a_flag_has_the_variable_of_its_name():
    info = option("--turn-user", "Who.")
    assert info.envvar == "WEBRTC_TRANSPORT_TURN_USER"


def test_nothing_is_the_default():
    config = transport_config(**NOTHING)
    assert config.ice_servers == ()
    assert config.bind_addresses is None
    assert config.ice_transport_policy == "all"


def test_a_token_goes_behind_the_url():
    assert signaling_url("wss://a.example", None) == "wss://a.example"
    assert signaling_url("wss://a.example#token=eyJ", None) == "wss://a.example#token=eyJ"
    assert signaling_url("https://a.example", "eyJ") == "https://a.example#token=eyJ"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("wss://a.example#token=eyJsecret", "two tokens for wss://a.example#…: .*; leave one out"),
        ("memory://a", "memory://a takes no token; leave it out"),
    ],
)
def test_a_token_that_has_no_place_is_refused(url, said):
    with pytest.raises(typer.BadParameter, match=said) as caught:
        signaling_url(url, "eyJother")
    assert "eyJ" not in str(caught.value)


def test_servers_and_addresses():
    given = {"stun": ["stun:a", "stun:b"], "turn": ["turn:c", "turns:d"], "bind": "127.0.0.1", "relay": True}
    config = transport_config(**given, **CREDENTIALS)
    stun, *turn = config.ice_servers
    assert [url.host for url in stun.parsed] == ["a", "b"]
    assert [server.parsed[0].host for server in turn] == ["c", "d"]
    assert all(server.password == "wonderland" for server in turn)
    assert config.bind_addresses == ("127.0.0.1",)
    assert config.ice_transport_policy == "relay"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stun": ["turn:a"]}, "'turn:a' is no STUN server"),
        ({"stun": ["stun://a"]}, "is no URL of a STUN"),
        ({"turn": ["a"]}, "'a' is no TURN server"),
        ({"turn": ["turn:a"]}, "needs --turn-user"),
        ({"turn": ["turn:a"], "user": "b"}, "needs --turn-password"),
        ({"bind": "here"}, "here"),
        ({"relay": True}, "without a TURN server there is no relay"),
    ],
)
def test_mistakes_are_told(given, said):
    with pytest.raises(typer.BadParameter, match=said):
        transport_config(**{**NOTHING, **given})


@pytest.mark.parametrize("url", ["alice:SECRET@192.0.2.1", "turn:alice:SECRET@192.0.2.1"])
@pytest.mark.parametrize("flag", ["stun", "turn"])
def test_a_password_in_a_url_is_not_shown(flag, url):
    with pytest.raises(typer.BadParameter, match="names no user") as caught:
        transport_config(**{**NOTHING, flag: [url]})
    assert "SECRET" not in str(caught.value)


def test_no_servers():
    assert stun_server([]) is None
    assert turn_servers([], None, None) == []
