"""The settings of a transport: one frozen object, checked when it is made."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    InstanceOf,
    PlainValidator,
    SecretStr,
    model_validator,
)

from .errors import ConfigurationError
from .protocol.certificate import Certificate
from .protocol.direct_address import DirectAddress
from .protocol.ice_url import IceUrl, parse_ice_url
from .protocol.limits import MAX_DATAGRAM
from .protocol.sctp.settings import BASE_DATAGRAM_SIZE, MAX_DATAGRAM_SIZE, CongestionName
from .settings import Settings, shown


def _as_tuple(value: object) -> tuple[str, ...]:
    urls = (value,) if isinstance(value, str) else value
    if not isinstance(urls, Sequence) or not urls or not all(isinstance(url, str) for url in urls):
        raise ConfigurationError(
            f"has to be a URL such as 'stun:stun.example.org', or a list of some, not {shown(value)}"
        )
    return tuple(urls)


def _as_secret(value: object) -> SecretStr | None:
    if value is None or isinstance(value, SecretStr):
        return value
    if not isinstance(value, str):
        raise ConfigurationError(f"has to be text, not {type(value).__name__}")
    return SecretStr(value)


class IceServer(Settings):
    """A STUN or TURN server (W3C WebRTC, section 4.2.1, ``RTCIceServer``).

    ``urls`` are of the forms ``stun:host[:port]`` and ``turn[s]:host[:port][?transport=udp|tcp]`` (RFC 7064,
    RFC 7065). A TURN server needs ``username`` and ``credential``.
    """

    urls: Annotated[str | Sequence[str], PlainValidator(_as_tuple)]
    """One URL, or several of the same server."""

    username: str | None = None
    """For TURN."""

    credential: Annotated[str | SecretStr | None, PlainValidator(_as_secret)] = Field(
        default=None, repr=False
    )
    """For TURN: the password that belongs to the user name. It isn't shown when the object is printed."""

    @model_validator(mode="after")
    def _check(self) -> IceServer:
        for url in self.parsed:
            if url.is_turn and (self.username is None or self.credential is None):
                msg = f"{url}: a TURN server needs username and credential"
                raise ConfigurationError(msg)
        return self

    @property
    def parsed(self) -> tuple[IceUrl, ...]:
        """The URLs, taken apart."""
        return tuple(parse_ice_url(url) for url in _as_tuple(self.urls))

    @property
    def password(self) -> str:
        """The credential as text; empty if there is none."""
        return self.credential.get_secret_value() if isinstance(self.credential, SecretStr) else ""


def check_ice_servers(value: object) -> tuple[IceServer, ...]:
    """The ICE servers of a list, whose entries may also be dictionaries of their settings.

    :raises ConfigurationError: if it is no such list; the text begins in the middle of a sentence
    """
    if isinstance(value, str | Mapping | IceServer) or not isinstance(value, Sequence):
        raise ConfigurationError("has to be a list, such as [IceServer(urls='stun:stun.example.org')]")
    return tuple(_as_ice_server(number, entry) for number, entry in enumerate(value))


def _as_ice_server(number: int, value: object) -> IceServer:
    if isinstance(value, IceServer):
        return value
    if isinstance(value, Mapping):
        try:
            return IceServer(**{str(name): setting for name, setting in value.items()})
        except ConfigurationError as exc:
            raise ConfigurationError(
                f"has a fault in entry {number}: {'; '.join(str(exc).splitlines())}"
            ) from None
    if isinstance(value, str) and "@" in value:  # Not shown: there may be a password in it.
        raise ConfigurationError(
            f"has text with an @ as entry {number}: write IceServer(urls=…, username=…, credential=…)"
        )
    cure = f"IceServer(urls={shown(value)})" if isinstance(value, str) else "IceServer(urls=…)"
    raise ConfigurationError(f"has {shown(value)} as entry {number}, where an IceServer is due: write {cure}")


def _ice_servers(value: object) -> object:
    return value if callable(value) else check_ice_servers(value)


def _no_lone_text(value: object) -> object:
    """Text is a sequence too, of its characters."""
    if isinstance(value, str):
        raise ConfigurationError(f"has to be a list: write [{shown(value)}]")
    return value


def _ip_addresses(value: Sequence[str] | None) -> tuple[str, ...] | None:
    if value is not None and not value:
        raise ConfigurationError("is empty; name addresses, or leave it out for all of them")
    return None if value is None else tuple(map(_ip_address, value))


def _ip_address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ConfigurationError(
            f"has {shown(value)}, which is no IP address; write one like '192.0.2.1' or '2001:db8::1', no name"
        ) from None


def _announced(value: Sequence[str]) -> tuple[str, ...]:
    for address in value:
        try:
            DirectAddress.parse_announced(address)
        except ConfigurationError as exc:
            raise ConfigurationError(f"can't be used: {exc}") from None
    return tuple(value)


def _certificate(value: object) -> object:
    if value is None or isinstance(value, Certificate):
        return value
    # Not shown: it may be the private key itself.
    kind = type(value).__name__
    raise ConfigurationError(
        f"has to be a Certificate, not {kind}; webrtc_transport.certificates.load_certificate(path) reads one"
    )


IceServerSource = Callable[[], Awaitable[Sequence[IceServer]]]
"""An async function that returns the ICE servers, called once per connection (for time-limited credentials)."""


