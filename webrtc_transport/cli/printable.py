"""Text from outside, made safe to be shown in a terminal."""

from __future__ import annotations

import unicodedata
from typing import Final

_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories: control characters, and those that change the direction of text or can't be seen."""


def is_printable(char: str) -> bool:
    """Whether ``char`` does nothing but look like something."""
    return unicodedata.category(char) not in _UNPRINTABLE


def printable(text: str) -> str:
    """``text`` without anything that moves a cursor, changes colours or turns the text around."""
    return "".join(char if is_printable(char) else "\ufffd" for char in text)
