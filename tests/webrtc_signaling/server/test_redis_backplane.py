"""With a real Redis, in which others write, too."""

import asyncio
import contextlib

import msgpack
import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from tests.webrtc_signaling.redis_server import redis_server
from tests.webrtc_signaling.samples import ALICE_ID, BOB_ID
from webrtc_signaling.server import redis_backplane
from webrtc_signaling.server.backplane import BackplaneEvents
from webrtc_signaling.server.frames import Unknown, pack
from webrtc_signaling.server.redis_backplane import RedisBackplane
from webrtc_signaling.server.redis_commands import INBOX, MOVES, PEER

pytestmark = pytest.mark.anyio

TIMEOUT = 60
LOGGER = "libp2p.transport.webrtc.signaling.server"
INSTANCE = "instance-0123456789"
FRAME = Unknown(peer=BOB_ID, flow="flow-0123456789-0", is_here=True)


@pytest.fixture(scope="module")
def redis_process():
    with redis_server(password="SECRET") as server:
        yield server


@pytest.fixture
async def redis(redis_process):
    async with Redis.from_url(redis_process.url) as client:
        await client.flushdb()
        yield client


class Events(BackplaneEvents):
    """Takes notes."""

    def __init__(self):
        self.told = asyncio.Queue()
        self.watches = set()

    def on_frame(self, server, frame):
        self.told.put_nowait(("frame", server, frame))

    def on_claimed(self, peer, stamp):
        self.told.put_nowait(("claimed", peer, stamp))

    def on_location(self, peer, location):
        self.told.put_nowait(("location", peer, location))

    def on_located(self, peer, location, *, is_alive):
        self.told.put_nowait(("located", peer, location, is_alive))

    def on_server_gone(self, server):
        self.told.put_nowait(("gone", server))

    def on_restored(self):
        self.told.put_nowait(("restored",))

    def claims_due(self):
        pass

    def watched(self):
        return self.watches

    async def next(self, kind):
        async with asyncio.timeout(TIMEOUT):
            while True:
                told = await self.told.get()
                if told[0] == kind:
                    return told[1:]


@contextlib.asynccontextmanager
async def joined(redis_process, kind=Events):
    backplane, events = RedisBackplane(redis_process.url, grace=30), kind()
    async with backplane.joined(events):
        assert backplane.is_ready()
        yield backplane, events


@contextlib.asynccontextmanager
async def two(redis_process):
    async with joined(redis_process) as one, joined(redis_process) as other:
        async with asyncio.timeout(TIMEOUT), Redis.from_url(redis_process.url) as redis:
            while (await redis.pubsub_numsub(MOVES))[0][1] < 2:
                await asyncio.sleep(0.01)
        yield *one, *other


async def test_frames_go_from_one_to_the_other_in_order(redis, redis_process):
    async with two(redis_process) as (one, _, other, events):
        frames = [FRAME.model_copy(update={"flow": f"flow-{number:016}"}) for number in range(500)]
        for frame in frames:
            one.send(other.server, frame)
        for frame in frames:
            assert await events.next("frame") == (one.server, frame)
        async with asyncio.timeout(TIMEOUT):
            while await redis.xlen(f"{INBOX}{other.server}") > 1:
                await asyncio.sleep(0.01)


class Turns(Events):
    """Counts the turns of the loop, and notes in which one a frame comes."""

    def __init__(self):
        super().__init__()
        self.turn = 0
        self.turns_of_frames = []
        self.count()

    def count(self):
        self.turn += 1
        asyncio.get_running_loop().call_soon(self.count)

    def on_frame(self, server, frame):
        super().on_frame(server, frame)
        self.turns_of_frames.append(self.turn)


@pytest.mark.parametrize(("frames_in_entry", "turns"), [(1, 1), (2000, 2)])
async def test_small_entries_are_taken_together_and_others_have_their_turn_between_large_ones(
    redis, redis_process, frames_in_entry, turns
):
    [entry] = pack([FRAME] * frames_in_entry)
    async with joined(redis_process, kind=Turns) as (one, events):
        async with redis.pipeline(transaction=True) as pipe:
            for _ in range(3):
                pipe.xadd(f"{INBOX}{one.server}", {"from": "server-0123456789", "frames": entry})
            await pipe.execute()
        for _ in range(3 * frames_in_entry):
            await events.next("frame")
        assert len(set(events.turns_of_frames)) == turns


class Outflow:
    """Has frames when it is asked."""

    def __init__(self):
        self.waiting = []
        self.asked = 0

    def frames(self):
        self.asked += 1
        waiting, self.waiting = self.waiting, []
        yield from waiting


