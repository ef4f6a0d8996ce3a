"""Whether new clients should come to this server: what a load balancer asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Check: TypeAlias = Callable[[], str | None]
"""Gives the reason why the server isn't ready, or ``None``. It is asked often, so it must not block."""


class Readiness:
    """Ready, as long as no check has something against it and the server isn't about to end."""

    def __init__(self) -> None:
        self.checks: list[Check] = []
        """Parts of the server add theirs."""
        self._is_ending = False

    def reasons(self) -> list[str]:
        """Why the server isn't ready; empty if it is."""
        if self._is_ending:
            return ["the server is shutting down"]
        return [reason for check in self.checks if (reason := check()) is not None]

    def end(self) -> None:
        """The server is about to end. It still serves who comes, but nobody should be sent here."""
        self._is_ending = True
