"""Settings that are checked when they are made, and tell what is wrong in one line for each fault."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sized
from typing import TYPE_CHECKING, Final, get_args

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from .errors import ConfigurationError
from .spelling import did_you_mean

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_MAX_SHOWN: Final = 80
"""Characters of a wrong value that are shown: enough to find it again."""


class Settings(BaseModel):
    """Base of the settings objects. They don't change.

    pydantic's ``model_validate()`` and ``model_validate_json()`` work too. What they raise is pydantic's
    ``ValidationError``, with the same lines in its text. Its text shows no secrets; ``errors()`` and ``json()`` of it
    have what was given, with the passwords in it.

    :raises ConfigurationError: if a setting is unknown, missing or wrong; with one line for each fault
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __init__(self, *unnamed: object, **values: object) -> None:
        kind = type(self)
        if unnamed:
            first = next(iter(kind.model_fields))
            raise TypeError(f"{kind.__name__} takes its settings by name, such as {kind.__name__}({first}=…)")
        try:
            super().__init__(**values)
        except ValidationError as exc:
            # Not as the cause: it shows the values, and there are passwords among them.
            raise ConfigurationError("\n".join(self._faults(exc, values))) from None

    if not TYPE_CHECKING:  # for type checkers, no attribute can be set

        def __setattr__(self, name: str, value: object) -> None:
            kind = type(self).__name__
            raise ConfigurationError(f"{kind}: {name} can't be changed; make a new {kind}")

    @classmethod
    def _faults(cls, exc: ValidationError, given: Mapping[str, object]) -> Iterator[str]:
        for error in exc.errors(include_url=False):
            name = str(error["loc"][0]) if error["loc"] else ""
            entry = "".join(f"[{part}]" for part in error["loc"][1:])
            if error["type"] == "extra_forbidden":
                yield f"{cls._place(name, given)} has no setting {name!r}{_instead(name, cls.model_fields)}"
            elif error["type"] == "missing":
                yield f"{cls.__name__} needs {name}"
            elif not name:
                yield f"{cls.__name__}: {fault(error)}"
            else:
                secret = is_secret(cls.model_fields[name])
                yield f"{cls._origin(name, given)}{entry} {fault(error, secret=secret)}"

    @classmethod
    def _place(cls, name: str, given: Mapping[str, object]) -> str:
        """Where ``name`` was set, if not in the arguments that were ``given``."""
        assert name in given, "there is nowhere else"
        return cls.__name__

    @classmethod
    def _origin(cls, name: str, given: Mapping[str, object]) -> str:
        """What to call the setting ``name`` as somebody who has set it knows it."""
        return f"{cls._place(name, given)}: {name}"


def is_secret(field: FieldInfo) -> bool:
    """Whether the value of a setting must not be shown."""
    kinds = (field.annotation, *get_args(field.annotation))
    return not field.repr or SecretStr in kinds


def fault(error: ErrorDetails, *, secret: bool = False) -> str:
    """What is wrong with one value, as the end of a sentence.

    :param secret: don't show the value
    """
    if error["type"] == "value_error":
        # Of a validator of our own, which knows the cure.
        return str(error.get("ctx", {}).get("error", error["msg"]))
    if error["type"] == "too_short" and secret:
        # pydantic speaks of the items of the validated value.
        return f"should have at least {error.get('ctx', {}).get('min_length')} characters"
    what = error["msg"].removeprefix("Input ").partition(", unable to")[0]
    what = what.replace("an instance of Sequence", "a list")
    return what if secret else f"{what}, not {shown(error['input'])}"


def shown(value: object) -> str:
    """A wrong value, if it is short and can't have a password in it; else its type."""
    # No setting takes bytes, but keys are bytes.
    is_simple = value is None or isinstance(value, str | bool | int | float)
    if is_simple or (isinstance(value, Sized) and not value):
        text = repr(value)
        return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
    return type(value).__name__


def _instead(name: str, known: Collection[str]) -> str:
    return did_you_mean(name, known) or f"; there are: {', '.join(known)}"
