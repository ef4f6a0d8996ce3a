import asyncio
import contextlib

import pytest

from tests.webrtc_transport.engine.turn_server import dead_server
from webrtc_transport.cli.doctor.findings import Outcome
from webrtc_transport.cli.doctor.stun import Mappings, check_stun, judge
from webrtc_transport.protocol.ice_url import parse_ice_url
from webrtc_transport.protocol.stun import Attribute
from webrtc_transport.protocol.stun_message import MessageKind, StunMessage, _encode_address, encode_message

pytestmark = pytest.mark.anyio


class Server(asyncio.DatagramProtocol):
    """A STUN server that says what it is told to."""

    def __init__(self, mapped, other, lost):
        self._mapped, self._other, self._lost = mapped, other, lost

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, addr):
        if self._lost:
            self._lost -= 1
            return
        request = StunMessage(data)
        attributes = []
        if self._mapped != "nothing":
            address = _encode_address(self._mapped or addr, request.transaction_id)
            attributes.append((int(Attribute.XOR_MAPPED_ADDRESS), address))
        if self._other:
            host, port = self._other
            packed = bytes(map(int, host.split(".")))
            attributes.append((int(Attribute.OTHER_ADDRESS), b"\0\1" + port.to_bytes(2) + packed))
        self._transport.sendto(b"noise", addr)
        self._transport.sendto(
            encode_message(MessageKind.BINDING_SUCCESS, request.transaction_id, attributes), addr
        )


@contextlib.asynccontextmanager
async def stun_server(host="127.0.0.1", *, mapped=None, other=None, lost=0):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Server(mapped, other, lost), local_addr=(host, 0)
    )
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.close()
        await asyncio.sleep(0)


async def check(*servers, timeout=5.0):
    return await check_stun([parse_ice_url(f"stun:{host}:{port}") for host, port in servers], timeout)


async def test_a_real_server(turn):
    stun, nat = await check(("127.0.0.1", turn.port))
    assert (stun.outcome, nat.outcome) == (Outcome.OK, Outcome.OK)
    assert nat.details["kind"] == "none"


async def test_a_nat_that_shows_all_the_same():
    mapped = ("192.0.2.1", 4000)
    async with stun_server(mapped=mapped) as one, stun_server("127.0.0.2", mapped=mapped) as two:
        *servers, nat = await check(one, two)
    assert [server.outcome for server in servers] == [Outcome.OK, Outcome.OK]
    assert (nat.outcome, nat.details["kind"]) == (Outcome.OK, "endpoint-independent")


async def test_a_nat_that_shows_each_another():
    async with stun_server(mapped=("192.0.2.1", 4000)) as one, stun_server(mapped=("192.0.2.1", 4001)) as two:
        *_, nat = await check(one, two)
    assert (nat.outcome, nat.details["kind"]) == (Outcome.WARNING, "endpoint-dependent")
    assert "--turn" in nat.cure


async def test_the_other_address_of_one_server_is_asked_too():
    async with (
        stun_server("127.0.0.2", mapped=("192.0.2.1", 4001)) as other,
        stun_server(mapped=("192.0.2.1", 4000), other=other) as one,
    ):
        _, nat = await check(one)
    assert nat.details["kind"] == "endpoint-dependent"


async def test_one_server_does_not_tell_the_kind():
    async with stun_server(mapped=("192.0.2.1", 4000), other=("127.0.0.3", 9)) as one:
        stun, nat = await check(one)
    assert stun.outcome is Outcome.OK
    assert (nat.outcome, nat.details["kind"]) == (Outcome.SKIPPED, "unknown")


async def test_requests_that_get_lost_are_sent_again():
    async with stun_server(lost=2) as one:
        stun, _ = await check(one)
    assert stun.outcome is Outcome.OK


async def test_a_dead_server_beside_one_that_works():
    with dead_server() as port:
        async with stun_server() as one:
            dead, stun, nat = await check(("127.0.0.1", port), one, timeout=0.5)
    assert (dead.outcome, stun.outcome, nat.outcome) == (Outcome.FAILED, Outcome.OK, Outcome.OK)
    assert "no answer within 0.5 s" in dead.found
    assert dead.cure


async def test_an_answer_without_an_address():
    async with stun_server(mapped="nothing") as one:
        (found,) = await check(one)
    assert found.outcome is Outcome.FAILED
    assert "no address" in found.found


async def test_a_name_that_is_none():
    (found,) = await check_stun([parse_ice_url("stun:nowhere.invalid")], 10.0)
    assert found.outcome is Outcome.FAILED
    assert found.cure


async def test_no_server_is_no_failure():
    (found,) = await check_stun([], 1.0)
    assert found.outcome is Outcome.SKIPPED


async def test_two_ports_of_one_machine_do_not_tell_the_kind():
    same = ("192.0.2.1", 1)
    nat = judge(Mappings(("10.0.0.1", 1), {("192.0.2.9", 1): same, ("192.0.2.9", 2): same}))
    assert nat.details["kind"] == "unknown"
