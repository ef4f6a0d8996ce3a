"""The settings of the server as options of its command, made from the fields."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import typer
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from rich.markup import escape
from typer.models import OptionInfo

from webrtc_transport.settings import is_secret

from .setting_sources import decode
from .settings import ServerSettings, Topic

_METAVARS: Final[Mapping[object, str]] = {
    int: "N",
    float: "NUMBER",
    Path: "FILE",
    SecretStr: "SECRET",
}
_VISIBLE: Final = "Others can see options: the variable or the file is the better place."


class CommandLine(ServerSettings):
    """The settings, with faults as somebody at a command line knows them."""

    @classmethod
    def _faults(cls, exc: ValidationError, given: Mapping[str, object]) -> Iterator[str]:
        for line in super()._faults(exc, given):
            yield line.removeprefix(f"{cls.__name__}: ")

    @classmethod
    def _origin(cls, name: str, given: Mapping[str, object]) -> str:
        return option_name(name) if name in given else super()._origin(name, given)


def settings_of(options: Mapping[str, object]) -> ServerSettings:
    """The settings of a command line; what isn't given there comes from elsewhere.

    :raises ConfigurationError: with one line for each fault
    """
    given: dict[str, Any] = {name: _value(value) for name, value in options.items() if value is not None}
    return CommandLine(**given)


def parameters() -> list[inspect.Parameter]:
    """One for each setting, as typer reads them in a function's signature."""
    fields = sorted(ServerSettings.model_fields.items(), key=lambda item: list(Topic).index(topic(item[1])))
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[_kind(field) | None, _option(name, field)],
        )
        for name, field in fields
    ]


def option_name(name: str) -> str:
    """What the option of a setting is called."""
    return f"--{name.replace('_', '-')}"


def topic(field: FieldInfo) -> Topic:
    """What a setting is about."""
    return next((entry for entry in field.metadata if isinstance(entry, Topic)), Topic.OTHER)


def _option(name: str, field: FieldInfo) -> OptionInfo:
    flag = option_name(name)
    is_flag = _kind(field) is bool
    text = " ".join((field.description or "").replace("``", "").split())
    if is_secret(field):
        text += f" {_VISIBLE}"
    elif default := _default(field):
        text += f" [default: {default}]"
    option: OptionInfo = typer.Option(
        # The second is for those who switch on in a file what they switch off here.
        *([f"{flag}/--no-{flag[2:]}"] if is_flag else [flag]),
        help=escape(text),
        metavar=_metavar(field),
        show_default=False,
        rich_help_panel=topic(field).value,
    )
    return option


def _kind(field: FieldInfo) -> type:
    """What typer is to make of the words: everything but their number is checked with the other sources."""
    kind = _content(field)
    if kind is bool:
        return bool
    return list[str] if _is_list(kind) else str


def _is_list(kind: object) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Sequence | AbstractSet)


def _content(field: FieldInfo) -> object:
    """The type of a field that is there."""
    if get_origin(field.annotation) in (Union, UnionType):
        return next(kind for kind in get_args(field.annotation) if kind is not type(None))
    return field.annotation


def _metavar(field: FieldInfo) -> str:
    kind = _content(field)
    if kind is bool:
        return " "
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    return _METAVARS.get(kind, "TEXT")


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value == () or isinstance(value, bool):
        return ""
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def _value(given: object) -> object:
    """One word for a list is as good as a variable: it may have several entries."""
    if isinstance(given, list):
        return decode(given[0]) if len(given) == 1 else given
    return given
