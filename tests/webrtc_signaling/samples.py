"""Signals and messages for tests."""

from webrtc_signaling.messages import Envelope
from webrtc_transport.identity import Identity
from webrtc_transport.protocol.signals import (
    Answer,
    Bye,
    Candidate,
    CandidateData,
    DescriptionData,
    Error,
    ErrorData,
    Offer,
    Proof,
)

ALICE = Identity.generate()
BOB = Identity.generate()
ALICE_ID = str(ALICE.peer_id)
BOB_ID = str(BOB.peer_id)
SESSION = "session-0123456789"
INSTANCE = "instance-0123456789"

PROOF = Proof(public_key=b"\x08\x01", signature=b"\xff\x00", issued_at=1_700_000_000_000)
OFFER = Offer(data=DescriptionData(type="offer", sdp="v=0\r\n"), proof=PROOF)
ANSWER = Answer(data=DescriptionData(type="answer", sdp="v=0\r\n"))
END_OF_CANDIDATES = Candidate()
BYE = Bye()


def candidate(number):
    return Candidate(data=CandidateData(candidate=f"candidate:{number} 1 udp 1 192.0.2.1 9 typ host"))


def error(code, message=""):
    return Error(data=ErrorData(code=code, message=message))


def envelope(signal=OFFER, *, sender=ALICE_ID, recipient=BOB_ID, session=SESSION, index=0):
    return Envelope(sender=sender, recipient=recipient, session=session, index=index, signal=signal)
