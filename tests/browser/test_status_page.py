"""The status page of the rendezvous server, in real browsers."""

import contextlib
import sys
from pathlib import Path

import pytest

from tests.processes import running

TOKEN = "open-sesame-open-sesame"

SEEN = """({
    state: document.getElementById("state").dataset.state,
    stateText: document.getElementById("state").innerText,
    asks: !document.getElementById("access").hidden,
    cure: document.getElementById("access-cure").innerText,
    figures: !document.getElementById("figures").hidden,
    peers: Number(document.getElementById("peers").innerText),
    messages: Object.fromEntries([...document.querySelectorAll("#messages tr")].map((row) =>
        [row.cells[0].innerText, Number(row.cells[1].innerText)])),
    latency: document.getElementById("latency").innerText,
    rate: document.getElementById("rate-plot").getAttribute("aria-label"),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    painted: [...document.querySelectorAll("canvas")].map((canvas) => {
        if (canvas.width === 0 || canvas.getClientRects().length === 0) return 0;
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let blue = 0;
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && data[i + 2] - data[i] > 80) blue += 1;
        return blue;
    }),
})"""

UNTIL = """new Promise((resolve) => {
    const deadline = Date.now() + 20000;
    const look = () => {
        const seen = %s;
        if ((%s)(seen) || Date.now() > deadline) resolve(seen);
        else requestAnimationFrame(look);
    };
    look();
})"""


def wait(page, condition):
    """Look until a JavaScript function says yes to what is seen; returns that."""
    seen = page.evaluate(UNTIL % (SEEN, condition))
    assert page.evaluate(f"({condition})({SEEN})"), seen
    return seen


@pytest.fixture
def guarded(network):
    """A server with a token, as others see it."""
    program = Path(sys.executable).with_name("webrtc-signaling")
    command = [program, "serve", "--host", "0.0.0.0", "--port", "0", "--operator-token", TOKEN]
    with running(network.namespace.command(*command)) as process:
        port = process.wait_for("ws://").strip().rpartition(":")[2]
        yield f"http://{network.namespace.address}:{port}/status"


def test_peers_and_messages_show_up(browser, network, server):
    with (
        network.peer(server, "asyncio") as peer,
        browser.page(f"{server.page_url}status") as page,
        browser.page(server.page_url) as demo,
    ):
        before = wait(page, "(seen) => seen.figures && seen.peers >= 2 && seen.painted[0] > 50")
        assert (before["state"], before["stateText"]) == ("ready", "Ready")
        demo.connect(peer.peer_id)
        demo.wait(lambda seen: seen["connection"] == "connected")
        offers = before["messages"]["offer"]
        seen = wait(page, f"(seen) => seen.messages.offer > {offers} && seen.painted[1] > 50")
        assert seen["messages"]["answer"] > 0
        assert seen["latency"].startswith(("≤ ", "over "))
        assert "at most in five minutes" in seen["rate"]
        # Chromium has advice for who reads canvases, as this test does.
        assert [line for line in page.log() if "willReadFrequently" not in line] == []


def test_the_demo_page_leads_there_and_back(browser, server):
    with browser.page(server.page_url) as page:
        page.click('a[href="status"]')
        wait_for_url(page, "/status")
        wait(page, "(seen) => seen.figures")
        page.click('a[href="./"]')
        wait_for_url(page, "/")
        page.wait(lambda seen: seen["canConnect"])


def test_it_asks_for_the_token(browser, guarded):
    with browser.page(guarded) as page:
        seen = wait(page, "(seen) => seen.asks")
        assert seen["cure"] == "The server wants the operator's token."
        assert not seen["figures"]
        page.screenshot("status-token")
        page.type("#token", "wrong")
        page.click("#token-form button")
        wait(page, '(seen) => seen.cure === "The server doesn\'t know this token."')
        page.type("#token", TOKEN)
        page.click("#token-form button")
        seen = wait(page, "(seen) => seen.figures && !seen.asks")
        assert seen["state"] == "ready"


def test_without_a_token_it_is_for_this_machine_alone(browser, network, server):
    with browser.page(f"{server.page_url}status".replace("127.0.0.1", network.namespace.address)) as page:
        seen = wait(page, "(seen) => seen.asks")
        assert "set operator_token" in seen["cure"]


def test_a_server_that_is_gone_and_back_again(browser, network):
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(network.server())
        page = stack.enter_context(browser.page(f"{other.page_url}status"))
        wait(page, "(seen) => seen.state === 'ready'")
        other.stop()
        wait(page, "(seen) => seen.state === 'no-answer'")
        other.start()
        wait(page, "(seen) => seen.state === 'ready'")


def test_nothing_is_wider_than_the_window(browser, server):
    with browser.page(f"{server.page_url}status") as page:
        wait(page, "(seen) => seen.figures && seen.painted[0] > 0")
        for width, height in [(360, 740), (768, 1024), (1400, 900)]:
            page.resize(width, height)
            assert wait(page, "(seen) => seen.figures")["overflow"] <= 0, width
            page.screenshot(f"status-{width}")


def wait_for_url(page, path):
    page.evaluate(
        f"""new Promise((resolve) => {{
            const look = () => location.pathname === "{path}" && document.readyState === "complete"
                ? resolve(true) : setTimeout(look, 10);
            look();
        }})"""
    )
