"""A browser, and the demo page in it, as tests see them."""

import contextlib
import os
import tempfile
import time
from pathlib import Path

from tests.browser.nodejs import HERE, node_program, npm_packages
from tests.processes import running
from tests.requirements import require_program

SCREENSHOTS = os.environ.get("WEBRTC_TEST_SCREENSHOTS")
"""A folder to save screenshots in; none are made without it."""

_PROGRAMS = {"chromium": ("chromium",), "firefox": ("firefox-esr", "firefox")}
_START_TIMEOUT = 60
_COMMAND_TIMEOUT = 30
_LONGEST_PAUSE = 250
"""Milliseconds until the page is looked at again if nothing on it changes: what is typed is no change of it."""


class Browser:
    """A headless browser that runs. :func:`running_browser` makes it."""

    def __init__(self, kind, process):
        self.kind = kind
        self._process = process
        self._commands = 0
        self.version = self.command("version", timeout=_START_TIMEOUT)

    def command(self, name, *, timeout=_COMMAND_TIMEOUT, **parameters):
        """Send one command to ``drive.mjs``, and return its result."""
        self._commands += 1
        self._process.write_json({"id": self._commands, "command": name, **parameters})
        # Answers to commands that took too long come before it.
        while (answer := self._process.read_json(timeout))["id"] != self._commands:
            pass
        assert "error" not in answer, f"{name} {parameters}: {answer['error']}"
        return answer["result"]

    @contextlib.contextmanager
    def page(self, url, script=None):
        """The demo page, opened in a profile of its own; ``script`` runs in it before its own scripts."""
        page = Page(self, self.command("open", url=url, script=script))
        try:
            yield page
        finally:
            self.command("close", page=page.number)


class Page:
    """The demo page."""

    def __init__(self, browser, number):
        self.browser = browser
        self.number = number

    def look(self):
        """What a person sees now; ``drive.mjs`` says how."""
        return self.browser.command("look", page=self.number)

    def wait(self, condition, timeout=20):
        """Look until ``condition`` holds for what is seen, and return that."""
        deadline = time.monotonic() + timeout
        while True:
            seen = self.look()
            if condition(seen):
                return seen
            assert time.monotonic() < deadline, f"not within {timeout} s; seen: {seen}; log: {self.log()}"
            self.browser.command("change", page=self.number, milliseconds=_LONGEST_PAUSE)

    def log(self):
        """What is in the console."""
        return self.browser.command("log", page=self.number)

    def type(self, selector, text):
        """Replace the content of an input field."""
        self.browser.command("type", page=self.number, selector=selector, text=text)

    def click(self, selector):
        """Click on an element."""
        self.browser.command("click", page=self.number, selector=selector)

    def resize(self, width, height):
        """Change the size of the window."""
        self.browser.command("resize", page=self.number, width=width, height=height)

    def leave(self):
        """Go to an empty page."""
        self.browser.command("leave", page=self.number)

    def evaluate(self, expression):
        """The value of a JavaScript expression."""
        return self.browser.command("evaluate", page=self.number, expression=expression)

    def connect(self, peer):
        """Enter a peer, and click on Connect."""
        self.wait(lambda seen: seen["canConnect"])
        self.type("#peer", peer)
        self.click("#connect")

    def screenshot(self, name):
        """Save a picture of the whole page, if somebody wants one."""
        if SCREENSHOTS:
            folder = Path(SCREENSHOTS)
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{self.browser.kind}-{name}.png"
            self.browser.command("screenshot", page=self.number, path=str(path.resolve()))


@contextlib.contextmanager
def running_browser(kind, namespace, color_scheme="light"):
    """A headless ``chromium`` or ``firefox`` in a network namespace; the color scheme is ``light`` or ``dark``."""
    program = require_program(*_PROGRAMS[kind])
    node, packages = node_program(), npm_packages()
    with tempfile.TemporaryDirectory(prefix="webrtc-browser-", ignore_cleanup_errors=True) as profile:
        driver = (node, HERE / "drive.mjs", kind, program, packages, profile, color_scheme)
        with running(namespace.command(*driver)) as process:
            browser = Browser(kind, process)
            yield browser
            process.close_input()
