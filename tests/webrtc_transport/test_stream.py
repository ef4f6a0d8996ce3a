"""Half-close, reset, stop, and what each end sees."""

import anyio
import pytest

from tests.engine_loop import ENDS, ends_with_the_loop, portal_behind
from tests.pairs import config, connected, echo, read_all, serving
from webrtc_transport.errors import (
    ConnectionClosed,
    StreamReset,
    StreamStalled,
    StreamStopped,
    StreamTimeout,
)
from webrtc_transport.stream import Stream

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


async def test_echo():
    async with connected() as pair, serving(pair.listener):
        async with await pair.dialer.open_stream() as stream:
            await stream.send(b"hello")
            await stream.send_eof()
            assert await read_all(stream) == b"hello"


async def test_either_end_opens_streams():
    async with connected() as pair, serving(pair.dialer), serving(pair.listener):
        for connection in (pair.dialer, pair.listener):
            async with await connection.open_stream() as stream:
                await stream.send(b"from " + repr(connection).encode())
                await stream.send_eof()
                assert await read_all(stream) == b"from " + repr(connection).encode()


async def test_the_server_answers_a_mebibyte_after_the_clients_fin():
    async def answer_late(stream):
        async with stream:
            assert await read_all(stream) == b"question"
            await stream.send(bytes(MIB))
            await stream.send_eof()

    async with connected() as pair, serving(pair.listener, answer_late):
        async with await pair.dialer.open_stream() as stream:
            await stream.send(b"question")
            await stream.send_eof()
            with pytest.raises(anyio.ClosedResourceError):
                await stream.send(b"more")
            assert await read_all(stream) == bytes(MIB)
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()


async def test_a_reset_is_its_own_error_at_both_ends():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"data")
        inbound = await pair.listener.accept_stream()
        assert await inbound.receive() == b"data"
        stream.reset()
        with pytest.raises(StreamReset, match="the peer reset the stream"):
            await inbound.receive()
        with pytest.raises(StreamReset, match="the peer reset the stream"):
            await inbound.send(b"data")
        with pytest.raises(StreamReset, match="this end reset the stream"):
            await stream.receive()
        with pytest.raises(anyio.BrokenResourceError):
            await stream.send_eof()


async def test_a_reset_leaves_the_other_streams_alone():
    async with connected() as pair, serving(pair.listener):
        lost = await pair.dialer.open_stream()
        await lost.send(b"lost")
        async with await pair.dialer.open_stream() as kept:
            await kept.send(b"kept")
            lost.reset()
            await kept.send_eof()
            assert await read_all(kept) == b"kept"


async def test_a_closed_stream_stops_its_sender():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"data")
        inbound = await pair.listener.accept_stream()
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(inbound.aclose)
            with pytest.raises(StreamStopped):
                while True:
                    await stream.send(bytes(1000))
            await stream.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await inbound.receive()


async def test_an_end_without_acknowledgement_is_an_error():
    async with connected(dialer_settings=config(fin_ack_timeout=0.2)) as pair:
        # A peer that takes channels and never answers on them.
        pair.listener._link.on_channel = lambda channel: None
        stream = await pair.dialer.open_stream()
        await stream.send(b"data")
        with pytest.raises(StreamTimeout, match=r"no FIN_ACK within 0\.2 s"):
            await stream.aclose()


