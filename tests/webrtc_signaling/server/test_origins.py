"""Pages from elsewhere are refused, on every way in, unless the operator names them."""

import aiohttp
import pytest

from tests.webrtc_signaling.browsers import http_url, serve
from tests.webrtc_signaling.pollers import HEADER, Poller
from tests.webrtc_signaling.samples import ALICE
from webrtc_signaling.server.origins import Origins
from webrtc_transport.errors import ConfigurationError

pytestmark = pytest.mark.anyio

EVIL, FRIEND = "https://evil.example", "https://app.example.org"


def own(server):
    return http_url(server, "")


FOREIGN = [
    EVIL,
    "null",
    "",
    "nonsense",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "http://127.0.0.1:99999999",
    "http://[::1",
    "file://",
    "chrome-extension://abcdef",
    f"{FRIEND}.evil.example",
    "https://app.example.org@evil.example",
    "https://evil.example#https://app.example.org",
    "https://evil.example/https://app.example.org",
]


@pytest.mark.parametrize("path", ["/", "/ws"])
@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_page_from_elsewhere_gets_no_websocket(path, origin):
    async with serve(allowed_origins=[FRIEND]) as server:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await server.connect(path, headers={"Origin": origin})
        assert caught.value.status == 403


@pytest.mark.parametrize("origin", FOREIGN)
async def test_nor_does_it_get_polls(origin):
    async with serve(allowed_origins=[FRIEND]) as server:
        poller = await Poller(server, ALICE).open()
        headers = {"Origin": origin}
        for method in ("POST", "GET", "DELETE", "OPTIONS"):
            await poller.request(method, status=403, headers=headers, params={"received": 0, "wait": 0})


@pytest.mark.parametrize("path", ["/", "/ws"])
async def test_its_own_page_gets_in_and_so_does_who_is_no_browser(path):
    async with serve() as server:
        for headers in ({"Origin": own(server)}, {}, {"Origin": own(server).replace("http:", "https:")}):
            async with server.connect(path, headers=headers):
                pass


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("signaling.example.org", "https://signaling.example.org"),
        ("signaling.example.org", "https://SIGNALING.example.org"),
        ("signaling.example.org:443", "https://signaling.example.org"),
        ("signaling.example.org:8443", "https://signaling.example.org:8443"),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
async def test_its_own_page_behind_a_proxy(host, origin):
    async with serve() as server:
        async with server.connect(headers={"Host": host, "Origin": origin}):
            pass


async def test_a_page_that_is_named_gets_in_and_its_browser_is_told():
    async with serve(allowed_origins=[FRIEND]) as server:
        async with server.connect(headers={"Origin": FRIEND}):
            pass
        asked = {"Origin": FRIEND, "Access-Control-Request-Method": "POST"}
        async with server.http.options(http_url(server, "/poll"), headers=asked) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == FRIEND
            assert HEADER in response.headers["Access-Control-Allow-Headers"]
        async with server.http.post(http_url(server, "/poll"), headers=asked) as response:
            assert response.status == 201
            assert response.headers["Access-Control-Allow-Origin"] == FRIEND
            assert response.headers["Vary"] == "Origin"


async def test_answers_to_others_allow_nothing():
    async with serve(allowed_origins=[FRIEND]) as server:
        for headers in ({}, {"Origin": EVIL}):
            async with server.http.get(http_url(server, "/healthz"), headers=headers) as response:
                assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("allowed", [FRIEND, "*"])
@pytest.mark.parametrize(
    "path", ["/healthz", "/status.json", "/metrics", "/openapi.json", "/", "/poll/", "/none"]
)
async def test_pages_that_are_let_in_read_polls_alone(path, allowed):
    async with serve(allowed_origins=[allowed]) as server:
        async with server.http.get(http_url(server, path), headers={"Origin": FRIEND}) as response:
            assert not [name for name in response.headers if name.startswith("Access-Control")]


async def test_a_star_allows_all():
    async with serve(allowed_origins=["*"]) as server:
        async with server.connect(headers={"Origin": "null"}):
            pass


@pytest.mark.parametrize(
    "wrong", ["app.example.org", "https://app.example.org/", "https://", "ftp://a", "https://a:x", "null", ""]
)
def test_what_is_no_origin_is_told(wrong):
    with pytest.raises(ConfigurationError, match="is no origin; write one like https://app"):
        Origins([wrong])
