"""Bounds of the rendezvous protocol that both ends keep, each with its reason.

What an operator may want to change is a field of :class:`webrtc_signaling.server.settings.ServerSettings` instead.
"""

from __future__ import annotations

from typing import Final

MAX_MESSAGE_SIZE: Final = 128 * 1024
"""Bytes of one message. Any valid one fits in, in either encoding: the longest description (16,384 characters) takes
six times its length if JSON has to escape each of them. So what one client may send, another can receive."""

MAX_BATCH_SIZE: Final = 2 * MAX_MESSAGE_SIZE
"""Bytes in the body of one HTTP request or response of a long-poll, before compression. Any message fits in. What is
left over follows in the next one, so a connection takes no more memory than this in either direction."""

MIN_COMPRESSED_SIZE: Final = 1024
"""Bytes of a body from which on it is compressed: a description becomes a third, a candidate saves nothing."""

MAX_POLL_TRIES: Final = 4
"""How often one request of a long-poll is made before its connection counts as lost. Proxies cut requests short, and a
request that is repeated costs less than a registration."""

MIN_POLL_INTERVAL: Final = 0.5
"""Seconds between two polls that are answered with nothing: somebody on the way answers without waiting."""

MAX_PEER_ID_LENGTH: Final = 128
"""Characters of a peer id; today's have 46 to 62."""

MAX_TOKEN_LENGTH: Final = 4096
"""Characters of an operator's token: it has room for a key's worth of claims, and some 60 peer ids."""

MAX_ICE_SERVERS: Final = 16
"""ICE servers that a server names at once, and URLs of each: a client asks all of them, for each connection."""

MAX_ICE_TEXT_LENGTH: Final = 512
"""Characters of an ICE server's URL, user name or password."""

MAX_COLLECTION_LENGTH: Final = 32
"""Entries of one msgpack map or array. The decoder reserves what a header announces, before it has seen any of it:
without a bound, a message of 64 KiB with nested headers takes half a gigabyte."""

MAX_SESSION_SIGNALS: Final = 256
"""Signals that each end sends in one session: an offer or answer, four times as many candidates as a peer looks at,
and the end. It bounds what a session keeps for sending it again, and what a reader that never reads can pile up."""

MAX_SESSION_DESCRIPTIONS: Final = 4
"""Descriptions among the signals that a peer sends in one session: they are the large ones. One is usual."""

MAX_OPEN_SESSIONS: Final = 1024
"""Sessions that one client has open. Each costs a few KiB, and peers can open them as they like."""

MAX_QUEUED_MESSAGES: Final = 4096
"""Unacknowledged messages of a client: enough for 200 dials at once while the connection is down."""

MAX_QUEUED_BYTES: Final = 4 * 1024 * 1024
"""Bytes of the same."""

ACK_EVERY: Final = 16
"""Messages that may stay unacknowledged: what the other end has to keep, and to send again after a cut."""

ACK_DELAY: Final = 0.2
"""Seconds that an acknowledgement waits for a message to ride on. Nobody waits for it; it only frees memory."""

HELD_ACK_DELAY: Final = 2.0
"""Seconds until a server says that it is there, and nothing more, to a client whose message the other peer hasn't taken
yet. Clients that can't ping take a server for dead that says nothing for 10 s."""

MAX_HELD_MESSAGES: Final = 1024
"""Messages of one client that their recipients haven't taken: a quarter of what the client keeps unacknowledged, so
that peers that take nothing can't fill it up. Beyond it, the session of the oldest ends."""

MAX_ENDED_SESSIONS: Final = 1024
"""Sessions that a client has ended and still knows, lest a message of theirs that is repeated opens them again."""
