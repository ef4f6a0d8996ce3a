"""DTLS 1.2 by pyOpenSSL's public memory-BIO interface: datagrams in and out, no socket.

OpenSSL's BIO is a stream. So one datagram is fed at a time, and what comes out is cut at the records' headers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL

from ..protocol.certificate import Certificate
from ..protocol.limits import MAX_DATAGRAM
from ..protocol.sdp import Fingerprint
from .dtls_records import MAX_RECORD, records_of

RECORD_HEADER: Final = 13
"""Bytes before the content of a record (RFC 6347, section 4.1)."""

RECORD_OVERHEAD: Final = RECORD_HEADER + 8 + 16
"""Bytes that a record of AES-GCM adds to its content: header, explicit nonce and tag (RFC 5288)."""

FLIGHT_MTU: Final = 1200
"""Bytes of a handshake datagram: what every path carries (RFC 8899, section 5.1.2)."""

MAX_READ: Final = 65536

CIPHERS: Final = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:"
    b"ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA"
)
"""ECDSA with forward secrecy; the last two for peers that have nothing better (RFC 8827, section 6.5)."""

SRTP_PROFILES: Final = b"SRTP_AEAD_AES_256_GCM:SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80"
"""Data channels have no use for SRTP, but some peers fail without (RFC 8827, section 6.5)."""

HASHES: Final = {"sha-256": hashes.SHA256(), "sha-384": hashes.SHA384(), "sha-512": hashes.SHA512()}

_CHANGE_CIPHER_SPEC: Final = 20
_HANDSHAKE: Final = 22

_BEFORE_CHANGE_CIPHER_SPEC: Final = frozenset(
    (b"SSLv3/TLS read certificate verify", b"SSLv3/TLS write finished")
)
"""OpenSSL's states (SSL_state_string_long) in which a server or a client waits for its peer's ChangeCipherSpec."""


class DtlsError(Exception):
    """The handshake failed, or the peer's certificate isn't the one that was announced."""


class DtlsClosed(Exception):
    """The peer has closed the connection (close_notify)."""


def make_context(certificate: Certificate) -> SSL.Context:
    """A context for connections with this certificate; it costs ten times what a connection costs."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    # Certificates are self-signed: what counts is the fingerprint, which is checked after the handshake.
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    context.use_certificate(certificate.x509)
    context.use_privatekey(certificate.private_key)
    context.set_tlsext_use_srtp(SRTP_PROFILES)
    # The last one: it tries the list out on a connection, and from then on pyOpenSSL takes the context for used.
    context.set_cipher_list(CIPHERS)
    return context