async def test_a_flow_is_asked_once_for_all_that_it_has_by_then(redis, redis_process):
    frames = [FRAME.model_copy(update={"flow": f"flow-{number:016}"}) for number in range(300)]
    async with two(redis_process) as (one, _, other, events):
        outflow = Outflow()
        for frame in frames:
            outflow.waiting.append(frame)
            one.send_from(other.server, outflow)
        for frame in frames:
            assert await events.next("frame") == (one.server, frame)
        assert outflow.asked == 1


async def test_many_flows_take_several_pipelines(redis, redis_process, monkeypatch):
    monkeypatch.setattr("webrtc_signaling.server.redis_backplane._MAX_COMMANDS", 2)
    monkeypatch.setattr("webrtc_signaling.server.frames.MAX_ENTRY_SIZE", 200)
    async with two(redis_process) as (one, _, other, events):
        outflows = [Outflow() for _ in range(20)]
        for number, outflow in enumerate(outflows):
            outflow.waiting.append(FRAME.model_copy(update={"flow": f"flow-{number:016}"}))
            one.send_from(other.server, outflow)
        for number in range(20):
            _, frame = await events.next("frame")
            assert frame.flow == f"flow-{number:016}"


async def test_a_flow_is_not_remembered_while_redis_is_away():
    backplane, outflow = RedisBackplane("redis://127.0.0.1:1", grace=30), Outflow()
    backplane.send_from("server", outflow)
    assert not backplane._outflows
    assert not backplane._queued


async def test_a_client_is_where_it_was_claimed_last(redis, redis_process):
    async with two(redis_process) as (one, first, other, second):
        one.claim(ALICE_ID, INSTANCE, proven=True, stamp=None)
        peer, stamp = await first.next("claimed")
        assert peer == ALICE_ID
        other.claim(ALICE_ID, INSTANCE, proven=True, stamp=None)
        _, later = await second.next("claimed")
        assert later > stamp
        # The channel tells; and so does the answer to an old claim that is made again.
        for _ in range(2):
            while (location := (await first.next("location"))[1]).server != other.server:
                pass
            assert location.stamp == later
            one.claim(ALICE_ID, INSTANCE, proven=True, stamp=stamp)
        one.locate(ALICE_ID)
        assert await first.next("located") == (ALICE_ID, location, True)
        # Who has lost it can't release it.
        one.release(ALICE_ID)
        other.release(ALICE_ID)
        other.locate(ALICE_ID)
        assert await second.next("located") == (ALICE_ID, None, False)


async def test_the_unproven_do_not_take_the_place_of_the_proven(redis, redis_process):
    async with two(redis_process) as (one, first, other, second):
        one.claim(ALICE_ID, INSTANCE, proven=True, stamp=None)
        await first.next("claimed")
        other.claim(ALICE_ID, INSTANCE, proven=False, stamp=None)
        while (location := (await second.next("location"))[1]).server != one.server:
            pass
        assert location.proven
        one.claim(BOB_ID, INSTANCE, proven=False, stamp=None)
        other.claim(BOB_ID, INSTANCE, proven=True, stamp=None)
        assert (await second.next("claimed"))[0] == BOB_ID


async def test_everything_expires(redis, redis_process):
    async with joined(redis_process) as (one, events):
        one.claim(ALICE_ID, INSTANCE, proven=True, stamp=None)
        await events.next("claimed")
        assert 0 < await redis.pttl(f"{PEER}{ALICE_ID}") <= 60_000
        assert 0 < await redis.pttl(f"{INBOX}{one.server}") <= 6_000
    # The claim stays, so that it is known that the client was here.
    assert await redis.keys() == [f"{PEER}{ALICE_ID}".encode()]


async def test_the_end_of_a_server_is_noticed(redis, redis_process):
    async with joined(redis_process) as (one, events):
        async with joined(redis_process) as (other, _):
            events.watches.add(other.server)
            other.claim(ALICE_ID, INSTANCE, proven=True, stamp=None)
            await _.next("claimed")
        one.send(other.server, FRAME)
        assert await events.next("gone") == (other.server,)
        one.locate(ALICE_ID)
        _, location, is_alive = await events.next("located")
        assert (location.server, is_alive) == (other.server, False)
        assert await redis.exists(f"{INBOX}{other.server}") == 0


async def test_a_redis_that_was_emptied_is_told_again(redis, redis_process):
    async with joined(redis_process) as (one, events):
        await events.next("restored")
        await redis.flushdb()
        await events.next("restored")
        assert await redis.exists(f"{INBOX}{one.server}")


async def test_a_listener_that_does_not_notice_its_cancellation_ends(redis, redis_process, monkeypatch):
    get_message = PubSub.get_message

    async def swallowing(self, *, timeout):
        with contextlib.suppress(asyncio.CancelledError):
            return await get_message(self, timeout=timeout)

    monkeypatch.setattr(PubSub, "get_message", swallowing)
    async with asyncio.timeout(TIMEOUT):
        async with joined(redis_process) as (one, events):
            await events.next("restored")
            while not (await redis.pubsub_numsub(MOVES))[0][1]:
                await asyncio.sleep(0.01)
            before = one._listener
            await redis.flushdb()
            await events.next("restored")
            await asyncio.wait({before})
            latest = one._listener
            assert not latest.done()
        assert latest.done()


