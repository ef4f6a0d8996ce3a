"""The ICE credentials of webrtc-direct, which no description carries (libp2p specs, ``webrtc/webrtc-direct.md``).

The dialer makes up the credentials of both ends and names them in the USERNAME of its checks,
``<server's ufrag>:<client's ufrag>``. The beginning of the server's says how the passwords follow:

====  ============================================  ===========================================================
flow  server's ufrag                                passwords
====  ============================================  ===========================================================
v1    ``libp2p+webrtc+v1/<random>``                 each end's password is its ufrag; the client's is the same
v2    ``libp2p+webrtc+v2/<client's password>``      the server's is its ufrag; the client's is what follows
====  ============================================  ===========================================================

A browser must change its own description for v1, and need not for v2.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from .stun import HEADER_LENGTH, MAX_USERNAME_LENGTH

UFRAG_PREFIX: Final = "libp2p+webrtc+v"
"""What the server's ufrag begins with in every flow; the number of the flow and a slash follow."""

_RANDOM_BYTES: Final = 24
"""Random bytes of a credential: 32 characters of base64, more than RFC 8445 demands (section 5.3: 128 bits)."""

_PREFIX: Final = UFRAG_PREFIX.encode()
_BINDING_REQUEST: Final = b"\x00\x01"

MIN_PASSWORD_LENGTH: Final = 22
"""Characters of an ICE password (RFC 8839, section 5.4)."""

# RFC 8839, section 5.4: an ufrag is 4 to 256 letters, digits, + and /.
_USERNAME: Final = re.compile(rb"([A-Za-z0-9+/]{4,256}):([A-Za-z0-9+/]{4,256})")
_SERVER_UFRAG: Final = re.compile(r"libp2p\+webrtc\+v([0-9]{1,9})/(.*)")


class UfragError(ValueError):
    """A USERNAME isn't one of webrtc-direct, or is of a flow that isn't spoken here."""


class Flow(IntEnum):
    """How the dialer tells the server the credentials."""

    V1 = 1
    V2 = 2


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """The credentials of one end: 4 to 256, and 22 to 256, of the characters that RFC 8839 allows."""

    ufrag: str
    password: str


@dataclass(frozen=True, slots=True)
class DirectCredentials:
    """The credentials of both ends of a connection."""

    flow: Flow
    server: IceCredentials
    client: IceCredentials

    @property
    def username(self) -> bytes:
        """USERNAME of the client's checks; it names the connection."""
        return f"{self.server.ufrag}:{self.client.ufrag}".encode()

    @property
    def answering_username(self) -> bytes:
        """USERNAME of the server's checks, if it isn't a lite agent."""
        return f"{self.client.ufrag}:{self.server.ufrag}".encode()


def new_credentials(flow: Flow) -> DirectCredentials:
    """What a dialer makes up: nobody can guess it, so nobody off the path can take part."""
    if flow is Flow.V1:
        ufrag = f"{UFRAG_PREFIX}1/{_random_text()}"
        both = IceCredentials(ufrag, ufrag)
        return DirectCredentials(flow, both, both)
    client = IceCredentials(_random_text(), _random_text())
    ufrag = f"{UFRAG_PREFIX}2/{client.password}"
    return DirectCredentials(flow, IceCredentials(ufrag, ufrag), client)


def peek_username(data: bytes) -> bytes:
    """What looks like the USERNAME of a check of webrtc-direct in ``data``, which hasn't been parsed; empty if none.

    It costs a fraction of parsing and is right for every well-formed check. Of others it may be anything.
    """
    start = data.find(_PREFIX, HEADER_LENGTH) if data[:2] == _BINDING_REQUEST else -1
    if start < 0:
        return b""
    # The length of an attribute stands before its value.
    return data[start : start + (data[start - 2] << 8) + data[start - 1]]


def parse_username(username: bytes) -> DirectCredentials:
    """Infer the credentials from the USERNAME of a check that a server got.

    :raises UfragError: if a ufrag or a password isn't within the bounds of RFC 8839, section 5.4, or the prefix of
        the server's ufrag is missing or of an unknown flow
    """
    match = _USERNAME.fullmatch(username) if len(username) <= MAX_USERNAME_LENGTH else None
    if match is None:
        raise UfragError(
            "a USERNAME is two ufrags of 4 to 256 letters, digits, + and / with a colon between them"
        )
    server, client = match[1].decode(), match[2].decode()
    prefix = _SERVER_UFRAG.fullmatch(server)
    if prefix is None:
        raise UfragError(f"the server's ufrag doesn't begin with {UFRAG_PREFIX}<number>/")
    if prefix[1] not in ("1", "2"):
        raise UfragError(f"version {prefix[1]} of webrtc-direct isn't spoken here, only 1 and 2")
    flow = Flow(int(prefix[1]))
    password = client if flow is Flow.V1 else prefix[2]
    if min(len(server), len(password)) < MIN_PASSWORD_LENGTH:
        raise UfragError(f"a password has at least {MIN_PASSWORD_LENGTH} characters")
    return DirectCredentials(flow, IceCredentials(server, server), IceCredentials(client, password))


def _random_text() -> str:
    # The URL-safe alphabet has two characters that ICE doesn't have, in place of two that it has.
    return secrets.token_urlsafe(_RANDOM_BYTES).replace("-", "+").replace("_", "/")
