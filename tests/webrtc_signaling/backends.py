"""WebSocket backends for tests, and what services say to them."""

import contextlib
import json

import anyio

from tests.webrtc_signaling.samples import (
    ALICE,
    ALICE_ID,
    BOB,
    BOB_ID,
    candidate,
    envelope,
)
from webrtc_signaling.client import ClientOptions
from webrtc_signaling.messages import (
    Challenge,
    Failure,
    Numbered,
    Registered,
    error_data,
    to_wire,
)
from webrtc_transport.abc import SignalingContext
from webrtc_transport.config import TransportConfig
from webrtc_transport.identity import Identity
from webrtc_transport.plugins import signaling_backend_class
from webrtc_transport.portal import open_portal

TIMEOUT = 60
"""Seconds for what takes none: a machine may be crowded."""
CHALLENGE = json.dumps(to_wire(Challenge(nonce="nonce-0123456789"), binary=False))


def registered(peer=ALICE_ID, *, received=0, resumed=False):
    message = Registered(peer=peer, proven=True, resumed=resumed, received=received, grace=30)
    return json.dumps(to_wire(message, binary=False))


def failure(code):
    return json.dumps(to_wire(Failure(data=error_data(code, "because")), binary=False))


@contextlib.asynccontextmanager
async def backend(url, identity=None, **options):
    """A backend for the URL with a portal of its own, entered."""
    async with open_portal() as portal:
        context = SignalingContext(identity or Identity.generate(), TransportConfig(), portal)
        options = {"retry_initial": 0.01, **options}
        make = signaling_backend_class(url.partition(":")[0])
        async with make(url, context, options=ClientOptions(**options)) as entered:
            yield entered


@contextlib.asynccontextmanager
async def two_backends(url, **options):
    with anyio.fail_after(TIMEOUT):
        async with backend(url, ALICE, **options) as alice, backend(url, BOB, **options) as bob:
            yield alice, bob


def registering(script):
    """A service that registers whoever comes; ``script`` goes on."""

    async def whole(websocket):
        await websocket.send_str(CHALLENGE)
        register = json.loads((await websocket.receive()).data)
        await websocket.send_str(registered(peer=register["peer"]))
        await script(websocket, register)

    return whole


def service_signal(signal, *, seq=1, recipient=ALICE_ID, **changes):
    message = Numbered(envelope(signal, sender=BOB_ID, recipient=recipient), seq, 0)
    return json.dumps(to_wire(message, binary=False) | changes)


async def send_many(session, numbers, pause):
    for number in numbers:
        await session.send(candidate(number))
        await anyio.sleep(pause)


async def expect_many(session, numbers):
    for number in numbers:
        assert await session.receive() == candidate(number)


@contextlib.asynccontextmanager
async def exchanging(ours, theirs, count=200, pause=0.001):
    """Send candidates both ways meanwhile; they arrive once and in order, or the test fails."""
    async with anyio.create_task_group() as task_group:
        for sender, receiver in ((ours, theirs), (theirs, ours)):
            task_group.start_soon(send_many, sender, range(count), pause)
            task_group.start_soon(expect_many, receiver, range(count))
        yield
