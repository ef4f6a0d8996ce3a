"""A peer whose process is killed is noticed within the configured time."""

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from tests.pairs import config
from tests.webrtc_signaling.servers import signaling_server
from webrtc_transport import Identity, WebRTCTransport
from webrtc_transport.connection import ConnectionState
from webrtc_transport.errors import ConnectionLost

pytestmark = pytest.mark.anyio

ECHO_PEER = Path(__file__).parents[1] / "peers" / "echo_peer.py"

TIMEOUTS = [pytest.param(5, id="5s"), pytest.param(30, id="30s", marks=pytest.mark.soak)]
SLACK = 1.5
"""Seconds for a loaded machine to get around to it."""


@contextlib.asynccontextmanager
async def echo_peer(signaling, backend):
    process = subprocess.Popen(
        [sys.executable, ECHO_PEER, "--backend", backend, "--signaling", signaling],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = await anyio.to_thread.run_sync(process.stdout.readline)
        yield process, json.loads(line)["address"]
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


@pytest.mark.parametrize("timeout", TIMEOUTS)
async def test_a_killed_peer_is_noticed(timeout, anyio_backend_name):
    settings = config(liveness_timeout=timeout)
    with anyio.fail_after(timeout + 30):
        async with (
            signaling_server() as server,
            echo_peer(server.url, anyio_backend_name) as (process, address),
            WebRTCTransport(Identity.generate(), signaling=[server.url], config=settings) as transport,
            await transport.dial(address) as connection,
            await connection.open_stream() as stream,
        ):
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
            process.kill()
            killed = time.monotonic()
            states = [state async for state in connection.state_changes()]
            elapsed = time.monotonic() - killed
            reason = connection.end_reason
            assert isinstance(reason, ConnectionLost)
            assert str(reason) == f"the peer has not answered for {timeout} s"
            with pytest.raises(ConnectionLost):
                await stream.receive()
    assert states == [ConnectionState.CONNECTED, ConnectionState.DISCONNECTED, ConnectionState.CLOSED]
    assert elapsed < timeout + SLACK
