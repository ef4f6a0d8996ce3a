"""A stream's connection that only counts, and a channel that only keeps what is sent."""

import anyio

from webrtc_transport.stream_owner import StreamOwner


class Owner(StreamOwner):
    send_window = 65536
    payload_limit = 16384
    fin_ack_timeout = 1.0
    make_event = anyio.Event

    def __init__(self):
        self.portal = self
        self.payload_sent = self.payload_received = 0
        self.consumed = 0
        self.ended = []

    def post(self, func, *args):
        func(*args)

    def stream_consumed(self, size):
        assert size >= 0
        self.consumed += size

    def stream_draining(self, stream):
        self.ended.append("draining")

    def stream_closing(self, stream):
        self.ended.append("closing")

    def stream_drained(self, stream):
        self.ended.append("drained")

    def stream_finished(self, stream):
        self.ended.append("finished")

    def stream_closed(self, stream):
        self.ended.append("closed")

    def stream_attributes(self):
        return {}


class Channel:
    id = 1

    def __init__(self):
        self.sent = []

    def send(self, frame):
        self.sent.append(frame)

    def close(self, delay):
        pass