class TransportConfig(Settings):
    """Settings of a :class:`~webrtc_transport.WebRTCTransport`.

    Times are seconds, sizes are bytes.
    """

    engine: str = "native"
    """Name of the protocol stack, an entry point of the group ``webrtc_transport.engines``. ``native`` has SCTP of our
    own, keeps what is unread within its bounds, and is several times faster than ``aiortc``, which is the reference
    and the fallback; ``memory`` is for tests."""

    ice_servers: Annotated[Sequence[IceServer] | IceServerSource, PlainValidator(_ice_servers)] = ()
    """STUN and TURN servers, all asked in parallel; or an async function that returns them."""

    ice_transport_policy: Literal["all", "relay"] = "all"
    """``relay`` uses and reveals nothing but TURN addresses."""

    bind_addresses: Annotated[
        Sequence[str] | None, BeforeValidator(_no_lone_text), AfterValidator(_ip_addresses)
    ] = None
    """Local IP addresses to offer as host candidates; ``None`` is every address but loopback's."""

    certificate: Annotated[InstanceOf[Certificate] | None, BeforeValidator(_certificate)] = None
    """The DTLS certificate. ``None`` makes a new one for each transport; for webrtc-direct, it derives one from the
    identity key, so that the ``certhash`` of an address stays the same."""

    direct_version: Literal["auto", "v1", "v2"] = "auto"
    """The version of webrtc-direct to dial with. ``auto`` takes ``v2`` for a peer that has connected by it since the
    transport began, by either end, and ``v1`` for all others: every listener that is known takes that. A listener of
    ours takes both."""

    announce_addresses: Annotated[
        Sequence[str], BeforeValidator(_no_lone_text), AfterValidator(_announced)
    ] = ()
    """What a webrtc-direct listener tells as its addresses, in place of this host's own: multiaddrs such as
    ``/ip4/192.0.2.1/udp/4001/webrtc-direct``. The ``certhash`` and the peer id are appended."""

    gater: Callable[[str, int], bool] | None = None
    """Asked with the IP address and port of whoever comes anew to a webrtc-direct listener, before anything is spent on
    it: whether it is let in. It is called for each datagram of a stranger, so it has to be quick."""

    dial_timeout: float = Field(default=30.0, gt=0)
    """For a whole ``dial()``, from signaling to the first stream."""

    inbound_timeout: float = Field(default=30.0, gt=0)
    """For an inbound peer, from its offer to a connection."""

    close_timeout: float = Field(default=2.0, gt=0)
    """How long an orderly close waits for the streams to drain."""

    fin_ack_timeout: float = Field(default=10.0, gt=0)
    """How long a stream waits for the peer's acknowledgement of its end (js-libp2p waits as long)."""

    liveness_timeout: float = Field(default=30.0, ge=1.0)
    """A silent peer is given up after this time (RFC 7675, section 5.1: 30 s); it is asked several times before."""

    proof_max_age: float = Field(default=300.0, gt=0)
    """How old, or how far ahead, a signed description may be: clocks differ. Replays inside it are refused."""

    stalled_stream_timeout: float | None = Field(default=None, gt=0)
    """How long received bytes of a stream may lie unread while nothing of it is read, and how long the peer may take
    over one frame; then that stream is reset, and its bytes are thrown away. All streams of a connection share its
    ``receive_buffer``, so one that is never read can stop the others. ``None`` waits for ever: a slow reader loses
    nothing."""

    receive_buffer: int = Field(default=1024 * 1024, ge=64 * 1024)
    """Unread bytes that a connection holds before it takes no more from the network. Frames that have not arrived whole
    count too."""

    congestion_control: CongestionName = "cubic"
    """How the engine ``native`` finds its rate. ``cubic`` (RFC 9438) and ``newreno`` (RFC 9260) share a path fairly,
    and slow down for each lost packet; ``model`` estimates the path's rate and round trip instead, which is many times
    faster where packets get lost at random, and takes more than its share beside others where queues are short."""

    max_packet_size: int = Field(default=MAX_DATAGRAM_SIZE, ge=BASE_DATAGRAM_SIZE, le=MAX_DATAGRAM)
    """The largest UDP payload that the engine ``native`` tries on the path. It begins with 1200 bytes, and raises that
    by probes (RFC 8899), which put nothing else at risk; 1200 leaves it at that."""

    send_buffer: int = Field(default=256 * 1024, ge=32 * 1024)
    """Unsent bytes that a stream holds before ``send()`` waits."""

    max_in_flight: int = Field(default=4 * 1024 * 1024, ge=64 * 1024)
    """Bytes that a connection may have sent without their being acknowledged; it keeps them, to send them again. More
    than the path's rate times its round trip, or than the peer's own window, changes nothing. Only the engine
    ``native`` has it."""

    max_inbound_streams: int = Field(default=1024, ge=1, le=32767)
    """Streams that the peer may hold open at once on one connection, and that may wait to be accepted there; further
    ones are reset."""

    max_inbound_handshakes: int = Field(default=64, ge=1)
    """Inbound peers whose handshake is under way at once; further ones are told ``busy``. One peer gets an eighth of
    them at most, but two at least."""

    accept_backlog: int = Field(default=256, ge=1)
    """Connections that wait to be accepted. Each takes its place when its handshake begins."""
