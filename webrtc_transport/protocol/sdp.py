"""Session descriptions of one data-channel section, and ICE candidates.

Sources: RFC 8866 (the grammar), RFC 8839 (ICE), RFC 8841 (SCTP), RFC 8842 and RFC 8122 (DTLS), RFC 9429 (what
browsers write). Parsing is lenient where those let a peer choose and strict where a choice would be a guess.
Whatever is wrong with a description raises :exc:`~webrtc_transport.errors.InvalidSignal`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from ..errors import InvalidSignal
from .limits import (
    MAX_CANDIDATE_LENGTH,
    MAX_REMOTE_CANDIDATES,
    MAX_SDP_LENGTH,
    MAX_SDP_LINES,
    MIN_MESSAGE_SIZE,
)

DEFAULT_SCTP_PORT: Final = 5000
"""What every WebRTC stack uses; the port is inside of the DTLS association and means nothing outside of it."""

DEFAULT_MAX_MESSAGE_SIZE: Final = 65536
"""Bytes that a peer takes per message if it doesn't say (RFC 8841, section 6.1)."""

UNLIMITED_MESSAGE_SIZE: Final = 2**63 - 1
"""Stands for ``a=max-message-size:0``, by which a peer takes messages of any size (RFC 8841, section 6.1)."""

_DIGEST_SIZES: Final[Mapping[str, int]] = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Bytes of the hash functions that may prove a certificate; those that RFC 8122 lists beside are broken."""

_UFRAG: Final = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PASSWORD: Final = re.compile(r"[A-Za-z0-9+/]{22,256}")
_FOUNDATION: Final = re.compile(r"[A-Za-z0-9+/]{1,32}")
_MID: Final = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,16}")
# One label before ".local" (draft-ietf-mmusic-mdns-ice-candidates, section 3.2.1): nothing else is resolved.
_MDNS_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.local", re.IGNORECASE)
_HEX_PAIRS: Final = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*")
_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]*")
_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_LINE: Final = re.compile(r"[a-z]=.*")
_MEDIA: Final = re.compile(r"application ([0-9]{1,5}) (?:UDP|TCP)/DTLS/SCTP webrtc-datachannel")

_CANDIDATE_TYPES: Final = ("host", "srflx", "prflx", "relay")
_TRANSPORTS: Final = ("udp", "tcp")
_TCP_TYPES: Final = (None, "active", "passive", "so")


class DtlsSetup(StrEnum):
    """Who starts the DTLS handshake (RFC 8842, section 5.2): the active end is the client."""

    ACTPASS = "actpass"
    """An offerer leaves the choice to the answerer."""
    ACTIVE = "active"
    PASSIVE = "passive"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The digest of a DTLS certificate (RFC 8122, section 5).

    :raises InvalidSignal: if the algorithm isn't SHA-256, -384 or -512, or the digest isn't of its size
    """

    algorithm: str
    """Lower-case: ``sha-256``, ``sha-384`` or ``sha-512``."""
    digest: bytes

    def __post_init__(self) -> None:
        size = _DIGEST_SIZES.get(self.algorithm)
        _check(size is not None, f"fingerprint algorithm {self.algorithm[:20]!r} is not supported")
        _check(len(self.digest) == size, f"a {self.algorithm} fingerprint has {size} bytes")

    @classmethod
    def parse(cls, value: str) -> Self:
        """Parse the value of ``a=fingerprint``: ``sha-256 AA:BB:…``, in letters of either case.

        :raises InvalidSignal: if it is malformed or its algorithm is not supported
        """
        algorithm, _, digest = value.partition(" ")
        _check(_HEX_PAIRS.fullmatch(digest), "a fingerprint is not made of bytes like AA:BB")
        return cls(algorithm.lower(), bytes.fromhex(digest.replace(":", "")))

    @property
    def value(self) -> str:
        """The digest as ``AA:BB:…``."""
        return self.digest.hex(":").upper()

    def to_sdp(self) -> str:
        """The value of ``a=fingerprint``: ``sha-256 AA:BB:…``."""
        return f"{self.algorithm} {self.value}"


