"""Every bound on what comes from outside, with its reason and the attack that it stops.

What a *user* may want to change is a field of :class:`~webrtc_transport.config.TransportConfig` instead.
"""

from __future__ import annotations

from typing import Final

# --- frames on a data channel (libp2p specs, webrtc/README.md, "Multiplexing") ------------------------------------

MAX_FRAME_LENGTH: Final = 16384
"""Bytes of one frame with its length prefix: what every browser can send and receive in one message."""

FRAME_OVERHEAD: Final = 2 + 2 + 1 + 2
"""Bytes of a full frame that are not payload: length prefix (2), flag field (2), message tag (1) and length (2)."""

MAX_FRAME_PAYLOAD: Final = MAX_FRAME_LENGTH - FRAME_OVERHEAD
"""Bytes of payload in one frame: what the two above leave."""

MIN_MESSAGE_SIZE: Final = 1024
"""A peer that takes less than this per message is refused: it could make us send a frame per byte."""

# --- signaling -----------------------------------------------------------------------------------------------------

MAX_SDP_LENGTH: Final = 16 * 1024
"""Characters of a session description. A data-channel SDP of Chromium with 20 candidates has some 3,000."""

MAX_SDP_LINES: Final = 512
"""Lines of a session description: each is looked at."""

MAX_CANDIDATE_LENGTH: Final = 512
"""Characters of one candidate line. Chromium's longest, with IPv6, extensions and ``raddr``, has under 250."""

MAX_REMOTE_CANDIDATES: Final = 64
"""Candidates taken from one peer: each costs a check per local candidate, sent to an address that the peer chose
(RFC 8445, section 19.5.1, the amplification attack)."""

MAX_REASON_LENGTH: Final = 512
"""Characters of a reason that is shown to people."""

MAX_PROOF_KEY_LENGTH: Final = 1536
"""Bytes of a protobuf public key; RSA-8192, the largest that is checked, has some 1,070."""

MAX_PROOF_SIGNATURE_LENGTH: Final = 1024
"""Bytes of a signature; RSA-8192 has as many."""

MAX_RSA_BITS: Final = 8192
"""Largest RSA modulus that a signature is checked with (go-libp2p's limit): the cost grows with its square."""

MIN_RSA_BITS: Final = 2048
"""Smallest RSA modulus that proves anything (libp2p specs, peer-ids)."""

MAX_REMEMBERED_PROOFS: Final = 4096
"""Offers that are remembered to refuse replays. For one more the oldest is forgotten: a replay of it gets a handshake
that can't succeed, because whoever replays it hasn't the key of the certificate; to refuse would lock others out."""

MAX_REMEMBERED_PROOFS_PER_PEER: Final = 64
"""The same, of one peer: its own oldest is forgotten, so none can push out what others have sent. A peer that dials
once in five seconds stays below it, as long as proofs are valid by default."""

HANDSHAKE_SHARES: Final = 8
"""Peers that it takes at least to fill ``max_inbound_handshakes``: each gets so large a part of it and no more."""

MIN_HANDSHAKE_SHARE: Final = 2
"""Handshakes that one peer may have under way, however small that part is: it dials again when its network changes,
before the first has failed."""

# --- data channels ---------------------------------------------------------------------------------------------------

MAX_EARLY_MESSAGES: Final = 256
"""Messages of a channel that nobody has bound yet."""

MAX_HELD_PACKETS_BYTES: Final = 2 * 1024 * 1024
"""SCTP packets kept while the application doesn't read. Twice the window that is announced: a whole flight fits."""
