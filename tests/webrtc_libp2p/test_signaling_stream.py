import anyio
import pytest
from libp2p.network.stream.exceptions import StreamClosed, StreamEOF, StreamReset

from tests.webrtc_libp2p.hosts import make_host
from webrtc_libp2p.signaling_stream import HostStream

pytestmark = pytest.mark.anyio


class Stream:
    """A stream of py-libp2p that does as it is told."""

    def __init__(self, outcome):
        self.muxed_conn = self
        self.peer_id = make_host().get_id()
        self.outcome = outcome
        self.was_reset = False

    async def read(self, n):
        return await self._do()

    async def write(self, data):
        await self._do()

    async def close(self):
        await self._do()

    async def reset(self):
        self.was_reset = True

    async def _do(self):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def test_data_and_the_two_ends():
    stream = Stream(b"data")
    signaling = HostStream(stream)
    assert str(signaling.remote_peer) == str(stream.peer_id)
    assert await signaling.receive(10) == b"data"
    await signaling.send(b"x")
    await signaling.aclose()
    await signaling.reset()
    assert stream.was_reset
    for end in (b"", StreamEOF()):
        with pytest.raises(anyio.EndOfStream):
            await HostStream(Stream(end)).receive(10)


@pytest.mark.parametrize(
    "error", [StreamReset(), StreamClosed(), OSError("gone"), ValueError("bug of a muxer")]
)
async def test_whatever_breaks_it(error):
    signaling = HostStream(Stream(error))
    for use in (signaling.receive(10), signaling.send(b"x"), signaling.aclose()):
        with pytest.raises(anyio.BrokenResourceError):
            await use
