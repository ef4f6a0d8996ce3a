"""What is trio's own: what every driver promises is tested in ``test_driver``."""

import trio

from webrtc_transport.engine.trio_driver import TrioDriver
from webrtc_transport.engine.udp_port import UdpPort


def test_nothing_is_left_when_it_is_cancelled():
    async def main():
        driver = TrioDriver()
        before = len(trio.lowlevel.current_root_task().child_nurseries)
        async with trio.open_nursery() as nursery:
            await nursery.start(driver.run)
            port = UdpPort(driver, "127.0.0.1", lambda _data, _address: None)
            driver.call_at(driver.now() + 3600, lambda: None)
            nursery.cancel_scope.cancel()
        port.close()
        assert len(trio.lowlevel.current_root_task().child_nurseries) == before

    trio.run(main)


def test_a_port_needs_no_asyncio():
    received = []

    async def main():
        driver = TrioDriver()
        done = trio.Event()

        def answer(data, address):
            received.append(data)
            if len(received) == 100:
                done.set()
            else:
                a.send(b"%d" % len(received), address)

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                await nursery.start(driver.run)
                a = UdpPort(driver, "127.0.0.1", answer)
                b = UdpPort(driver, "127.0.0.1", lambda data, address: b.send(bytes(data), address))
                b.send(b"0", a.address)
                await done.wait()
                for port in (a, b):
                    port.close()
                nursery.cancel_scope.cancel()

    trio.run(main)
    assert received == [b"%d" % number for number in range(100)]
