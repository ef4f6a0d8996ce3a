"""The entry point of the command ``webrtc-transport``."""

from __future__ import annotations

import sys
from typing import Final

INTERRUPTED: Final = 130
"""The exit status that shells give to a program which SIGINT has ended: 128 and its number, 2."""

_CURE: Final = "pip install 'webrtc-transport[cli]', or in a checkout of it: pip install '.[cli]'"


def main() -> None:
    """Run the command, or say what it needs."""
    try:
        from .commands import app  # noqa: PLC0415 - its imports may be missing
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        if not package or package.startswith("webrtc_"):
            raise
        sys.exit(f"webrtc-transport needs {package}: {_CURE}")
    except KeyboardInterrupt:
        # Nothing runs yet that could be told of.
        sys.exit(INTERRUPTED)
    app()
