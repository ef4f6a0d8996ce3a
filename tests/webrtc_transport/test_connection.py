"""What a connection tells, and how it ends."""

import anyio
import pytest

from tests.engine_loop import ENDS, end_the_loop, ends_with_the_loop, leave, portal_behind
from tests.logs import own_records
from tests.pairs import config, connected, read_all, serving
from webrtc_transport.connection import Connection, ConnectionState, WebRTCAttribute
from webrtc_transport.errors import (
    ConnectionAborted,
    ConnectionClosed,
    EngineError,
    HandlerError,
    StreamReset,
)

pytestmark = pytest.mark.anyio


async def test_what_a_connection_tells():
    async with connected() as pair:
        connection = pair.dialer
        assert connection.state is ConnectionState.CONNECTED
        assert connection.end_reason is None
        assert connection.candidate_pair.kind == "host"
        assert str(connection.local_address) == str(pair.listener.remote_address)
        assert str(connection.remote_address) == str(pair.listener.local_address)
        assert str(connection.remote_multiaddr) == f"/webrtc/p2p/{connection.remote_peer}"
        assert connection.extra(WebRTCAttribute.remote_peer) == connection.remote_peer
        assert connection.extra(WebRTCAttribute.candidate_pair) == connection.candidate_pair
        fingerprint = connection.extra(WebRTCAttribute.remote_fingerprint)
        assert fingerprint.algorithm == "sha-256"
        assert min(vars(connection.setup_times).values()) >= 0
        assert 0 < connection.setup_times.total < 20
        stream = await connection.open_stream()
        assert stream.extra(WebRTCAttribute.local_address) == connection.local_address
        await stream.send(b"data")
        await pair.listener.accept_stream()
        statistics = await connection.statistics()
        assert statistics.streams == 1
        assert statistics.engine.bytes_sent > 0
        assert statistics.engine.packets_received > 0


async def test_states_are_told_as_they_change():
    async with connected() as pair:
        states = []

        async def watch():
            states.extend([state async for state in pair.listener.state_changes()])

        async with anyio.create_task_group() as task_group:
            task_group.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            await pair.dialer.aclose()
        assert states == [ConnectionState.CONNECTED, ConnectionState.CLOSED]


async def test_a_close_is_noticed_within_a_second():
    async with connected() as pair:
        with anyio.fail_after(1):
            await pair.dialer.aclose()
            reason = await pair.listener.wait_closed()
        assert isinstance(reason, ConnectionClosed)
        assert str(reason) == "the peer closed the connection"
        assert str(pair.dialer.end_reason) == "this end closed the connection"


async def test_an_abort_is_noticed_within_a_second():
    async with connected() as pair:
        with anyio.fail_after(1):
            await pair.dialer.abort()
            await pair.listener.wait_closed()
        assert isinstance(pair.dialer.end_reason, ConnectionAborted)


async def test_an_orderly_close_lets_streams_drain():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(bytes(300_000))
        await stream.send_eof()
        received = b""

        async def read():
            nonlocal received
            received = await read_all(await pair.listener.accept_stream())

        async with anyio.create_task_group() as task_group:
            task_group.start_soon(read)
            await pair.dialer.aclose()
        assert len(received) == 300_000


async def test_streams_that_came_before_the_peer_closed_can_be_accepted():
    async with connected() as pair:
        async with await pair.dialer.open_stream() as stream:
            await stream.send(b"last words")
        # The FIN_ACK has told the peer that they have arrived.
        await pair.dialer.aclose()
        await pair.listener.wait_closed()
        assert await read_all(await pair.listener.accept_stream()) == b"last words"
        with pytest.raises(ConnectionClosed):
            await pair.listener.accept_stream()


async def in_a_group(stream):
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(stream.receive)


@pytest.mark.parametrize("handler", [in_a_group, lambda stream: stream.receive()], ids=["group", "plain"])
@pytest.mark.parametrize("end", ["reset", "fin"])
async def test_no_peer_ends_the_handlers_of_other_streams(handler, end):
    async with connected() as pair, serving(pair.listener, handler):
        stream = await pair.dialer.open_stream()
        if end == "reset":
            stream.reset()
        else:
            await stream.send_eof()
        while (await pair.listener.statistics()).streams or (await pair.dialer.statistics()).streams:
            await anyio.sleep(0.001)
        other = await pair.dialer.open_stream()
        await other.send(b"still there?")
        await other.aclose()


