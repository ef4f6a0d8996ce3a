"""Transports and connections for tests: real engines, on loopback, with the rendezvous in memory."""

import contextlib
from dataclasses import dataclass

import anyio

from webrtc_signaling.memory import MemoryBackend
from webrtc_transport import Connection, Identity, TransportConfig, WebRTCTransport

LOOPBACK = TransportConfig(bind_addresses=("127.0.0.1",))


def config(**changes):
    """Settings for loopback, with changes."""
    return TransportConfig(bind_addresses=("127.0.0.1",), **changes)


def transport(*, settings=LOOPBACK, identity=None, engine=None, **backend_options):
    """A transport whose signaling is in memory."""
    identity = identity or Identity.generate()
    backend = MemoryBackend(identity, **backend_options)
    return WebRTCTransport(identity, signaling=[backend], config=settings, engine=engine)


@dataclass
class Pair:
    dialer: Connection
    listener: Connection


@contextlib.asynccontextmanager
async def connected(*, dialer_settings=LOOPBACK, listener_settings=LOOPBACK, engine=None, timeout=60):
    """Both ends of a connection. A test that takes longer than ``timeout`` seconds over it has failed."""
    with anyio.fail_after(timeout):
        async with _connected(dialer_settings, listener_settings, engine) as pair:
            yield pair


@contextlib.asynccontextmanager
async def _connected(dialer_settings, listener_settings, engine):
    async with (
        transport(settings=listener_settings, engine=engine) as server,
        transport(settings=dialer_settings, engine=engine) as client,
    ):
        listener = await server.listen("/webrtc")
        pair = await _both(client.dial, listener.addresses[0], listener.accept)
        await listener.aclose()
        async with pair.dialer, pair.listener:
            yield pair


async def _both(dial, address, accept):
    pair = Pair(None, None)

    async def accepting():
        pair.listener = await accept()

    async with anyio.create_task_group() as task_group:
        task_group.start_soon(accepting)
        pair.dialer = await dial(address)
    return pair


async def echo(stream):
    """Send back what arrives, then the end."""
    async with stream:
        async for chunk in stream:
            await stream.send(chunk)
        await stream.send_eof()


async def read_all(stream):
    """Everything until the end of the stream."""
    return b"".join([chunk async for chunk in stream])


@contextlib.asynccontextmanager
async def serving(connection, handler=echo):
    """Let ``handler`` answer the peer's streams meanwhile."""
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(connection.serve, handler)
        yield
        task_group.cancel_scope.cancel()
