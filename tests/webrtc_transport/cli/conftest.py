import pytest

from tests.webrtc_signaling.command import port_of
from tests.webrtc_signaling.command import started as server_started
from tests.webrtc_signaling.conftest import key_file, token  # noqa: F401 - fixtures


@pytest.fixture
def anyio_backend():
    """The command runs on asyncio, and nothing else."""
    return "asyncio"


@pytest.fixture(scope="session")
def signaling_url():
    """A rendezvous server, as a process."""
    with server_started("--port", "0") as server:
        yield f"ws://127.0.0.1:{port_of(server.stdout.readline().strip())}"
