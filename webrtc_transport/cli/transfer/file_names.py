"""Names that come from outside, made safe to be a file's."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from ..printable import is_printable

MAX_NAME_BYTES: Final = 200
"""Of a name that is made: file systems take 255, and a number and ``.part`` may follow."""

MAX_SUFFIX_BYTES: Final = 20
"""Of what follows the last dot and is kept when a name is cut."""

FALLBACK: Final = "file"
"""What a name becomes of which nothing is left."""

_SPECIAL: Final = frozenset('<>:"|?*')
"""What Windows refuses. A colon names a stream of a file there."""

_DEVICES: Final = re.compile(r"(?:CON|PRN|AUX|NUL|COM\d|LPT\d)(?:\..*)?", re.IGNORECASE)
"""Names that stand for devices on Windows, with any ending."""


def safe_name(offered: str) -> str:
    """The name for a file that a peer calls ``offered``: without folders, not hidden, and not too long."""
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", offered)[-1])
    name = "".join(char if is_printable(char) and char not in _SPECIAL else "_" for char in name)
    name = _shorten(name.strip(" .")) or FALLBACK
    return f"_{name}" if _DEVICES.fullmatch(name) else name


def numbered(name: str, number: int) -> str:
    """``name``, or for numbers over 0 another one like it: ``photo-1.jpg``."""
    if number == 0:
        return name
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}-{number}.{suffix}" if stem and dot else f"{name}-{number}"


def _shorten(name: str) -> str:
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    ending = f"{dot}{suffix}" if stem and len(suffix.encode()) <= MAX_SUFFIX_BYTES else ""
    kept = name.removesuffix(ending).encode()[: MAX_NAME_BYTES - len(ending.encode())]
    return (kept.decode(errors="ignore") + ending).strip(" .")
