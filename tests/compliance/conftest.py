"""Engines run on asyncio: the two event loops of it are enough here."""

import pytest

pytest.register_assert_rewrite("tests.compliance.engine_compliance", "tests.compliance.engine_ends", "tests.compliance.wire_compliance")

LOOPS = [
    pytest.param(("asyncio", {"debug": True}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
]


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return request.param
