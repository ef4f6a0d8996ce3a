"""Every test of the public surface runs on three event loops, from one source."""

import logging
import signal

import pytest

# What a script starts in its background ignores interrupts, and so does all that it starts in turn: tests of interrupts
# would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# In debug mode asyncio logs each step that takes more than 100 ms: on a crowded machine that says nothing, and tests
# look at what is logged.
logging.getLogger("asyncio").addFilter(lambda record: not record.getMessage().startswith("Executing <"))

BACKENDS = [
    pytest.param(("asyncio", {"debug": True}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    pytest.param(("trio", {}), id="trio"),
]


@pytest.fixture(params=BACKENDS)
def anyio_backend(request):
    return request.param


def pytest_make_parametrize_id(val):
    """Packets in a test's name, for which a name is made from their content, are told by their size.

    Some have random content, and side by side (pytest-xdist) all processes must agree on the names.
    """
    return f"{len(val)}B" if isinstance(val, bytes) and len(val) > 16 else None
