"""What is measured, of which libraries, and what the ratios should be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .tools import folder, python

MIB = 1024 * 1024
KIB = 1024

Result = Mapping[str, float]
Figures = dict[str, float]


@dataclass(frozen=True)
class Program:
    """One end of a measurement."""

    command: tuple[str, ...]
    needs: str | None = None
    """A tool that must be installed."""
    slowness: int = 1
    """By how much the number of messages of a transfer is divided, so that a round of all takes minutes."""


@dataclass(frozen=True)
class Pair:
    """The two ends; for most, the same program."""

    accepts: Program
    dials: Program

    @property
    def needs(self) -> set[str]:
        """The tools that must be installed."""
        return {program.needs for program in (self.accepts, self.dials) if program.needs is not None}


def _peer(module: str, *arguments: str, tool: str | None = None, slowness: int = 1) -> Program:
    interpreter = sys.executable if tool is None else python(tool)
    return Program((interpreter, "-m", f"benchmarks.peers.{module}", *arguments), tool, slowness)


NODE_PROGRAM = Path(__file__).parent / "peers" / "datachannel.mjs"

PROGRAMS = {
    "native asyncio": _peer("facade", "native", "asyncio"),
    "native trio": _peer("facade", "native", "trio"),
    "direct asyncio": _peer("direct_facade", "asyncio"),
    "direct trio": _peer("direct_facade", "trio"),
    "libp2p direct": _peer("libp2p_direct", tool="libp2p"),
    "facade on aiortc": _peer("facade", "aiortc", "asyncio"),
    "facade on aiortc, trio": _peer("facade", "aiortc", "trio"),
    "aiortc": _peer("rtc", "aiortc", "plain"),
    "libp2p webrtc": _peer("libp2p_host", "webrtc", tool="libp2p", slowness=4),
    "libp2p tcp": _peer("libp2p_host", "tcp", tool="libp2p"),
    "libp2p quic": _peer("libp2p_host", "quic", tool="libp2p", slowness=4),
    "libdatachannel": Program(("node", str(NODE_PROGRAM), str(folder("node"))), "node"),
    "libwebrtc": _peer("rtc", "wrtc", "plain", tool="wrtc"),
}
"""By the names that tables give them. The first four are this library's default engine, by ``webrtc`` and by
``webrtc-direct``; ``libp2p direct`` is py-libp2p's transport for the latter, without its host."""

_FRAMED_LIBWEBRTC = _peer("rtc", "wrtc", "libp2p", tool="wrtc")
"""Speaks libp2p's framing, for the facade does."""


def _alike(*names: str) -> dict[str, Pair]:
    return {name: Pair(PROGRAMS[name], PROGRAMS[name]) for name in names}


@dataclass(frozen=True)
class Figure:
    """A number of a measure."""

    unit: str
    is_rate: bool = False
    """More is better."""


RATE, CPU = Figure("MiB/s", is_rate=True), Figure("CPU ms/MiB")
MESSAGES, CPU_MESSAGE = Figure("messages/s", is_rate=True), Figure("CPU us/message")
TIME, MEMORY = Figure("ms"), Figure("KiB")
DIAL_ALONE, DIAL_IN_CROWD = Figure("ms alone"), Figure("ms beside 200")


@dataclass(frozen=True)
class Measure:
    """One thing to measure."""

    title: str
    role: str
    """What the two processes do: see ``peers/roles.py``."""
    parameters: Mapping[str, int]
    figures: Callable[[Result, Result, Mapping[str, int]], Figures]
    """Of the results of the accepting and the dialing end, and of the parameters."""
    pairs: Mapping[str, Pair] = field(default_factory=dict)


def _bulk(accepting: Result, dialing: Result, parameters: Mapping[str, int]) -> Figures:
    # The clock starts when the first message is there.
    size = parameters["size"] * (parameters["count"] - 1) / MIB
    used = accepting["cpu"] + dialing["cpu"]
    return {RATE.unit: size / accepting["seconds"], CPU.unit: used * 1000 / size}


