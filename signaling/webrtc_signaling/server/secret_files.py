"""Files that an operator keeps secrets in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from webrtc_transport.errors import ConfigurationError
from webrtc_transport.files import read_private

_MAX_SIZE: Final = 64 * 1024
"""Bytes: a file that is larger is another one than was meant."""


def read_secret(path: Path, name: str, *, is_secret: Callable[[bytes], bool] = lambda _data: True) -> bytes:
    """What is in the file, without white space around it. It warns if others can read a secret.

    :param name: what should be in there, for errors
    :param is_secret: whether others may not see this content
    :raises ConfigurationError: if the file can't be read, or is empty
    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= _MAX_SIZE else b""
        if data and is_secret(data):
            data = read_private(path)
    except OSError as exc:
        why = (exc.strerror or str(exc)).lower()
        raise ConfigurationError(f"the {name} can't be read from {path}: {why}") from None
    if size > _MAX_SIZE:
        raise ConfigurationError(f"{path} is no {name}: it has {size} bytes")
    if not data.strip():
        raise ConfigurationError(f"{path} is empty, where the {name} should be")
    return data.strip()
