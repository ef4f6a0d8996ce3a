"""A channel of the native stack by itself, with a scripted owner."""

import pytest

from tests.webrtc_transport.engine.told_events import ToldEvents
from tests.webrtc_transport.engine.virtual_driver import VirtualDriver
from webrtc_transport.engine.driver import AsyncioDriver
from webrtc_transport.engine.native_channel import ChannelOwner, NativeChannel
from webrtc_transport.protocol.sctp.data_channel import PayloadProtocol

pytestmark = pytest.mark.anyio


class Owner(ChannelOwner):
    max_message_size = 100

    def __init__(self, driver=None):
        self.driver = driver or AsyncioDriver()
        self.is_ended = False
        self.calls = []

    def queue(self, stream_id, ppid, data):
        self.calls.append((ppid, data))

    def reset(self, stream_id):
        self.calls.append("reset")

    def remove(self, channel):
        self.calls.append("remove")

    def replay(self, stream_id, *, is_ended):
        self.calls.append(("replay", is_ended))

    def consume(self, size):
        self.calls.append(size)


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def opened(driver=None):
    owner, events = Owner(driver), ToldEvents()
    channel = NativeChannel(owner, 4, "label")
    channel.bind(events)
    return owner, events, channel


async def test_control_messages_count_as_nobodys_data():
    owner, events, channel = await opened()
    channel.send_control(b"open")
    channel.send(b"data")
    channel.bytes_sent(6)
    channel.bytes_sent(2)
    assert owner.calls == [(PayloadProtocol.DCEP, b"open"), (PayloadProtocol.BINARY, b"data")]
    assert events.told == [2, 2]


async def test_an_empty_message_is_a_byte_that_counts_as_none():
    owner, events, channel = await opened()
    channel.send(b"")
    channel.bytes_sent(1)
    assert owner.calls == [(PayloadProtocol.BINARY_EMPTY, b"\0")]
    assert events.told == []


async def test_a_message_that_the_peer_does_not_take_is_refused():
    _, _, channel = await opened()
    with pytest.raises(ValueError, match="up to 100 bytes, not 101"):
        channel.send(bytes(101))


async def test_it_is_closed_when_both_directions_are():
    owner, events, channel = await opened()
    channel.close()
    channel.close()
    channel.send(b"late")
    channel.outbound_reset()
    assert channel.is_open
    channel.inbound_reset()
    assert owner.calls == ["reset", "remove", ("replay", False)]
    assert events.told == ["closed"]


@pytest.mark.parametrize("is_next_ended", [False, True])
async def test_the_peers_close_closes_ours_and_what_comes_then_is_for_the_next(is_next_ended):
    owner, events, channel = await opened()
    channel.inbound_reset()
    assert not channel.is_open
    assert channel.is_inbound_reset
    if is_next_ended:
        channel.inbound_reset(is_next=True)
    assert channel.is_next_ended == is_next_ended
    channel.outbound_reset()
    assert owner.calls == ["reset", "remove", ("replay", is_next_ended)]
    assert events.told == ["closed"]


async def test_a_close_with_a_delay_waits_for_the_peers():
    owner, _, channel = await opened()
    channel.close(3600)
    channel.close(3600)
    assert owner.calls == []
    channel.inbound_reset()
    channel.outbound_reset()
    assert owner.calls == ["reset", "remove", ("replay", False)]


async def test_the_shortest_of_the_delays_counts():
    driver = VirtualDriver()
    owner, _, channel = await opened(driver)
    for delay in (100, 2, 50):
        channel.close(delay)
    assert driver.pending == 1
    assert driver.run(lambda: owner.calls) == 2
    assert owner.calls == ["reset"]


async def test_the_end_of_the_connection_is_told_by_the_connection():
    owner, events, channel = await opened()
    owner.is_ended = True
    channel.closed()
    assert owner.calls == ["remove"]
    assert events.told == []


async def test_what_nobody_will_read_is_consumed():
    owner = Owner()
    channel = NativeChannel(owner, 4, "")
    channel.message_received(b"data")
    assert owner.calls == [4]
