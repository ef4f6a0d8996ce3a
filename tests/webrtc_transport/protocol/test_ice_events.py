from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from webrtc_transport.protocol.ice_events import IceEvent, PathSelected


@pytest.mark.parametrize("kind", get_args(IceEvent))
def test_events_are_facts(kind):
    # They are compared, kept and passed on: nobody changes them.
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen


def test_equal_facts_are_equal():
    assert PathSelected(("192.0.2.1", 1)) == PathSelected(("192.0.2.1", 1))
