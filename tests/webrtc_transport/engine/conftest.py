import pytest

from tests.asyncio_loops import LOOPS
from tests.webrtc_transport.engine.turn_server import turn_server


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return request.param


@pytest.fixture(scope="session")
def turn(tmp_path_factory):
    """A TURN and STUN server on loopback: see ``turn_server.TurnServer``."""
    with turn_server(tmp_path_factory.mktemp("turn")) as server:
        yield server
