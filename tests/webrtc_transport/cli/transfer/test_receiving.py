import hashlib
import os

import anyio
import pytest

from tests.webrtc_transport.cli.transfer.ends import hostile_sender, receiving, transport
from webrtc_transport.cli.transfer import part_file
from webrtc_transport.cli.transfer.exchange import Exchange, Refused
from webrtc_transport.cli.transfer.messages import (
    MAX_SIZE,
    Digest,
    Done,
    Offer,
    Refusal,
    Resume,
    Start,
)
from webrtc_transport.cli.transfer.part_file import StorageError
from webrtc_transport.errors import StreamError

pytestmark = pytest.mark.anyio

NOTHING = hashlib.sha256().hexdigest()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


async def send(exchange, content, *, name="a.txt", digest=None):
    """As a sender should, with what there is from before."""
    await exchange.send(Offer(name=name, size=len(content)))
    resume = await exchange.receive(Resume)
    assert resume.sha256 == sha256(content[: resume.offset])
    await exchange.send(Start(offset=resume.offset))
    await exchange.send_data(content[resume.offset :])
    await exchange.send(Digest(sha256=digest or sha256(content)))
    return await exchange.receive(Done)


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
async def test_a_file_arrives(tmp_path, size):
    content = os.urandom(size)
    async with receiving(tmp_path) as reception, hostile_sender(reception.peer) as (exchange, _):
        await send(exchange, content)
        with anyio.fail_after(10):
            await reception.over.wait()
    assert reception.path == tmp_path / "a.txt"
    assert reception.path.read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "name", ["../../../escaped", "/etc/escaped", "..\\escaped", "esc\x1b[2Japed\n", "", "..", "x" * 512]
)
async def test_hostile_names_stay_in_the_folder(tmp_path, name):
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    async with receiving(folder) as reception, hostile_sender(reception.peer) as (exchange, _):
        await send(exchange, b"x", name=name)
        await reception.over.wait()
    assert reception.path.parent == folder
    assert reception.path.read_bytes() == b"x"
    assert "\x1b" not in reception.screen.text
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


async def test_a_file_that_is_there_stays(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"old")
    async with receiving(tmp_path) as reception, hostile_sender(reception.peer) as (exchange, _):
        await send(exchange, b"new")
        await reception.over.wait()
    assert reception.path == tmp_path / "a-1.txt"
    assert "saved as a-1.txt" in reception.screen.text
    assert (tmp_path / "a.txt").read_bytes() == b"old"


async def test_a_name_of_ones_own_and_overwriting(tmp_path):
    (tmp_path / "b").write_bytes(b"old")
    async with receiving(tmp_path, name="b", overwrite=True) as reception:
        async with hostile_sender(reception.peer) as (exchange, _):
            await send(exchange, b"new")
            await reception.over.wait()
    assert (tmp_path / "b").read_bytes() == b"new"


async def test_a_break_and_going_on(tmp_path):
    content = os.urandom(500_000)
    async with receiving(tmp_path) as reception:
        async with hostile_sender(reception.peer) as (exchange, _):
            await exchange.send(Offer(name="a.txt", size=len(content)))
            await exchange.receive(Resume)
            await exchange.send(Start(offset=0))
            await exchange.send_data(content[:300_000])
            part = tmp_path / "a.txt.part"
            with anyio.fail_after(10):
                while not part.exists() or part.stat().st_size < 65536:
                    await anyio.sleep(0.01)
        async with hostile_sender(reception.peer) as (exchange, _):
            await send(exchange, content)
            await reception.over.wait()
    assert "going on with" in reception.screen.text
    assert (tmp_path / "a.txt").read_bytes() == content


async def test_a_part_of_another_file_stays(tmp_path):
    (tmp_path / "a.txt.part").write_bytes(b"another")
    async with receiving(tmp_path) as reception, hostile_sender(reception.peer) as (exchange, _):
        await exchange.send(Offer(name="a.txt", size=10))
        assert await exchange.receive(Resume) == Resume(offset=7, sha256=sha256(b"another"))
        await exchange.send(Start(offset=0))
        await exchange.send_data(b"0123456789")
        await exchange.send(Digest(sha256=sha256(b"0123456789")))
        await exchange.receive(Done)
        await reception.over.wait()
    assert (tmp_path / "a.txt.part").read_bytes() == b"another"
    assert (tmp_path / "a.txt").read_bytes() == b"0123456789"


async def test_a_wrong_hash_is_not_taken_and_the_next_try_may_be_right(tmp_path):
    async with receiving(tmp_path) as reception:
        async with hostile_sender(reception.peer) as (exchange, _):
            with pytest.raises(Refused, match="SHA-256") as info:
                await send(exchange, b"content", digest=NOTHING)
            assert info.value.code == "mismatch"
        assert list(tmp_path.iterdir()) == []
        async with hostile_sender(reception.peer) as (exchange, _):
            await send(exchange, b"content")
            await reception.over.wait()
    assert (tmp_path / "a.txt").read_bytes() == b"content"


async def refuse(_peer, _offer):
    return Refusal(code="declined", reason="no")


