import pytest

from tests.webrtc_transport.engine.turn_server import turn_server
from webrtc_transport.engine.turn_allocation import TurnCertificateRefused, TurnRefused, try_allocation


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with turn_server(tmp_path_factory.mktemp("turn")) as running:
        yield running


pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_an_allocation(server, transport):
    ice_server = server.turn(transport)
    host, port = await try_allocation(ice_server, ice_server.parsed[0])
    assert host == "127.0.0.1"
    assert port > 0


async def test_wrong_credentials(server):
    ice_server = server.turn(password="wrong")
    with pytest.raises(TurnRefused) as info:
        await try_allocation(ice_server, ice_server.parsed[0])
    assert info.value.is_about_credentials


async def test_a_certificate_of_nobody(server):
    ice_server = server.turns()
    with pytest.raises(TurnCertificateRefused, match="self-signed"):
        await try_allocation(ice_server, ice_server.parsed[0])
