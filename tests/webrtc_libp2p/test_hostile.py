"""What peers and relays may do wrong: a named error, nothing kept, and the host serves on."""

import contextlib

import pytest
import trio
from libp2p.connection_types import ConnectionType
from libp2p.host.exceptions import StreamFailure
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamError, StreamReset
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr

from tests.webrtc_libp2p.hosts import (
    make_host,
    relay_host,
    relayed_host,
    round_trip,
    running,
    settings,
    until,
)
from tests.webrtc_signaling.test_circuit_relay import ANSWER, GARBAGE, OFFER, candidate
from webrtc_libp2p import WebRTCTransport, relay
from webrtc_libp2p.signaling_stream import HostStream
from webrtc_signaling.circuit_relay import PROTOCOL, encode_signal

pytestmark = pytest.mark.anyio

SDP = """v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=mid:0
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 {fingerprint}
a=setup:{setup}
a=sctp-port:5000
a=max-message-size:16384
""".replace("\n", "\r\n")


def described(signal, setup):
    sdp = SDP.format(fingerprint=":".join(["AB"] * 32), setup=setup)
    return encode_signal(signal.model_copy(update={"data": signal.data.model_copy(update={"sdp": sdp})}))


VALID_OFFER, VALID_ANSWER = described(OFFER, "actpass"), described(ANSWER, "active")
TRICKLED = encode_signal(candidate())

SENT_TO_LISTENER = {
    **GARBAGE,
    "an offer without meaning": encode_signal(OFFER),
    "an answer first": VALID_ANSWER,
    "a second offer": VALID_OFFER * 2,
    "thousands of candidates": VALID_OFFER + TRICKLED * 3000,
    "garbage after the offer": VALID_OFFER + b"\x05hello",
}

SENT_TO_DIALER = {
    **GARBAGE,
    "an answer without meaning": encode_signal(ANSWER),
    "an offer": VALID_OFFER,
    "a second answer": VALID_ANSWER * 2,
    "thousands of candidates": VALID_ANSWER + TRICKLED * 3000,
    "garbage after the answer": VALID_ANSWER + b"\x05hello",
}


@pytest.fixture
def resets(monkeypatch):
    """The signaling streams that our hosts have reset: py-libp2p's yamux takes a reset for the end."""
    resets = []
    reset = HostStream.reset

    async def noted(stream):
        resets.append(stream)
        await reset(stream)

    monkeypatch.setattr(HostStream, "reset", noted)
    return resets


PATIENCE, IMPATIENCE = 20, 3
"""Seconds for what ends by itself, and for what nobody answers."""


async def ended(stream):
    """Read until the stream is over."""
    with contextlib.suppress(StreamError):
        while await stream.read(65536):
            pass


@contextlib.asynccontextmanager
async def listening(inbound_timeout=PATIENCE):
    """A host that listens, reached over TCP: to signaling any proven connection is as good as a relayed one."""
    transport = WebRTCTransport(config=settings(inbound_timeout=inbound_timeout))
    host = make_host(transports=[TCP(), transport])
    with trio.fail_after(60):
        async with (
            running(host, "/ip4/127.0.0.1/tcp/0", "/webrtc"),
            running(make_host(transports=[TCP()])) as peer,
        ):
            await peer.connect(info_from_p2p_addr(host.get_addrs()[0]))
            yield host, peer, transport


def connections_of(transport):
    return transport._running._transport.statistics().connections


