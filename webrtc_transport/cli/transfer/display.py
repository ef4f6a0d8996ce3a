"""What people see of a transfer: lines and a progress bar, on standard error."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ...connection import Connection
from ..printable import printable


class Display:
    """Lines for people, and a bar while bytes are under way. Without a terminal there is no bar."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """Show one line. Whatever is in it is shown as text."""
        self._console.print(escape(printable(text)), soft_wrap=True, highlight=False)

    @contextlib.contextmanager
    def transfer(
        self, verb: str, name: str, offset: int, size: int, connection: Connection
    ) -> Iterator[Callable[[int], None]]:
        """Show how it goes; gives a function to call with each number of bytes. At its end the rate is told."""
        path = describe_path(connection)
        self.say(
            f"{verb} {name}, {decimal(size)}, {path}" + (f", from {decimal(offset)} on" if offset else "")
        )
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        started = time.perf_counter()
        moved = 0
        with Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        ) as progress:
            bar = progress.add_task(escape(path), total=size, completed=offset)

            def advance(count: int) -> None:
                nonlocal moved
                moved += count
                progress.advance(bar, count)

            yield advance
        seconds = time.perf_counter() - started
        self.say(f"{decimal(moved)} in {seconds:.1f} s, {decimal(int(moved / seconds))}/s, {path}")


def describe_path(connection: Connection) -> str:
    """How packets go: directly or through a relay, and between which kinds of candidates (RFC 8445)."""
    pair = connection.candidate_pair
    kind = "relayed" if pair.kind == "relay" else "direct"
    return f"{kind} ({pair.local.type} to {pair.remote.type})"
