"""The server runs on asyncio alone, so its tests do too; and nothing that clients do leaves a traceback in its log."""

import logging

import pytest

from tests.asyncio_loops import LOOPS


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return request.param


@pytest.fixture(autouse=True)
def _no_traceback(caplog):
    caplog.set_level(logging.INFO)
    yield
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]
