import anyio
import pytest
from anyio.abc import ByteStream

from webrtc_transport.cli.transfer.exchange import Exchange, Refused
from webrtc_transport.cli.transfer.messages import Done, InvalidMessage, Refusal, Start, encode

pytestmark = pytest.mark.anyio


class Portions(ByteStream):
    """What arrives, in these portions; and what was sent."""

    def __init__(self, *portions):
        self.portions = list(portions)
        self.sent = b""

    async def receive(self, max_bytes=65536):
        if not self.portions:
            raise anyio.EndOfStream
        portion = self.portions.pop(0)
        if len(portion) > max_bytes:
            self.portions.insert(0, portion[max_bytes:])
        return portion[:max_bytes]

    async def send(self, item):
        self.sent += item

    async def send_eof(self):
        pass

    async def aclose(self):
        pass


async def test_bytes_between_messages():
    data = encode(Start(offset=1)) + b"content" + encode(Done())
    for size in (1, 3, 1000):
        exchange = Exchange(Portions(*(data[at : at + size] for at in range(0, len(data), size))))
        assert await exchange.receive(Start) == Start(offset=1)
        assert await exchange.receive_data(7) == b"content"
        assert await exchange.receive(Done) == Done()
        with pytest.raises(anyio.EndOfStream):
            await exchange.receive(Done)


async def test_a_refusal_is_an_error_with_a_cure_and_nothing_that_does_harm():
    exchange = Exchange(Portions(encode(Refusal(code="storage", reason="full\x1b[2J"))))
    with pytest.raises(Refused, match="make room there") as info:
        await exchange.receive(Done)
    assert "\x1b" not in str(info.value)
    assert info.value.code == "storage"


async def test_another_message_than_expected():
    exchange = Exchange(Portions(encode(Done())))
    with pytest.raises(InvalidMessage, match="expected start, got done"):
        await exchange.receive(Start)


async def test_sending():
    portions = Portions()
    exchange = Exchange(portions)
    await exchange.send(Done())
    await exchange.send_data(b"x")
    assert portions.sent == encode(Done()) + b"x"
