"""What an end of a peer connection says of itself, and the DTLS role that follows from both descriptions."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final

from ..abc import PeerSettings
from ..protocol.limits import MAX_FRAME_LENGTH
from ..protocol.sdp import DtlsSetup, Fingerprint, SessionDescription

UFRAG_BYTES: Final = 6
"""Random bytes of a ufrag: RFC 8839 (section 5.4) asks for 24 bits."""

PWD_BYTES: Final = 18
"""Random bytes of a password: RFC 8839 (section 5.4) asks for 128 bits."""

OFFERED_FINGERPRINT: Final = "sha-256"


def describe(settings: PeerSettings) -> SessionDescription:
    """A description with new ICE credentials; an answerer's becomes an answer by :func:`answer`."""
    fingerprint = Fingerprint(OFFERED_FINGERPRINT, settings.certificate.fingerprint(OFFERED_FINGERPRINT))
    return SessionDescription(
        ufrag=secrets.token_hex(UFRAG_BYTES),
        pwd=secrets.token_hex(PWD_BYTES),
        fingerprints=(fingerprint,),
        setup=DtlsSetup.ACTPASS if settings.offerer else DtlsSetup.ACTIVE,
        max_message_size=MAX_FRAME_LENGTH,
    )


def answer(local: SessionDescription, offer: SessionDescription) -> SessionDescription:
    """``local`` as the answer to ``offer``.

    An answerer takes the role that the offerer leaves, active if it may choose (RFC 8842, section 5.3).
    """
    setup = DtlsSetup.PASSIVE if offer.setup is DtlsSetup.ACTIVE else DtlsSetup.ACTIVE
    return replace(local, mid=offer.mid, setup=setup)


def is_dtls_server(local: SessionDescription, remote: SessionDescription) -> bool:
    """Whether the end of ``local`` waits for the ClientHello: the active one sends it (RFC 8842, section 5.3)."""
    if local.setup is DtlsSetup.ACTPASS:
        return remote.setup is not DtlsSetup.PASSIVE
    return local.setup is DtlsSetup.PASSIVE
