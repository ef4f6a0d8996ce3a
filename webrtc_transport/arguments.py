"""Checks of what an application passes: a mistake is told where it is made, and not by what breaks further in."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType, UnionType
from typing import get_args

from .errors import ConfigurationError
from .redaction import redacted


def check_type(name: str, value: object, expected: type | UnionType, cure: str) -> None:
    """:raises TypeError: naming what is expected, and ``cure``"""
    if not isinstance(value, expected):
        alternatives = get_args(expected) if isinstance(expected, UnionType) else (expected,)
        kinds = [kind.__name__ for kind in alternatives if kind is not NoneType]
        raise TypeError(f"{name} has to be {' or '.join(kinds)}, not {type(value).__name__}; {cure}")


def check_signaling(signaling: object) -> None:
    """Check that it is a list, whose entries are looked at when they are used.

    :raises ConfigurationError: if it is one URL
    :raises TypeError: if it is anything else
    """
    if isinstance(signaling, str):
        shown = redacted(signaling)
        raise ConfigurationError(f"signaling is a list of URLs or backends: pass signaling=[{shown!r}]")
    if not isinstance(signaling, Sequence) or isinstance(signaling, bytes):
        raise TypeError(
            f"signaling has to be a list of URLs or backends, such as ['ws://localhost:8765'], not "
            f"{type(signaling).__name__}"
        )


def sendable(item: bytes | str) -> memoryview:
    """The bytes of ``item``, one by one, whatever the items of its buffer are.

    :raises TypeError: if it has none, as text doesn't, or if they don't lie in one piece
    """
    if isinstance(item, str):
        raise TypeError("send() takes bytes, not str; encode it first: send(text.encode())")
    try:
        view = memoryview(item)
    except TypeError:
        raise TypeError(f"send() takes bytes, not {type(item).__name__}") from None
    if not view.nbytes:
        # Nothing can't be cast.
        return memoryview(b"")
    try:
        return view.cast("B")
    except TypeError:
        raise TypeError(
            f"send() takes bytes that lie in one piece; pass bytes(item) of this {type(item).__name__}"
        ) from None


def check_max_bytes(max_bytes: int) -> None:
    """:raises ValueError: if it is less than one; :raises TypeError: if it is no number of bytes"""
    if not isinstance(max_bytes, int):
        raise TypeError(f"max_bytes has to be a number of bytes (int), not {type(max_bytes).__name__}")
    if max_bytes < 1:
        raise ValueError(f"max_bytes has to be 1 or more, not {max_bytes}")
