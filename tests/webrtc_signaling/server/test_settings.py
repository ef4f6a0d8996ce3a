import pytest

from tests.logs import LOGGER, own_records
from webrtc_signaling.server.settings import ServerSettings
from webrtc_transport.errors import ConfigurationError


def test_each_setting_says_what_it_is_for():
    for name, field in ServerSettings.model_fields.items():
        assert field.description, name


def test_the_environment_sets_what_is_not_given(monkeypatch):
    monkeypatch.setenv("WEBRTC_SIGNALING_PORT", "1234")
    monkeypatch.setenv("WEBRTC_SIGNALING_GRACE", "5")
    settings = ServerSettings(grace=7)
    assert (settings.port, settings.grace) == (1234, 7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 65536},
        {"grace": -1},
        {"grace": float("nan")},
        {"heartbeat": 0},
        {"max_clients": 0},
        {"log_level": "loud"},
        {"no_such_setting": 1},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=f"^ServerSettings.*{next(iter(wrong))}"):
        ServerSettings(**wrong)


def test_a_wrong_variable_is_named(monkeypatch):
    monkeypatch.setenv("WEBRTC_SIGNALING_HEARTBEAT", "often")
    monkeypatch.setenv("webrtc_signaling_max_clients", "0")
    with pytest.raises(ConfigurationError) as caught:
        ServerSettings(port=-1)
    assert sorted(str(caught.value).splitlines()) == [
        "ServerSettings: port should be greater than or equal to 0, not -1",
        "WEBRTC_SIGNALING_HEARTBEAT should be a valid number, not 'often'",
        "WEBRTC_SIGNALING_MAX_CLIENTS should be greater than or equal to 1, not '0'",
    ]


def test_a_misspelled_variable_is_told(monkeypatch, caplog):
    caplog.set_level("WARNING", LOGGER)
    monkeypatch.setenv("WEBRTC_SIGNALING_HEARTBAET", "3")
    monkeypatch.setenv("WEBRTC_SIGNALING_XYZ", "3")
    monkeypatch.setenv("WEBRTC_SIGNALING_GRACE", "3")
    assert ServerSettings().grace == 3
    assert [record.getMessage() for record in own_records(caplog)] == [
        "the environment variable WEBRTC_SIGNALING_HEARTBAET is no setting, and is ignored; did you mean "
        "WEBRTC_SIGNALING_HEARTBEAT?",
        "the environment variable WEBRTC_SIGNALING_XYZ is no setting, and is ignored",
    ]


def test_what_is_not_in_the_environment_comes_from_the_file(monkeypatch, tmp_path):
    path = tmp_path / "signaling.toml"
    path.write_text("port = 1\ngrace = 2\nheartbeat = 3\n")
    monkeypatch.setenv("WEBRTC_SIGNALING_PORT", "10")
    monkeypatch.setenv("WEBRTC_SIGNALING_GRACE", "20")
    settings = ServerSettings(config=path, port=100)
    assert (settings.port, settings.grace, settings.heartbeat) == (100, 20, 3)


def test_each_fault_names_where_it_is(monkeypatch, tmp_path):
    path = tmp_path / "signaling.toml"
    path.write_text("port = -1\ngrace = -1\nheartbeat = -1\nlog-level = 'info'\n")
    monkeypatch.setenv("WEBRTC_SIGNALING_GRACE", "-2")
    with pytest.raises(ConfigurationError) as caught:
        ServerSettings(config=path, port=-3)
    assert sorted(str(caught.value).splitlines()) == sorted(
        [
            "ServerSettings: port should be greater than or equal to 0, not -3",
            "WEBRTC_SIGNALING_GRACE should be greater than or equal to 0, not '-2'",
            f"{path}: heartbeat should be greater than 0, not -1",
            f"{path} has no setting 'log-level'; did you mean 'log_level'?",
        ]
    )


def test_settings_do_not_change():
    with pytest.raises(ConfigurationError, match="port can't be changed; make a new ServerSettings"):
        ServerSettings().port = 1


def test_a_redis_is_named_by_its_url():
    assert ServerSettings(redis="rediss://:SECRET@redis.example.org:6380/1").redis.endswith("/1")


@pytest.mark.parametrize(
    "url",
    [
        "redis.example.org",
        "http://:SECRET@host",
        "redis://",
        "redis://:SECRET@host:0",
        "redis://h:x?SECRET=1",
    ],
)
def test_another_url_is_refused_without_its_secrets(url):
    with pytest.raises(
        ConfigurationError, match=r"redis.* is no URL of a Redis; write redis://host:port"
    ) as caught:
        ServerSettings(redis=url)
    assert "SECRET" not in str(caught.value)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("webrtc_signaling.server.settings.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'webrtc-transport\[redis\]'"):
        ServerSettings(redis="redis://host")


def test_the_password_of_redis_is_not_shown():
    assert "SECRET" not in repr(ServerSettings(redis="redis://:SECRET@host"))
