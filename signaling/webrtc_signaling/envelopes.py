"""Envelopes as JSON: for services that carry bytes from peer to peer, and look at none of them."""

from __future__ import annotations

import pydantic_core

from webrtc_transport.errors import InvalidSignal

from .limits import MAX_MESSAGE_SIZE
from .messages import Envelope, Malformed, parse_envelope, to_wire


def encode_envelope(envelope: Envelope) -> bytes:
    """One line of JSON: the message of :mod:`webrtc_signaling.messages`, without the numbers ``seq`` and ``ack``.

    :raises InvalidSignal: if it would have more than ``MAX_MESSAGE_SIZE`` bytes
    """
    return check_size(pydantic_core.to_json(to_wire(envelope, binary=False)))


def decode_envelope(data: bytes) -> Envelope | Malformed:
    """What :func:`encode_envelope` made, or somebody else did. Only its form is checked: who it is from isn't proven.

    :return: ``Malformed`` if it says whose session it belongs to, and the signal in it isn't valid
    :raises InvalidSignal: if it is no envelope, or has more than ``MAX_MESSAGE_SIZE`` bytes
    """
    return parse_envelope(decode_json(check_size(data)))


def decode_json(data: bytes) -> object:
    """Of equal keys in a map, the last counts.

    :raises InvalidSignal: if it is no JSON
    """
    try:
        return pydantic_core.from_json(data, allow_inf_nan=False, cache_strings="none")
    except ValueError as exc:
        raise InvalidSignal(f"not JSON: {exc}") from None


def check_size(data: bytes) -> bytes:
    """The same bytes.

    :raises InvalidSignal: if they are more than ``MAX_MESSAGE_SIZE``
    """
    if len(data) > MAX_MESSAGE_SIZE:
        raise InvalidSignal(f"the message has {len(data)} bytes; {MAX_MESSAGE_SIZE} are allowed")
    return data
