"""Ports of webrtc-direct on loopback, in asyncio's loop and in trio's."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import sys

import anyio
import pytest
import trio

from tests.compliance.engine_ends import CERTIFICATES
from tests.webrtc_transport.engine.direct_ends import CONFIG, CONTEXTS, FINGERPRINTS, End
from tests.webrtc_transport.protocol.ice_checks import check
from webrtc_transport.engine.direct_port import DirectDialPort, DirectListenerPort
from webrtc_transport.engine.driver import AsyncioDriver
from webrtc_transport.engine.source_filter import SourceFilter
from webrtc_transport.engine.trio_driver import TrioDriver
from webrtc_transport.errors import ConnectionClosed, DtlsFailed
from webrtc_transport.identity import Identity
from webrtc_transport.protocol.demux import DropReason
from webrtc_transport.protocol.load_shedding import WINDOW
from webrtc_transport.protocol.noise import NoiseHandshake, make_prologue
from webrtc_transport.protocol.sdp import Fingerprint
from webrtc_transport.protocol.ufrag import Flow, new_credentials

ENOUGH = ConnectionClosed("enough")


class Place:
    """A listener, and those who dial it."""

    def __init__(self, driver, host="127.0.0.1", **settings):
        self.driver, self.host = driver, host
        self.inbound = []
        self.dials = []
        self.listener = DirectListenerPort(
            driver, host, 0, context=CONTEXTS[0], accept=self._accept, config=CONFIG, **settings
        )

    def _accept(self, peer):
        self.inbound.append(End(peer))
        return self.inbound[-1]

    def dial(self, *, flow=Flow.V2, fingerprint=FINGERPRINTS[0], address=None):
        end = End()
        port = DirectDialPort(
            self.driver,
            self.host,
            [address or self.listener.address],
            credentials=new_credentials(flow),
            context=CONTEXTS[1],
            fingerprints=[fingerprint],
            events=end,
            config=CONFIG,
        )
        end.peer = port.peer
        self.dials.append(port)
        return end

    def close(self):
        for port in self.dials:
            port.close(ENOUGH)
        self.listener.close()


async def until(condition):
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.002)


def on_asyncio(main, **settings):
    async def run():
        place = Place(AsyncioDriver(), **settings)
        try:
            await main(place)
        finally:
            place.close()

    asyncio.run(run())


def on_trio(main, **settings):
    async def run():
        driver = TrioDriver()
        async with trio.open_nursery() as nursery:
            await nursery.start(driver.run)
            place = Place(driver, **settings)
            try:
                await main(place)
            finally:
                place.close()
                nursery.cancel_scope.cancel()

    trio.run(run)


@pytest.fixture(params=[on_asyncio, on_trio], ids=["asyncio", "trio"])
def run(request):
    return request.param


@pytest.mark.parametrize("flow", Flow)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_message_each_way(run, flow, host):
    async def main(place):
        dialer = place.dial(flow=flow)
        await until(lambda: dialer.is_established and place.inbound and place.inbound[0].is_established)
        [listener] = place.inbound
        (near, near_messages), (far, far_messages) = (end.open(negotiated_id=0) for end in (dialer, listener))
        near.send(b"ping")
        far.send(b"pong")
        await until(lambda: near_messages.received and far_messages.received)
        assert (near_messages.received, far_messages.received) == ([b"pong"], [b"ping"])
        assert dialer.peer.remote_address == place.listener.address
        assert listener.peer.remote_address == place.dials[0].address

    run(main, host=host)


def test_noise_over_channel_0(run):
    identities = Identity.generate(), Identity.generate()

    async def main(place):
        dialer = place.dial()
        await until(lambda: dialer.is_established and place.inbound and place.inbound[0].is_established)
        [listener] = place.inbound
        prologue = make_prologue(listener.peer.remote_fingerprint("sha-256"), FINGERPRINTS[0])
        assert prologue == make_prologue(FINGERPRINTS[1], dialer.peer.remote_fingerprint("sha-256"))
        ends = []
        for end, identity in ((listener, identities[0]), (dialer, identities[1])):
            handshake = NoiseHandshake(identity, is_server=end is listener, prologue=prologue)
            channel, messages = end.open(negotiated_id=0)
            messages.on_message = handshake.receive
            ends.append((handshake, channel))

        def exchange():
            for handshake, channel in ends:
                if handshake.outbox:
                    channel.send(bytes(handshake.outbox))
                    handshake.outbox.clear()
            return all(handshake.is_done for handshake, _ in ends)

        await until(exchange)
        assert ends[0][0].remote == identities[1].public_key
        assert ends[1][0].remote == identities[0].public_key

    run(main)


def test_many_on_one_port(run):
    async def main(place):
        dialers = [place.dial(flow=Flow(number % 2 + 1)) for number in range(40)]
        await until(
            lambda: all(end.is_established for end in (*dialers, *place.inbound)) and len(place.inbound) == 40
        )
        assert len(place.listener) == 40
        echoes = []
        for listener in place.inbound:
            channel, messages = listener.open(negotiated_id=0)
            messages.on_message = channel.send
        for number, dialer in enumerate(dialers):
            channel, messages = dialer.open(negotiated_id=0)
            channel.send(b"%d" % number)
            echoes.append(messages)
        await until(lambda: all(messages.received for messages in echoes))
        assert [messages.received for messages in echoes] == [[b"%d" % number] for number in range(40)]
        for port in place.dials:
            port.close(ENOUGH)
        await until(lambda: all(end.ended for end in place.inbound))
        assert all(isinstance(end.ended, ConnectionClosed) for end in place.inbound)
        assert len(place.listener) == 0

    run(main)


def test_another_certificate_than_dialed(run):
    async def main(place):
        dialer = place.dial(fingerprint=Fingerprint("sha-512", CERTIFICATES[1].fingerprint("sha-512")))
        await until(lambda: dialer.ended)
        assert isinstance(dialer.ended, DtlsFailed)
        await until(lambda: place.inbound[0].ended)
        assert len(place.listener) == 0

    run(main)


def test_a_sha_512_certhash_is_enforced_as_well(run):
    async def main(place):
        dialer = place.dial(fingerprint=Fingerprint("sha-512", CERTIFICATES[0].fingerprint("sha-512")))
        await until(lambda: dialer.is_established)

    run(main)


def test_who_is_gated_costs_nothing(run):
    async def main(place):
        dialer = place.dial()
        await until(lambda: place.listener.dropped[DropReason.GATED] > 2)
        assert len(place.listener) == 0
        assert not place.inbound
        assert not dialer.is_established

    run(main, gater=lambda _address: False)


def test_garbage_and_strangers(run):
    async def main(place):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.1", 0))
            stranger.setblocking(False)
            credentials = new_credentials(Flow.V2)
            for data in (
                b"",
                b"\x00",
                b"\x16" * 100,
                b"\x80" * 100,
                os.urandom(1000),
                check(credentials, password=b"x" * 22),
                check(credentials)[:-1],
            ):
                stranger.sendto(data, place.listener.address)
            dialer = place.dial()
            await until(lambda: dialer.is_established)
            with pytest.raises(BlockingIOError):
                stranger.recv(2000)
        assert len(place.listener) == 1

    run(main)


def test_a_peer_that_never_comes_to_dtls_is_answered_and_kept_from_the_owner(run):
    async def main(place):
        credentials = new_credentials(Flow.V1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.1", 0))
            stranger.setblocking(False)
            stranger.sendto(check(credentials), place.listener.address)
            answers = []

            def answered():
                with contextlib.suppress(BlockingIOError):
                    answers.append(stranger.recv(2000))
                return answers

            await until(answered)
        assert len(answers[0]) <= len(check(credentials))
        assert len(place.listener) == 1
        assert not place.inbound

    run(main)


def test_a_closed_listener_tells_its_peers(run):
    async def main(place):
        dialer = place.dial()
        await until(lambda: dialer.is_established)
        place.listener.close()
        place.listener.close()
        await until(lambda: dialer.ended)
        assert isinstance(dialer.ended, ConnectionClosed)

    run(main)


def test_a_stopped_listener_keeps_who_is_proven(run):
    async def main(place):
        proven, stranger = place.dial(), place.dial()
        await until(lambda: proven.is_established and stranger.is_established and len(place.inbound) == 2)
        await until(lambda: all(end.is_established for end in place.inbound))
        [inbound] = [end for end in place.inbound if end.peer.remote_address[1] == place.dials[0].address[1]]
        place.listener.established(inbound.peer)
        place.listener.stop()
        await until(lambda: stranger.ended)
        late = place.dial()
        channel, _ = proven.open(negotiated_id=0)
        _, messages = inbound.open(negotiated_id=0)
        channel.send(b"still here")
        await until(lambda: messages.received)
        assert not late.phases[1:]
        proven.peer.close(ENOUGH)
        await until(lambda: inbound.ended)
        again = DirectListenerPort(
            place.driver,
            place.host,
            place.listener.address[1],
            context=CONTEXTS[0],
            accept=lambda _peer: None,
            config=CONFIG,
        )
        again.close()

    run(main)


def is_told(caplog):
    return any("a flood" in record.getMessage() for record in caplog.records)


@contextlib.asynccontextmanager
async def flooded(address):
    """What looks like DTLS comes from many sources that nobody knows."""
    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(200)]

        async def send():
            while True:
                for source in sources:
                    source.sendto(b"\x16" * 100, address)
                await anyio.sleep(0.01)

        async with anyio.create_task_group() as task_group:
            task_group.start_soon(send)
            yield
            task_group.cancel_scope.cancel()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel has no such filter")
def test_in_a_flood_the_connections_go_on_and_newcomers_come_in(run, caplog):
    caplog.set_level(logging.WARNING, "libp2p.transport.webrtc")

    async def main(place):
        dialer = place.dial()
        await until(lambda: dialer.is_established and place.inbound and place.inbound[0].is_established)
        place.listener.established(place.inbound[0].peer)
        near, messages = dialer.open(negotiated_id=0)
        async with flooded(place.listener.address):
            await until(lambda: is_told(caplog))
            refused = place.listener.dropped.total()
            far, _ = place.inbound[0].open(negotiated_id=0)
            far.send(b"still there")
            await until(lambda: messages.received)
            newcomer = place.dial()
            await until(lambda: newcomer.is_established)
            near.send(b"so am I")
            assert place.listener.dropped.total() > refused
        # Each share in turn isn't heard for a while, but the filter goes with the flood.
        later = place.dial()
        await until(lambda: later.is_established)
        assert len({end.peer.remote_address for end in place.inbound if end.is_established}) == 3

    run(main, max_strangers=2000)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel has no such filter")
def test_a_listener_that_is_closed_in_a_flood(run, caplog):
    caplog.set_level(logging.WARNING, "libp2p.transport.webrtc")

    async def main(place):
        async with flooded(place.listener.address):
            await until(lambda: is_told(caplog))
            place.listener.close()
            await anyio.sleep(2 * WINDOW)
        assert not [record for record in caplog.records if record.levelno > logging.WARNING]

    run(main, max_strangers=2000)


@pytest.fixture
def refused(monkeypatch):
    """How often a filter was asked for in vain."""
    asked = []

    def refuse(self, _known, _share):
        asked.append(1)
        self.is_supported = self.may_pass
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr(SourceFilter, "allow", refuse)
    monkeypatch.setattr(SourceFilter, "may_pass", False, raising=False)
    return asked


def test_where_the_kernel_takes_no_filter_everything_is_read(run, refused, caplog):
    caplog.set_level(logging.WARNING, "libp2p.transport.webrtc")

    async def main(place):
        async with flooded(place.listener.address):
            await until(lambda: refused)
            newcomer = place.dial()
            await until(lambda: newcomer.is_established)
        assert len(refused) == 1
        (told,) = [record.getMessage() for record in caplog.records if "a flood" in record.getMessage()]
        assert told.endswith(
            "all are looked at for good, because the kernel refuses a socket filter (no memory)"
        )

    run(main, max_strangers=2000)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel has no such filter")
def test_what_the_kernel_refuses_for_now_is_asked_for_again(run, refused, monkeypatch, caplog):
    caplog.set_level(logging.WARNING, "libp2p.transport.webrtc")
    monkeypatch.setattr(SourceFilter, "may_pass", True)

    async def main(place):
        async with flooded(place.listener.address):
            await until(lambda: len(refused) > 1)
            (told,) = [record.getMessage() for record in caplog.records if "a flood" in record.getMessage()]
            assert "all are looked at for now" in told
            monkeypatch.undo()
            source_filter = place.listener._udp.source_filter
            await until(lambda: source_filter.part_known or source_filter._is_attached)
            newcomer = place.dial()
            await until(lambda: newcomer.is_established)

    run(main, max_strangers=2000)
