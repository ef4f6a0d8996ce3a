import pytest

from tests.webrtc_transport.engine.turn_server import free_port, turn_server


@pytest.fixture
def unused_port():
    return free_port()


@pytest.fixture(scope="session")
def turn(tmp_path_factory):
    with turn_server(tmp_path_factory.mktemp("turn")) as server:
        yield server