class TestListener:
    async def serves_on(self, host):
        # Its listener may be impatient: then it is dialed again.
        async with running(relayed_host(config=settings(dial_timeout=2 * IMPATIENCE))) as other:
            address = next(address for address in host.get_addrs() if "/tcp/" in str(address))
            await other.connect(info_from_p2p_addr(address))
            dialed = Multiaddr(f"/webrtc/p2p/{host.get_id()}")
            connection = await other.get_network().dial_addr(dialed, host.get_id())
            assert "/webrtc" in str(connection.get_transport_addresses()[0])

    @pytest.mark.parametrize("sent", SENT_TO_LISTENER.values(), ids=SENT_TO_LISTENER)
    async def test_bad_input_resets_the_stream(self, sent, resets):
        async with listening() as (host, peer, transport):
            stream = await peer.new_stream(host.get_id(), [PROTOCOL])
            with contextlib.suppress(StreamError):
                await stream.write(sent)
            await ended(stream)
            await until(lambda: connections_of(transport) == 0)
            assert len(resets) == 1
            await self.serves_on(host)

    async def test_a_peer_that_says_nothing_is_given_up(self, resets):
        async with listening(IMPATIENCE) as (host, peer, transport):
            stream = await peer.new_stream(host.get_id(), [PROTOCOL])
            started = trio.current_time()
            await ended(stream)
            assert trio.current_time() - started < PATIENCE
            assert connections_of(transport) == 0
            assert len(resets) == 1

    async def test_a_peer_that_goes_after_each_step(self):
        async with listening(IMPATIENCE) as (host, peer, transport):
            for sent in (b"", VALID_OFFER[:20], VALID_OFFER, VALID_OFFER + TRICKLED):
                for leave in ("reset", "close"):
                    stream = await peer.new_stream(host.get_id(), [PROTOCOL])
                    await stream.write(sent)
                    await getattr(stream, leave)()
            await until(lambda: connections_of(transport) == 0)
            await self.serves_on(host)

    async def test_a_hundred_silent_peers_leave_room_for_one_that_talks(self):
        async with listening(IMPATIENCE) as (host, peer, transport):
            for _ in range(100):
                # Those over the limit of handshakes are reset at once.
                with contextlib.suppress(StreamFailure):
                    await peer.new_stream(host.get_id(), [PROTOCOL])
            await until(lambda: connections_of(transport) == 0)
            # The others have the time of an inbound handshake.
            await trio.sleep(IMPATIENCE + 0.5)
            await self.serves_on(host)


@contextlib.asynccontextmanager
async def dialing(answer, dial_timeout=PATIENCE):
    """A host that dials, a relay, and a peer there that answers signaling by ``answer(stream)``."""
    peer, dialer = relayed_host(), relayed_host(config=settings(dial_timeout=dial_timeout))
    dialer.get_network().retry_config.max_retries = 0
    with trio.fail_after(60):
        async with relay_host() as (_, address), running(peer, "/webrtc"), running(dialer):
            await peer.connect(info_from_p2p_addr(address))
            (announced,) = await until(peer.get_addrs)
            peer.set_stream_handler(PROTOCOL, answer)
            yield dialer, peer, announced


async def fails(dialer, peer, announced):
    """Dial, and return why that failed."""
    with pytest.raises(SwarmException) as caught:
        await dialer.get_network().dial_addr(announced, peer.get_id())
    return str(caught.value.__cause__)


def kinds(dialer, peer):
    return [
        connection.get_connection_type() for connection in dialer.get_network().get_connections(peer.get_id())
    ]


class TestDialer:
    @pytest.mark.parametrize("sent", SENT_TO_DIALER.values(), ids=SENT_TO_DIALER)
    async def test_bad_input_fails_the_dial_and_leaves_the_relayed_connection(self, sent, resets):
        async def answer(stream):
            with contextlib.suppress(StreamError):
                await stream.read(1)
                await stream.write(sent)
            await ended(stream)

        async with dialing(answer) as (dialer, peer, announced):
            reason = await fails(dialer, peer, announced)
            assert reason.startswith(("InvalidSignal:", "SignalingRejected:"))
            assert resets
            assert kinds(dialer, peer) == [ConnectionType.RELAYED]
            assert await round_trip(dialer, peer.get_id(), b"still here") == b"still here"

    async def test_a_peer_that_says_nothing(self):
        async with dialing(ended, IMPATIENCE) as (dialer, peer, announced):
            started = trio.current_time()
            assert "ConnectTimeout: not connected after 3 s, in phase 'signaling'" in await fails(
                dialer, peer, announced
            )
            assert trio.current_time() - started < PATIENCE
            assert await round_trip(dialer, peer.get_id(), b"still here") == b"still here"

    async def test_a_peer_that_does_not_signal(self):
        async with dialing(ended) as (dialer, peer, announced):
            peer.remove_stream_handler(PROTOCOL)
            assert "doesn't take part in signaling" in await fails(dialer, peer, announced)
            peer.set_stream_handler(PROTOCOL, ended)

    @pytest.mark.parametrize("sent", [b"", VALID_ANSWER[:20], VALID_ANSWER, VALID_ANSWER + TRICKLED])
    async def test_a_stream_that_is_dropped_at_each_step(self, sent):
        async def answer(stream):
            await stream.read(1)
            await stream.write(sent)
            await stream.reset()

        async with dialing(answer, IMPATIENCE) as (dialer, peer, announced):
            # Which of these, yamux doesn't tell; without candidates that work it is over in any case.
            reason = await fails(dialer, peer, announced)
            assert reason.startswith(
                ("PeerUnreachable:", "InvalidSignal:", "SignalingRejected:", "IceFailed:", "ConnectTimeout:")
            )
            assert await round_trip(dialer, peer.get_id(), b"still here") == b"still here"

    async def test_a_relay_that_is_dropped_meanwhile(self):
        async def answer(stream):
            await stream.read(1)
            for connection in dialer.get_network().get_connections():
                if connection.muxed_conn.peer_id != peer.get_id():
                    await connection.close()

        async with dialing(answer, IMPATIENCE) as (dialer, peer, announced):
            reason = await fails(dialer, peer, announced)
            assert reason.startswith(("PeerUnreachable:", "SignalingRejected:", "ConnectTimeout:"))

    async def test_another_peer_id_in_the_address(self):
        stranger = make_host()
        async with dialing(ended) as (dialer, _, announced):
            way = str(announced).rpartition("/p2p/")[0]
            reason = await fails(dialer, stranger, Multiaddr(f"{way}/p2p/{stranger.get_id()}"))
            assert "doesn't reach" in reason

    async def test_a_relay_that_brings_us_to_somebody_else(self, monkeypatch):
        """The relayed connection proves who is there, whatever the relay says."""
        stranger = make_host()
        async with dialing(ended) as (dialer, peer, announced):
            # It is asked for one peer, and connects another.
            monkeypatch.setattr(relay, "PeerId", lambda **_: PeerId(id=peer.get_id().to_bytes()))
            way = str(announced).rpartition("/p2p/")[0]
            reason = await fails(dialer, stranger, Multiaddr(f"{way}/p2p/{stranger.get_id()}"))
            assert "can't connect us with" in reason


