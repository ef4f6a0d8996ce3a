"""The tutorial "A server that browsers can dial", worked through in browsers."""

import subprocess
import sys

import pytest

from tests.browser.driver import running_browser
from tests.docs.pages import DOCS, blocks
from tests.interop_direct.peers import CACHE, build
from tests.namespaces import network_namespace
from tests.processes import running
from tests.webrtc_libp2p.test_browser_chat import wait

PAGE = DOCS / "tutorials" / "browser-direct.md"


@pytest.mark.parametrize("kind", ["chromium", "firefox"])
def test_the_server(tmp_path, kind):
    build("js")
    for block in blocks(PAGE):
        if block.is_file:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(CACHE / "js" / "node_modules")
    esbuild = tmp_path / "node_modules" / "@esbuild" / "linux-x64" / "bin" / "esbuild"
    subprocess.run(
        [esbuild, "page.js", "--bundle", "--outfile=bundle.js"], cwd=tmp_path, check=True, timeout=60
    )
    with network_namespace() as namespace:
        here = {"cwd": tmp_path}
        web = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "8000"]
        with (
            running(namespace.command(sys.executable, "server.py"), **here) as server,
            running(namespace.command(*web), **here) as files,
        ):
            address = server.wait_for(f"/ip4/{namespace.address}/udp/4001/webrtc-direct/certhash/")
            server.wait_for("/ip4/127.0.0.1/udp/4001/webrtc-direct/certhash/")
            files.wait_for("HTTP")
            with (
                running_browser(kind, namespace) as browser,
                browser.page("http://127.0.0.1:8000") as page,
            ):
                page.type("#address", address)
                page.click("#dial")
                wait(page, "document.getElementById('state').textContent.startsWith('Connected')")
                page.type("#text", "Grüße aus dem Browser")
                page.click("#send")
                assert server.read_line() == "page: Grüße aus dem Browser\n"
                shown = "document.querySelector('li:not(.own)')?.textContent"
                wait(page, f"{shown} === 'GRÜSSE AUS DEM BROWSER'")
                page.screenshot("capitals")
            with (
                running_browser(kind, namespace) as browser,
                browser.page("http://127.0.0.1:8000") as page,
            ):
                wrong = address[:-1] + ("a" if address[-1] != "a" else "b")
                page.type("#address", wrong)
                page.click("#dial")
                wait(page, "document.getElementById('state').textContent.includes('Error')")