async def test_what_others_write_there_is_refused_and_the_rest_goes_on(redis, redis_process, caplog):
    async with two(redis_process) as (one, _, other, events):
        inbox = f"{INBOX}{other.server}"
        for fields in (
            {"x": "y"},
            {"from": "../..", "frames": b""},
            {"from": one.server, "frames": b"\xc1"},
            {"from": one.server, "frames": msgpack.packb({"kind": "delivery", "peer": 7})},
            {"from": one.server, "frames": bytes(1_000_000)},
            {"from": b"\xff" * 20, "frames": b""},
        ):
            await redis.xadd(inbox, fields)
        for message in (b"", b"\xff", b"x|y", f"{ALICE_ID}|1|1|short|short", "1" * 100_000):
            await redis.publish(MOVES, message)
        await redis.set(f"{PEER}{BOB_ID}", b"\x00 nonsense")
        other.locate(BOB_ID)
        one.send(other.server, FRAME)
        assert await events.next("frame") == (one.server, FRAME)
        async with asyncio.timeout(TIMEOUT):
            while caplog.text.count("no server wrote") < 10:
                await asyncio.sleep(0.01)
        # A claim sets it right.
        other.claim(BOB_ID, INSTANCE, proven=True, stamp=None)
        assert (await events.next("claimed"))[0] == BOB_ID


async def test_a_key_of_another_kind_ends_nothing(redis, redis_process, caplog):
    async with joined(redis_process) as (one, events):
        await redis.lpush(f"{PEER}{BOB_ID}", "x")
        one.locate(BOB_ID)
        one.claim(ALICE_ID, INSTANCE, proven=True, stamp=None)
        assert (await events.next("claimed"))[0] == ALICE_ID
    assert "a key of another kind" in caplog.text


class Faulty(Events):
    """Fails at each kind of event once, and takes notes then."""

    def __init__(self):
        super().__init__()
        self.failed = set()

    def _fail_once(self, kind):
        if kind not in self.failed:
            self.failed.add(kind)
            raise RuntimeError(f"a defect in {kind}")

    def on_frame(self, server, frame):
        self._fail_once("on_frame")
        super().on_frame(server, frame)

    def on_claimed(self, peer, stamp):
        self._fail_once("on_claimed")
        super().on_claimed(peer, stamp)

    def on_location(self, peer, location):
        self._fail_once("on_location")
        super().on_location(peer, location)

    def on_server_gone(self, server):
        self._fail_once("on_server_gone")
        super().on_server_gone(server)

    def on_restored(self):
        self._fail_once("on_restored")

    def claims_due(self):
        self._fail_once("claims_due")

    def watched(self):
        self._fail_once("watched")
        return super().watched()


async def test_a_defect_in_what_is_told_is_logged_and_the_rest_goes_on(redis, redis_process, caplog):
    caplog.set_level("ERROR", LOGGER)
    one, faulty = RedisBackplane(redis_process.url, grace=30), Faulty()
    async with one.joined(faulty), joined(redis_process) as (other, events):
        async with asyncio.timeout(TIMEOUT):
            while (await redis.pubsub_numsub(MOVES))[0][1] < 2:
                await asyncio.sleep(0.01)
        faulty.watches.add("server-that-has-gone")
        for peer in (ALICE_ID, BOB_ID):
            other.claim(peer, INSTANCE, proven=True, stamp=None)
            await events.next("claimed")
            one.claim(peer, INSTANCE, proven=True, stamp=None)
            other.send(one.server, FRAME)
        while (await faulty.next("location"))[0] != BOB_ID:
            pass
        assert await faulty.next("frame") == (other.server, FRAME)
        await faulty.next("gone")
        assert one.is_ready()
        assert one.fault() is None
    assert faulty.failed == {
        "on_frame", "on_claimed", "on_location", "on_server_gone", "on_restored", "claims_due", "watched"
    }  # fmt: skip
    assert {str(record.exc_info[1]) for record in caplog.records} == {
        f"a defect in {kind}" for kind in faulty.failed
    }


