"""An echo over WebRTC: a signaling server, an echo server, and a client that sends a file there and back.

In three terminals:

    python examples/webrtc_echo.py --signaling-server
    python examples/webrtc_echo.py --listen --signaling ws://localhost:8765
    python examples/webrtc_echo.py --connect /webrtc/p2p/<peer id> --signaling ws://localhost:8765

Or all three at once, as processes: python examples/webrtc_echo.py --demo
"""

from __future__ import annotations

import sys

INTERRUPTED = 130  # The exit status of a program that Ctrl-C has ended.

try:
    import argparse
    import hashlib
    import logging
    import os
    import subprocess
    import tempfile
    import time
    from collections import Counter
    from contextlib import ExitStack
    from pathlib import Path

    import anyio
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.text import Text

    from webrtc_signaling.server.app import running_server
    from webrtc_signaling.server.settings import ServerSettings
    from webrtc_transport import Connection, Identity, Stream, WebRTCTransport
    from webrtc_transport.errors import WebRTCError
except KeyboardInterrupt:
    sys.exit(INTERRUPTED)

MIB = 1024 * 1024
DEMO_SIZE = 16 * MIB
STREAMS = 4
PIECE = 64 * 1024

console = Console()


# --- the signaling server -----------------------------------------------------------------------------------------


async def serve_signaling(host: str, port: int) -> None:
    """Let peers find each other until interrupted; the same as ``webrtc-signaling serve``."""
    async with running_server(ServerSettings(host=host, port=port)) as url:
        print(f"signaling server on {url}", flush=True)
        await anyio.sleep_forever()


# --- the echo server ----------------------------------------------------------------------------------------------


async def listen(signaling: str, identity: Identity) -> None:
    """Echo every stream of every peer until interrupted."""
    async with WebRTCTransport(identity, signaling=[signaling]) as transport:
        listener = await transport.listen("/webrtc")
        print(f"listening on {listener.addresses[0]}", flush=True)
        await listener.serve(serve_connection)


async def serve_connection(connection: Connection) -> None:
    """Echo the streams of one peer."""
    print(f"{connection.remote_peer} connected ({connection.candidate_pair.kind})", flush=True)
    await connection.serve(echo)
    print(f"{connection.remote_peer} left: {connection.end_reason}", flush=True)


async def echo(stream: Stream) -> None:
    """Send back what arrives; when the peer has sent its last byte, so have we."""
    async for chunk in stream:
        await stream.send(chunk)
    await stream.send_eof()


# --- the client ---------------------------------------------------------------------------------------------------


async def connect(address: str, signaling: str, content: bytes) -> bool:
    """Send ``content`` over several streams, and check what comes back. Returns whether it is the same."""
    async with (
        WebRTCTransport(Identity.generate(), signaling=[signaling]) as transport,
        await transport.dial(address) as connection,
    ):
        first_byte = await round_trip(connection)
        report_setup(connection, first_byte)
        return await send_content(connection, content)


async def round_trip(connection: Connection) -> float:
    """Seconds from opening a stream to the first byte that comes back."""
    started = time.perf_counter()
    async with await connection.open_stream() as stream:
        await stream.send(b"\0")
        await stream.receive()
        elapsed = time.perf_counter() - started
        await stream.send_eof()
    return elapsed


def report_setup(connection: Connection, first_byte: float) -> None:
    """Print how long each phase took, and over which path."""
    times = connection.setup_times
    console.print(f"connected to [bold]{connection.remote_peer}[/]")
    for phase, seconds in (
        ("signaling", times.signaling),
        ("ICE", times.ice),
        ("DTLS", times.dtls),
        ("SCTP", times.sctp),
        ("first byte", first_byte),
    ):
        console.print(f"  {phase:<11}{seconds * 1000:8.1f} ms")
    pair = connection.candidate_pair
    console.print(f"  path       {connection.local_address} → {connection.remote_address} ({pair.kind})")


async def send_content(connection: Connection, content: bytes) -> bool:
    """Send it in as many parts as streams, at once; put what comes back together."""
    share = -(-len(content) // STREAMS) or 1
    parts = [content[start : start + share] for start in range(0, len(content) or 1, share)]
    echoes = [b""] * len(parts)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        SpeedColumn(),
    )
    started = time.perf_counter()
    with Progress(*columns, console=console) as progress:
        name = "1 stream" if len(parts) == 1 else f"{len(parts)} streams"
        bar = progress.add_task(name, total=len(content))

        async def echo_part(number: int) -> None:
            async with await connection.open_stream() as stream, anyio.create_task_group() as task_group:
                task_group.start_soon(send_part, stream, parts[number])
                received = []
                async for chunk in stream:
                    received.append(chunk)
                    progress.advance(bar, len(chunk))
                echoes[number] = b"".join(received)

        async with anyio.create_task_group() as task_group:
            for number in range(len(parts)):
                task_group.start_soon(echo_part, number)
    elapsed = time.perf_counter() - started
    sent, received = hashlib.sha256(content).hexdigest(), hashlib.sha256(b"".join(echoes)).hexdigest()
    console.print(f"sent      SHA-256 {sent}\nreceived  SHA-256 {received}", soft_wrap=True)
    console.print(
        f"{in_words(len(content))} there and back in {elapsed:.2f} s: "
        f"{in_words(len(content) / elapsed)}/s each way"
    )
    return sent == received


