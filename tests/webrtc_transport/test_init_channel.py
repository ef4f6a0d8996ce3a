"""The channel that only makes a browser's offer contain one."""

import anyio
import pytest

from tests.pairs import connected
from webrtc_transport import init_channel, signaled_link
from webrtc_transport.abc import ChannelEvents
from webrtc_transport.init_channel import INIT_LABEL, InitChannel
from webrtc_transport.signaled_link import SignaledLink

pytestmark = pytest.mark.anyio


@pytest.fixture
def channels(monkeypatch):
    """Labels of the channels that a peer has opened, and whether they are asked to close by themselves."""
    seen = []
    on_channel = SignaledLink.on_channel

    def noted(link, channel):
        close = channel.close

        def closing(delay=0.0):
            seen.append((channel.label, delay))
            close(delay)

        channel.close = closing
        on_channel(link, channel)

    monkeypatch.setattr(SignaledLink, "on_channel", noted)
    return seen


async def test_it_is_opened_and_closed_and_no_stream_of_the_peer(channels, monkeypatch):
    closed = anyio.Event()
    monkeypatch.setattr(init_channel, "INIT_LINGER", 0.01)
    monkeypatch.setattr(InitChannel, "on_closed", lambda _: dialer.portal.deliver(closed.set))
    async with connected() as pair:
        dialer = pair.dialer._link
        await dialer.open_init_channel()
        with anyio.fail_after(5):
            await closed.wait()
        # The other end has heard of it, and makes nothing of it.
        assert channels[0] == (INIT_LABEL, signaled_link.INIT_GRACE)
        assert not dialer.streams
        assert not pair.listener._link.streams
        assert not pair.listener._link.has_inbound


class Opened(ChannelEvents):
    """A channel that the test has opened below the streams."""

    def __init__(self, closed):
        self._closed = closed

    def on_message(self, data):
        raise AssertionError

    def on_sent(self, size):
        """Nothing is."""

    def on_closed(self):
        self._closed()


async def opened_as_by_a_browser(pair):
    """A channel ``init`` that its end leaves open, and an event for its close."""
    dialer = pair.dialer._link
    closed = anyio.Event()
    events = Opened(lambda: dialer.portal.deliver(closed.set))
    return await dialer.portal.call(lambda: dialer.peer.open_channel(events, label=INIT_LABEL)), closed


async def test_who_opened_it_closes_it(channels):
    # js-libp2p waits for one to open that was closed before it knew that it was connected.
    async with connected() as pair:
        channel, closed = await opened_as_by_a_browser(pair)
        with anyio.fail_after(5):
            while not channels:
                await anyio.sleep(0.001)
            assert channels == [(INIT_LABEL, signaled_link.INIT_GRACE)]
            assert not closed.is_set()
            await pair.dialer._link.portal.call(channel.close)
            await closed.wait()


async def test_one_that_is_left_open_is_closed_in_the_end(monkeypatch):
    monkeypatch.setattr(signaled_link, "INIT_GRACE", 0.01)
    async with connected() as pair:
        _, closed = await opened_as_by_a_browser(pair)
        with anyio.fail_after(5):
            await closed.wait()


async def test_that_of_a_connection_that_ends_is_not_waited_for():
    async with connected() as pair:
        await pair.dialer.abort()
        with anyio.fail_after(5):
            await pair.dialer._link.open_init_channel()
