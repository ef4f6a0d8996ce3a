"""What is trio's own: what every driver promises is tested in ``test_driver``."""

import trio
import trio.testing

from webrtc_transport.engine.trio_driver import TrioDriver, is_in_trio, open_trio_driver
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


def test_an_open_driver_drives_to_the_end_of_a_cancelled_block():
    called = []

    async def main():
        with trio.CancelScope() as scope:
            async with open_trio_driver() as driver:
                scope.cancel()
                driver.call_at(driver.now(), lambda: called.append("in time"))
                with trio.CancelScope(shield=True):
                    await trio.testing.wait_all_tasks_blocked(0.01)
        with trio.CancelScope() as scope:
            scope.cancel()
            async with open_trio_driver():
                called.append("opened")
                await trio.sleep_forever()
        assert is_in_trio()

    trio.run(main)
    assert called == ["in time", "opened"]
    assert not is_in_trio()
