import pytest

from tests.webrtc_signaling.servers import signaling_server


@pytest.fixture(autouse=True)
def anyio_backend():
    """py-libp2p runs on trio."""
    return "trio"


@pytest.fixture
async def server():
    async with signaling_server() as server:
        yield server
