"""What every stack tells, and when."""

import asyncio
import contextlib

import pytest

from tests.compliance.engine_ends import nothing_left
from tests.webrtc_transport.engine.stack_ends import StackWire, native_factory
from webrtc_transport.engine.aiortc_stack import AiortcStack
from webrtc_transport.engine.driver import AsyncioDriver
from webrtc_transport.errors import ConnectionClosed, DtlsFailed, SctpFailed
from webrtc_transport.protocol.sdp import Fingerprint

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["native", "aiortc"])
def make_stack(request):
    return lambda *args: (
        AiortcStack(*args) if request.param == "aiortc" else native_factory(AsyncioDriver())(*args)
    )


@contextlib.asynccontextmanager
async def wired(make_stack, **changes):
    async with nothing_left():
        wire = StackWire(make_stack, asyncio.get_running_loop().call_soon, **changes)
        try:
            yield wire
        finally:
            for end in wire.ends:
                await end.aclose()


async def test_it_tells_how_the_set_up_goes_on_and_ends(make_stack):
    async with wired(make_stack) as wire:
        wire.start()
        await wire.journal.until(lambda: wire.is_established)
        record = wire.client.open(label="a")
        record.channel.send(b"hello")
        await wire.journal.until(
            lambda: wire.server.inbound and wire.server.inbound[0].messages == [b"hello"]
        )
        await wire.server.aclose()
        await wire.journal.until(lambda: len(wire.client.told) == 3)
        assert isinstance(wire.client.told[-1], ConnectionClosed)
    # Its own close isn't told to who closed it.
    assert len(wire.server.told) == 2
    assert len(wire.client.told) == 3


async def test_a_certificate_of_somebody_else_is_told_as_a_failure_of_dtls(make_stack):
    async with wired(make_stack, fingerprints=(Fingerprint("sha-256", bytes(32)),)) as wire:
        wire.start()
        await wire.journal.until(lambda: wire.client.told)
        # As the owner of a stack does that has ended.
        await wire.client.aclose()
        await wire.journal.until(lambda: wire.server.told[-1:] not in ([], ["secured"]))
        assert [type(reason) for reason in wire.client.told] == [DtlsFailed]
        assert isinstance(wire.server.told[-1], DtlsFailed | SctpFailed)


async def test_an_end_while_sctp_is_set_up_is_told_as_its_failure(make_stack):
    async with wired(make_stack) as wire:
        wire.start()
        await wire.journal.until(lambda: wire.client.told[:1] == ["secured"])
        wire.loses = lambda packet: packet[0] != 21
        await wire.server.aclose()
        if wire.client.told == ["secured"]:
            await wire.journal.until(lambda: len(wire.client.told) == 2)
            assert isinstance(wire.client.told[1], SctpFailed)


async def test_it_can_be_closed_before_and_while_it_is_set_up(make_stack):
    async with wired(make_stack) as wire:
        await wire.server.aclose()
        wire.client.stack.start()
        await asyncio.sleep(0)
        await wire.client.aclose()
        await wire.client.aclose()
    assert wire.server.told == wire.client.told == []
