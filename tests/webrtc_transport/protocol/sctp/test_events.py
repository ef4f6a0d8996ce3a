import dataclasses
import typing

import pytest

from webrtc_transport.protocol.sctp.events import Ended, Event, MessageReceived


@pytest.mark.parametrize("kind", typing.get_args(Event))
def test_they_are_facts_that_can_not_be_changed(kind):
    names = kind._fields if issubclass(kind, tuple) else [field.name for field in dataclasses.fields(kind)]
    event = kind(*range(len(names)))
    with pytest.raises(AttributeError):
        setattr(event, names[0], None)


def test_they_compare_by_value():
    assert Ended("x", is_orderly=True) == Ended("x", is_orderly=True)
    assert MessageReceived(1, 53, b"x") == MessageReceived(1, 53, b"x")
