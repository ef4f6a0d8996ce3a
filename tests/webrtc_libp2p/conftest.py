import gc
import logging
from pathlib import Path

import pytest

from tests.webrtc_signaling.servers import signaling_server


def pytest_collection_modifyitems(items):
    # py-libp2p leaves some of its TCP sockets to the garbage collector, in whichever test that runs.
    leftover = "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(leftover))


@pytest.fixture
def anyio_backend():
    """py-libp2p runs on trio."""
    return "trio"


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """py-libp2p keeps what is logged below its name from pytest."""
    monkeypatch.setattr(logging.getLogger("libp2p"), "propagate", True)


@pytest.fixture
async def server():
    async with signaling_server() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def collected():
    """Find what is left behind before the module ends, where it can be ignored."""
    yield
    gc.collect()