def _messages(accepting: Result, dialing: Result, parameters: Mapping[str, int]) -> Figures:
    count = parameters["count"] - 1
    used = accepting["cpu"] + dialing["cpu"]
    return {MESSAGES.unit: count / accepting["seconds"], CPU_MESSAGE.unit: used * 1e6 / count}


def _time(_accepting: Result, dialing: Result, _parameters: Mapping[str, int]) -> Figures:
    return {TIME.unit: dialing["seconds"] * 1000}


def _dials(_accepting: Result, dialing: Result, _parameters: Mapping[str, int]) -> Figures:
    return {DIAL_ALONE.unit: dialing["alone"] * 1000, DIAL_IN_CROWD.unit: dialing["crowded"] * 1000}


def _memory(accepting: Result, dialing: Result, _parameters: Mapping[str, int]) -> Figures:
    return {MEMORY.unit: (accepting["bytes"] + dialing["bytes"]) / 2 / KIB}


_NATIVE = ("native asyncio", "native trio")
_DIRECT = ("direct asyncio", "direct trio")
_WEBRTC = (*_NATIVE, "aiortc", "libdatachannel", "libwebrtc")
_FACADE_ON_AIORTC = ("facade on aiortc", "facade on aiortc, trio")
_LIBP2P = ("libp2p webrtc", "libp2p tcp", "libp2p quic")
_BULK = {"size": 16 * KIB, "count": 64 * MIB // (16 * KIB)}
_CROWD = {"count": 3, "others": 200}

MEASURES = {
    "bulk": Measure(
        "one stream, messages of 16 KiB",
        "transfer",
        _BULK,
        _bulk,
        _alike(*_WEBRTC, *_FACADE_ON_AIORTC, *_LIBP2P),
    ),
    "messages": Measure(
        "one stream, messages of 100 bytes",
        "transfer",
        # aiortc is fast at first, and ever slower the more of them it sends.
        {"size": 100, "count": 60_000},
        _messages,
        _alike(*_WEBRTC, "libp2p webrtc"),
    ),
    "rtt": Measure(
        "round trip of 64 bytes, p50",
        "round-trips",
        {"size": 64, "count": 3000},
        _time,
        _alike(*_WEBRTC, *_LIBP2P),
    ),
    "setup": Measure("set-up of a connection, p50", "setups", {"count": 25}, _time, _alike(*_WEBRTC)),
    "direct-setup": Measure(
        "a dial of webrtc-direct, p50",
        "setups",
        {"count": 25},
        _time,
        _alike(*_DIRECT, "libp2p direct"),
    ),
    "direct-rtt": Measure(
        "round trip of 64 bytes by webrtc-direct, p50",
        "round-trips",
        {"size": 64, "count": 3000},
        _time,
        _alike(*_DIRECT),
    ),
    "stream": Measure(
        "open a stream, echo 64 bytes, close it, p50",
        "streams",
        {"size": 64, "count": 150},
        _time,
        _alike(*_WEBRTC),
    ),
    "dial": Measure(
        "a dial alone, and beside 200 that wait for an answer",
        "crowd",
        _CROWD,
        _dials,
        _alike(*_NATIVE),
    ),
    "memory": Measure(
        "resident memory per idle connection and end",
        "idle",
        {"first": 20, "count": 100},
        _memory,
        _alike(*_NATIVE, "aiortc", "libwebrtc"),
    ),
    "from-libwebrtc": Measure(
        "receiving from libwebrtc, messages of 16 KiB",
        "transfer",
        _BULK,
        _bulk,
        {
            "native asyncio": Pair(PROGRAMS["native asyncio"], _FRAMED_LIBWEBRTC),
            "aiortc": Pair(PROGRAMS["aiortc"], PROGRAMS["libwebrtc"]),
        },
    ),
    "to-libwebrtc": Measure(
        "sending to libwebrtc, messages of 16 KiB",
        "transfer",
        _BULK,
        _bulk,
        {
            "native asyncio": Pair(_FRAMED_LIBWEBRTC, PROGRAMS["native asyncio"]),
            "aiortc": Pair(PROGRAMS["libwebrtc"], PROGRAMS["aiortc"]),
        },
    ),
}


@dataclass(frozen=True)
class Target:
    """What the ratio of two medians has to reach, and should reach: at least for rates, at most for the others."""

    measure: str
    figure: Figure
    variant: str
    reference: str
    floor: float
    aim: float
    smoke: Mapping[str, int] | None = None
    """Other parameters for the short run; ``None`` leaves it out there."""
    reference_figure: Figure | None = None
    """Of the reference, if it isn't the same."""

    @property
    def reference_unit(self) -> str:
        """The unit of the reference's figure."""
        return (self.reference_figure or self.figure).unit

    @property
    def title(self) -> str:
        """What it compares."""
        reference = self.reference if self.reference_figure is None else self.reference_unit
        return f"{self.measure}, {self.figure.unit}: {self.variant} / {reference}"

    def reaches(self, ratio: float, bound: float) -> bool:
        """Whether a ratio is as good as a bound."""
        return ratio >= bound if self.figure.is_rate else ratio <= bound


_BULK_SMOKE = {"size": 16 * KIB, "count": 32 * MIB // (16 * KIB)}

TARGETS = (
    Target("bulk", RATE, "native asyncio", "aiortc", 5, 8, _BULK_SMOKE),
    Target("bulk", RATE, "native asyncio", "libp2p webrtc", 6, 10, _BULK_SMOKE),
    Target("bulk", RATE, "native asyncio", "libdatachannel", 0.7, 1.0, _BULK_SMOKE),
    Target("bulk", CPU, "native asyncio", "libdatachannel", 1.0, 0.7, _BULK_SMOKE),
    Target("bulk", RATE, "native trio", "native asyncio", 0.8, 0.9, _BULK_SMOKE),
    *(Target("bulk", RATE, name, "aiortc", 0.9, 1.0, _BULK_SMOKE) for name in _FACADE_ON_AIORTC),
    Target("messages", MESSAGES, "native asyncio", "aiortc", 20, 50, {"size": 100, "count": 40_000}),
    Target("rtt", TIME, "native asyncio", "aiortc", 1 / 2, 1 / 3, {"size": 64, "count": 1500}),
    Target("rtt", TIME, "native trio", "libp2p webrtc", 1 / 2, 1 / 3, {"size": 64, "count": 1500}),
    Target("setup", TIME, "native asyncio", "aiortc", 1 / 2.5, 1 / 4, {"count": 15}),
    Target("direct-setup", TIME, "direct asyncio", "libp2p direct", 1 / 2, 1 / 4, {"count": 15}),
    Target("direct-setup", TIME, "direct trio", "libp2p direct", 1 / 2, 1 / 4, {"count": 15}),
    Target("direct-rtt", TIME, "direct trio", "direct asyncio", 1.3, 1.1, {"size": 64, "count": 1500}),
    Target("stream", TIME, "native asyncio", "aiortc", 1 / 2, 1 / 5, {"size": 64, "count": 100}),
    *(Target("dial", DIAL_IN_CROWD, name, name, 2, 1.5, _CROWD, DIAL_ALONE) for name in _NATIVE),
    Target("memory", MEMORY, "native asyncio", "aiortc", 1.25, 1.0, {"first": 20, "count": 60}),
    Target("from-libwebrtc", RATE, "native asyncio", "aiortc", 2.5, 4, _BULK_SMOKE),
    Target("to-libwebrtc", RATE, "native asyncio", "aiortc", 2.5, 4, _BULK_SMOKE),
)

CI_TARGETS = (
    Target(
        "bulk", CPU, "native asyncio", "aiortc", 0.4, 0.2, {"size": 16 * KIB, "count": 8 * MIB // (16 * KIB)}
    ),
    Target("messages", CPU_MESSAGE, "native asyncio", "aiortc", 0.25, 0.1, {"size": 100, "count": 4000}),
    Target("memory", MEMORY, "native asyncio", "aiortc", 1.25, 1.0, {"first": 20, "count": 60}),
)
"""What CI asks for: seconds of CPU and bytes, which are the same on a machine that has other work, where times aren't;
and beside a library that is installed anyway. A rate here is bound by the CPU, so half of it shows as twice the CPU."""
