import asyncio
import socket
import uuid

import pytest
from aioice import mdns

from webrtc_transport.engine.mdns import is_mdns_name, resolve_mdns


def new_name():
    return f"{uuid.uuid4()}.local"


def has_multicast():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((mdns.MDNS_ADDRESS, mdns.MDNS_PORT))
        except OSError:
            return False
    return True


@pytest.mark.parametrize(
    ("host", "is_name"),
    [
        ("d3a6e8d8-35a7-46fa-b7b3-8b4b383a7b57.local", True),
        ("a.local", True),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("a.b.local", False),
    ],
)
def test_names(host, is_name):
    assert is_mdns_name(host) is is_name


@pytest.mark.skipif(not has_multicast(), reason="this host has no route for multicast")
def test_names_are_found_in_one_event_loop_after_the_other():
    # Several at once: aioice's own look-up fails then, in every event loop but the first of a thread.
    async def look_up():
        publisher = await mdns.create_mdns_protocol()
        names = [new_name() for _ in range(3)]
        for number, name in enumerate(names):
            await publisher.publish(name, f"192.0.2.{number}")
        found = await asyncio.gather(*map(resolve_mdns, names))
        await publisher.close()
        return found

    for _ in range(2):
        assert asyncio.run(look_up()) == ["192.0.2.0", "192.0.2.1", "192.0.2.2"]


@pytest.mark.anyio
async def test_a_name_that_nobody_has():
    assert await resolve_mdns(new_name()) is None


@pytest.mark.anyio
async def test_a_host_without_multicast_dns(monkeypatch):
    async def refuse():
        raise OSError("port 5353 is taken")

    monkeypatch.setattr(mdns, "create_mdns_protocol", refuse)
    assert await resolve_mdns(new_name()) is None


@pytest.mark.anyio
async def test_a_look_up_can_be_cancelled():
    task = asyncio.create_task(resolve_mdns(new_name()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
