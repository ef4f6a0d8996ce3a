"""Errors of the transport, in py-libp2p's words: translated where they leave this package.

What streams raise decides how a ``NetStream`` goes on: after ``MuxedStreamEOF`` it can still be written to, after
``MuxedStreamReset`` it is over, and any other exception leaves it in an error state.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from libp2p.stream_muxer.exceptions import (
    MuxedConnUnavailable,
    MuxedStreamClosed,
    MuxedStreamEOF,
    MuxedStreamError,
    MuxedStreamReset,
)
from libp2p.transport.exceptions import OpenConnectionError

from webrtc_transport.errors import ConnectionEnded, StreamError, StreamStopped, TooManyStreams, WebRTCError


@contextmanager
def reading() -> Iterator[None]:
    """:raises MuxedStreamEOF: in place of the end of the stream; :raises MuxedStreamReset: of what broke it"""
    try:
        yield
    except (anyio.EndOfStream, anyio.ClosedResourceError) as exc:
        raise MuxedStreamEOF("the stream has ended") from exc
    except (StreamError, ConnectionEnded) as exc:
        raise MuxedStreamReset(str(exc)) from exc


@contextmanager
def writing() -> Iterator[None]:
    """:raises MuxedStreamClosed: if nothing can be sent any more; :raises MuxedStreamReset: of what broke it"""
    try:
        yield
    except (anyio.ClosedResourceError, StreamStopped) as exc:
        raise MuxedStreamClosed(str(exc) or "the stream is closed for writing") from exc
    except (StreamError, ConnectionEnded) as exc:
        raise MuxedStreamReset(str(exc)) from exc


@contextmanager
def opening_streams() -> Iterator[None]:
    """:raises MuxedConnUnavailable: if the connection is over; :raises MuxedStreamError: if it takes no more streams"""
    try:
        yield
    except ConnectionEnded as exc:
        raise MuxedConnUnavailable(str(exc)) from exc
    except TooManyStreams as exc:
        raise MuxedStreamError(str(exc)) from exc


@contextmanager
def opening_connections() -> Iterator[None]:
    """:raises OpenConnectionError: in place of what kept a connection, or a listener, from coming about

    Its text is the transport's own: it names the phase and the cure.
    """
    try:
        yield
    except (WebRTCError, anyio.BusyResourceError, anyio.ClosedResourceError) as exc:
        raise OpenConnectionError(f"{type(exc).__name__}: {exc}") from exc
