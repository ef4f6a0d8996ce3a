"""What the native stack does that its compliance suite doesn't ask of every engine."""

import anyio
import pytest
import trio

from tests.logs import LOGGER, own_records
from tests.pairs import config, connected, echo, read_all, serving, transport
from tests.webrtc_transport.engine.stack_ends import StackWire, native_factory
from tests.webrtc_transport.engine.virtual_driver import VirtualDriver
from webrtc_transport import TransportConfig, WebRTCTransport
from webrtc_transport.engine.flush_schedule import ANSWER_TURNS
from webrtc_transport.engine.native_stack import NativeEngine
from webrtc_transport.engine.trio_driver import TrioDriver
from webrtc_transport.errors import ConnectionClosed, EngineError
from webrtc_transport.identity import Identity
from webrtc_transport.protocol.sctp.congestion import Cubic, NewReno
from webrtc_transport.protocol.sctp.congestion_model import Model
from webrtc_transport.protocol.sctp.data_channel import Open, PayloadProtocol
from webrtc_transport.protocol.sctp.events import MessageReceived

KIB = 1024
CHANGE_CIPHER_SPEC, APPLICATION_DATA = 20, 23
"""Types of DTLS records (RFC 6347, section 4.1)."""


def test_it_is_selected_by_name():
    transport = WebRTCTransport(Identity.generate(), config=TransportConfig(engine="native"))
    assert isinstance(transport._engine, NativeEngine)


@pytest.mark.anyio
async def test_a_reader_that_never_reads_holds_its_sender_to_the_window():
    window, send_buffer = 256 * KIB, 64 * KIB
    # Nobody will acknowledge the ends of these streams, so nobody waits for it long.
    settings = config(receive_buffer=window, send_buffer=send_buffer, fin_ack_timeout=0.1)
    async with connected(engine=NativeEngine(), dialer_settings=settings, listener_settings=settings) as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"begin")
        inbound = await pair.listener.accept_stream()
        with anyio.move_on_after(0.5):
            await stream.send(bytes(16 * 1024 * KIB))
        statistics = (await pair.listener.statistics()).engine
        assert statistics.packets_dropped == 0
        assert window // 2 < statistics.unread <= window + 64 * KIB
        # It was the stream that stopped, not the connection: the other direction goes on.
        other = await pair.listener.open_stream()
        await other.send(b"hello")
        await other.send_eof()
        assert await read_all(await pair.dialer.accept_stream()) == b"hello"
        assert await inbound.receive(5) == b"begin"


@pytest.mark.anyio
@pytest.mark.parametrize(("name", "expected"), [("cubic", Cubic), ("newreno", NewReno), ("model", Model)])
async def test_the_congestion_control_is_the_one_that_was_chosen(name, expected):
    settings = config(congestion_control=name)
    async with connected(engine=NativeEngine(), dialer_settings=settings) as pair:
        association = pair.dialer._link.peer._stack._association
        assert type(association._sender.congestion) is expected


@pytest.mark.anyio
@pytest.mark.parametrize(("datagram", "packet"), [(1200, 1160), (1300, 1260), (1472, 1432)])
async def test_the_path_is_tried_up_to_the_size_that_was_chosen(datagram, packet):
    settings = config(max_packet_size=datagram)
    async with (
        connected(engine=NativeEngine(), dialer_settings=settings) as pair,
        serving(pair.listener),
        await pair.dialer.open_stream() as stream,
    ):
        await stream.send(bytes(1024 * KIB))
        await stream.send_eof()
        assert len(await read_all(stream)) == 1024 * KIB
        path_mtu = pair.dialer._link.peer._stack._association._transmitter.path_mtu
        assert path_mtu.size == packet
        assert path_mtu.timer is None


@pytest.mark.anyio
async def test_one_context_serves_all_connections_of_a_certificate():
    engine = NativeEngine()
    async with transport() as server, transport(engine=engine) as client:
        listener = await server.listen("/webrtc")
        await client.dial(listener.addresses[0])
        first = engine._context
        await client.dial(listener.addresses[0])
        assert engine._context is first


@pytest.mark.anyio
@pytest.mark.parametrize("engines", [("native", "aiortc"), ("aiortc", "native"), ("native", "native")])
async def test_it_talks_to_aiortc_in_both_roles(engines):
    dialer, listener = engines
    async with (
        connected(dialer_settings=config(engine=dialer), listener_settings=config(engine=listener)) as pair,
        serving(pair.listener, echo),
        serving(pair.dialer, echo),
    ):
        for connection in (pair.dialer, pair.listener):
            for size in (1, 300 * KIB):
                async with await connection.open_stream() as stream, anyio.create_task_group() as task_group:

                    async def send(stream=stream, size=size):
                        await stream.send(bytes(size))
                        await stream.send_eof()

                    task_group.start_soon(send)
                    assert await read_all(stream) == bytes(size)
        stream = await pair.dialer.open_stream()
        await stream.send(b"data")
        stream.reset()
    assert pair.dialer.end_reason is not None