@dataclass(frozen=True, slots=True)
class IceCandidate:
    """An address at which a peer may be reached (RFC 8839, section 5.1).

    What is here is well-formed, which doesn't make it usable: TCP candidates, components other than 1 and
    ``.local`` names are left to the ICE agent to try or to skip.

    :raises InvalidSignal: naming the first field that is out of its bounds
    """

    foundation: str
    """1 to 32 letters, digits, ``+`` and ``/``."""
    component: int
    """1 to 256."""
    transport: str
    """``udp`` or ``tcp``."""
    priority: int
    """1 to 2^31 - 1 (RFC 8445, section 5.1.2)."""
    address: str
    """An IPv4 or IPv6 address without zone, or an mDNS name ``….local``."""
    port: int
    """1 to 65535; a TCP candidate that only dials may have 0."""
    type: str
    """``host``, ``srflx``, ``prflx`` or ``relay``."""
    related_address: str | None = None
    related_port: int | None = None
    """0 to 65535: browsers hide the true one behind 0."""
    tcp_type: str | None = None
    """``active``, ``passive`` or ``so`` (RFC 6544, section 4.5); ``None`` for UDP."""

    def __post_init__(self) -> None:
        _check(_FOUNDATION.fullmatch(self.foundation), "candidate foundation is not 1 to 32 ice-chars")
        _check_range("candidate component", self.component, 1, 256)
        _check(self.transport in _TRANSPORTS, "candidate transport is neither udp nor tcp")
        _check_range("candidate priority", self.priority, 1, 2**31 - 1)
        _check_address(self.address)
        _check_range("candidate port", self.port, 0 if self.transport == "tcp" else 1, 65535)
        _check(self.type in _CANDIDATE_TYPES, f"candidate type is none of {', '.join(_CANDIDATE_TYPES)}")
        if self.related_address is not None:
            _check_address(self.related_address)
        if self.related_port is not None:
            _check_range("candidate related port", self.related_port, 0, 65535)
        _check(self.tcp_type in _TCP_TYPES, "candidate tcptype is none of active, passive, so")
        _check(self.tcp_type is None or self.transport == "tcp", "a udp candidate has a tcptype")

    @classmethod
    def from_sdp(cls, line: str) -> Self:
        """Parse ``candidate:…``, also with ``a=`` before it or without ``candidate:``.

        Extensions other than ``tcptype`` are ignored (RFC 8839, section 5.1). An empty line, by which some
        peers end their candidates, is no candidate.

        :raises InvalidSignal: if it is malformed
        """
        _check(len(line) <= MAX_CANDIDATE_LENGTH, f"a candidate has over {MAX_CANDIDATE_LENGTH} characters")
        _check(_PRINTABLE.fullmatch(line), "a candidate has characters other than printable ASCII")
        match line.removeprefix("a=").removeprefix("candidate:").split():
            case [foundation, component, transport, priority, address, port, "typ", kind, *rest]:
                _check(len(rest) % 2 == 0, "an extension of a candidate has no value")
                extensions = dict(zip(rest[::2], rest[1::2], strict=True))
                rport = extensions.get("rport")
                return cls(
                    foundation=foundation,
                    component=_parse_number("candidate component", component),
                    transport=transport.lower(),
                    priority=_parse_number("candidate priority", priority),
                    address=address,
                    port=_parse_number("candidate port", port),
                    type=kind,
                    related_address=extensions.get("raddr"),
                    related_port=None if rport is None else _parse_number("candidate rport", rport),
                    tcp_type=extensions.get("tcptype"),
                )
            case _:
                raise InvalidSignal("a candidate doesn't have the 8 fields up to its type")

    def to_sdp(self) -> str:
        """``candidate:…``, as in an ``RTCIceCandidate``; an SDP line has ``a=`` before it."""
        optional = {"raddr": self.related_address, "rport": self.related_port, "tcptype": self.tcp_type}
        return " ".join(
            [
                f"candidate:{self.foundation} {self.component} {self.transport} {self.priority}",
                f"{self.address} {self.port} typ {self.type}",
                *(f"{name} {value}" for name, value in optional.items() if value is not None),
            ]
        )


