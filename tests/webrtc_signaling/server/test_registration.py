from tests.webrtc_signaling.samples import ALICE_ID, ANSWER, BOB_ID, OFFER, SESSION, candidate, routed_signal
from webrtc_signaling.channel import ReliableChannel
from webrtc_signaling.messages import SessionFailure, error_data
from webrtc_signaling.server.admission import TokenBucket
from webrtc_signaling.server.registration import Registration, SessionKey

OTHER_SESSION = "another-session-0"


def make_registration():
    channel = ReliableChannel(max_messages=16, max_bytes=16_000)
    return Registration(peer=BOB_ID, channel=channel, bucket=TokenBucket(1, 1), instance=None)


def test_what_is_undelivered_is_counted_by_session():
    registration = make_registration()
    channel = registration.channel
    for message in (
        routed_signal(OFFER),
        routed_signal(candidate(1), index=1),
        routed_signal(ANSWER, session=OTHER_SESSION),
    ):
        channel.push(message, 100)
    # Of errors of the server nobody hears that they were lost.
    channel.push(SessionFailure(peer=ALICE_ID, session=SESSION, data=error_data("peer-gone", "")), 100)
    assert registration.undelivered() == {
        SessionKey(ALICE_ID, SESSION): 2,
        SessionKey(ALICE_ID, OTHER_SESSION): 1,
    }
    channel.transmit(0.0)
    channel.acknowledge(1)
    assert registration.undelivered()[SessionKey(ALICE_ID, SESSION)] == 1
    channel.acknowledge(4)
    assert not registration.undelivered()


def test_a_registration_without_a_link_is_woken_in_vain():
    make_registration().wake()
