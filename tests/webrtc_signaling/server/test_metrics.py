import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.webrtc_signaling.browsers import OFFER_DATA, http_url, serve
from tests.webrtc_signaling.samples import ALICE, BOB

pytestmark = pytest.mark.anyio

NOBODY = "12D3KooWLRPJAA5o6ssLNVsuYF4V8PzRT7X1NSNJYRCSWJHKEYmi"
DASHBOARD = Path(__file__).parents[3] / "deploy" / "grafana" / "webrtc-signaling.json"


async def metrics(server):
    async with server.http.get(http_url(server, "/metrics")) as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        families = list(text_string_to_metric_families(await response.text()))
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


async def test_what_goes_on_shows_up():
    async with serve() as server, server.registered(ALICE) as alice, server.registered(BOB) as bob:
        await alice.signal("offer", str(BOB.peer_id), OFFER_DATA)
        await bob.receive()
        await alice.signal("offer", NOBODY, OFFER_DATA, session="s" * 16)
        await alice.receive()
        async with server.http.post(http_url(server, "/poll")) as response:
            assert response.status == 201
        found = await metrics(server)
    expected = {
        ("webrtc_signaling_registrations", "connected"): 2,
        ("webrtc_signaling_registrations", "away"): 0,
        ("webrtc_signaling_connections", "websocket"): 2,
        ("webrtc_signaling_connections", "long-poll"): 1,
        ("webrtc_signaling_connections_opened_total", "websocket"): 2,
        ("webrtc_signaling_messages_routed_total", "offer"): 1,
        ("webrtc_signaling_messages_routed_total", "bye"): 0,
        ("webrtc_signaling_failures_total", "peer-not-found"): 1,
        ("webrtc_signaling_sessions",): 1,
        ("webrtc_signaling_ready",): 1,
        ("webrtc_signaling_message_latency_seconds_count",): 1,
        ("webrtc_signaling_message_latency_seconds_bucket", "+Inf"): 1,
        ("webrtc_signaling_http_responses_total", "101"): 2,
        ("webrtc_signaling_http_responses_total", "201"): 1,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found[("webrtc_signaling_queued_bytes",)] > 0
    assert found[("process_resident_memory_bytes",)] > 0


async def test_the_latency_says_what_it_leaves_out():
    async with serve() as server, server.http.get(http_url(server, "/metrics")) as response:
        [text] = [
            line for line in (await response.text()).split("\n") if "HELP" in line and "latency" in line
        ]
    assert "neither the way between" in text


async def test_clients_that_send_too_much_are_counted():
    async with serve(max_message_burst=1, max_messages_per_second=0.001) as server:
        async with server.registered(ALICE) as alice:
            for _ in range(2):
                await alice.send_json({"version": 1, "type": "ack", "ack": 0})
            assert await alice.refusal() == "rate-limited"
        found = await metrics(server)
    assert found[("webrtc_signaling_rate_limited_total", "messages")] == 1
    assert found[("webrtc_signaling_failures_total", "rate-limited")] == 1


async def test_the_dashboard_shows_what_there_is():
    """Each metric that it names."""
    async with serve() as server, server.registered(ALICE) as alice:
        await alice.signal("offer", NOBODY, OFFER_DATA)
        await alice.receive()
        there = {name for name, *_ in await metrics(server)}
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    named = {
        name
        for text in expressions
        for name in re.findall(r"\b(?:webrtc_signaling|process|python)_\w+", text)
    }
    assert len(expressions) > 8
    assert named <= there
    for name in there:
        if name.startswith("webrtc_signaling_") and not name.endswith(("_info", "_count", "_sum")):
            assert name in named, f"{name} is on no panel"