async def test_the_end_is_acknowledged_while_nobody_reads():
    settings = config(engine="native", fin_ack_timeout=5)
    async with connected(dialer_settings=settings) as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(bytes(MIB // 2))
        # Its room for a MiB takes the end, too: what the application does is none of the sender's business.
        await stream.aclose()
        inbound = await pair.listener.accept_stream()
        assert inbound.unread == (MIB // 2, 0)
        assert await read_all(inbound) == bytes(MIB // 2)


async def test_the_end_of_more_than_there_is_room_for_waits_for_the_reader():
    settings = config(engine="native", fin_ack_timeout=0.5, receive_buffer=128 * 1024)
    async with connected(dialer_settings=settings, listener_settings=settings) as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(bytes(MIB // 4))
        with pytest.raises(StreamTimeout):
            # It is behind bytes for which there is no room.
            await stream.aclose()


async def test_busy():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(stream.receive)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await stream.receive()
            task_group.cancel_scope.cancel()


async def test_receive_takes_no_more_than_asked():
    async with connected() as pair, serving(pair.listener):
        async with await pair.dialer.open_stream() as stream:
            await stream.send(b"hello")
            await stream.send_eof()
            assert await stream.receive(2) == b"he"
            assert await stream.receive(2) == b"ll"
            assert await stream.receive(2) == b"o"
            with pytest.raises(anyio.EndOfStream):
                await stream.receive(2)
            with pytest.raises(ValueError, match="has to be 1 or more"):
                await stream.receive(0)


async def test_what_arrived_before_the_connection_ended_can_be_read():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"last words")
        inbound = await pair.listener.accept_stream()
        await stream.send_eof()
        while inbound._state.may_read:
            await anyio.sleep(0.001)
        await pair.dialer.aclose()
        await pair.listener.wait_closed()
        assert await read_all(inbound) == b"last words"


async def test_a_connection_that_ends_ends_its_streams():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"data")
        inbound = await pair.listener.accept_stream()
        await pair.dialer.abort()
        assert await inbound.receive() == b"data"
        with pytest.raises(ConnectionClosed, match="the peer closed the connection"):
            await inbound.receive()
        with pytest.raises(ConnectionClosed):
            await inbound.send(b"data")
        with pytest.raises(ConnectionClosed):
            await pair.listener.open_stream()
        with pytest.raises(ConnectionClosed):
            await pair.listener.accept_stream()


async def test_100_streams_at_once():
    async with connected() as pair, serving(pair.listener):

        async def one(number):
            async with await pair.dialer.open_stream() as stream:
                await stream.send(bytes([number]) * 3000)
                await stream.send_eof()
                assert await read_all(stream) == bytes([number]) * 3000

        # Not more than the peer lets wait to be accepted.
        limiter = anyio.CapacityLimiter(50)

        async def limited(number):
            async with limiter:
                await one(number)

        async with anyio.create_task_group() as task_group:
            for number in range(100):
                task_group.start_soon(limited, number)


async def test_an_echo_server_hears_of_a_client_that_leaves():
    async with connected() as pair, serving(pair.listener, echo):
        stream = await pair.dialer.open_stream()
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"
        with anyio.fail_after(1):
            await pair.dialer.abort()
            await pair.listener.wait_closed()


async def test_what_came_before_fin_can_be_read_after_a_reset():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"all of it")
        await stream.send_eof()
        inbound = await pair.listener.accept_stream()
        while inbound._state.may_read:
            await anyio.sleep(0.001)
        stream.reset()
        while not inbound._state.is_reset:
            await anyio.sleep(0.001)
        assert await read_all(inbound) == b"all of it"
        with pytest.raises(StreamReset):
            await inbound.send(b"answer")


async def test_what_a_reset_of_ours_threw_away_does_not_look_like_the_end():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"unread")
        await stream.send_eof()
        inbound = await pair.listener.accept_stream()
        while inbound._state.may_read:
            await anyio.sleep(0.001)
        inbound.reset()
        with pytest.raises(StreamReset, match="this end"):
            await inbound.receive()


async def test_closing_tells_that_the_peer_has_reset_what_was_sent():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(bytes(1000))
        (await pair.listener.accept_stream()).reset()
        while not stream._state.is_reset:
            await anyio.sleep(0.001)
        with pytest.raises(StreamReset, match="the peer reset"):
            await stream.aclose()
        # Once is enough.
        await stream.aclose()


async def test_closing_does_not_repeat_an_error_that_was_raised():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(bytes(1000))
        (await pair.listener.accept_stream()).reset()
        with pytest.raises(StreamReset):
            await stream.receive()
        await stream.aclose()


async def test_a_reset_of_a_stream_that_has_ended_gives_its_credit_back():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(bytes(500_000))
        await stream.send_eof()
        inbound = await pair.listener.accept_stream()
        await inbound.send_eof()
        while not inbound._state.is_finished:
            await anyio.sleep(0.001)
        inbound.reset()
        while (await pair.listener.statistics()).engine.unread > 1024 * 1024 // 8:
            await anyio.sleep(0.001)


async def test_bytes_in_small_frames_take_no_more_memory_than_others():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        for _ in range(3000):
            await stream.send(b"ab")
        await stream.send_eof()
        inbound = await pair.listener.accept_stream()
        while inbound._state.may_read:
            await anyio.sleep(0.001)
        assert len(inbound._received.chunks) <= 2
        assert await read_all(inbound) == b"ab" * 3000


async def test_what_was_closed_says_by_what():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send_eof()
        with pytest.raises(anyio.ClosedResourceError, match=r"after send_eof\(\)"):
            await stream.send(b"more")
        await stream.aclose()
        for use in (stream.send(b"more"), stream.receive(), stream.send_eof()):
            with pytest.raises(anyio.ClosedResourceError, match=r"closed by aclose\(\)"):
                await use


async def test_a_stream_that_is_given_up_for_not_being_read_says_so_at_both_ends():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"unread")
        inbound = await pair.listener.accept_stream()
        while not inbound.unread[0]:
            await anyio.sleep(0.001)
        inbound.stalled("nothing was read for 3 s")
        assert inbound.unread[0] == 0
        with pytest.raises(StreamStalled, match="nothing was read for 3 s"):
            await inbound.receive()
        with pytest.raises(StreamStalled):
            await inbound.send(b"answer")
        with pytest.raises(StreamReset, match="the peer reset the stream"):
            await stream.receive()


async def test_what_lies_unread_after_the_end_can_stall_too():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"all of it")
        await stream.send_eof()
        inbound = await pair.listener.accept_stream()
        await inbound.send_eof()
        while not inbound._state.is_finished:
            await anyio.sleep(0.001)
        inbound.stalled("nothing was read for 3 s")
        with pytest.raises(StreamStalled):
            await inbound.receive()