@dataclass(frozen=True)
class SessionDescription:
    """What one end of a connection is and takes: the part of an SDP that data channels need.

    :raises InvalidSignal: naming the first field that is out of its bounds
    """

    ufrag: str
    """4 to 256 letters, digits, ``+`` and ``/`` (RFC 8839, section 5.4)."""
    pwd: str
    """22 to 256 letters, digits, ``+`` and ``/``."""
    fingerprints: tuple[Fingerprint, ...]
    """At least one. Any of them proves the certificate (RFC 8122, section 5)."""
    setup: DtlsSetup
    sctp_port: int = DEFAULT_SCTP_PORT
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE
    """Bytes that this end takes per message; :data:`UNLIMITED_MESSAGE_SIZE` if it takes any."""
    mid: str = "0"
    """The name of the section (RFC 5888): an answer repeats the offer's. At most 16 characters."""
    candidates: tuple[IceCandidate, ...] = ()
    end_of_candidates: bool = False
    """No candidate will be trickled (RFC 8840, section 8)."""
    ice_lite: bool = False

    def __post_init__(self) -> None:
        _check(_UFRAG.fullmatch(self.ufrag), "ice-ufrag is not 4 to 256 ice-chars")
        _check(_PASSWORD.fullmatch(self.pwd), "ice-pwd is not 22 to 256 ice-chars")
        _check(self.fingerprints, f"there is no fingerprint of {', '.join(_DIGEST_SIZES)}")
        _check_range("sctp-port", self.sctp_port, 1, 65535)
        _check_range("max-message-size", self.max_message_size, MIN_MESSAGE_SIZE, UNLIMITED_MESSAGE_SIZE)
        _check(_MID.fullmatch(self.mid), "mid is no token of 1 to 16 characters")
        _check(
            len(self.candidates) <= MAX_REMOTE_CANDIDATES,
            f"there are over {MAX_REMOTE_CANDIDATES} candidates",
        )

    @classmethod
    def parse(cls, sdp: str) -> Self:
        """Parse an offer or an answer.

        Lines may end in LF alone. Attributes of the section come before those of the session, and fingerprints
        of algorithms that prove nothing are passed over.

        :raises InvalidSignal: if it is malformed, oversized, or not a description of exactly one data-channel
            section
        """
        session, media = _split(sdp)

        def values(name: str) -> Sequence[str]:
            return media.get(name) or session.get(name) or ()

        def value(name: str, *default: str) -> str:
            found = values(name) or default
            _check(len(found) == 1, f"the SDP has {len(found)} attributes {name}, where one is due")
            return found[0]

        setup = value("setup")
        _check(setup in tuple(DtlsSetup), f"setup is none of {', '.join(DtlsSetup)}")
        size = _parse_number("max-message-size", value("max-message-size", str(DEFAULT_MAX_MESSAGE_SIZE)))
        return cls(
            ufrag=value("ice-ufrag"),
            pwd=value("ice-pwd"),
            fingerprints=tuple(
                Fingerprint.parse(text)
                for text in values("fingerprint")
                if text.partition(" ")[0].lower() in _DIGEST_SIZES
            ),
            setup=DtlsSetup(setup),
            sctp_port=_parse_number("sctp-port", value("sctp-port", str(DEFAULT_SCTP_PORT))),
            max_message_size=min(size, UNLIMITED_MESSAGE_SIZE) or UNLIMITED_MESSAGE_SIZE,
            mid=value("mid", "0"),
            candidates=tuple(IceCandidate.from_sdp(text) for text in media.get("candidate", ())),
            end_of_candidates=bool(values("end-of-candidates")),
            ice_lite="ice-lite" in session,
        )

    def to_sdp(self) -> str:
        """The description as browsers take it, as an offer or as an answer. Lines end in CRLF."""
        size = 0 if self.max_message_size == UNLIMITED_MESSAGE_SIZE else self.max_message_size
        lines = [
            "v=0",
            # A session id tells versions of one session apart, and ours have one version each.
            "o=- 0 0 IN IP4 0.0.0.0",
            "s=-",
            "t=0 0",
            f"a=group:BUNDLE {self.mid}",
            *(["a=ice-lite"] if self.ice_lite else []),
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{self.mid}",
            "a=ice-options:trickle",
            f"a=ice-ufrag:{self.ufrag}",
            f"a=ice-pwd:{self.pwd}",
            *(f"a=fingerprint:{fingerprint.to_sdp()}" for fingerprint in self.fingerprints),
            f"a=setup:{self.setup}",
            f"a=sctp-port:{self.sctp_port}",
            f"a=max-message-size:{size}",
            *(f"a={candidate.to_sdp()}" for candidate in self.candidates),
            *(["a=end-of-candidates"] if self.end_of_candidates else []),
        ]
        return "".join(f"{line}\r\n" for line in lines)


_Attributes = Mapping[str, Sequence[str]]


def _split(sdp: str) -> tuple[_Attributes, _Attributes]:
    """The attributes of the session and of its one section, by name; a flag has the value ``""``."""
    _check(len(sdp) <= MAX_SDP_LENGTH, f"the SDP has over {MAX_SDP_LENGTH} characters")
    text = sdp.replace("\r\n", "\n").rstrip("\n")
    _check(not _CONTROL_CHARACTER.search(text), "the SDP has a control character")
    lines = text.split("\n")
    _check(len(lines) <= MAX_SDP_LINES, f"the SDP has over {MAX_SDP_LINES} lines")
    _check(lines[0] == "v=0", "the SDP doesn't begin with v=0")
    _check(all(map(_LINE.fullmatch, lines)), "the SDP has a line that is not of the form x=…")
    starts = [number for number, line in enumerate(lines) if line.startswith("m=")]
    _check(
        len(starts) == 1, f"the SDP has {len(starts)} media sections, where one data-channel section is due"
    )
    (start,) = starts
    media = _MEDIA.fullmatch(lines[start].removeprefix("m="))
    if media is None:
        raise InvalidSignal("the media section of the SDP is not one of application, webrtc-datachannel")
    _check(int(media[1]) != 0, "the peer refuses the data-channel section (port 0)")
    return _attributes(lines[:start]), _attributes(lines[start:])


def _attributes(lines: Sequence[str]) -> _Attributes:
    found: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("a="):
            name, _, value = line.removeprefix("a=").partition(":")
            found.setdefault(name, []).append(value)
    return found


def _check(condition: object, message: str) -> None:
    if not condition:
        raise InvalidSignal(message)


def _check_range(name: str, value: int, lowest: int, highest: int) -> None:
    _check(lowest <= value <= highest, f"{name} is not in {lowest}..{highest}")


def _check_address(address: str) -> None:
    if _MDNS_NAME.fullmatch(address):
        return
    try:
        # A zone means something on the peer's host only.
        valid = "%" not in address and ipaddress.ip_address(address)
    except ValueError:
        valid = False
    _check(valid, "candidate address is neither an IP address nor an mDNS name")


def _parse_number(name: str, text: str) -> int:
    _check(_NUMBER.fullmatch(text), f"{name} is not a number")
    return int(text)
