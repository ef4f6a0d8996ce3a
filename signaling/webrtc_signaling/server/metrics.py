"""Prometheus metrics of the server. Needs the extra ``metrics``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import accumulate
from typing import Final

from prometheus_client import GC_COLLECTOR, CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from .hub import Hub
from .readiness import Readiness
from .settings import ServerSettings

PREFIX: Final = "webrtc_signaling"

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_TOO_MANY_REQUESTS: Final = 429


class ServerCollector(Collector):
    """Tells Prometheus what the server knows, when it asks: counting costs nothing but the counts."""

    def __init__(self, hub: Hub, readiness: Readiness, settings: ServerSettings) -> None:
        self._hub = hub
        self._readiness = readiness
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        """The metrics, now."""
        yield from self._gauges()
        yield from self._counters()
        yield self._latency()

    def _gauges(self) -> Iterator[Metric]:
        hub, statistics = self._hub, self._hub.journal.statistics
        yield _gauge("info", "The release that runs", "version", {version("webrtc-transport"): 1})
        peers = {"connected": len(hub) - hub.away, "away": hub.away}
        yield _gauge("registrations", "Peers that are registered, connected or away", "state", peers)
        yield _gauge("connections", "Connections of clients that are open", "wire", statistics.connections())
        for name, text, value in (
            ("ready", "Whether new clients should come: 1, or 0", int(not self._readiness.reasons())),
            (
                "clients_limit",
                "Connections, and registrations, that there may be",
                self._settings.max_clients,
            ),
            ("sessions", "Sessions that clients of this server began, not ended", hub.sessions),
            ("queued_bytes", "Bytes that wait for clients, or for their acknowledgement", hub.queued_bytes),
            ("queued_bytes_limit", "Bytes that may wait for clients", self._settings.max_total_queued_bytes),
        ):
            yield GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)

    def _counters(self) -> Iterator[Metric]:
        statistics = self._hub.journal.statistics
        limited = {
            "messages": statistics.failures["rate-limited"],
            "requests": statistics.responses[_TOO_MANY_REQUESTS],
        }
        for name, text, label, values in (
            ("connections_opened", "Connections of clients that began", "wire", statistics.opened),
            ("registered", "Registrations, new or resumed", "kind", statistics.registered),
            ("messages_routed", "Signals put into the queue of their recipient", "type", statistics.routed),
            ("failures", "Errors that clients were told", "code", statistics.failures),
            ("rate_limited", "Clients that sent too much, and requests that came too often", "what", limited),
            ("http_responses", "Responses to HTTP requests", "status", statistics.responses),
        ):
            yield _counter(name, text, label, {str(key): value for key, value in values.items()})

    def _latency(self) -> Metric:
        latency = self._hub.journal.statistics.latency
        bounds = [*map(str, latency.bounds), "+Inf"]
        return HistogramMetricFamily(
            f"{PREFIX}_message_latency_seconds",
            "From the arrival of a signal at this server to its first transmission, to its recipient or the "
            "recipient's server; in a cluster each of the two counts it, and neither the way between",
            buckets=list(zip(bounds, map(float, accumulate(latency.counts)), strict=True)),
            sum_value=latency.total,
        )


class Exposition:
    """The metrics as Prometheus reads them: those of the server and of its process."""

    def __init__(self, hub: Hub, readiness: Readiness, settings: ServerSettings) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(ServerCollector(hub, readiness, settings))
        self._registry.register(GC_COLLECTOR)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """All of them, now."""
        return generate_latest(self._registry)


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    gauge = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=[label])
    for key, value in values.items():
        gauge.add_metric([key], value)
    return gauge


def _counter(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    counter = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=[label])
    for key, value in values.items():
        counter.add_metric([key], value)
    return counter
