"""Who a real browser lets in, and the page's token."""

import time

import pytest

from webrtc_signaling.server.tokens import TokenKey, make_token

CONNECT = """new Promise((resolve) => {{
  const socket = new WebSocket("{url}ws");
  socket.onopen = () => resolve("open");
  socket.onclose = () => resolve("closed");
}})"""

POLL = """fetch("{url}poll", {{ method: "POST" }}).then((response) => response.status, () => "refused")"""


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "token.key"
    path.write_bytes(b"0123456789abcdef0123456789abcdef")
    path.chmod(0o600)
    return path


def token_of(key_file):
    return make_token(TokenKey.load(key_file), expires_at=time.time() + 600)


def test_a_page_from_elsewhere_is_refused(browser, network, server):
    url = server.page_url
    with browser.page(url) as page:
        page.wait(lambda seen: seen["server"] == "registered")
        assert page.evaluate(CONNECT.format(url=url.replace("http", "ws"))) == "open"
        assert page.evaluate(POLL.format(url=url)) == 201
        # An empty page is from nowhere: its origin is null.
        page.leave()
        assert page.evaluate(CONNECT.format(url=url.replace("http", "ws"))) == "closed"
        assert page.evaluate(POLL.format(url=url)) == "refused"


def test_the_page_asks_for_a_token_and_takes_one(browser, network, key_file):
    with network.server("--token-key-file", key_file) as server:
        with browser.page(server.page_url) as page:
            seen = page.wait(lambda seen: seen["problem"] and seen["problem"]["code"] == "server-token")
            assert "token" in seen["problem"]["title"]
            page.screenshot("token")
            page.type("#token", "nonsense")
            page.click("#access button")
            page.wait(lambda seen: seen["server"] == "refused")
            page.type("#token", token_of(key_file))
            page.click("#access button")
            page.wait(lambda seen: seen["server"] == "registered")
            assert page.wait(lambda seen: not seen["problem"])


def test_a_link_may_have_a_token_which_does_not_stay_in_the_address(browser, network, key_file):
    with network.server("--token-key-file", key_file) as server:
        with browser.page(f"{server.page_url}#token={token_of(key_file)}&peer=12D3KooW") as page:
            page.wait(lambda seen: seen["server"] == "registered")
            assert page.evaluate("location.href") == f"{server.page_url}#12D3KooW"
            assert page.evaluate("document.querySelector('#peer').value") == "12D3KooW"
