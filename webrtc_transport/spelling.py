"""What somebody may have meant who wrote a name that there isn't."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the known name that is nearest to ``name``; empty if none is near."""
    nearest = {candidate.lower(): candidate for candidate in known}
    found = get_close_matches(name.lower(), nearest, n=1)
    return f"; did you mean {nearest[found[0]]!r}?" if found else ""