async def test_a_connection_that_proves_nothing_is_not_signaled_over():
    """A relay in the middle can talk both ends into plaintext, which py-libp2p offers by default."""
    from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport

    def plain(**options):
        from libp2p.crypto.ed25519 import create_new_key_pair

        key_pair = create_new_key_pair()
        return make_host(
            key_pair=key_pair, sec_opt={PLAINTEXT_PROTOCOL_ID: InsecureTransport(key_pair)}, **options
        )

    with trio.fail_after(30):
        transport = WebRTCTransport(config=settings())
        host = plain(transports=[TCP(), transport])
        dialer = plain(transports=[TCP(), WebRTCTransport(config=settings())])
        dialer.get_network().retry_config.max_retries = 0
        async with running(host, "/ip4/127.0.0.1/tcp/0", "/webrtc"), running(dialer):
            await dialer.connect(info_from_p2p_addr(host.get_addrs()[0]))
            reason = await fails(dialer, host, Multiaddr(f"/webrtc/p2p/{host.get_id()}"))
            assert "proves nothing" in reason
            # Nor does the other end answer.
            with pytest.raises((StreamFailure, StreamReset)):
                # The reset may overtake the answer to the negotiation, or come behind it.
                stream = await dialer.new_stream(host.get_id(), [PROTOCOL])
                await stream.read(1)
            assert connections_of(transport) == 0


async def test_both_ends_dial_each_other_at_once():
    first, second = relayed_host(), relayed_host()
    with trio.fail_after(60):
        async with relay_host() as (_, address), running(first, "/webrtc"), running(second, "/webrtc"):
            for host in (first, second):
                await host.connect(info_from_p2p_addr(address))
            (to_first,), (to_second,) = await until(first.get_addrs), await until(second.get_addrs)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(first.get_network().dial_addr, to_second, second.get_id())
                nursery.start_soon(second.get_network().dial_addr, to_first, first.get_id())
            assert await round_trip(first, second.get_id(), b"there") == b"there"
            assert await round_trip(second, first.get_id(), b"back") == b"back"


async def test_when_ice_is_blocked_the_dial_fails_by_name_and_the_relayed_connection_goes_on():
    # Without a TURN server it has no candidates at all.
    listener = relayed_host(config=settings(ice_transport_policy="relay"))
    dialer = relayed_host(config=settings(dial_timeout=5))
    dialer.get_network().retry_config.max_retries = 0
    with trio.fail_after(60):
        async with relay_host() as (_, address), running(listener, "/webrtc"), running(dialer):
            await listener.connect(info_from_p2p_addr(address))
            (announced,) = await until(listener.get_addrs)
            started = trio.current_time()
            reason = await fails(dialer, listener, announced)
            assert trio.current_time() - started < 10
            assert "IceFailed" in reason or "in phase 'ice'" in reason
            assert kinds(dialer, listener) == [ConnectionType.RELAYED]
            assert await round_trip(dialer, listener.get_id(), b"by relay") == b"by relay"