async def broken(stream):
    raise ZeroDivisionError


async def test_a_handler_that_fails_by_itself_resets_its_stream_and_is_logged(caplog):
    async def handler(stream):
        if await stream.receive() == b"break":
            raise ZeroDivisionError
        await stream.send(b"fine")

    async with connected() as pair, serving(pair.listener, handler):
        stream = await pair.dialer.open_stream()
        await stream.send(b"break")
        with pytest.raises(StreamReset):
            await stream.receive()
        other = await pair.dialer.open_stream()
        await other.send(b"go on")
        assert await other.receive() == b"fine"
    [record] = [record for record in own_records(caplog) if record.levelname == "ERROR"]
    assert str(pair.listener.remote_peer) in record.getMessage()
    assert "ZeroDivisionError" in record.getMessage()


async def test_a_handler_that_fails_by_itself_ends_all_if_that_is_wanted(caplog):
    def fail(stream, error):
        raise error

    async with connected() as pair:
        await pair.dialer.open_stream()
        with pytest.raises(ZeroDivisionError):
            await pair.listener.serve(broken, on_error=fail)
    assert own_records(caplog) == []


async def test_a_handler_of_streams_is_async():
    async with connected() as pair:
        with pytest.raises(HandlerError, match="async function"):
            await pair.listener.serve(None)
        await pair.dialer.open_stream()
        with pytest.raises(HandlerError, match="it returned None"):
            await pair.listener.serve(lambda stream: None)


async def test_that_a_handler_is_not_async_is_told_once_however_many_streams_are_there():
    async with connected() as pair:
        for _ in range(3):
            await pair.dialer.open_stream()
        while len(pair.listener._link._inbound) < 3:
            await anyio.sleep(0.001)
        with anyio.fail_after(10), pytest.raises(HandlerError, match="it returned None"):
            await pair.listener.serve(lambda stream: None)


# --- the engine's loop ends, which only a transport on trio can outlive -----------------------------------------------


@pytest.fixture
def on_trio(anyio_backend_name):
    return anyio_backend_name == "trio"


async def closed(connection):
    raise await connection.wait_closed()


@pytest.mark.parametrize("engine", ["native", "memory"])
@pytest.mark.parametrize("way", ENDS)
@pytest.mark.parametrize("wait", [closed, Connection.accept_stream])
async def test_who_waits_is_told_that_the_engine_has_ended(on_trio, engine, way, wait):
    if not on_trio:
        return
    settings = config(engine=engine)
    async with connected(dialer_settings=settings, listener_settings=settings, timeout=20) as pair:
        await ends_with_the_loop(portal_behind(pair.dialer), way, wait, pair.dialer)
        assert pair.dialer.state is ConnectionState.CLOSED
        assert isinstance(pair.dialer.end_reason, EngineError)
        with pytest.raises(EngineError):
            await pair.dialer.open_stream()


@pytest.mark.parametrize("engine", ["native", "memory"])
@pytest.mark.parametrize("close", [Connection.aclose, Connection.abort])
async def test_a_close_under_way_ends_with_the_engine(on_trio, engine, close):
    """Even if the engine has taken the order and can't say any more that it is done."""
    if not on_trio:
        return

    settings = config(engine=engine)
    async with connected(dialer_settings=settings, listener_settings=settings, timeout=20) as pair:
        portal, peer = portal_behind(pair.dialer), pair.dialer._link.peer
        across = peer._ice if engine == "native" else peer
        across.close = lambda *_reason: portal.post(lambda: portal._loop.create_task(leave()))
        with anyio.fail_after(5):
            await close(pair.dialer)
        assert pair.dialer.state is ConnectionState.CLOSED


async def test_a_close_after_the_engines_end_returns(on_trio):
    if not on_trio:
        return
    async with connected(timeout=20) as pair:
        await end_the_loop(portal_behind(pair.dialer))
        with anyio.fail_after(5):
            await pair.dialer.abort()
            await pair.dialer.aclose()
