"""Signals to send. Nobody connects by them, so they are short."""

from __future__ import annotations

from typing import Final

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

PROOF: Final = Proof(public_key=b"\x08\x01", signature=b"\xff\x00", issued_at=1_700_000_000_000)
OFFER: Final = Offer(data=DescriptionData(type="offer", sdp="v=0\r\n"), proof=PROOF)
ANSWER: Final = Answer(data=DescriptionData(type="answer", sdp="v=0\r\n"))
END_OF_CANDIDATES: Final = Candidate()
BYE: Final = Bye()


def candidate(number: int) -> Candidate:
    """One that differs from those with other numbers."""
    return Candidate(data=CandidateData(candidate=f"candidate:{number} 1 udp 1 192.0.2.1 9 typ host"))


def error(code: str, message: str = "") -> Error:
    """The end of a session that failed."""
    return Error(data=ErrorData(code=code, message=message))
