"""Runs what a page of the documentation shows, as a reader would.

The rules that the fenced blocks of a page follow:

- A block whose title is a file name is saved under that name, where the page's commands run. A later block of the
  same name replaces it.
- A ``console`` block is one terminal, told from others by its title. A line that begins with ``$ `` is a command;
  the lines below it are all that it prints. ``…`` stands for any text within a line, and alone on a line for any
  number of lines. A command that shows no output may print what it likes.
- A command has to end with status 0, or, if a traceback is shown, with another. In a terminal whose title says that
  it *keeps running* it may go on; a later block of the same title without a command shows what it has printed since,
  and ``^C`` in it presses Ctrl-C.
- ``/webrtc/p2p/12D3KooW…`` in a command is the address that a running command has printed last.
- The ports 8765 and 3478 are replaced by free ones everywhere, and ``/tmp`` by a folder of the test's own.
- A ``console`` block without a title is not run, and neither is a ``python`` block: see :func:`run_fragments`.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
TIMEOUT = 60
"""Seconds that a command, or a line of output, may take. It is for broken machines: all take a few seconds."""

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>\w+)(?: +title=\"(?P<title>[^\"]*)\")?[^\n]*\n"
    r"(?P<text>.*?)^(?P=indent)(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_FILE_NAME = re.compile(r"[\w./-]+\.\w+")
_ADDRESS = re.compile(r"/webrtc/p2p/12D3KooW[1-9A-HJ-NP-Za-km-z]{44}")
_SOME_ADDRESS = "/webrtc/p2p/12D3KooW…"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    title: str
    text: str
    line: int
    """Of its first line in the page."""

    @property
    def is_file(self) -> bool:
        return bool(_FILE_NAME.fullmatch(self.title))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    content = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(content):
        indent = len(match["indent"])
        text = "".join(line[indent:] or "\n" for line in match["text"].splitlines(keepends=True))
        line = content.count("\n", 0, match.start("text")) + 1
        found.append(Block(match["language"], match["title"] or "", text, line))
    return found


class Mismatch(AssertionError):
    """A page shows something else than what happens."""


class _Process:
    """A command that was started in a terminal, and what it has printed."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        self.command = command
        self.lines: list[str] = []
        self.shown = 0
        """Lines that the page has shown already."""
        self._changed = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.lines.append(line.rstrip())
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def expect(self, shown: list[str]) -> None:
        """Wait for the lines that the page shows."""
        deadline = time.monotonic() + TIMEOUT
        skipping = False
        for line in shown:
            if line == "…":
                skipping = True
                continue
            pattern = re.compile(".*".join(map(re.escape, line.rstrip().split("…"))))
            while not pattern.fullmatch(actual := self._next_line(deadline, line)):
                if not skipping:
                    self._reader.join(1)  # for the whole of a traceback
                    raise Mismatch(
                        f"{self.command}\nprints  {actual!r}\nwhere   {line!r} is shown\n{self.output}"
                    )
            skipping = False

    def expect_end(self, shown: list[str]) -> None:
        """Wait until the command has ended as the page shows, and has printed no more than that."""
        status = self._process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        if bool(status) is not ("Traceback (most recent call last):" in shown):
            raise Mismatch(f"{self.command}\nended with status {status}\n{self.output}")
        if shown:
            self.expect_no_more(shown)

    def expect_no_more(self, shown: list[str]) -> None:
        """Wait until the command has ended, and check that it has printed no more than the page shows."""
        self._process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        if shown[-1] != "…" and self.shown < len(self.lines):
            raise Mismatch(
                f"{self.command}\nprints more than is shown:\n" + "\n".join(self.lines[self.shown :])
            )

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.killpg(self._process.pid, signal.SIGINT)

    def stop(self) -> None:
        """End the command, if it still runs."""
        if self._process.poll() is None:
            self.interrupt()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._reader.join(TIMEOUT)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _next_line(self, deadline: float, wanted: str) -> str:
        with self._changed:
            while self.shown >= len(self.lines):
                if self._ended or not self._changed.wait(max(0, deadline - time.monotonic())):
                    raise Mismatch(f"{self.command}\nnever prints  {wanted!r}\n{self.output}")
            self.shown += 1
            return self.lines[self.shown - 1]


