"""A py-libp2p host's identity, as the transport's."""

from __future__ import annotations

from libp2p.crypto.keys import KeyPair

from webrtc_transport.identity import Identity


def identity_from_key_pair(key_pair: KeyPair) -> Identity:
    """The identity with the private key of ``key_pair``, and so with the same peer id as the host's.

    :raises webrtc_transport.errors.IdentityError: if the key is of a kind that can't sign
    """
    return Identity.from_protobuf(key_pair.private_key.serialize())
