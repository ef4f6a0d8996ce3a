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

MAX_DIRECT_FRAME: Final = 4096
"""Bytes of a frame that we send over webrtc-direct, which is one SCTP message. go-libp2p 0.51 can read no larger one,
and rust-libp2p none of more than 8192 bytes, and either resets the stream; whoever is dialed may be one of them."""

MIN_MESSAGE_SIZE: Final = 1024
"""A peer that takes less than this per message is refused: it could make us send a frame per byte."""

# --- the network ---------------------------------------------------------------------------------------------------

MAX_DATAGRAM: Final = 4096
"""Bytes of a UDP payload. WebRTC peers stay under an Ethernet frame's 1500; larger ones are cut, and then dropped."""

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

FAULT_REPORTS_PER_MINUTE: Final = 1.0
"""Warnings of a listener about its own faults, such as an expired certificate: each offer of a stranger meets them, and
would fill the log."""

FAULT_REPORTS_BURST: Final = 5.0
"""The same at once: some kinds of faults, each a time."""

# --- webrtc-direct -------------------------------------------------------------------------------------------------

MAX_STUN_LENGTH: Final = 1280
"""Bytes of a STUN message between peers: the smallest MTU of IPv6. A check has some 200, with two fragments of 256
and the colon some 620."""

MAX_DIRECT_PEERS: Final = 4096
"""Peers of one port, unless the application says otherwise: their connections are what costs memory."""

MAX_HALF_OPEN_PEERS: Final = 1024
"""Peers of one port whose handshake isn't done. When they are as many, the oldest goes for the newest: who floods
never finishes, and who is genuine finishes in a few round trips."""

MIN_HALF_OPEN_SECONDS: Final = 1.0
"""Seconds in which a peer isn't given up for a newer one: five round trips of 200 ms."""

MAX_PEER_ADDRESSES: Final = 8
"""Addresses from which one peer is heard: an IPv4 and an IPv6 one on each of a few networks, and where it moves to."""

MAX_REMEMBERED_V2_PEERS: Final = 4096
"""Peers that are known to speak version 2: as many as one port has at once. Who is forgotten is dialed by version 1."""

PEER_MOVES_PER_SECOND: Final = 1.0
"""Checks of a proven peer from an address that it hasn't now: each is verified and answered, so whoever is let in once
could make us do so for as many sources as it makes up."""

PEER_MOVES_BURST: Final = 16.0
"""The same, at once: twice the addresses that one peer is heard from."""

AMPLIFICATION_LIMIT: Final = 3
"""Times the bytes that came from an address that it gets before it is proven to receive them (RFC 9000, section 8)."""

NEW_PEERS_PER_SECOND: Final = 200.0
"""Newcomers for whom a check is verified and answered: as many as one core can do the handshakes of."""

NEW_PEERS_BURST: Final = 1000.0
"""Newcomers at once: those that come back after a restart. Five seconds of the rate."""

NEW_PEERS_PER_PREFIX: Final = 100.0
"""Newcomers per second from one IPv4 address or IPv6 /64: half of all, so that others still have a share."""

NEW_PEERS_PER_PREFIX_BURST: Final = 200.0
"""Newcomers at once from one source: an office, or a carrier's NAT. Two seconds of its rate."""

MAX_RATE_PREFIXES: Final = 4096
"""Sources whose rate is remembered. All newcomers together need 15 s to push one out, and after 2 s without any its
bucket is full again: what is forgotten says nothing."""

REMEMBERED_CHECKS: Final = 65536
"""Refused checks that are recognised when they come again, 8 bytes each. At 50,000 spoofed ones per second one stays
for some 1.3 s, in which a peer repeats its check at least three times."""

MAX_STRANGERS_PER_SECOND: Final = 12_500.0
"""Datagrams from unknown sources that one port reads: they cost some 6 % of a core. Of a flood of four times as many,
each source is heard in every fourth window of time, so a newcomer gets in within two seconds."""

MAX_SHARES: Final = 64
"""Parts into which unknown sources are divided in a flood, of which one is heard at a time. A turn takes 16 s then, so
hardly anybody comes in any more; those who are in go on."""

MAX_NOISE_MESSAGE: Final = 4096
"""Bytes of a Noise handshake message: a proof of RSA-8192 (1,070 for the key, 1,024 for the signature), the keys and
tags of Noise (96), and as much again for extensions."""

MAX_UNPROVEN_STREAMS: Final = 16
"""Streams of a dialer that hasn't proven who it is: each costs some 3 KB, and above ``max_inbound_streams`` a line of
the log, which a stranger could make us write over and over. It opens none before the proof; js-libp2p keeps 10 for who
does."""

# --- data channels ---------------------------------------------------------------------------------------------------

INBOUND_MARGIN: Final = 4
"""Channels of the peer per stream that the application takes: three times as many are over but for the end of the
channel, which needs a few round trips. Three bursts of as many streams as are taken can follow each other at once.
Above that none is made."""

MAX_EARLY_BYTES: Final = 64 * 1024
"""Bytes, with what the interpreter takes for each message, on a stream that nobody has opened. Both ends open the
channel of the handshake, and what one sends before the other has is one message of at most ``MAX_NOISE_MESSAGE``."""

MAX_HELD_PACKETS_BYTES: Final = 2 * 1024 * 1024
"""SCTP packets kept while the application doesn't read. Twice the window that is announced: a whole flight fits."""
