"""The tutorial "Chat between a browser and Python through a relay", worked through in Chromium."""

import re
import subprocess
import sys

from tests.browser.driver import running_browser
from tests.browser.nodejs import node_program, npm_packages
from tests.docs.pages import DOCS, blocks
from tests.namespaces import network_namespace
from tests.processes import running
from tests.webrtc_libp2p.network import JS

PAGE = DOCS / "tutorials" / "browser-chat.md"


def wait(page, expression, timeout=30):
    """Wait until ``expression`` is true in the page."""
    script = f"""new Promise((resolve, reject) => {{
        const at = performance.now();
        const look = () => {{
            if ({expression}) resolve(true);
            else if (performance.now() - at > {timeout * 1000}) reject(document.body.innerText);
            else setTimeout(look, 50);
        }};
        look();
    }})"""
    assert page.browser.command("evaluate", timeout=timeout + 10, page=page.number, expression=script)


STATE = "document.getElementById('state').textContent"
GREETING, FAREWELL = "A browser is there. Type something.\n", "The browser has left.\n"


def connect(page, attempts=4):
    """Press *Connect*, and again as people do: js-libp2p gives a dial 10 s, which a crowded machine may need alone."""
    for _ in range(attempts):
        page.click("#dial")
        wait(page, f"!/^(Not connected|Connecting)/.test({STATE})", timeout=60)
        state = page.evaluate(STATE)
        if state.startswith("Connected"):
            break
        assert re.search("time.?out|timed out|abort", state, re.IGNORECASE), state
    else:
        raise AssertionError(state)


def test_the_chat(tmp_path):
    for block in blocks(PAGE):
        if block.is_file:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(npm_packages(JS) / "node_modules")
    esbuild = tmp_path / "node_modules" / "@esbuild" / "linux-x64" / "bin" / "esbuild"
    subprocess.run(
        [esbuild, "chat.js", "--bundle", "--outfile=bundle.js"], cwd=tmp_path, check=True, timeout=60
    )
    with network_namespace() as namespace:
        here = {"cwd": tmp_path}
        web = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "8000"]
        with (
            running(namespace.command(node_program(), "relay.mjs"), **here) as relay,
            running(namespace.command(*web), **here) as server,
        ):
            address = relay.wait_for("/ip4/")
            server.wait_for("HTTP")
            with running(namespace.command(sys.executable, "chat.py", address), **here) as chat:
                listening = chat.wait_for("/ip4/")
                with (
                    running_browser("chromium", namespace) as browser,
                    browser.page("http://127.0.0.1:8000") as page,
                ):
                    page.type("#address", listening)
                    connect(page)
                    page.type("#text", "Grüße aus dem Browser")
                    page.click("#send")
                    assert chat.read_line() == GREETING
                    while (line := chat.read_line()) != "browser: Grüße aus dem Browser\n":
                        # Of a dial before.
                        assert line in (GREETING, FAREWELL)
                    chat.write_json("Hello from Python")
                    wait(
                        page,
                        "document.querySelector('li:not(.own)')?.textContent.includes('Hello from Python')",
                    )
                    page.screenshot("chat")
                    relay.stop()
                    page.type("#text", "without the relay")
                    page.click("#send")
                    assert chat.read_line() == "browser: without the relay\n"
                    page.leave()
                    assert chat.read_line(60) == FAREWELL
