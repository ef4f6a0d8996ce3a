import pytest
from aiohttp.test_utils import make_mocked_request
from pydantic import SecretStr

from tests.webrtc_signaling.browsers import http_url, serve
from webrtc_signaling.server.operator_access import is_local

TOKEN = "open-sesame-open-sesame"


class Transport:
    def __init__(self, address):
        self.address = address

    def get_extra_info(self, name, default=None):
        return (self.address, 1234) if name == "peername" else default


def request(address="127.0.0.1", **headers):
    given = {"Host": "localhost:8765", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return make_mocked_request("GET", "/status.json", headers=given, transport=Transport(address))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "localhost:8765", "127.0.0.1:1", "[::1]:8765"])
def test_requests_of_this_machine(address, host):
    assert is_local(request(address, Host=host))


@pytest.mark.parametrize("address", ["192.0.2.1", "::ffff:192.0.2.1", "fe80::1%eth0", "nonsense"])
def test_requests_from_elsewhere(address):
    assert not is_local(request(address))


@pytest.mark.parametrize(
    "header", ["X_Forwarded_For", "X_Forwarded_Proto", "Forwarded", "forwarded", "Via", "X_Real_IP"]
)
def test_requests_through_a_proxy(header):
    assert not is_local(request(**{header: "127.0.0.1"}))


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:8765", "192.0.2.1", "", "[", "127.0.0.1@x"]
)
def test_names_that_somebody_lets_stand_for_this_machine(host):
    assert not is_local(request(Host=host))


@pytest.mark.parametrize(
    "origin",
    ["https://app.example.org", "http://192.0.2.1", "null", "", "[", "http://localhost.evil.example"],
)
def test_pages_from_elsewhere_in_a_browser_on_this_machine(origin):
    assert not is_local(request(Origin=origin))


@pytest.mark.parametrize("origin", ["http://localhost:8765", "http://127.0.0.1:1", "https://[::1]"])
def test_pages_of_this_machine(origin):
    assert is_local(request(Origin=origin))


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/metrics", "/status.json"])
async def test_who_gets_in(path):
    proxied = {"X-Forwarded-For": "127.0.0.1"}
    async with serve(operator_token=SecretStr(TOKEN)) as server:

        async def status(**headers):
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            async with server.http.get(http_url(server, path), headers=headers) as response:
                assert TOKEN not in await response.text()
                return response.status, response.headers.get("WWW-Authenticate")

        # A proxy that adds no header looks like that.
        assert await status() == (401, 'Bearer realm="operator"')
        assert await status(Authorization=f"Bearer {TOKEN}") == (200, None)
        assert await status(**proxied) == (401, 'Bearer realm="operator"')
        assert await status(**proxied, Authorization=f"Bearer {TOKEN}") == (200, None)
        assert await status(**proxied, Authorization=f"bearer  {TOKEN}") == (200, None)
        for wrong in (f"Basic {TOKEN}", TOKEN, "Bearer", "Bearer x", f"Bearer {TOKEN}x", "Bearer ümlaut"):
            assert (await status(**proxied, Authorization=wrong))[0] == 401
    async with serve() as server:
        assert await status() == (200, None)
        assert await status(**proxied, Authorization="Bearer ") == (403, None)


@pytest.mark.anyio
async def test_the_token_is_not_in_the_log(caplog):
    caplog.set_level("DEBUG")
    async with serve(operator_token=SecretStr(TOKEN)) as server:
        headers = {"X-Forwarded-For": "127.0.0.1", "Authorization": f"Bearer {TOKEN}"}
        async with server.http.get(http_url(server, "/metrics"), headers=headers) as response:
            assert response.status == 200
    assert TOKEN not in caplog.text
