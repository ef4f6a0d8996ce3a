"""Prometheus metrics of a transport. Needs the extra ``metrics``."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import REGISTRY, Collector

from .transport import WebRTCTransport

PREFIX = "webrtc_transport"


class TransportCollector(Collector):
    """Tells Prometheus the statistics of one transport, labelled with its peer id, when it asks.

    :param registry: where it registers itself; the process-wide one by default
    """

    def __init__(self, transport: WebRTCTransport, registry: CollectorRegistry = REGISTRY) -> None:
        self._transport = transport
        self._registry = registry
        registry.register(self)

    def unregister(self) -> None:
        """Tell nothing any more."""
        self._registry.unregister(self)

    def describe(self) -> Iterator[Metric]:
        """The metrics, without values: registering asks for their names."""
        yield from self.collect()

    def collect(self) -> Iterator[Metric]:
        """The metrics, now."""
        statistics = self._transport.statistics()
        peer = [str(self._transport.peer_id)]
        gauges = {
            "connections": ("Connections that stand, or are being set up", statistics.connections),
            "streams": ("Streams whose channel is open", statistics.streams),
        }
        counters = {
            "connected": ("Connections that were set up", statistics.connected),
            "failed": ("Connections that could not be set up", statistics.failed),
            "payload_sent_bytes": ("Payload sent on streams", statistics.payload_sent),
            "payload_received_bytes": ("Payload received on streams", statistics.payload_received),
        }
        for name, (help_text, value) in gauges.items():
            gauge = GaugeMetricFamily(f"{PREFIX}_{name}", help_text, labels=["peer"])
            gauge.add_metric(peer, value)
            yield gauge
        for name, (help_text, value) in counters.items():
            counter = CounterMetricFamily(f"{PREFIX}_{name}", help_text, labels=["peer"])
            counter.add_metric(peer, value)
            yield counter
