import pytest
import trio
from libp2p.transport.exceptions import OpenConnectionError
from multiaddr import Multiaddr

from tests.engine_loop import end_the_loop, portal_of
from tests.leaks import nothing_left
from tests.webrtc_libp2p.hosts import direct, make_host, round_trip, running, until
from webrtc_transport.errors import SignalingRejected

pytestmark = pytest.mark.anyio


async def test_a_host_leaves_nothing_behind(server):
    with trio.fail_after(60):
        async with nothing_left():
            async with (
                running(make_host(server.url), "/webrtc") as listener,
                running(make_host(server.url)) as dialer,
            ):
                await dialer.connect(direct(listener))
                assert await round_trip(dialer, listener.get_id(), b"x") == b"x"


async def test_a_host_that_is_cancelled_leaves_nothing_behind(server):
    with trio.fail_after(60):
        async with nothing_left():
            async with trio.open_nursery() as nursery:
                async with make_host(server.url).run([Multiaddr("/webrtc")]):
                    nursery.cancel_scope.cancel()
                    await trio.sleep_forever()


async def test_an_engine_that_has_ended_takes_no_host_with_it(server, caplog):
    with trio.fail_after(30):
        async with (
            running(make_host(server.url), "/webrtc") as listener,
            running(make_host(server.url)) as dialer,
        ):
            await dialer.connect(direct(listener))
            (transport,) = listener.get_network().transport_manager.get_transports()
            await end_the_loop(portal_of(transport._running._transport))
            await until(
                lambda: "can't reach this host over WebRTC any more: the engine's event loop" in caplog.text
            )
            await until(lambda: not listener.get_network().get_connections(dialer.get_id()))
            # Nobody is told an address at which nobody listens, and another attempt to listen there fails.
            assert not [address for address in listener.get_addrs() if "webrtc" in str(address)]
            with pytest.raises(OpenConnectionError, match="the engine's event loop has ended"):
                await transport.create_listener(None).listen(Multiaddr("/webrtc"))


async def test_a_server_that_is_gone_for_good_ends_listening_and_nothing_else(server, monkeypatch, caplog):
    with trio.fail_after(30):
        async with (
            running(make_host(server.url), "/webrtc") as listener,
            running(make_host(server.url)) as dialer,
        ):
            await dialer.connect(direct(listener))
            (transport,) = listener.get_network().transport_manager.get_transports()
            accepting = transport._running._accepting
            accepting._failure = SignalingRejected("replaced", code="replaced")
            accepting._changed.notify()
            await until(lambda: "can't reach this host over WebRTC any more: replaced" in caplog.text)
            assert await round_trip(dialer, listener.get_id(), b"x") == b"x"
            assert not [address for address in listener.get_addrs() if "webrtc" in str(address)]
            # The server may take us again.
            again = transport.create_listener(None)
            await again.listen(Multiaddr("/webrtc"))
            assert again.get_addrs() == (Multiaddr("/webrtc"),)


async def test_a_dial_during_the_end_fails_by_name(server):
    host = make_host(server.url)
    (transport,) = host.get_network().transport_manager.get_transports()
    async with running(host):
        pass
    with pytest.raises(OpenConnectionError, match="the host has ended"):
        await transport.dial(direct(make_host()).addrs[0])
