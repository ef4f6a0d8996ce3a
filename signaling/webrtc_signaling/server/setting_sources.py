"""Where the settings of the server come from, beside arguments: the environment, and a file."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource

from webrtc_transport.errors import ConfigurationError


class Environment(EnvSettingsSource):
    """Environment variables, in which a list may be written with blanks or commas between its entries."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: object) -> object:  # noqa: ARG002
        return decode(str(value))


class TomlFile(InitSettingsSource):
    """A TOML file of settings.

    :raises ConfigurationError: if it can't be read, isn't TOML, or names another file
    """

    def __init__(self, settings: type[BaseSettings], path: Path) -> None:
        content = _read(path)
        if "config" in content:
            raise ConfigurationError(
                f"{path}: config: a file can't name another one; write all settings here"
            )
        super().__init__(settings, content)


def decode(text: str) -> object:
    """A list or map that is written as text: JSON, or entries with blanks or commas between them.

    What is neither comes back as it is, so that it is refused with the setting's name.
    """
    if text.lstrip().startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return [entry for entry in re.split(r"[\s,]+", text) if entry]


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigurationError(f"{path}: {(exc.strerror or str(exc)).lower()}; give a TOML file") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: it isn't UTF-8 text; give a TOML file") from None
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"{path}: {_told(exc)}; lines are of the form name = value") from None


def _told(error: tomllib.TOMLDecodeError) -> str:
    """What is wrong, beginning in lower case as the other faults do."""
    text = str(error)
    return text[:1].lower() + text[1:]