class Desk:
    """A folder and some terminals, where a page is worked through.

    :param programs: folders whose programs the terminals find first
    """

    def __init__(self, folder: Path, *programs: Path) -> None:
        self._folder = folder / "desk"
        self._temporary = folder / "tmp"
        self._folder.mkdir()
        self._temporary.mkdir()
        self._replacements = {
            "8765": str(_free_port()),
            "3478": str(_free_port()),
            "/tmp/": f"{self._temporary}/",
        }
        self._running: dict[str, _Process] = {}
        self._ended: list[_Process] = []
        search = [*map(str, programs), str(Path(sys.executable).parent), os.environ["PATH"]]
        self._environment = {
            **os.environ,
            "PATH": os.pathsep.join(search),
            "HOME": str(self._folder),
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            # Nothing comes from the network: what the page installs is here, or is the page's own.
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def work_through(self, page: Path) -> None:
        """Save the files and run the commands of ``page``, and compare."""
        for block in blocks(page):
            text = block.text
            for shown, used in self._replacements.items():
                text = text.replace(shown, used)
            try:
                if block.is_file:
                    path = self._folder / block.title
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text, encoding="utf-8")
                elif block.language == "console" and block.title:
                    self._run_terminal(block.title, text)
            except Mismatch as exc:
                raise Mismatch(f"{page.name}, line {block.line}: {exc}") from None

    def close(self) -> None:
        """End what still runs."""
        for process in [*self._ended, *self._running.values()]:
            process.stop()

    def _run_terminal(self, title: str, text: str) -> None:
        keeps_running = "keeps running" in title
        first, *commands = _split(text)
        if first:
            if title not in self._running:
                raise Mismatch(f"{title!r} shows output of no command")
            self._show_more(title, first)
        for command, shown in commands:
            if title in self._running:
                raise Mismatch(f"{title!r} has a command that still runs")
            process = _Process(self._fill_in(command), self._folder, self._environment)
            self._running[title] = process
            process.expect(shown)
            if not keeps_running:
                self._ended.append(self._running.pop(title))
                process.expect_end(shown)

    def _show_more(self, title: str, shown: list[str]) -> None:
        process = self._running[title]
        if "^C" in shown:
            at = shown.index("^C")
            process.expect(shown[:at])
            process.interrupt()
            self._ended.append(self._running.pop(title))
            process.expect(shown[at + 1 :])
            process.expect_no_more(shown)
            process.stop()
        else:
            process.expect(shown)

    def _fill_in(self, command: str) -> str:
        if _SOME_ADDRESS not in command:
            return command
        found = _ADDRESS.findall("\n".join(process.output for process in self._running.values()))
        if not found:
            raise Mismatch(f"{command}\nneeds an address, and none was printed")
        return command.replace(_SOME_ADDRESS, found[-1])


def _split(text: str) -> list[object]:
    """The lines before the first command, then each command with the lines below it."""
    parts: list[object] = [[]]
    shown: list[str] = parts[0]  # type: ignore[assignment]
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line.removeprefix("$ ")
            while command.endswith("\\"):
                command = command[:-1] + next(lines).removeprefix("> ")
            shown = []
            parts.append((command, shown))
        else:
            shown.append(line)
    return parts


@contextmanager
def desk(folder: Path, *programs: Path) -> Iterator[Desk]:
    """A desk that is cleared at the end."""
    found = Desk(folder, *programs)
    try:
        yield found
    finally:
        found.close()


async def run_fragments(page: Path) -> None:
    """Run the ``python`` blocks without a title, one after the other in one namespace, as in a notebook."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "python" and not block.is_file:
            source = "\n" * (block.line - 1) + block.text
            code = compile(source, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            result = eval(code, namespace)
            if inspect.isawaitable(result):
                await result


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
