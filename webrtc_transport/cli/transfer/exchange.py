"""Messages and bytes of a transfer, over a stream."""

from __future__ import annotations

from typing import Final, TypeVar

from anyio.abc import ByteStream

from ..printable import printable
from .messages import Decoder, InvalidMessage, Message, Refusal, encode

_M = TypeVar("_M", bound=Message)

_CURES: Final = {
    "version": "install the same version of webrtc-transport on both machines",
    "proof": "give the code that `webrtc-transport receive` shows there, not the peer id",
    "busy": "try again when that transfer is over",
    "declined": "ask who is there",
    "storage": "make room there, and send it again: it goes on where it stopped",
    "mismatch": "send it again",
}
"""What helps, by code of a refusal."""


class Refused(Exception):
    """The peer doesn't go on; the text says why, and what helps."""

    def __init__(self, refusal: Refusal) -> None:
        cure = _CURES.get(refusal.code)
        text = f"the other end refuses: {printable(refusal.reason) or refusal.code}"
        super().__init__(f"{text}; {cure}" if cure else text)
        self.code = refusal.code


class Exchange:
    """One end of a transfer. What goes wrong with the stream is raised as the stream raises it."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._decoder = Decoder()

    async def send(self, message: Message) -> None:
        """Send a message."""
        await self._stream.send(encode(message))

    async def send_data(self, data: bytes) -> None:
        """Send bytes of the file."""
        await self._stream.send(data)

    async def receive(self, kind: type[_M]) -> _M:
        """Wait for a message.

        :raises Refused: if it is a refusal
        :raises InvalidMessage: if it is anything but a ``kind``
        """
        while (message := self._decoder.next_message()) is None:
            self._decoder.feed(await self._stream.receive())
        if isinstance(message, Refusal):
            raise Refused(message)
        if not isinstance(message, kind):
            raise InvalidMessage(f"expected {kind.__name__.lower()}, got {message.type}")
        return message

    async def receive_data(self, size: int) -> bytes:
        """Wait for ``size`` bytes of the file."""
        parts = [self._decoder.take(size)]
        missing = size - len(parts[0])
        while missing:
            data = await self._stream.receive(missing)
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)
