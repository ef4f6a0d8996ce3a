import socket

import pytest

from webrtc_signaling.resolver import DaemonResolver

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    # It is called by aiohttp, which runs on nothing else.
    return "asyncio"


async def test_addresses_are_told_as_aiohttp_wants_them():
    resolver = DaemonResolver()
    [found] = await resolver.resolve("127.0.0.1", 8765)
    assert found == {
        "hostname": "127.0.0.1",
        "host": "127.0.0.1",
        "port": 8765,
        "family": socket.AF_INET,
        "proto": 0,
        "flags": socket.AI_NUMERICHOST,
    }
    await resolver.close()


async def test_names_are_looked_up():
    found = await DaemonResolver().resolve("localhost", 1, socket.AF_INET)
    assert {entry["host"] for entry in found} == {"127.0.0.1"}


async def test_an_unknown_name_is_an_os_error(monkeypatch):
    def getaddrinfo(*_args, **_kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(OSError, match="not known"):
        await DaemonResolver().resolve("signaling.invalid", 1)
