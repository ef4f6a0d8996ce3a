import pytest
import trio
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, Status, StopMessage
from libp2p.relay.circuit_v2.utils import read_delimited_msg, write_delimited_msg
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr

from tests.webrtc_libp2p.hosts import make_host, relay_host, running
from webrtc_libp2p import relay
from webrtc_transport.errors import PeerUnreachable, SignalingUnavailable

pytestmark = pytest.mark.anyio

TCP_ADDRESS = "/ip4/127.0.0.1/tcp/0"


def plain():
    return make_host(transports=[TCP()])


async def answering(protocol, answer):
    """A host that answers ``protocol`` with ``answer``, and how to reach it."""
    host = plain()

    async def handler(stream):
        await read_delimited_msg(stream, HopMessage)
        await answer(stream)

    host.set_stream_handler(protocol, handler)
    return host


async def test_a_reservation():
    with trio.fail_after(20):
        async with relay_host() as (host, address), running(plain()) as client:
            reservation = await relay.reserve(client, info_from_p2p_addr(address))
            assert reservation.relay == host.get_id()
            assert list(map(str, reservation.addresses)) == [str(address)]


async def test_a_reservation_that_tells_nothing_but_ok():
    async def answer(stream):
        await write_delimited_msg(stream, HopMessage(type=HopMessage.STATUS, status=Status.OK))

    with trio.fail_after(20):
        async with (
            running(await answering(relay.HOP, answer), TCP_ADDRESS) as host,
            running(plain()) as client,
        ):
            (address,) = host.get_addrs()
            reservation = await relay.reserve(client, info_from_p2p_addr(address))
            assert list(map(str, reservation.addresses)) == [str(address)]
            assert reservation.expires > 0


async def refuse(stream):
    status = Status.RESERVATION_REFUSED
    await write_delimited_msg(stream, HopMessage(type=HopMessage.STATUS, status=status))


async def garbage(stream):
    await stream.write(b"\xff" * 20)


async def nothing(stream):
    await stream.close()


@pytest.mark.parametrize(
    ("answer", "named"), [(refuse, "RESERVATION_REFUSED"), (garbage, "gives no"), (nothing, "gives no")]
)
async def test_no_reservation(answer, named):
    with trio.fail_after(20):
        async with (
            running(await answering(relay.HOP, answer), TCP_ADDRESS) as host,
            running(plain()) as client,
        ):
            info = info_from_p2p_addr(host.get_addrs()[0])
            with pytest.raises(SignalingUnavailable, match=named):
                await relay.reserve(client, info)
            with pytest.raises(PeerUnreachable, match=f"the relay {host.get_id()}"):
                await relay.connect(client, info, make_host().get_id())


async def test_a_relay_that_is_not_there():
    nobody = PeerInfo(make_host().get_id(), [Multiaddr("/ip4/127.0.0.1/tcp/9")])
    with trio.fail_after(20):
        async with running(plain()) as client:
            with pytest.raises(SignalingUnavailable, match="gives no reservation"):
                await relay.reserve(client, nobody)


async def test_a_relay_of_which_only_the_id_is_known():
    unknown = make_host().get_id()
    with trio.fail_after(20):
        async with running(plain()) as client:
            with pytest.raises(
                SignalingUnavailable, match=f"the relay {unknown} but its peer id; name it by"
            ):
                await relay.reserve(client, PeerInfo(unknown, []))


async def test_a_relay_that_says_nothing(monkeypatch):
    monkeypatch.setattr(relay, "ANSWER_TIMEOUT", 0.2)

    async def silent(stream):
        await trio.sleep_forever()

    with trio.fail_after(20):
        async with (
            running(await answering(relay.HOP, silent), TCP_ADDRESS) as host,
            running(plain()) as client,
        ):
            with pytest.raises(SignalingUnavailable, match="TooSlowError"):
                await relay.reserve(client, info_from_p2p_addr(host.get_addrs()[0]))


@pytest.mark.parametrize(
    "request_",
    [StopMessage(type=StopMessage.STATUS), StopMessage(type=StopMessage.CONNECT)],
    ids=["no request", "a connection that is none"],
)
async def test_what_a_relay_brings_may_be_nothing(request_):
    host = plain()

    async def accept(stream):
        await relay.accept(host, stream)

    host.set_stream_handler(relay.STOP, accept)
    with trio.fail_after(20):
        async with running(host, TCP_ADDRESS), running(plain()) as bad_relay:
            await bad_relay.connect(info_from_p2p_addr(host.get_addrs()[0]))
            stream = await bad_relay.new_stream(host.get_id(), [relay.STOP])
            request_.peer.id = ID(b"\x00\x01x").to_bytes()
            await write_delimited_msg(stream, request_)
            answer = await read_delimited_msg(stream, StopMessage)
            is_connect = request_.type == StopMessage.CONNECT
            assert answer.status == (Status.OK if is_connect else Status.MALFORMED_MESSAGE)
            await stream.close()
            # The host serves on.
            assert await bad_relay.new_stream(host.get_id(), [relay.STOP])
