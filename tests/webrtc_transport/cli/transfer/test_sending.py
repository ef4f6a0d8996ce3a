import contextlib
import hashlib
import os

import anyio
import pytest

from tests.webrtc_transport.cli.transfer.ends import Screen, hostile_receiver, receiving, transport
from webrtc_transport.cli.transfer import sending
from webrtc_transport.cli.transfer.exchange import Refused
from webrtc_transport.cli.transfer.messages import Digest, Done, InvalidMessage, Offer, Refusal, Resume, Start
from webrtc_transport.cli.transfer.sending import GivenUp, Sender
from webrtc_transport.cli.transfer.source_file import SourceError, SourceFile
from webrtc_transport.errors import PeerUnreachable

pytestmark = pytest.mark.anyio

CONTENT = os.urandom(200_000)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(sending, "_FIRST_PAUSE", 0.01)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)
    opened = SourceFile(path)
    yield opened
    opened.close()


async def send(source, peer, *, screen=None, prove=None, retry_for=5):
    async with transport() as ours:
        await Sender(ours, source, screen or Screen(), prove=prove, retry_for=retry_for).send_to(peer)


NOTHING = hashlib.sha256().hexdigest()


def resume(offset, sha256=NOTHING):
    return Resume(offset=offset, sha256=sha256)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def taking(said, expected):
    """A receiver that has ``said`` and takes what is ``expected``."""

    async def script(exchange, stream):
        offer = await exchange.receive(Offer)
        assert (offer.name, offer.size) == ("a.bin", len(CONTENT))
        await exchange.send(said)
        start = await exchange.receive(Start)
        assert await exchange.receive_data(len(CONTENT) - start.offset) == expected
        assert await exchange.receive(Digest) == Digest(sha256=sha256(CONTENT))
        await exchange.send(Done())
        await stream.aclose()

    return script


async def test_a_file_is_sent(source, tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    screen = Screen()
    async with receiving(folder) as reception:
        await send(source, reception.peer, screen=screen)
        await reception.over.wait()
    assert reception.path.read_bytes() == CONTENT
    assert "sending a.bin, 200.0 kB, direct (host to host)" in screen.text


@pytest.mark.parametrize("offset", [0, 1, 100_000, len(CONTENT)])
async def test_it_goes_on_where_the_receiver_stands(source, offset):
    script = taking(resume(offset, sha256(CONTENT[:offset])), CONTENT[offset:])
    async with hostile_receiver(script) as peer:
        await send(source, peer)


@pytest.mark.parametrize("said", [resume(100, sha256(b"something else")), resume(2**53 - 1)])
async def test_it_begins_anew_if_the_receiver_has_something_else(source, said):
    async with hostile_receiver(taking(said, CONTENT)) as peer:
        await send(source, peer)


async def breaking(exchange, stream):
    await exchange.receive(Offer)
    await exchange.send(resume(0))
    await exchange.receive(Start)
    await exchange.receive_data(1000)
    stream.reset()


async def test_a_break_is_followed_by_another_try(source):
    screen = Screen()
    scripts = breaking, breaking, taking(resume(1000, sha256(CONTENT[:1000])), CONTENT[1000:])
    async with hostile_receiver(*scripts) as peer:
        await send(source, peer, screen=screen)
    assert screen.text.count("interrupted: ") == 2


async def test_a_receiver_that_does_not_come_back_is_given_up(source):
    gone = anyio.Event()

    async def leaving(exchange, stream):
        await breaking(exchange, stream)
        gone.set()

    async with transport() as ours, anyio.create_task_group() as task_group:
        async with hostile_receiver(leaving) as peer:
            sender = Sender(ours, source, Screen(), prove=None, retry_for=0.5)
            raised = []

            async def run():
                with pytest.raises(GivenUp, match="it goes on where it stopped") as info:
                    await sender.send_to(peer)
                raised.append(info.value)

            task_group.start_soon(run)
            await gone.wait()
    assert raised


async def test_a_peer_that_is_not_there(source):
    async with transport() as nobody:
        peer = nobody.peer_id
    with pytest.raises(PeerUnreachable):
        await send(source, peer)


@pytest.mark.parametrize("after", [0, 1000])
async def test_a_refusal_at_any_time(source, after):
    async def refusing(exchange, stream):
        await exchange.receive(Offer)
        if after:
            await exchange.send(resume(0))
            await exchange.receive(Start)
            await exchange.receive_data(after)
        await exchange.send(Refusal(code="storage", reason="full"))
        await stream.aclose()

    async with hostile_receiver(refusing) as peer:
        with pytest.raises(Refused, match="full; make room there"):
            await send(source, peer)


async def test_a_receiver_that_is_done_too_early(source):
    async def lying(exchange, stream):
        await exchange.receive(Offer)
        await exchange.send(Done())
        await anyio.sleep(1)

    async def lying_later(exchange, stream):
        await exchange.receive(Offer)
        await exchange.send(resume(0))
        await exchange.send(Done())
        await anyio.sleep(1)

    for script in (lying, lying_later):
        async with hostile_receiver(script) as peer:
            with pytest.raises(InvalidMessage):
                await send(source, peer)


async def test_the_proof_is_of_our_peer_id(source):
    seen = []

    async def script(exchange, stream):
        seen.append((await exchange.receive(Offer)).proof)
        await exchange.send(Refusal(code="declined"))
        await stream.aclose()

    async with hostile_receiver(script) as peer:
        with pytest.raises(Refused):
            await send(source, peer, prove=lambda own: sha256(str(own).encode()))
    assert len(seen[0]) == 64


@pytest.mark.parametrize(
    ("changed", "said"),
    [(CONTENT + b"more", "became longer"), (CONTENT[:-1], "became shorter"), (CONTENT, "was changed")],
)
async def test_a_file_that_changes_meanwhile(source, tmp_path, changed, said):
    async def changing(exchange, stream):
        await exchange.receive(Offer)
        (tmp_path / "a.bin").write_bytes(changed)
        await exchange.send(resume(0))
        await exchange.receive(Start)
        with contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream):
            await exchange.receive_data(len(CONTENT))
            await stream.receive()

    async with hostile_receiver(changing) as peer:
        with pytest.raises(SourceError, match=said):
            await send(source, peer)
