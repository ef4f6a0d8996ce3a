import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.pairs import echo, read_all, serving, transport
from webrtc_transport.errors import PeerUnreachable
from webrtc_transport.identity import Identity
from webrtc_transport.metrics import TransportCollector

pytestmark = pytest.mark.anyio


async def test_what_prometheus_sees():
    registry = CollectorRegistry()
    async with transport() as server, transport() as client:
        collector = TransportCollector(client, registry)

        def value(name):
            return registry.get_sample_value(f"webrtc_transport_{name}", {"peer": str(client.peer_id)})

        assert value("connections") == 0
        listener = await server.listen("/webrtc")
        connection = await client.dial(listener.addresses[0])
        inbound = await listener.accept()
        async with serving(inbound, echo):
            stream = await connection.open_stream()
            await stream.send(b"hello")
            await stream.send_eof()
            assert value("streams") == 1
            assert await read_all(stream) == b"hello"
            assert value("connections") == 1
            assert value("connected_total") == 1
            assert value("payload_sent_bytes_total") == 5
            assert value("payload_received_bytes_total") == 5
        await connection.aclose()
        assert value("connections") == 0
        assert value("payload_sent_bytes_total") == 5
        with pytest.raises(PeerUnreachable):
            await client.dial(f"/webrtc/p2p/{Identity.generate().peer_id}")
        collector.unregister()
        assert generate_latest(registry) == b""


async def test_a_transport_that_has_ended_tells_zeros():
    registry = CollectorRegistry()
    async with transport() as client:
        TransportCollector(client, registry)
    assert b"webrtc_transport_connections" in generate_latest(registry)
