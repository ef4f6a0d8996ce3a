import sys

import pytest

from tests.webrtc_signaling.browsers import http_url, serve
from tests.webrtc_signaling.samples import ALICE
from webrtc_signaling.server.app import SERVICE

pytestmark = pytest.mark.anyio


async def get(server, path):
    async with server.http.get(http_url(server, path)) as response:
        return response.status, await response.json()


async def test_health():
    async with serve() as server, server.registered(ALICE), server.browser():
        assert await get(server, "/healthz") == (200, {"status": "ok", "connections": 2, "registrations": 1})


async def test_ready_until_a_check_says_why_not():
    async with serve() as server:
        assert await get(server, "/readyz") == (200, {"ready": True, "reasons": []})
        server.app[SERVICE].readiness.checks.append(lambda: "Redis doesn't answer")
        assert await get(server, "/readyz") == (503, {"ready": False, "reasons": ["Redis doesn't answer"]})
        assert (await get(server, "/healthz"))[0] == 200


async def test_a_server_that_ends_is_alive_and_not_ready():
    async with serve() as server:
        server.app[SERVICE].readiness.end()
        assert await get(server, "/readyz") == (
            503,
            {"ready": False, "reasons": ["the server is shutting down"]},
        )
        async with server.registered(ALICE):
            assert (await get(server, "/healthz"))[0] == 200


async def test_without_the_extra_there_are_no_metrics(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "webrtc_signaling.server.metrics", raising=False)
    async with serve() as server, server.http.get(http_url(server, "/metrics")) as response:
        assert response.status == 404
        assert "pip install 'webrtc-transport[metrics]'" in await response.text()


async def test_the_status_page():
    async with serve() as server, server.http.get(http_url(server, "/status")) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
