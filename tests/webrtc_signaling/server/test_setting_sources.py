import pytest

from webrtc_signaling.server.setting_sources import decode
from webrtc_signaling.server.settings import ServerSettings
from webrtc_transport.errors import ConfigurationError


class Doors(ServerSettings):
    names: tuple[str, ...] = ()
    "A list, of which the server may have some."


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", []),
        ("front", ["front"]),
        ("front back", ["front", "back"]),
        (" front,  back,", ["front", "back"]),
        ('["front", "back"]', ["front", "back"]),
        ("[front", "[front"),
    ],
)
def test_lists_as_text(text, entries):
    assert decode(text) == entries


def test_a_list_in_the_environment(monkeypatch):
    monkeypatch.setenv("WEBRTC_SIGNALING_NAMES", "front, back")
    assert Doors().names == ("front", "back")


def test_a_list_in_the_environment_that_is_none_is_named(monkeypatch):
    monkeypatch.setenv("WEBRTC_SIGNALING_NAMES", "[front")
    with pytest.raises(
        ConfigurationError, match=r"^WEBRTC_SIGNALING_NAMES should be a valid tuple, not '\[front'$"
    ):
        Doors()


def test_a_list_in_a_file(tmp_path):
    path = tmp_path / "doors.toml"
    path.write_text("names = ['front', 'back']")
    assert Doors(config=path).names == ("front", "back")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"port = = 1", "invalid value (at line 1, column 8); lines are of the form name = value"),
        (b"host = '\xff'", "it isn't UTF-8 text; give a TOML file"),
        (b"config = 'other.toml'", "config: a file can't name another one; write all settings here"),
    ],
)
def test_a_file_that_is_none_of_settings(tmp_path, content, reason):
    path = tmp_path / "signaling.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        ServerSettings(config=path)
    assert str(caught.value) == f"{path}: {reason}"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"nosuch.toml: no such file or directory; give a TOML file$"
    ):
        ServerSettings(config=tmp_path / "nosuch.toml")
    with pytest.raises(ConfigurationError, match=r": is a directory; give a TOML file$"):
        ServerSettings(config=tmp_path)
