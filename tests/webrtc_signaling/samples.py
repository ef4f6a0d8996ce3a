"""Signals and messages for tests."""

from webrtc_signaling.codec import Codec, decode_bytes
from webrtc_signaling.messages import Envelope, Numbered, parse_server_message
from webrtc_signaling.server.signals import RoutedSignal, encode, routed
from webrtc_signaling.testing.samples import (  # noqa: F401 - for the tests, too
    ANSWER,
    BYE,
    END_OF_CANDIDATES,
    OFFER,
    PROOF,
    candidate,
    error,
)
from webrtc_transport.identity import Identity

ALICE = Identity.generate()
BOB = Identity.generate()
ALICE_ID = str(ALICE.peer_id)
BOB_ID = str(BOB.peer_id)
SESSION = "session-0123456789"
INSTANCE = "instance-0123456789"


def envelope(signal=OFFER, *, sender=ALICE_ID, recipient=BOB_ID, session=SESSION, index=0):
    return Envelope(sender=sender, recipient=recipient, session=session, index=index, signal=signal)


def routed_signal(signal=OFFER, **whose):
    """The same as it goes through the server."""
    return routed(envelope(signal, **whose))


def envelope_of(signal):
    """What a client reads when the server sends it a signal."""
    data = encode(Numbered(signal, 1, 0), Codec.JSON)
    return parse_server_message(decode_bytes(data, Codec.JSON, is_text=True)).message


def said(message):
    """What the server tells a client: a signal, or the code of an error."""
    return envelope_of(message).signal if isinstance(message, RoutedSignal) else message.data.code