# --- without a network, in virtual time ------------------------------------------------------------------------------


@pytest.fixture
def driver():
    return VirtualDriver()


@pytest.fixture
def wire(driver):
    return StackWire(native_factory(driver), driver.call_soon)


def established(wire, driver):
    wire.start()
    driver.run(lambda: wire.is_established)
    return wire


def test_without_loss_nothing_waits_for_a_timer(wire, driver):
    wire.start()
    assert driver.run(lambda: wire.is_established) == 0


def test_closed_stacks_leave_no_timer(wire, driver):
    established(wire, driver)
    for end in wire.ends:
        end.stack.close()
        end.stack.close()
    # Packets are still under way.
    now = driver.now()
    driver.call_at(now + 0.001, lambda: None)
    driver.run(lambda: driver.now() > now)
    assert driver.pending == 0


@pytest.mark.parametrize("lost", range(8))
def test_whichever_packet_of_the_set_up_is_lost_it_goes_on(wire, driver, lost):
    wire.loses = lambda _packet: len(wire.packets) == lost + 1
    wire.start()
    assert driver.run(lambda: wire.is_established) < 1.1


@pytest.mark.parametrize("doubled", range(8))
def test_a_packet_that_comes_twice_is_answered_no_more_than_once(wire, driver, doubled):
    carry = wire._carry

    def carry_twice(packets, end, **_options):
        for packet in packets:
            assert len(wire.packets) < 100, "the ends answer each other without end"
            carry([packet] * (2 if len(wire.packets) == doubled else 1), end)

    wire._carry = carry_twice
    established(wire, driver)
    driver.run(lambda: driver.time > 1001)
    # Without a copy it is 12, an acknowledgement and heartbeats of the idle association among them.
    assert len(wire.packets) <= 16


@pytest.mark.parametrize("limit", ["interface_limit", "path_limit"])
def test_what_was_cut_for_a_wider_path_arrives_on_a_narrower_one(wire, driver, limit):
    """A route through a tunnel takes the place of Ethernet's, which the interface tells, or nobody."""
    established(wire, driver)
    record = wire.client.open()
    sent = [bytes([number]) * 16 * KIB for number in range(120)]
    for message in sent[:60]:
        record.channel.send(message)
    path_mtu = wire.client.stack._association._transmitter.path_mtu
    driver.run(lambda: path_mtu.size == 1432)
    setattr(wire, limit, 1250)
    for message in sent[60:]:
        record.channel.send(message)
    took = driver.run(lambda: wire.server.inbound and len(wire.server.inbound[0].messages) == 120)
    assert wire.server.inbound[0].messages == sent
    assert took < 3.0
    assert path_mtu.size == 1160


def test_data_that_overtake_the_last_flight_are_not_late(wire, driver):
    held = []

    def hold_last_flight(packet):
        if not held and packet[0] == CHANGE_CIPHER_SPEC:
            held.append(packet)
        return packet in held

    wire.loses = hold_last_flight
    wire.start()
    driver.run(lambda: held and wire.packets[-1][0] == APPLICATION_DATA)
    # After the data, but long before anything is repeated.
    driver.call_at(driver.time + 0.01, lambda: wire.client.stack.packet_received(held[0]))
    assert driver.run(lambda: wire.is_established) == pytest.approx(0.01)
    driver.run(lambda: driver.time > 1001)
    # Nor does what follows wait for the packet after it.
    wire.server.open().channel.send(b"at once")
    assert driver.run(lambda: wire.client.inbound and wire.client.inbound[0].messages) == 0


def test_messages_of_one_turn_share_a_packet(wire, driver):
    established(wire, driver)
    record = wire.client.open()
    driver.run(lambda: wire.server.inbound)
    driver.run(lambda: driver.time > 1001)
    before = len(wire.packets)
    for number in range(50):
        record.channel.send(b"%02d" % number)
    driver.run(lambda: len(wire.server.inbound[0].messages) == 50)
    assert len(wire.packets) - before <= 4
    assert wire.server.inbound[0].messages == [b"%02d" % number for number in range(50)]


def test_a_channel_is_opened_in_the_packet_of_its_first_message(wire, driver):
    established(wire, driver)
    driver.run(lambda: driver.time > 1001)
    before = len(wire.packets)
    wire.client.open().channel.send(b"first")
    assert len(wire.packets) == before + 1
    driver.run(lambda: wire.server.inbound and wire.server.inbound[0].messages == [b"first"])


def let_pass(driver, turns):
    for _ in range(turns):
        ended = []
        driver.call_soon(ended.append, True)
        driver.run(lambda ended=ended: ended)