class SpeedColumn(ProgressColumn):
    """How fast it goes; rich has one that counts in MB."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{in_words(speed)}/s" if speed else "")


def in_words(size: float) -> str:
    """A number of bytes, in a unit that suits it."""
    for unit in ("bytes", "KiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} MiB"


async def send_part(stream: Stream, part: bytes) -> None:
    """Send one part of the file, and its end."""
    for start in range(0, len(part), PIECE):
        await stream.send(part[start : start + PIECE])
    await stream.send_eof()


# --- all in one ---------------------------------------------------------------------------------------------------


def demo(backend: str) -> int:
    """Run a signaling server, an echo server and a client as three processes."""
    with ExitStack() as stack:
        server = start(stack, "--signaling-server", "--host", "127.0.0.1", "--port", "0")
        url = wait_for(server, "ws://")
        console.print(f"signaling server on {url}")
        listener = start(stack, "--listen", "--signaling", url, "--backend", backend)
        address = wait_for(listener, "/webrtc/p2p/")
        console.print(f"echo server on {address}")
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        path = Path(directory) / "random.bin"
        path.write_bytes(os.urandom(DEMO_SIZE))
        client = [sys.executable, __file__, "--connect", address, "--signaling", url, "--file", str(path)]
        return subprocess.run([*client, "--backend", backend], check=False).returncode


def start(stack: ExitStack, *arguments: str) -> subprocess.Popen[str]:
    """Start this program with other arguments, and end it with the stack."""
    process = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


def wait_for(process: subprocess.Popen[str], prefix: str) -> str:
    """The first word that ``process`` prints with this prefix."""
    assert process.stdout is not None
    for line in process.stdout:
        for word in line.split():
            if word.startswith(prefix):
                return word
    sys.exit(f"a process of the demo ended without telling its {prefix}… address")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--signaling-server", action="store_true", help="run a signaling server")
    mode.add_argument("--listen", action="store_true", help="run an echo server")
    mode.add_argument(
        "--connect", metavar="ADDRESS", help="send a file to the echo server at /webrtc/p2p/<peer id>"
    )
    mode.add_argument("--demo", action="store_true", help="run all three as processes")
    parser.add_argument(
        "--signaling", default="ws://localhost:8765", help="the signaling server (%(default)s)"
    )
    parser.add_argument(
        "--host", default="localhost", help="where the signaling server listens (%(default)s)"
    )
    parser.add_argument("--port", type=int, default=8765, help="its port; 0 picks one (%(default)s)")
    parser.add_argument(
        "--backend", default="asyncio", choices=("asyncio", "trio"), help="event loop (%(default)s)"
    )
    parser.add_argument("--identity", type=Path, help="file of the echo server's key, made if it isn't there")
    parser.add_argument("--file", type=Path, default=Path(__file__), help="what to send (this program)")
    parser.add_argument("--debug", action="store_true", help="log everything")
    return parser.parse_args()


def main() -> int:
    status = 1
    try:
        arguments = parse_arguments()
        logging.basicConfig(level=logging.DEBUG if arguments.debug else logging.WARNING)
        status = run(arguments)
    except* (WebRTCError, OSError, ValueError) as group:
        report_errors(group)
    except* KeyboardInterrupt:
        status = INTERRUPTED
    return status


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for; returns the exit status."""
    if arguments.demo:
        return demo(arguments.backend)
    if arguments.signaling_server:
        anyio.run(serve_signaling, arguments.host, arguments.port)
    elif arguments.listen:
        identity = Identity.load_or_create(arguments.identity) if arguments.identity else Identity.generate()
        anyio.run(listen, arguments.signaling, identity, backend=arguments.backend)
    else:
        content = arguments.file.read_bytes()
        same = anyio.run(connect, arguments.connect, arguments.signaling, content, backend=arguments.backend)
        return 0 if same else 1
    return 0


def report_errors(group: BaseExceptionGroup) -> None:
    """Print each error once: the end of a connection ends all its streams, and each of them says so."""
    said = Counter((type(error).__name__, str(error)) for error in flatten(group))
    for (kind, text), times in said.items():
        more = f" ({times} times)" if times > 1 else ""
        console.print(f"[red]{kind}:[/] {escape(text)}{more}", soft_wrap=True)


def flatten(error: BaseException) -> list[BaseException]:
    """The errors in groups, and in groups of groups: task groups wrap what their tasks raise."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in flatten(inner)]
    return [error]


if __name__ == "__main__":
    sys.exit(main())
