"""Every error that this library raises.

    WebRTCError
    ├── ConfigurationError                  a setting, an address or a plugin is wrong; nothing was tried
    │   ├── AddressError
    │   └── PluginError
    │       ├── PluginNotFound
    │       ├── PluginBroken
    │       └── PluginConflict
    ├── AlreadyListening                    the transport listens already; also ``anyio.BusyResourceError``
    ├── HandlerError                        what is to serve peers isn't async; also ``TypeError``
    ├── IdentityError                       a key, a peer id or a certificate is malformed or doesn't match
    ├── ConnectError                        a connection could not be made; ``phase`` says where it stopped
    │   ├── ConnectTimeout
    │   ├── LimitExceeded
    │   ├── OwnFault                        the application's ``ice_servers`` function, or the engine, fails
    │   ├── SignalingError
    │   │   ├── SignalingUnavailable
    │   │   ├── SignalingRejected
    │   │   ├── PeerUnreachable
    │   │   │   └── NoRouteToPeer
    │   │   ├── InvalidSignal
    │   │   └── InvalidProof
    │   ├── IceFailed
    │   ├── DtlsFailed
    │   ├── SctpFailed
    │   └── NoiseFailed
    ├── ConnectionEnded                     a connection that stood is over; also ``anyio.BrokenResourceError``
    │   ├── ConnectionClosed
    │   ├── ConnectionAborted
    │   ├── ConnectionLost
    │   └── EngineError
    └── StreamError                         one stream is over; also ``anyio.BrokenResourceError``
        ├── StreamReset
        ├── StreamStalled
        ├── StreamStopped
        ├── StreamTimeout
        ├── FramingError
        └── TooManyStreams

Beside these, the facade raises what anyio's streams raise: ``anyio.EndOfStream`` after the peer's FIN,
``anyio.ClosedResourceError`` after an own ``aclose()`` and ``anyio.BusyResourceError`` when two tasks use the
same direction of a stream at once.
"""

from __future__ import annotations

from typing import ClassVar, Final

import anyio


class WebRTCError(Exception):
    """Base of every error of this library."""


class ConfigurationError(WebRTCError, ValueError):
    """A setting is wrong; nothing was tried."""


class AddressError(ConfigurationError):
    """A multiaddr is malformed, or of a kind that this operation can't use."""


class PluginError(ConfigurationError):
    """A plugin can't be used."""


class PluginNotFound(PluginError):
    """No installed package provides the plugin; the message says what to install."""


class PluginBroken(PluginError):
    """The plugin is installed but can't be imported, or isn't what its group asks for."""


class PluginConflict(PluginError):
    """Two installed packages provide a plugin of the same name."""


class AlreadyListening(WebRTCError, anyio.BusyResourceError):
    """A transport listens once at a time."""

    def __init__(self, message: str) -> None:
        # anyio's own makes a sentence of a verb.
        Exception.__init__(self, message)


class HandlerError(WebRTCError, TypeError):
    """A handler isn't an async function: whoever connects, it can't serve them."""


class IdentityError(WebRTCError, ValueError):
    """A key, a peer id, a signature or a certificate is malformed or doesn't match."""


class ConnectError(WebRTCError):
    """A connection could not be made."""

    phase: ClassVar[str] = "connect"


class ConnectTimeout(ConnectError, TimeoutError):
    """The deadline passed; the message names the phase that was under way and what to check."""


class LimitExceeded(ConnectError):
    """A configured limit refused the connection."""

    phase = "limits"


class OwnFault(ConnectError):
    """What this end makes connections with fails: the function ``ice_servers``, or the engine. No peer is told."""


class SignalingError(ConnectError):
    """Descriptions could not be exchanged."""

    phase = "signaling"


class SignalingUnavailable(SignalingError):
    """The signaling service can't be reached."""


class SignalingRejected(SignalingError):
    """The signaling service, or the peer, refused; ``code`` is its machine-readable reason."""

    def __init__(self, message: str, *, code: str = "rejected") -> None:
        super().__init__(message)
        self.code = code


class PeerUnreachable(SignalingError):
    """The signaling service doesn't know the peer, or the peer doesn't listen there."""


class NoRouteToPeer(PeerUnreachable):
    """The signaling backend knows no way to the peer, and has asked nobody."""


class InvalidSignal(SignalingError):
    """A signaling message or a session description is malformed, oversized or out of order."""


class InvalidProof(SignalingError):
    """A description isn't signed by the peer that it claims to come from, or it is a replay."""


class IceFailed(ConnectError):
    """No candidate pair worked."""

    phase = "ice"


class DtlsFailed(ConnectError):
    """The DTLS handshake failed, or the certificate doesn't match the signed fingerprint."""

    phase = "dtls"


class SctpFailed(ConnectError):
    """The SCTP association could not be set up."""

    phase = "sctp"


class NoiseFailed(ConnectError):
    """The Noise handshake failed, or the peer isn't the one that was dialed."""

    phase = "noise"


class ConnectionEnded(WebRTCError, anyio.BrokenResourceError):
    """A connection that stood is over. Its streams raise the same error."""


class ConnectionClosed(ConnectionEnded):
    """The connection was closed in an orderly way, by this end or by the peer."""


class ConnectionAborted(ConnectionEnded):
    """One end gave the connection up at once."""


class ConnectionLost(ConnectionEnded):
    """The peer stopped answering (RFC 7675 consent expired)."""


class EngineError(ConnectionEnded):
    """The protocol stack below the connection failed: by a fault of its own, on what the peer sent, or because its
    event loop has ended. Listeners raise it in the last case too."""


LOOP_ENDED: Final = "the engine's event loop has ended, and with it every connection; make a new transport"
"""The text of an :exc:`EngineError`, whoever finds out first."""


class StreamError(WebRTCError, anyio.BrokenResourceError):
    """One stream is over; its connection goes on."""


class StreamReset(StreamError):
    """The stream was reset: data in flight may be lost."""


class StreamStalled(StreamError):
    """What the stream had received stayed where it was for too long (``stalled_stream_timeout``), because this end
    didn't read or the peer left a frame incomplete: it was reset, so that others can go on."""


class StreamStopped(StreamError):
    """The peer doesn't read this stream any more (STOP_SENDING)."""


class StreamTimeout(StreamError):
    """The peer didn't acknowledge the end of the stream in time (FIN_ACK)."""


class FramingError(StreamError):
    """The peer broke the framing of libp2p's WebRTC streams."""


class TooManyStreams(StreamError):
    """No stream can be opened: every id is in use, or the peer doesn't close the channels of streams that are over."""


def describe(error: BaseException) -> str:
    """The text of ``error``, or of what is in it if it is a group, in one line."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(describe(inner) for inner in error.exceptions)
    return str(error) or type(error).__name__


def set_up_failed(reason: Exception) -> ConnectError:
    """``reason`` as what is told of a connection that never came to be."""
    if isinstance(reason, ConnectError):
        return reason
    # What went wrong in the engine is none of the peer's business.
    is_ours = isinstance(reason, EngineError) or not isinstance(reason, WebRTCError)
    return (OwnFault if is_ours else ConnectError)(
        f"the connection was given up before it stood: {describe(reason)}"
    )


def ended(reason: Exception) -> ConnectionEnded:
    """``reason`` as what the users of a connection are told."""
    if isinstance(reason, ConnectionEnded):
        return type(reason)(*reason.args)
    if isinstance(reason, WebRTCError):
        return ConnectionAborted(str(reason))
    return EngineError(f"{type(reason).__name__}: {reason}")
