"""For authors of signaling backends: what any of them has to do, as tests. Needs pytest, and trio to run them on that.

One line in a test file runs them all::

    TestMqtt = conformance("mqtt://127.0.0.1")

A class that inherits from :class:`SignalingConformance` does the same, and can start a service for each test.
"""

from __future__ import annotations

import pytest

# Before it is imported: a failed assertion then tells what it compared.
pytest.register_assert_rewrite(f"{__name__}.conformance", f"{__name__}.meeting", f"{__name__}.leaks")

from .conformance import SignalingConformance, conformance  # noqa: E402 - see above

__all__ = ["SignalingConformance", "conformance"]
