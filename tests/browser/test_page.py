"""The demo page of the rendezvous server, in real browsers, against peers in Python."""

import re
import signal
import time

from webrtc_transport import Identity

TRANSFER_TIMEOUT = 60


def milliseconds(text):
    return float(re.fullmatch(r"([\d.]+) ms", text)[1])


def connected(seen):
    return seen["connection"] == "connected"


def problem(code):
    return lambda seen: seen["problem"] is not None and seen["problem"]["code"] == code


def assert_readable(problem):
    """A title and a cure in whole sentences."""
    assert len(problem["title"].split()) >= 4
    assert problem["cure"].endswith((".", "?", "…"))


HANG_UP_AMID_A_TRANSFER = """new Promise((resolve) => {
    const look = () => {
        if (document.getElementById("transfer-progress").value === 0) return void setTimeout(look, 1);
        document.getElementById("hang-up").click();
        resolve(true);
    };
    document.getElementById("transfer").click();
    look();
})"""


class TestConnection:
    def test_echo_round_trips_transfer_and_close(self, browser, peer, server):
        with browser.page(server.page_url) as page:
            page.connect(peer.address)
            seen = page.wait(lambda seen: connected(seen) and "first" in seen["phases"])
            assert seen["remotePeer"] == peer.peer_id
            assert seen["problem"] is None
            assert list(seen["phases"]) == ["prepare", "signaling", "ice", "dtls", "sctp", "first"]
            assert all(0 <= time < 5000 for time in seen["phases"].values())
            assert page.wait(lambda seen: seen["pair"])["pair"] in ("host", "prflx")
            told = peer.process.wait_for_event("connected", peer=seen["ownPeer"])
            assert told["pair"] in ("host", "prflx")

            text = "Grüße aus dem Browser 🚀"
            page.type("#echo-text", text)
            page.click("#echo-send")
            (echo,) = page.wait(lambda seen: seen["echoes"])["echoes"]
            assert echo["text"] == text
            assert echo["milliseconds"] > 0

            pings = page.wait(lambda seen: seen["pings"]["count"] >= 5)["pings"]
            assert milliseconds(pings["min"]) <= milliseconds(pings["median"]) <= milliseconds(pings["max"])
            assert pings["median"] in pings["label"]
            assert is_painted(page)

            page.click("#transfer")
            seen = page.wait(lambda seen: seen["transfer"] in ("good", "bad"), TRANSFER_TIMEOUT)
            assert seen["transfer"] == "good", seen["transferText"]
            assert seen["transferProgress"] == 1
            assert seen["transferRate"] > 0
            page.screenshot("connected")

            page.click("#hang-up")
            clicked = time.monotonic()
            closed = peer.process.wait_for_event("closed", peer=seen["ownPeer"])
            assert time.monotonic() - clicked < 1
            assert closed["error"] == "ConnectionClosed"
            seen = page.wait(lambda seen: seen["connection"] == "closed")
            assert seen["problem"] is None
            assert seen["canConnect"]
            assert page.log() == []

    def test_again_after_a_disconnect(self, browser, asyncio_peer, server):
        with browser.page(server.page_url) as page:
            for _ in range(3):
                page.connect(asyncio_peer.peer_id)
                page.wait(lambda seen: connected(seen) and seen["pings"]["count"] >= 1)
                page.click("#hang-up")
                page.wait(lambda seen: seen["connection"] == "closed")

    def test_peer_from_the_address_bar(self, browser, asyncio_peer, server):
        with browser.page(f"{server.page_url}#{asyncio_peer.peer_id}") as page:
            page.wait(lambda seen: seen["canConnect"] and seen["peer"] == asyncio_peer.peer_id)
            page.click("#connect")
            page.wait(connected)

    def test_leaving_the_page_closes_the_connection(self, browser, asyncio_peer, server):
        with browser.page(server.page_url) as page:
            page.connect(asyncio_peer.peer_id)
            own = page.wait(connected)["ownPeer"]
            left = time.monotonic()
            page.leave()
            asyncio_peer.process.wait_for_event("closed", peer=own)
            assert time.monotonic() - left < 1

    def test_closing_amid_a_transfer(self, browser, asyncio_peer, server):
        with browser.page(server.page_url) as page:
            page.connect(asyncio_peer.peer_id)
            own = page.wait(connected)["ownPeer"]
            # In the page itself: the transfer may take less time than a look at it from here.
            page.evaluate(HANG_UP_AMID_A_TRANSFER)
            asyncio_peer.process.wait_for_event("closed", peer=own, error="ConnectionClosed")
            seen = page.wait(lambda seen: seen["transfer"] == "bad")
            assert seen["problem"] is None
            page.connect(asyncio_peer.peer_id)
            page.wait(connected)

    def test_the_peer_closes(self, browser, network, server, engine):
        with network.peer(server, "trio", engine=engine) as peer, browser.page(server.page_url) as page:
            page.connect(peer.peer_id)
            page.wait(lambda seen: connected(seen) and seen["pings"]["count"] >= 1)
            peer.process.send_signal(signal.SIGINT)
            seen = page.wait(lambda seen: seen["problem"])
            assert seen["problem"]["code"] == "peer-closed"
            assert seen["connection"] == "closed"

    def test_the_peer_is_killed(self, browser, network, server, engine):
        with network.peer(server, "asyncio", engine=engine) as peer, browser.page(server.page_url) as page:
            page.connect(peer.peer_id)
            page.wait(lambda seen: connected(seen) and seen["pings"]["count"] >= 1)
            peer.process.send_signal(signal.SIGKILL)
            seen = page.wait(lambda seen: not connected(seen))
            assert seen["connection"] == "disconnected"
            assert "doesn't answer" in seen["connectionText"]
            page.click("#hang-up")
            page.wait(lambda seen: seen["connection"] == "closed")


