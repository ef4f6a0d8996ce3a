"""What a stream tells its owner of its end."""

import anyio
import pytest

from tests.webrtc_transport.stream_owners import Channel, Owner
from webrtc_transport.errors import ConnectionClosed
from webrtc_transport.protocol.framing import Flag, encode_frame
from webrtc_transport.stream import Stream


@pytest.fixture
def owner():
    return Owner()


@pytest.fixture
def channel():
    return Channel()


@pytest.fixture
def stream(owner, channel):
    return Stream(owner, channel, inbound=True)


@pytest.mark.anyio
async def test_it_drains_until_its_end_is_acknowledged(owner, channel, stream):
    await stream.send_eof()
    assert owner.ended == ["draining"]
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(stream.aclose)
        await anyio.wait_all_tasks_blocked()
        assert owner.ended == ["draining", "closing"]
        channel.message_arrived(encode_frame(flag=Flag.FIN_ACK))
    assert owner.ended == ["draining", "closing", "drained"]


def test_a_stream_that_is_over_drains_no_more(owner, channel, stream):
    channel.connection_ended(ConnectionClosed("the peer closed the connection"))
    channel.channel_closed()
    assert owner.ended == ["finished", "drained", "closed"]
