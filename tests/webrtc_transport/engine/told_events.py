"""What an engine tells about a channel, in a list."""

from webrtc_transport.abc import ChannelEvents


class ToldEvents(ChannelEvents):
    """Messages, the sizes of what was sent, and ``closed``, in their order."""

    def __init__(self):
        self.told = []

    def on_message(self, data):
        self.told.append(data)

    def on_sent(self, size):
        self.told.append(size)

    def on_closed(self):
        self.told.append("closed")