class DtlsConnection:
    """One connection. Methods return what is to be sent or delivered, and never block.

    :param fingerprints: of which the peer's certificate has to have one; None if who the peer is will be proven
        above, with :meth:`peer_fingerprint` in what is signed
    """

    def __init__(
        self, context: SSL.Context, *, is_server: bool, fingerprints: Sequence[Fingerprint] | None
    ) -> None:
        self.is_connected = False
        self._fingerprints = fingerprints
        self._ssl = SSL.Connection(context, None)
        self._ssl.set_ciphertext_mtu(FLIGHT_MTU)
        self._records = records_of(self._ssl)
        self._flight: list[bytes] = []
        self._change_cipher_spec = b""
        """The record that has come, until it is its turn: OpenSSL would drop it before."""
        if is_server:
            self._ssl.set_accept_state()
        else:
            self._ssl.set_connect_state()

    def handshake(self) -> list[bytes]:
        """Go on with the handshake; returns the datagrams of the next flight, if it is our turn.

        :raises DtlsError: if it fails; what OpenSSL has to say to the peer is in :meth:`last_words`
        """
        self._do_handshake()
        if self._change_cipher_spec and self._ssl.get_state_string() in _BEFORE_CHANGE_CIPHER_SPEC:
            self._ssl.bio_write(self._change_cipher_spec)
            self._change_cipher_spec = b""
            self._do_handshake()
        flight = self._output()
        if flight:
            self._flight = flight
        return flight

    def repeat_flight(self) -> list[bytes]:
        """Our last flight once more: the peer seems not to have it.

        The records are the same ones, until OpenSSL's own timer makes new ones of them. A peer drops those that it
        had before (RFC 6347, section 4.1.2.6), and OpenSSL as a server, which should answer a repeated Finished with
        its own one, does so for a new record only.

        :raises DtlsError: if OpenSSL has had enough
        """
        try:
            self._ssl.DTLSv1_handle_timeout()
        except SSL.Error as exc:
            raise DtlsError(_describe(exc)) from None
        self._flight = self._output() or self._flight
        return self._flight

    def fresh_flight_in(self) -> float | None:
        """Seconds until OpenSSL's own timer, when :meth:`repeat_flight` has new records; None if it isn't set."""
        return self._ssl.DTLSv1_get_timeout()

    def early_contents(self) -> list[bytes]:
        """What a peer that was connected before us has sent meanwhile. To be taken at once, before :meth:`receive`.

        :raises DtlsClosed: if the peer closed the connection again
        """
        contents: list[bytes] = []
        try:
            while True:
                contents.append(self._ssl.recv(MAX_RECORD))
        except SSL.Error as exc:
            _check_open(exc)
        return contents

    def receive(self, datagram: bytes) -> bytes:
        """Take a datagram of an established connection; returns its content, empty if there is none.

        :raises DtlsClosed: if the peer closed the connection
        """
        if len(datagram) > MAX_DATAGRAM:
            # A TURN server may bring it over TCP. No peer has reason to send packets of such a size.
            return b""
        try:
            return self._records.decrypt(datagram)
        except SSL.Error as exc:
            _check_open(exc)
            return b""

    def feed(self, datagram: bytes) -> None:
        """Take a datagram of the handshake; :meth:`handshake` acts on it.

        What comes too early waits here or, as messages and encrypted records do, in OpenSSL.
        """
        others: list[bytes] = []
        for record in split_records(datagram):
            if record[0] == _CHANGE_CIPHER_SPEC:
                self._change_cipher_spec = record
            else:
                others.append(record)
        if others:
            self._ssl.bio_write(b"".join(others))

    def send(self, data: bytes) -> bytes:
        """The datagram that carries ``data``.

        :raises DtlsError: if the connection can't send any more
        """
        try:
            return self._records.encrypt(data)
        except SSL.Error as exc:
            raise DtlsError(_describe(exc)) from None

    def close(self) -> list[bytes]:
        """Say close_notify; returns the datagrams."""
        try:
            self._ssl.shutdown()
        except SSL.Error:
            # In the middle of a handshake there is nothing to shut down, but there may be an alert to send.
            return self._output()
        return self._output()

    def last_words(self) -> list[bytes]:
        """What OpenSSL still has for the peer, such as an alert."""
        return self._output()

    def peer_fingerprint(self, algorithm: str) -> Fingerprint:
        """That of the certificate that the peer showed in the handshake, which is done.

        :param algorithm: ``sha-256``, ``sha-384`` or ``sha-512``
        """
        certificate = self._ssl.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        return Fingerprint(algorithm, certificate.fingerprint(HASHES[algorithm]))

    def _do_handshake(self) -> None:
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            return
        except SSL.Error as exc:
            raise DtlsError(_describe(exc)) from None
        self._check_certificate()
        self.is_connected = True

    def _check_certificate(self) -> None:
        if self._fingerprints is None:
            return
        for fingerprint in self._fingerprints:
            if self.peer_fingerprint(fingerprint.algorithm) == fingerprint:
                return
        raise DtlsError("the peer's certificate does not match its description")

    def _output(self) -> list[bytes]:
        try:
            data = self._ssl.bio_read(MAX_READ)
        except SSL.Error:
            return []
        return _group(data)


def _check_open(error: SSL.Error) -> None:
    """Tell a closed connection from one that has nothing to read.

    That is after a handshake record, or one that is forged, repeated or cut. After other errors the queue of errors is
    empty, and the connection as it was (RFC 6347, section 4.1.2.7).

    :raises DtlsClosed: if the peer closed it
    """
    if isinstance(error, SSL.ZeroReturnError):
        raise DtlsClosed from None


def is_handshake(datagram: bytes) -> bool:
    """Whether a datagram begins with a record of the handshake (RFC 6347, section 4.1)."""
    return datagram[0] == _HANDSHAKE


def is_finished(record: bytes) -> bool:
    """Whether a record can be a Finished: of the handshake, and encrypted, as its epoch tells."""
    return record[0] == _HANDSHAKE and record[3:5] > b"\0\0"


def split_records(datagram: bytes) -> list[bytes]:
    """The records of a datagram, which may have several (RFC 6347, section 4.1.1)."""
    if RECORD_HEADER + int.from_bytes(datagram[11:13]) >= len(datagram):
        return [datagram]
    records: list[bytes] = []
    start = 0
    while start < len(datagram):
        end = start + RECORD_HEADER + int.from_bytes(datagram[start + 11 : start + 13])
        records.append(datagram[start:end])
        start = end
    return records


def _group(data: bytes) -> list[bytes]:
    """Records, as datagrams of at most ``FLIGHT_MTU`` bytes unless one record is larger."""
    datagrams: list[bytes] = []
    start = position = 0
    while position < len(data):
        end = position + RECORD_HEADER + int.from_bytes(data[position + 11 : position + 13])
        if end - start > FLIGHT_MTU and position > start:
            datagrams.append(data[start:position])
            start = position
        position = end
    if position > start:
        datagrams.append(data[start:])
    return datagrams


def _describe(error: SSL.Error) -> str:
    reasons = [reason for entry in error.args[:1] if isinstance(entry, list) for (*_, reason) in entry]
    return ", ".join(reasons) or type(error).__name__