async def test_who_is_not_admitted_is_told(tmp_path):
    async with receiving(tmp_path, admit=refuse) as reception:
        async with hostile_sender(reception.peer) as (exchange, _):
            with pytest.raises(Refused, match="no; ask who is there"):
                await send(exchange, b"content")
    assert list(tmp_path.iterdir()) == []
    assert not reception.over.is_set()


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\xff",
        b"\0\0",
        b"\0\2{}",
        b"GET / HTTP/1.1\r\n\r\n" * 300,
    ],
)
async def test_nonsense_ends_that_connection_and_no_other(tmp_path, said):
    async with receiving(tmp_path) as reception:
        async with hostile_sender(reception.peer) as (_, stream):
            await stream.send(said)
            with pytest.raises((StreamError, anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
        async with hostile_sender(reception.peer) as (exchange, _):
            await send(exchange, b"content")
            await reception.over.wait()
    assert (tmp_path / "a.txt").read_bytes() == b"content"


@pytest.mark.parametrize("offset", [1, MAX_SIZE])
async def test_a_start_where_nothing_is(tmp_path, offset):
    async with receiving(tmp_path) as reception, hostile_sender(reception.peer) as (exchange, _):
        await exchange.send(Offer(name="a", size=10))
        await exchange.receive(Resume)
        await exchange.send(Start(offset=offset))
        with pytest.raises(Refused, match="start"):
            await exchange.receive(Done)
    assert list(tmp_path.iterdir()) == []


async def test_another_version(tmp_path):
    async with receiving(tmp_path) as reception, hostile_sender(reception.peer) as (exchange, _):
        await exchange.send(Offer(version=2, name="a", size=10))
        with pytest.raises(Refused, match="install the same version"):
            await exchange.receive(Resume)


async def test_a_file_that_does_not_fit_is_refused_and_told(tmp_path):
    async with receiving(tmp_path) as reception, hostile_sender(reception.peer) as (exchange, _):
        await exchange.send(Offer(name="a", size=MAX_SIZE))
        await exchange.receive(Resume)
        await exchange.send(Start(offset=0))
        with pytest.raises(Refused, match="make room there"):
            await exchange.receive(Done)
        await reception.over.wait()
    assert isinstance(reception.error, StorageError)
    assert "too little space" in str(reception.error)


async def test_a_disk_that_gets_full(tmp_path, monkeypatch):
    def append(self, data):
        raise StorageError(f"{self.path}: No space left on device")

    monkeypatch.setattr(part_file.PartFile, "append", append)
    async with receiving(tmp_path) as reception, hostile_sender(reception.peer) as (exchange, _):
        with pytest.raises(Refused, match="make room there"):
            await send(exchange, b"content")
        await reception.over.wait()
    assert "No space left" in str(reception.error)


async def begin(exchange, *, size=7, name="a.txt"):
    await exchange.send(Offer(name=name, size=size))
    await exchange.receive(Resume)


@pytest.mark.parametrize("any_may_go_on", [True, False])
@pytest.mark.parametrize(("name", "size"), [("b", 7), ("a.txt", 8)])
async def test_another_file_has_to_wait(tmp_path, any_may_go_on, name, size):
    async with (
        receiving(tmp_path, any_may_go_on=any_may_go_on) as reception,
        hostile_sender(reception.peer) as (first, _),
        hostile_sender(reception.peer) as (second, _),
    ):
        await begin(first)
        with pytest.raises(Refused, match="somebody else is sending"):
            await begin(second, name=name, size=size)
        await finish(first, b"content")
        await reception.over.wait()
    assert (tmp_path / "a.txt").read_bytes() == b"content"


async def finish(exchange, content):
    await exchange.send(Start(offset=0))
    await exchange.send_data(content)
    await exchange.send(Digest(sha256=sha256(content)))
    await exchange.receive(Done)


@pytest.mark.parametrize("any_may_go_on", [True, False])
async def test_a_sender_of_the_same_file_takes_the_place_of_one_that_may_be_dead(tmp_path, any_may_go_on):
    async with (
        receiving(tmp_path, any_may_go_on=any_may_go_on) as reception,
        hostile_sender(reception.peer) as (first, _),
        hostile_sender(reception.peer) as (second, _),
    ):
        await begin(first)
        if any_may_go_on:
            await send(second, b"content")
            await reception.over.wait()
        else:
            with pytest.raises(Refused, match="somebody else is sending"):
                await send(second, b"content")
    assert (reception.path is not None) is any_may_go_on


async def test_who_was_replaced_does_not_replace(tmp_path):
    async with receiving(tmp_path) as reception, transport() as first, transport() as second:
        address = f"/webrtc/p2p/{reception.peer}"
        async with await first.dial(address) as early:
            await begin(Exchange(await early.open_stream()))
            async with await second.dial(address) as late:
                going_on = Exchange(await late.open_stream())
                await begin(going_on)
                await going_on.send(Start(offset=0))
                await going_on.send_data(b"con")
                async with await first.dial(address) as again:
                    with pytest.raises(Refused, match="somebody else is sending"):
                        await begin(Exchange(await again.open_stream()))
                await going_on.send_data(b"tent")
                await going_on.send(Digest(sha256=sha256(b"content")))
                await going_on.receive(Done)
    assert (tmp_path / "a.txt").read_bytes() == b"content"


async def test_another_file_of_that_name_and_size_leaves_the_place(tmp_path):
    (tmp_path / "a.txt.part").write_bytes(b"con")
    async with receiving(tmp_path) as reception:
        async with (
            hostile_sender(reception.peer) as (first, _),
            hostile_sender(reception.peer) as (second, _),
        ):
            await begin(first)
            await begin(second)
            await second.send(Start(offset=0))
            with pytest.raises(Refused, match="somebody else is sending"):
                await second.receive(Done)
        async with hostile_sender(reception.peer) as (first, _):
            await send(first, b"content")
            await reception.over.wait()
    assert (tmp_path / "a.txt").read_bytes() == b"content"


async def test_a_peer_that_offers_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("webrtc_transport.cli.transfer.receiving.OFFER_TIMEOUT", 0.1)
    async with receiving(tmp_path) as reception, hostile_sender(reception.peer) as (_, stream):
        await stream.send(b"\0")
        with anyio.fail_after(10):
            while "offered no file" not in reception.screen.text:
                await anyio.sleep(0.01)