async def test_a_second_close_does_not_tell_a_timeout_again():
    async with connected(dialer_settings=config(fin_ack_timeout=0.2)) as pair:
        pair.listener._link.on_channel = lambda channel: None
        stream = await pair.dialer.open_stream()
        await stream.send(b"data")
        with pytest.raises(StreamTimeout):
            await stream.aclose()
        while (await pair.dialer.statistics()).streams:
            await anyio.sleep(0.001)
        await stream.aclose()


async def test_a_reset_before_anything_came_hints_at_a_limit():
    async with connected() as pair:
        for answer in (b"", b"answer"):
            stream = await pair.dialer.open_stream()
            await stream.send(b"data")
            inbound = await pair.listener.accept_stream()
            if answer:
                await inbound.send(answer)
                assert await stream.receive() == answer
            inbound.reset()
            with pytest.raises(StreamReset) as caught:
                await stream.receive()
            assert ("too many streams" in str(caught.value)) is not bool(answer)


async def test_the_end_of_what_the_peer_sent_does_not_hide_that_it_has_reset_what_was_sent():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(bytes(1000))
        inbound = await pair.listener.accept_stream()
        await inbound.send_eof()
        inbound.reset()
        while not stream._state.is_reset:
            await anyio.sleep(0.001)
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
        with pytest.raises(StreamReset, match="the peer reset"):
            await stream.aclose()


async def send_for_ever(stream):
    while True:
        await stream.send(bytes(MIB))


async def finish(stream):
    await stream.send(b"data")
    await stream.aclose()


@pytest.mark.parametrize("engine", ["native", "memory"])
@pytest.mark.parametrize("way", ENDS)
@pytest.mark.parametrize("wait", [Stream.receive, send_for_ever, finish])
async def test_who_waits_is_told_that_the_engine_has_ended(
    anyio_backend_name, engine, way, wait, monkeypatch
):
    if anyio_backend_name != "trio":
        return  # On asyncio the engine's loop is the application's.
    settings = config(engine=engine, receive_buffer=64 * 1024)
    async with connected(dialer_settings=settings, listener_settings=settings, timeout=20) as pair:
        stream = await pair.dialer.open_stream()
        # There is no FIN_ACK.
        monkeypatch.setattr(Stream, "_act_on", lambda self, flag: None)
        await ends_with_the_loop(portal_behind(pair.dialer), way, wait, stream)
        with pytest.raises(anyio.BrokenResourceError if wait is not finish else anyio.ClosedResourceError):
            await stream.receive()


async def test_a_call_that_need_not_wait_notices_what_others_have_cancelled():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        sent, scope = 0, anyio.CancelScope()

        async def send_for_ever():
            nonlocal sent
            with scope:
                while True:
                    await stream.send(b"x")
                    sent += 1

        async def cancel():
            scope.cancel()
            at_cancellation.append(sent)

        at_cancellation = []
        with anyio.fail_after(5):
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(send_for_ever)
                task_group.start_soon(cancel)
        # What has let others have their turn is done, and the next call takes nothing.
        assert sent - at_cancellation[0] <= 1
        with anyio.CancelScope() as other:
            other.cancel()
            await stream.send(b"x")
            raise AssertionError


async def test_a_task_that_cancels_itself_notices_it_after_some_kilobytes():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        sent = 0
        with anyio.CancelScope() as scope:
            await stream.send(b"x")
            scope.cancel()
            for _ in range(1000):
                await stream.send(b"x")
                sent += 1
        assert sent < 200
