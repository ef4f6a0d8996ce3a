import pytest
from pydantic import ValidationError

from webrtc_signaling.server.settings import ServerSettings


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
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        ServerSettings(**wrong)


def test_settings_do_not_change():
    with pytest.raises(ValidationError):
        ServerSettings().port = 1
