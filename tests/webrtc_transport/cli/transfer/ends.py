"""Both ends of a transfer in one process, and peers that don't keep to the rules."""

import contextlib
import io

import anyio
from rich.console import Console

from webrtc_transport import Identity, TransportConfig, WebRTCTransport
from webrtc_transport.cli.transfer.display import Display
from webrtc_transport.cli.transfer.exchange import Exchange
from webrtc_transport.cli.transfer.receiving import Destination, Receiver

CONFIG = TransportConfig(engine="memory")


def transport(identity=None):
    return WebRTCTransport(identity or Identity.generate(), signaling=["memory://"], config=CONFIG)


class Screen(Display):
    """What was shown is in :attr:`text`."""

    def __init__(self):
        self._file = io.StringIO()
        super().__init__(Console(file=self._file, width=500))

    @property
    def text(self):
        return self._file.getvalue()


async def anybody(_peer, _offer):
    return None


class Reception:
    """A receiver that waits, and what came of it."""

    def __init__(self, receiver, peer, screen):
        self.receiver, self.peer, self.screen = receiver, peer, screen
        self.path = self.error = None
        self.over = anyio.Event()

    async def run(self, listener):
        try:
            self.path = await self.receiver.receive(listener)
        except Exception as exc:
            self.error = exc
        self.over.set()


@contextlib.asynccontextmanager
async def receiving(folder, *, admit=anybody, any_may_go_on=True, **destination):
    screen = Screen()
    receiver = Receiver(Destination(folder, **destination), admit, screen, any_may_go_on=any_may_go_on)
    async with transport() as ours:
        reception = Reception(receiver, ours.peer_id, screen)
        listener = await ours.listen("/webrtc")
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(reception.run, listener)
            yield reception
            task_group.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def hostile_sender(peer):
    """A connection to a receiver, for saying what one likes."""
    async with transport() as theirs, await theirs.dial(f"/webrtc/p2p/{peer}") as connection:
        stream = await connection.open_stream()
        yield Exchange(stream), stream
        stream.reset()


@contextlib.asynccontextmanager
async def hostile_receiver(*scripts):
    """A peer that runs one of the scripts on each stream, in this order. Gives its peer id."""
    waiting = list(scripts)

    async def serve(connection):
        stream = await connection.accept_stream()
        await waiting.pop(0)(Exchange(stream), stream)

    async with transport() as theirs:
        listener = await theirs.listen("/webrtc")
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(listener.serve, serve)
            yield theirs.peer_id
            task_group.cancel_scope.cancel()
