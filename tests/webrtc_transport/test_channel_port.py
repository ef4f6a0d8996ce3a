"""What passes between a stream and its channel, in both directions."""

from webrtc_transport.channel_port import ChannelPort


class Recorder:
    """A channel, and a portal that runs everything at once."""

    id = 6

    def __init__(self):
        self.calls = []

    def send(self, frame):
        self.calls.append(("send", frame))

    def close(self, delay):
        self.calls.append(("close", delay))

    def deliver(self, func, *args):
        self.calls.append("across")
        func(*args)


def test_commands_go_to_the_channel():
    channel = Recorder()
    port = ChannelPort(channel)
    port.attach(channel)
    assert port.id == 6
    port.send(b"frame")
    port.close(0.5)
    assert channel.calls == [("send", b"frame"), ("close", 0.5)]


def test_events_cross_the_portal_in_order():
    portal, told = Recorder(), []
    port = ChannelPort(portal)
    port.message_arrived = told.append
    port.bytes_sent = told.append
    port.channel_closed = lambda: told.append("closed")
    port.on_message(b"data")
    port.on_sent(3)
    port.on_closed()
    assert told == [b"data", 3, "closed"]
    assert portal.calls == ["across"] * 3
