"""How much one stream moves through the facade, beside aiortc's own data channel, in one interleaved run.

    python benchmarks/throughput.py [--rounds 5] [--size 32]

Each measurement is two processes on loopback, a receiver and a sender of 16 KiB pieces; the receiver counts from
the first byte to the last. The variants take turns in each round, and their medians are compared: machines are
noisy, and noise that lasts hits all alike. CPU time is that of both processes together, from the kernel.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import anyio
from aiortc import RTCPeerConnection, RTCSessionDescription

from webrtc_signaling.server.app import running_server
from webrtc_signaling.server.settings import ServerSettings
from webrtc_transport import Identity, TransportConfig, WebRTCTransport

MIB = 1024 * 1024
PIECE = 16 * 1024
"""Bytes per send: the largest message that every peer takes."""

HIGH_WATER = 256 * 1024
"""Bytes that aiortc's channel may have unsent; the facade's default send buffer."""

REFERENCE = "aiortc"
VARIANTS = (REFERENCE, "facade-asyncio", "facade-trio", "native-asyncio", "native-trio")
"""aiortc by itself; then the facade on the engine ``aiortc``, and on ``native``, by event loop."""


@dataclass(frozen=True)
class Result:
    """One transfer."""

    rate: float
    """MiB per second, from the first byte received to the last."""
    cpu: float
    """Seconds of CPU per MiB, of both processes."""


# --- aiortc's own data channel ------------------------------------------------------------------------------------


async def aiortc_receive(size: int) -> float:
    """Receive ``size`` bytes on a data channel; return the seconds that they took."""
    connection = RTCPeerConnection()
    finished: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    received, started = 0, 0.0

    @connection.on("datachannel")
    def on_channel(channel):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - aiortc's decorators are untyped
        @channel.on("message")
        def on_message(message: bytes) -> None:
            nonlocal received, started
            started = started or time.perf_counter()
            received += len(message)
            if received >= size:
                finished.set_result(time.perf_counter() - started)
                channel.send(b"done")

    await connection.setRemoteDescription(RTCSessionDescription(**await read_line()))
    await connection.setLocalDescription(await connection.createAnswer())
    write_line({"sdp": connection.localDescription.sdp, "type": connection.localDescription.type})
    elapsed = await finished
    await asyncio.sleep(0.1)
    await connection.close()
    return elapsed


async def aiortc_send(size: int) -> None:
    """Send ``size`` bytes on a data channel, and wait until the receiver has them."""
    connection = RTCPeerConnection()
    channel = connection.createDataChannel("")
    opened, drained, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    channel.bufferedAmountLowThreshold = HIGH_WATER // 2
    channel.on("open", opened.set)
    channel.on("bufferedamountlow", drained.set)
    channel.on("message", lambda _: done.set())
    await connection.setLocalDescription(await connection.createOffer())
    write_line({"sdp": connection.localDescription.sdp, "type": connection.localDescription.type})
    await connection.setRemoteDescription(RTCSessionDescription(**await read_line()))
    await opened.wait()
    piece = bytes(PIECE)
    for _ in range(size // PIECE):
        while channel.bufferedAmount > HIGH_WATER:
            drained.clear()
            await drained.wait()
        channel.send(piece)
    await done.wait()
    await connection.close()


# --- the facade ---------------------------------------------------------------------------------------------------


async def facade_receive(size: int, signaling: str, engine: str) -> float:
    """Receive ``size`` bytes on a stream; return the seconds that they took."""
    config = TransportConfig(engine=engine)
    async with WebRTCTransport(Identity.generate(), signaling=[signaling], config=config) as transport:
        listener = await transport.listen("/webrtc")
        write_line({"address": str(listener.addresses[0])})
        async with await listener.accept() as connection, await connection.accept_stream() as stream:
            received = len(await stream.receive())
            started = time.perf_counter()
            async for chunk in stream:
                received += len(chunk)
            elapsed = time.perf_counter() - started
            assert received == size
            await stream.send(b"done")
            await stream.send_eof()
    return elapsed


async def facade_send(size: int, signaling: str, engine: str) -> None:
    """Send ``size`` bytes on a stream, and wait until the receiver has them."""
    config = TransportConfig(engine=engine)
    async with WebRTCTransport(Identity.generate(), signaling=[signaling], config=config) as transport:
        address = (await read_line())["address"]
        async with await transport.dial(address) as connection, await connection.open_stream() as stream:
            piece = bytes(PIECE)
            for _ in range(size // PIECE):
                await stream.send(piece)
            await stream.send_eof()
            async for _ in stream:
                pass


# --- processes ----------------------------------------------------------------------------------------------------


async def read_line() -> dict[str, str]:
    """What the other process says; the parent process passes it on."""
    line: dict[str, str] = json.loads(await anyio.to_thread.run_sync(sys.stdin.readline))
    return line


def write_line(value: dict[str, object]) -> None:
    print(json.dumps(value), flush=True)


def run_role(variant: str, role: str, size: int, signaling: str) -> None:
    """Be one of the two processes of a measurement."""
    library, _, backend = variant.partition("-")
    if library == REFERENCE:
        outcome = asyncio.run(aiortc_receive(size) if role == "receive" else aiortc_send(size))
    else:
        function = facade_receive if role == "receive" else facade_send
        engine = "native" if library == "native" else "aiortc"
        outcome = anyio.run(function, size, signaling, engine, backend=backend)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    write_line({"seconds": outcome, "cpu": usage.ru_utime + usage.ru_stime})


def measure(variant: str, size: int, signaling: str) -> Result:
    """Run both processes, and pass descriptions or addresses between them."""

    def start(role: str) -> subprocess.Popen[str]:
        command = [sys.executable, __file__, "--role", role, "--variant", variant, "--bytes", str(size)]
        return subprocess.Popen(
            [*command, "--signaling", signaling], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    with start("receive") as receiver, start("send") as sender:
        if variant == REFERENCE:
            pass_on(sender, receiver)
        pass_on(receiver, sender)
        sent, received = last_line(sender), last_line(receiver)
    return Result(rate=size / MIB / received["seconds"], cpu=(sent["cpu"] + received["cpu"]) * MIB / size)


def pass_on(source: subprocess.Popen[str], target: subprocess.Popen[str]) -> None:
    assert source.stdout is not None
    assert target.stdin is not None
    target.stdin.write(source.stdout.readline())
    target.stdin.flush()


def last_line(process: subprocess.Popen[str]) -> dict[str, float]:
    assert process.stdout is not None
    result: dict[str, float] = json.loads(process.stdout.readline())
    return result


async def compare(rounds: int, size: int) -> dict[str, list[Result]]:
    """Measure all variants in turn, ``rounds`` times, after one that doesn't count."""
    results: dict[str, list[Result]] = {variant: [] for variant in VARIANTS}
    async with running_server(ServerSettings(port=0, log_level="error")) as signaling:
        for number in range(rounds + 1):
            for variant in VARIANTS:
                result = await anyio.to_thread.run_sync(measure, variant, size, signaling)
                if number:
                    results[variant].append(result)
                    print(f"round {number}  {variant:<15}{result.rate:7.2f} MiB/s", file=sys.stderr)
    return results


def report(results: dict[str, list[Result]]) -> None:
    """Print medians, and the ratios to aiortc."""
    rates = {
        variant: statistics.median(result.rate for result in found) for variant, found in results.items()
    }
    costs = {variant: statistics.median(result.cpu for result in found) for variant, found in results.items()}
    print(f"{'':15}{'MiB/s':>8}{'ratio':>8}{'CPU ms/MiB':>12}{'ratio':>8}")
    for variant in VARIANTS:
        print(
            f"{variant:<15}{rates[variant]:8.2f}{rates[variant] / rates[REFERENCE]:8.2f}"
            f"{costs[variant] * 1000:12.0f}{costs[variant] / costs[REFERENCE]:8.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each variant (%(default)s)")
    parser.add_argument("--size", type=int, default=32, help="MiB per measurement (%(default)s)")
    parser.add_argument("--role", choices=("receive", "send"), help=argparse.SUPPRESS)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--bytes", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--signaling", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        run_role(arguments.variant, arguments.role, arguments.bytes, arguments.signaling)
    else:
        report(anyio.run(compare, arguments.rounds, arguments.size * MIB))


if __name__ == "__main__":
    main()
