"""Whether what is installed beside each other works together."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from webrtc_transport.errors import ConfigurationError

_OLDEST_AIOICE: Final = (0, 13)
"""What the ICE port of webrtc-transport is written for; its pyproject.toml says the same."""

_CURE: Final = (
    "libp2p's extra `webrtc` asks for an older one, and isn't needed: this package brings WebRTC itself. Leave the "
    "extra out and bring aioice back up to date: pip install --upgrade libp2p 'aioice>=0.13' 'aiortc>=1.16'"
)


def check_installation() -> None:
    """:raises ConfigurationError: if the installed aioice is too old; says why that may be, and what to do"""
    found = version("aioice")
    if _numbers(found) < _OLDEST_AIOICE:
        raise ConfigurationError(f"aioice {found} is installed, and webrtc-transport needs 0.13: {_CURE}")


def _numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version."""
    numbers = []
    for part in text.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
