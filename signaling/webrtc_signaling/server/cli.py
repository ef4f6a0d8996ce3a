"""The command ``webrtc-signaling``."""

from __future__ import annotations

import sys
from typing import Final

INTERRUPTED: Final = 130
"""The exit status that shells give to a program which SIGINT has ended: 128 and its number, 2."""

_CURE: Final = "pip install 'webrtc-transport[server]', or in a checkout of it: pip install '.[server]'"


def main() -> None:
    """Run the command, or say what it needs."""
    try:
        from .commands import app  # noqa: PLC0415 - its imports may be missing
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0].startswith("webrtc_"):
            raise
        sys.exit(f"webrtc-signaling needs {exc.name}: {_CURE}")
    except KeyboardInterrupt:
        # Nothing runs yet that could be told of.
        sys.exit(INTERRUPTED)
    app()