class TestProblems:
    def test_no_usable_peer_id(self, browser, server):
        entered = {
            "": "bad-peer-id",
            "12D3KooW": "bad-peer-id",
            "/ip4/1.2.3.4/udp/4001/webrtc-direct": "bad-peer-id",
            "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N": "unsupported-key",
        }
        with browser.page(server.page_url) as page:
            for text, code in entered.items():
                page.connect(text)
                assert_readable(page.wait(problem(code))["problem"])

    def test_own_peer_id(self, browser, server):
        with browser.page(server.page_url) as page:
            own = page.wait(lambda seen: seen["canConnect"])["ownPeer"]
            page.connect(own)
            assert_readable(page.wait(problem("own-peer-id"))["problem"])

    def test_unknown_peer(self, browser, server):
        with browser.page(server.page_url) as page:
            page.connect(str(Identity.generate().peer_id))
            seen = page.wait(problem("peer-unknown"))
            assert_readable(seen["problem"])
            assert seen["connection"] == "failed"
            assert seen["canConnect"]
            page.screenshot("unknown-peer")

    def test_peer_that_has_left(self, browser, network, server):
        with network.peer(server, "asyncio") as peer, browser.page(server.page_url) as page:
            page.wait(lambda seen: seen["server"] == "registered")
            peer.process.stop(signal.SIGINT)
            page.connect(peer.peer_id)
            assert_readable(page.wait(problem("peer-unknown"))["problem"])

    def test_peer_that_does_not_listen(self, browser, server):
        with browser.page(server.page_url) as other, browser.page(server.page_url) as page:
            only_dials = other.wait(lambda seen: seen["server"] == "registered")["ownPeer"]
            page.connect(only_dials)
            assert_readable(page.wait(problem("peer-not-listening"))["problem"])

    def test_forged_answer(self, browser, network, server):
        with (
            network.peer(server, "asyncio", "--forge-answers") as peer,
            browser.page(server.page_url) as page,
        ):
            page.connect(peer.peer_id)
            seen = page.wait(problem("invalid-proof"))
            assert_readable(seen["problem"])
            assert "signature" in seen["problem"]["detail"]

    def test_blocked_network(self, browser, network, asyncio_peer, server):
        with browser.page(server.page_url) as page, network.namespace.udp_blocked():
            page.connect(asyncio_peer.peer_id)
            seen = page.wait(lambda seen: seen["problem"], timeout=45)
            assert_readable(seen["problem"])
            assert seen["problem"]["code"] == "ice-failed"


