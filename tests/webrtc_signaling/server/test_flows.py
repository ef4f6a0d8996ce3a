import pytest

from tests.webrtc_signaling.samples import BOB_ID, OFFER, candidate, routed_signal
from webrtc_signaling.channel import ReliableChannel
from webrtc_signaling.messages import Failure, error_data
from webrtc_signaling.server.admission import TokenBucket
from webrtc_signaling.server.flows import Inflow, RemoteLink
from webrtc_signaling.server.registration import Receipt, Registration
from webrtc_signaling.server.signals import parse_delivery
from webrtc_transport.errors import InvalidSignal


class Backplane:
    def __init__(self):
        self.sent = []
        self.ready = True

    def is_ready(self):
        return self.ready

    def send_from(self, server, outflow):
        if self.ready:
            bodies = [body for frame in outflow.frames() for body in frame.bodies]
            self.sent += [(server, parse_delivery(body).seq) for body in bodies]


@pytest.fixture
def backplane():
    return Backplane()


@pytest.fixture
def link(backplane):
    channel = ReliableChannel(max_messages=16, max_bytes=16_000)
    registration = Registration(peer=BOB_ID, channel=channel, bucket=TokenBucket(1, 1), instance=None)
    channel.push(routed_signal(OFFER), 100)
    channel.push(routed_signal(candidate(1), index=1), 100)
    registration.link = RemoteLink(registration, "server", 0.0, backplane)
    return registration.link


def test_a_flow_is_sent_once(link, backplane):
    link.wake()
    link.wake()
    assert backplane.sent == [("server", 1), ("server", 2)]


def test_while_the_backplane_is_away_nothing_is_sent(link, backplane):
    backplane.ready = False
    link.wake()
    link.inspect(100.0)
    assert backplane.sent == []
    backplane.ready = True
    link.wake()
    assert len(backplane.sent) == 2


@pytest.mark.parametrize(("received", "patience"), [(0, 2.0), (1, 2.0), (2, 5.0)])
def test_what_makes_no_progress_is_sent_again(link, backplane, received, patience):
    link.wake()
    link.progress(received, 0, 0.0)
    link.inspect(patience - 0.1)
    assert len(backplane.sent) == 2
    link.inspect(patience)
    assert len(backplane.sent) == 4
    link.inspect(2 * patience - 0.1)
    assert len(backplane.sent) == 4


def test_what_was_taken_is_not_sent_again(link, backplane):
    link.wake()
    link.progress(2, 1, 1.0)
    link.resend()
    assert backplane.sent[2:] == [("server", 2)]
    link.progress(2, 2, 1.0)
    link.inspect(100.0)
    assert len(backplane.sent) == 3


def test_impossible_progress_is_an_error(link):
    with pytest.raises(InvalidSignal):
        link.progress(1, 1, 0.0)


def test_the_end_of_the_link_is_no_matter_of_the_peers(link, backplane):
    link.close(Failure(data=error_data("slow-consumer", "")))
    link.drop()
    assert backplane.sent == []


def test_an_inflow_tells_what_it_has_and_what_was_taken():
    changed = []
    inflow = Inflow("server", BOB_ID, "flow-0123456789-0", changed.append)
    for seq in (1, 2):
        assert inflow.channel.accept(seq, 0.0, hold=(BOB_ID, ""))
    assert (inflow.progress().received, inflow.progress().taken) == (2, 0)
    Receipt(inflow, inflow.channel, 1)()
    assert changed == [inflow]
    assert (inflow.progress().received, inflow.progress().taken) == (2, 1)


def test_progress_may_come_before_it_is_sent_again(link, backplane):
    link.wake()
    backplane.ready = False
    link.resend()
    link.progress(2, 2, 1.0)
    backplane.ready = True
    link.wake()
    assert backplane.sent == [("server", 1), ("server", 2)]


def test_who_has_gone_elsewhere_is_sent_nothing_more(link, backplane):
    link.registration.link = None
    link.wake()
    assert backplane.sent == []
