import inspect

import pytest
import typer
from pydantic import Field, SecretStr, model_validator
from typer.main import get_command

from webrtc_signaling.server import options
from webrtc_signaling.server.options import option_name, parameters, settings_of, topic
from webrtc_signaling.server.settings import ServerSettings, Topic
from webrtc_transport.errors import ConfigurationError


class WithNews(ServerSettings):
    """The settings, and what somebody may add."""

    names: tuple[str, ...] = ()
    """Names with ``marks`` and [brackets]."""

    word: SecretStr | None = Field(default=None, min_length=8)
    """A secret."""

    @model_validator(mode="after")
    def _check(self):
        if self.names and self.word is None:
            raise ValueError("names need a word")
        return self


class WithNewsCommandLine(options.CommandLine, WithNews):
    pass


@pytest.fixture
def with_news(monkeypatch):
    monkeypatch.setattr(options, "ServerSettings", WithNews)
    monkeypatch.setattr(options, "CommandLine", WithNewsCommandLine)


def option(name):
    app = typer.Typer()

    def command(**values):
        pass

    command.__signature__ = inspect.Signature(parameters())
    app.command()(command)
    return next(parameter for parameter in get_command(app).params if parameter.name == name)


def test_each_setting_is_an_option():
    assert {parameter.name for parameter in parameters()} == set(ServerSettings.model_fields)


def test_options_of_one_topic_stand_together():
    topics = [topic(ServerSettings.model_fields[parameter.name]) for parameter in parameters()]
    assert topics == sorted(topics, key=list(Topic).index)
    assert Topic.OTHER not in topics


def test_a_new_setting_is_an_option_at_once(with_news):
    names = option("names")
    assert names.opts == ["--names"]
    assert names.multiple
    assert names.help == "Names with marks and \\[brackets]."
    assert names.rich_help_panel == "Other settings"


def test_a_secret_is_not_for_the_command_line(with_news):
    word = option("word")
    assert word.metavar == "SECRET"
    assert word.help == "A secret. Others can see options: the variable or the file is the better place."


def test_a_switch_can_be_switched_off():
    insecure = option("insecure")
    assert insecure.opts == ["--insecure"]
    assert insecure.secondary_opts == ["--no-insecure"]


def test_what_is_not_given_comes_from_elsewhere(monkeypatch):
    monkeypatch.setenv("WEBRTC_SIGNALING_PORT", "1")
    monkeypatch.setenv("WEBRTC_SIGNALING_INSECURE", "yes")
    given = dict.fromkeys(ServerSettings.model_fields) | {"insecure": False}
    settings = settings_of(given)
    assert (settings.port, settings.insecure) == (1, False)


@pytest.mark.parametrize("words", [["front", "back"], ["front,back"], ['["front", "back"]']])
def test_lists(with_news, words):
    settings = settings_of({"names": words, "word": "open sesame"})
    assert settings.names == ("front", "back")
    assert "sesame" not in repr(settings)


def test_faults_are_told_as_at_a_command_line(with_news):
    with pytest.raises(ConfigurationError, match=r"^--max-clients should be a valid integer, not 'many'$"):
        settings_of({"max_clients": "many"})
    with pytest.raises(ConfigurationError, match=r"^names need a word$"):
        settings_of({"names": ["front"]})


def test_a_wrong_secret_is_not_shown(with_news):
    with pytest.raises(ConfigurationError) as caught:
        settings_of({"word": "sesame"})
    assert "sesame" not in str(caught.value)
    assert str(caught.value) == "--word should have at least 8 characters"


def test_the_name_of_an_option():
    assert option_name("max_clients") == "--max-clients"
