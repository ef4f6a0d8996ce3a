"""Signals and messages for tests."""

from webrtc_signaling.messages import Envelope
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
