import pytest

from tests.webrtc_signaling.servers import scripted_server, signaling_server
from webrtc_transport.cli.doctor.findings import Outcome, bounded
from webrtc_transport.cli.doctor.signaling import check_signaling

pytestmark = pytest.mark.anyio

TOKEN_CURE = "give a token that the server's operator has made for you: --token"


async def test_a_server_that_works(signaling_url):
    (found,) = await check_signaling(signaling_url)
    assert found.outcome is Outcome.OK, found
    assert found.details["registration_ms"] > 0
    assert found.details["trip_ms"] > 0


async def test_nobody_there(unused_port):
    (found,) = await check_signaling(f"ws://127.0.0.1:{unused_port}")
    assert found.outcome is Outcome.FAILED
    assert "connection refused" in found.found
    assert found.cure


@pytest.mark.parametrize("url", ["nothing", "gopher://here", "ws://", "ws://here:9x"])
async def test_no_url(url):
    (found,) = await bounded("signaling", 5, "", lambda: check_signaling(url))
    assert found.outcome is Outcome.FAILED
    assert url in found.found
    assert found.cure == "use a URL like wss://host:port"


async def test_what_helps_who_is_refused(key_file, token):
    async with signaling_server(token_key_file=key_file) as server:
        (found,) = await check_signaling(f"{server.url}#token={token()}")
        assert found.outcome is Outcome.OK, found
        for url in (server.url, f"{server.url}#token={token(-1)}", f"{server.url}#token=eyJnonsense"):
            (found,) = await check_signaling(url)
            assert (found.outcome, found.cure) == (Outcome.FAILED, TOKEN_CURE)
            assert "eyJ" not in found.found


async def test_secrets_in_the_url_are_not_shown(signaling_url, unused_port):
    for url in (signaling_url, f"ws://127.0.0.1:{unused_port}", "gopher://here"):
        place = url.partition("://")[2]
        (found,) = await check_signaling(url.replace("//", "//anna:SECRET@") + "/?token=SECRET")
        assert f"://…@{place}/?…: " in found.found
        assert "SECRET" not in str(found)


async def test_a_server_of_something_else():
    async def script(socket):
        await socket.send_str("hello")

    async with scripted_server(script) as server:
        (found,) = await check_signaling(server.url)
    assert found.outcome is Outcome.FAILED
    assert "rendezvous protocol" in found.found