class TestServer:
    def test_restart_amid_a_connection(self, browser, network, engine):
        with network.server() as server, network.peer(server, "asyncio", engine=engine) as peer:
            with browser.page(server.page_url) as page:
                page.connect(peer.peer_id)
                pings = page.wait(lambda seen: connected(seen) and seen["pings"]["count"] >= 2)["pings"]
                server.stop()
                seen = page.wait(lambda seen: seen["server"] == "reconnecting")
                assert "reconnecting" in seen["serverText"]
                page.screenshot("reconnecting")
                # Nothing but new connections needs the server.
                page.wait(lambda seen: connected(seen) and seen["pings"]["count"] >= pings["count"] + 4)
                server.start()
                page.wait(lambda seen: seen["server"] == "registered")
                page.click("#hang-up")
                page.wait(lambda seen: seen["connection"] == "closed")
                self.connect_when_the_peer_is_back(page, peer)

    @staticmethod
    def connect_when_the_peer_is_back(page, peer):
        """The peer reconnects too, by its own clock; until then the server holds the offer back."""
        page.connect(peer.peer_id)
        seen = page.wait(lambda seen: connected(seen) or seen["problem"], timeout=30)
        assert connected(seen), seen["problem"]

    def test_dialing_without_it(self, browser, network):
        with network.server() as server, browser.page(server.page_url) as page:
            page.wait(lambda seen: seen["server"] == "registered")
            server.stop()
            seen = page.wait(problem("server-down"))
            assert_readable(seen["problem"])
            page.connect(str(Identity.generate().peer_id))
            seen = page.wait(lambda seen: seen["connection"] == "failed")
            assert seen["problem"]["code"] == "server-down"
            page.screenshot("server-down")
            server.start()
            seen = page.wait(lambda seen: seen["server"] == "registered")
            assert seen["problem"] is None


class TestUnsuitableBrowser:
    def test_no_ed25519(self, browser, server):
        script = "crypto.subtle.generateKey = () => Promise.reject(new Error('x'))"
        with browser.page(server.page_url, script=script) as page:
            seen = page.wait(problem("no-ed25519"))
            assert_readable(seen["problem"])
            assert not seen["canConnect"]

    def test_no_webrtc(self, browser, server):
        with browser.page(server.page_url, script="delete globalThis.RTCPeerConnection") as page:
            assert_readable(page.wait(problem("no-webrtc"))["problem"])

    def test_insecure_page(self, browser, network, server):
        with browser.page(server.page_url.replace("127.0.0.1", network.namespace.address)) as page:
            seen = page.wait(problem("insecure-page"))
            assert_readable(seen["problem"])
            assert "localhost" in seen["problem"]["cure"]


class TestLayout:
    def test_nothing_is_wider_than_the_window(self, browser, asyncio_peer, server):
        sizes = [(360, 740), (768, 1024), (1400, 900)]
        with browser.page(server.page_url) as page:
            page.wait(lambda seen: seen["canConnect"])
            self.check(page, sizes, "start")
            page.connect(asyncio_peer.peer_id)
            page.wait(lambda seen: connected(seen) and seen["pings"]["count"] >= 2)
            page.type("#echo-text", "x" * 200)
            page.click("#echo-send")
            page.wait(lambda seen: seen["echoes"])
            self.check(page, sizes, "connected")

    @staticmethod
    def check(page, sizes, name):
        for width, height in sizes:
            page.resize(width, height)
            assert page.look()["overflow"] <= 0, f"{name} at a width of {width}"
            page.screenshot(f"{name}-{width}")


def is_painted(page):
    """Whether the plot has more colors than an empty one with its axes."""
    return page.evaluate(
        """(() => {
            const canvas = document.getElementById("plot");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let blue = 0;
            for (let i = 0; i < data.length; i += 4) {
                if (data[i + 3] > 200 && data[i + 2] - data[i] > 80) blue += 1;
            }
            return blue > 50;
        })()"""
    )