@pytest.mark.parametrize("turns", range(ANSWER_TURNS))
def test_an_answer_waits_some_turns_for_a_message_and_shares_its_packet(wire, driver, turns):
    established(wire, driver)
    driver.run(lambda: driver.time > 1001)
    record = wire.client.open()
    record.channel.send(b"question")
    driver.run(lambda: wire.server.inbound)
    before = len(wire.packets)
    let_pass(driver, turns)
    # DATA_CHANNEL_ACK is due.
    assert len(wire.packets) == before
    wire.server.inbound[0].channel.send(b"answer")
    assert len(wire.packets) == before + 1
    driver.run(lambda: record.messages == [b"answer"])


def test_an_answer_needs_no_message(wire, driver):
    established(wire, driver)
    driver.run(lambda: driver.time > 1001)
    record = wire.client.open()
    record.channel.send(b"question")
    driver.run(lambda: wire.server.inbound)
    before = len(wire.packets)
    assert driver.run(lambda: len(wire.packets) > before) == 0


def test_it_needs_no_asyncio():
    told = []

    async def main():
        driver = TrioDriver()
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                await nursery.start(driver.run)
                wire = StackWire(native_factory(driver), driver.call_soon)
                wire.start()
                while not wire.is_established:
                    await trio.sleep(0.001)
                record = wire.client.open()
                for _ in range(100):
                    record.channel.send(bytes(10_000))
                while not (wire.server.inbound and wire.server.inbound[0].received == 1_000_000):
                    await trio.sleep(0.001)
                wire.server.stack.close()
                while len(wire.client.told) < 3:
                    await trio.sleep(0.001)
                told.extend(wire.client.told)
                wire.client.stack.close()
                nursery.cancel_scope.cancel()

    trio.run(main)
    assert told[:2] == ["secured", "established"]
    assert isinstance(told[2], ConnectionClosed)


def test_a_stream_that_ends_behind_its_messages_waits_for_no_timer(wire, driver):
    established(wire, driver)
    record = wire.client.open()
    driver.run(lambda: wire.server.inbound)
    for _ in range(8):
        record.channel.send(bytes(10_000))
    record.channel.close()
    assert driver.run(lambda: record.closed) < 0.1


@pytest.mark.parametrize("fails", ["message_received", "bytes_sent"])
def test_a_fault_of_ours_ends_the_connection_by_name_and_is_logged_once(
    wire, driver, monkeypatch, caplog, fails
):
    established(wire, driver)

    def fail(*_):
        raise KeyError("fault")

    end = wire.server if fails == "message_received" else wire.client
    monkeypatch.setattr(end.stack._channels, fails, fail)
    wire.client.open().channel.send(b"data")
    # What leaves a callback of the driver leaves run().
    driver.run(lambda: len(end.told) > 2)
    end.stack.packet_received(wire.packets[-1])
    assert [type(told) for told in end.told[2:]] == [EngineError]
    assert "KeyError" in str(end.told[2])
    assert [record.exc_info[0] for record in caplog.records] == [KeyError]
    end.stack.close()
    assert end.stack._association.is_ended


def test_a_channel_that_comes_in_one_packet_with_the_reason_for_the_end_is_none(wire, driver):
    established(wire, driver)
    stack, opening = wire.server.stack, Open(label="").encode()
    malformed = MessageReceived(0, PayloadProtocol.DCEP, opening[:5])
    stack._association.events = [malformed, MessageReceived(2, PayloadProtocol.DCEP, opening)]
    stack._dispatch()
    assert [type(told) for told in wire.server.told[2:]] == [EngineError]


def test_a_fault_of_ours_during_the_set_up_is_no_failure_of_the_peers(wire, driver, monkeypatch):
    def fail(*_):
        raise KeyError("fault")

    monkeypatch.setattr(wire.server.stack._association, "receive", fail)
    wire.start()
    driver.run(lambda: any(isinstance(told, Exception) for told in wire.server.told))
    assert [type(told) for told in wire.server.told if isinstance(told, Exception)] == [EngineError]


def test_a_fault_of_a_timer_ends_the_connection_too(wire, driver, monkeypatch, caplog):
    established(wire, driver)

    def fail(_now):
        raise KeyError("fault")

    monkeypatch.setattr(wire.client.stack._association, "handle_timer", fail)
    driver.run(lambda: len(wire.client.told) > 2)
    assert isinstance(wire.client.told[2], EngineError)
    assert len(caplog.records) == 1


def test_a_stack_that_can_not_even_say_good_bye_is_closed(wire, driver, monkeypatch, caplog):
    established(wire, driver)

    def fail(_now):
        raise KeyError("fault")

    stack = wire.client.stack
    wire.client.open()
    monkeypatch.setattr(stack._association, "transmit", fail)
    caplog.set_level("DEBUG", LOGGER)
    stack.close()
    assert not stack._channels._channels
    assert [record.exc_info[0] for record in own_records(caplog)] == [KeyError]
