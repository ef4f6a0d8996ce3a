"""The Noise handshake by which the ends of a webrtc-direct connection prove who they are.

libp2p's Noise (libp2p specs, ``noise/README.md``): ``Noise_XX_25519_ChaChaPoly_SHA256``, each message behind its
length in two bytes. The server begins. What both know of the DTLS connection below goes into the prologue: the
fingerprints of both certificates. Somebody in the middle would have shown certificates of his own to both, so the
prologues would differ and nothing could be decrypted. Nothing is encrypted with the keys that come of it.

    responder (client)                       initiator (server)
                          <-  e
      e, ee, s, es, payload  ->
                          <-  s, se, payload
"""

from __future__ import annotations

from typing import Final, Protocol, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from noise.connection import Keypair, NoiseConnection
from noise.exceptions import NoiseInvalidMessage, NoiseValueError

from ..errors import IdentityError, NoiseFailed
from ..identity import Identity, PeerId, PublicKey
from .certhash import encode_multihash
from .limits import MAX_NOISE_MESSAGE
from .noise_payload import encode_payload, open_payload
from .sdp import Fingerprint

_PROTOCOL: Final = b"Noise_XX_25519_ChaChaPoly_SHA256"
_PROLOGUE_PREFIX: Final = b"libp2p-webrtc-noise:"
_KEY_LENGTH: Final = 32
_LENGTH_SIZE: Final = 2

# What is missing while a handshake waits, for whoever has to say why it didn't end.
_WAITING_AS_INITIATOR: Final = ("waiting for the peer's answer (message 2 of 3)",)
_WAITING_AS_RESPONDER: Final = (
    "waiting for the server to begin (message 1 of 3)",
    "waiting for the server's proof (message 3 of 3)",
)


def make_prologue(client: Fingerprint, server: Fingerprint) -> bytes:
    """What binds the handshake to the DTLS connection below.

    :param client: the fingerprint of the certificate that the dialer showed
    :param server: that of the listener's, made by the same hash function
    :raises NoiseFailed: if they are made by different ones, and :raises AddressError: if by one that no certhash has
    """
    if client.algorithm != server.algorithm:
        raise NoiseFailed(f"the fingerprints are made by {client.algorithm} and by {server.algorithm}")
    return _PROLOGUE_PREFIX + encode_multihash(client) + encode_multihash(server)


class _KeyPair(Protocol):
    public_bytes: bytes


class _HandshakeState(Protocol):
    rs: _KeyPair


class _NoiseProtocol(Protocol):
    """What is read of the library, which has no types."""

    handshake_state: _HandshakeState


class NoiseHandshake:
    """One end of a handshake. What it wants to send is in :attr:`outbox`, for the owner to take.

    :param is_server: whether this end listened; the server is Noise's initiator
    :param expected: the peer that has to be there, if it is known
    """

    def __init__(
        self, identity: Identity, *, is_server: bool, prologue: bytes, expected: PeerId | None = None
    ) -> None:
        self.outbox = bytearray()
        """Bytes for the channel's stream, in any cut."""
        self.remote: PublicKey | None = None
        """The peer's key, once it is proven and all of our own messages are made."""
        self._expected = expected
        self._received = bytearray()
        self._is_failed = False
        self._messages_received = 0
        self._is_server = is_server
        static = X25519PrivateKey.generate()
        self._payload = encode_payload(identity, static.public_key().public_bytes_raw())
        self._noise = NoiseConnection.from_name(_PROTOCOL)
        self._noise.set_prologue(prologue)
        self._noise.set_keypair_from_private_bytes(Keypair.STATIC, static.private_bytes_raw())
        if is_server:
            self._noise.set_as_initiator()
        else:
            self._noise.set_as_responder()
        self._noise.start_handshake()
        # The library lets go of it when the handshake is done, and the peer's key is in it.
        self._state = cast("_NoiseProtocol", self._noise.noise_protocol).handshake_state
        if is_server:
            self._write(b"")

    @property
    def is_done(self) -> bool:
        """Whether the peer has proven who it is. What is in the outbox still has to be sent."""
        return self.remote is not None

    @property
    def progress(self) -> str:
        """What the handshake is at, for the message of a deadline that passed."""
        if self.is_done:
            return "done"
        waiting = _WAITING_AS_INITIATOR if self._is_server else _WAITING_AS_RESPONDER
        return waiting[min(self._messages_received, len(waiting) - 1)]

    def receive(self, data: bytes) -> None:
        """Take the next bytes of the channel's stream. What comes after the handshake is dropped.

        :raises NoiseFailed: if a message is too long or can't be decrypted, if the peer doesn't prove its key, or
            is another one than expected. The handshake is over then, and so must the connection be.
        """
        if self.is_done:
            return
        if self._is_failed:
            raise NoiseFailed("the Noise handshake has failed before")
        try:
            self._receive(data)
        except NoiseFailed:
            self._is_failed = True
            self._received.clear()
            self.outbox.clear()
            raise

    def _receive(self, data: bytes) -> None:
        view = memoryview(data)
        while view and not self.is_done:
            missing = self._missing()
            self._received += view[:missing]
            view = view[missing:]
            if not self._missing():
                message = bytes(self._received[_LENGTH_SIZE:])
                self._received.clear()
                self._message_received(message)

    def _missing(self) -> int:
        """Bytes that the message, or the length in front of it, lacks."""
        if len(self._received) < _LENGTH_SIZE:
            return _LENGTH_SIZE - len(self._received)
        length = int.from_bytes(self._received[:_LENGTH_SIZE])
        if not _KEY_LENGTH <= length <= MAX_NOISE_MESSAGE:
            raise NoiseFailed(
                f"a Noise handshake message has {_KEY_LENGTH} to {MAX_NOISE_MESSAGE} bytes, not {length}"
            )
        return _LENGTH_SIZE + length - len(self._received)

    def _message_received(self, message: bytes) -> None:
        try:
            payload = bytes(self._noise.read_message(message))
        except (InvalidTag, NoiseInvalidMessage, NoiseValueError, ValueError):
            raise NoiseFailed(
                f"message {self._number} of 3 can't be decrypted: it was changed, or the DTLS certificates that "
                "the two ends see aren't the same, as when somebody is in the middle"
            ) from None
        self._messages_received += 1
        if not self._is_server and self._messages_received == 1:
            self._write(self._payload)
            return
        remote = self._open(payload)
        if self._is_server:
            self._write(self._payload)
        self.remote = remote

    @property
    def _number(self) -> int:
        return 2 if self._is_server else 2 * self._messages_received + 1

    def _open(self, payload: bytes) -> PublicKey:
        try:
            remote = open_payload(payload, self._state.rs.public_bytes)
        except IdentityError as exc:
            raise NoiseFailed(f"the peer doesn't prove who it is: {exc}") from None
        if self._expected is not None and not self._expected.matches(remote):
            raise NoiseFailed(f"the peer is {remote.peer_id}, and {self._expected} was expected")
        return remote

    def _write(self, payload: bytes) -> None:
        try:
            message = self._noise.write_message(payload)
        except ValueError:
            # The peer's key is a point of small order: everybody has the same secret with it (RFC 7748, section 6.1).
            raise NoiseFailed("the peer's Noise key is none that a secret can be agreed on with") from None
        self.outbox += len(message).to_bytes(_LENGTH_SIZE) + message
