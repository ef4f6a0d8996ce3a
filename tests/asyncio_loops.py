"""Engines run on asyncio alone: the two event loops of it that their tests run on."""

import pytest

LOOPS = [
    pytest.param(("asyncio", {"debug": True}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
]