@pytest.mark.parametrize("task", ["write", "read", "listen"])
async def test_a_task_that_ends_by_an_error_is_told(redis, redis_process, caplog, monkeypatch, task):
    caplog.set_level("ERROR", LOGGER)
    async with joined(redis_process) as (one, events):

        def fail(*_args):
            raise SystemError("a defect")

        if task == "write":
            monkeypatch.setattr(one, "_flush", fail)
        elif task == "read":
            monkeypatch.setattr(redis_backplane, "entries_in", fail)
        else:
            monkeypatch.setattr(one._redis, "pubsub", fail)
            one._listener.cancel()
            one._listener = one._start(one._listen(events))
        one.claim(ALICE_ID, INSTANCE, proven=True, stamp=None)
        async with asyncio.timeout(TIMEOUT):
            while one.is_ready():
                await asyncio.sleep(0.01)
        assert "restart the server" in one.fault()
        monkeypatch.undo()
    assert any("has ended" in record.getMessage() and record.exc_info for record in caplog.records)
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize(
    ("place", "reason"),
    [("127.0.0.1:1", "refused|connect"), ("127.0.0.1:{port}", "password|auth")],
    ids=["nobody there", "wrong password"],
)
async def test_a_redis_that_can_not_be_used_is_told_in_one_line(redis_process, place, reason):
    place = place.format(port=redis_process.url.rpartition(":")[2].partition("/")[0])
    backplane = RedisBackplane(f"redis://:HIDDEN@{place}/0", grace=30)
    said = rf"(?i)^can't use Redis at redis://….*({reason}).*; start it, and check"
    with pytest.raises(ConnectionError, match=said) as caught:
        async with backplane.joined(Events()):
            pass
    assert "HIDDEN" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_redis_without_memory_loses_no_connection(redis, redis_process, caplog):
    caplog.set_level("WARNING", LOGGER)
    async with joined(redis_process) as (one, events):
        await events.next("restored")
        await redis.config_set("maxmemory", 1)
        try:
            for peer in (ALICE_ID, BOB_ID):
                one.claim(peer, INSTANCE, proven=True, stamp=None)
                one.send(one.server, FRAME)
                # In the same pipeline, and one that takes no memory.
                one.locate(peer)
                assert await events.next("located") == (peer, None, False)
        finally:
            await redis.config_set("maxmemory", 0)
        assert one.is_ready()
        assert one.fault() is None
        one.claim(ALICE_ID, INSTANCE, proven=True, stamp=None)
        assert (await events.next("claimed"))[0] == ALICE_ID
        one.send(one.server, FRAME)
        assert await events.next("frame") == (one.server, FRAME)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "refuses a command: command not allowed when used memory > 'maxmemory'" in caplog.text


async def test_a_user_without_rights_is_told_and_readiness_says_so(redis, redis_process, caplog):
    caplog.set_level("WARNING", LOGGER)
    await redis.execute_command("ACL", "SETUSER", "limited", "on", ">SECRET", "~*", "&*", "+@all")
    backplane, events = RedisBackplane(redis_process.url.replace("//:", "//limited:"), grace=30), Events()
    async with asyncio.timeout(TIMEOUT), backplane.joined(events):
        await events.next("restored")
        await redis.execute_command("ACL", "SETUSER", "limited", "-pexpire")
        while backplane.fault() is None:
            await asyncio.sleep(0.01)
        assert "refuses what keeps the server in the cluster" in backplane.fault()
        # The commands still go.
        backplane.locate(ALICE_ID)
        assert (await events.next("located"))[0] == ALICE_ID
        await redis.execute_command("ACL", "SETUSER", "limited", "+pexpire")
        while backplane.fault() is not None:
            await asyncio.sleep(0.01)
    assert caplog.text.count("refuses a command") == 1
    assert "is back" not in caplog.text
    assert "SECRET" not in caplog.text


async def test_a_redis_that_becomes_a_replica_is_lost_until_it_takes_commands_again():
    with redis_server() as process:
        async with (
            asyncio.timeout(TIMEOUT),
            joined(process) as (one, events),
            Redis.from_url(process.url) as redis,
        ):
            await events.next("restored")
            await redis.replicaof("127.0.0.1", "1")
            one.claim(ALICE_ID, INSTANCE, proven=True, stamp=None)
            while one.is_ready():
                await asyncio.sleep(0.01)
            await redis.replicaof("NO", "ONE")
            await events.next("restored")
            assert one.is_ready()


async def test_a_redis_that_goes_and_comes_back(caplog):
    with redis_server() as process:
        async with joined(process) as (one, events):
            await events.next("restored")
            process.kill()
            async with asyncio.timeout(TIMEOUT):
                while one.is_ready():
                    await asyncio.sleep(0.01)
            assert one.fault() == "Redis can't be reached"
            # What is asked meanwhile is forgotten.
            one.locate(ALICE_ID)
            one.send("server-0123456789", FRAME)
            await asyncio.to_thread(process.start)
            await events.next("restored")
            assert one.is_ready()
            one.claim(ALICE_ID, INSTANCE, proven=True, stamp=None)
            await events.next("claimed")
    assert "have to wait" in caplog.text
    assert "is back" in caplog.text
    assert "SECRET" not in caplog.text
