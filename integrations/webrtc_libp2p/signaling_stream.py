"""A stream of a py-libp2p host, as signaling wants one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import trio
from libp2p.abc import INetStream
from libp2p.network.stream.exceptions import StreamEOF

from webrtc_signaling.circuit_relay import SignalingStream
from webrtc_transport.identity import PeerId

from .relay import LIBP2P_ERRORS


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except StreamEOF as exc:
        raise anyio.EndOfStream from exc
    except LIBP2P_ERRORS as exc:
        raise anyio.BrokenResourceError(str(exc) or type(exc).__name__) from exc


class HostStream(SignalingStream):
    """A :class:`~webrtc_signaling.circuit_relay.SignalingStream` over a stream of any muxer."""

    def __init__(self, stream: INetStream) -> None:
        self._stream = stream
        self._peer = PeerId.from_string(str(stream.muxed_conn.peer_id))

    @property
    def remote_peer(self) -> PeerId:
        return self._peer

    async def receive(self, max_bytes: int) -> bytes:
        with _translated():
            data = await self._stream.read(max_bytes)
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, data: bytes) -> None:
        with _translated():
            await self._stream.write(data)

    async def aclose(self) -> None:
        with _translated():
            await self._stream.close()

    async def reset(self) -> None:
        # It catches what its muxer raises.
        await self._stream.reset()
        await trio.lowlevel.checkpoint()
