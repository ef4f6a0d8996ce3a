from __future__ import annotations

import inspect
import re

import anyio
import pytest

from webrtc_transport import errors
from webrtc_transport.errors import (
    ConnectError,
    ConnectionAborted,
    ConnectionClosed,
    EngineError,
    IceFailed,
    OwnFault,
    ended,
    set_up_failed,
)
from webrtc_transport.signaled_connector import reason_for_peer

CLASSES = {
    name: cls
    for name, cls in vars(errors).items()
    if inspect.isclass(cls) and cls.__module__ == errors.__name__
}


def documented_parents() -> dict[str, str | None]:
    """Each class in the tree of the module's docstring, with the one that it hangs on."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"    (?P<indent>[│├└─ ]*)(?P<name>[A-Z]\w+)", line):
            depth = len(match["indent"]) // 4
            del path[depth:]
            parents[match["name"]] = path[-1] if path else None
            path.append(match["name"])
    return parents


def test_the_documented_tree_is_the_tree_of_classes() -> None:
    actual = {
        name: None if cls is errors.WebRTCError else cls.__bases__[0].__name__
        for name, cls in CLASSES.items()
    }
    assert documented_parents() == actual


@pytest.mark.parametrize("cls", CLASSES.values())
def test_every_error_says_what_it_means(cls: type[errors.WebRTCError]) -> None:
    assert cls.__doc__
    assert issubclass(cls, errors.WebRTCError)
    assert str(cls("ice: no candidate pair worked")) == "ice: no candidate pair worked"


@pytest.mark.parametrize("cls", [errors.ConnectionEnded, errors.StreamError])
def test_what_ends_a_stream_is_known_to_users_of_anyio(cls: type[Exception]) -> None:
    assert issubclass(cls, anyio.BrokenResourceError)


def test_builtin_categories() -> None:
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.IdentityError, ValueError)
    assert issubclass(errors.ConnectTimeout, TimeoutError)


@pytest.mark.parametrize(
    ("cls", "phase"),
    [
        (errors.ConnectError, "connect"),
        (errors.LimitExceeded, "limits"),
        (errors.InvalidProof, "signaling"),
        (errors.IceFailed, "ice"),
        (errors.DtlsFailed, "dtls"),
        (errors.SctpFailed, "sctp"),
        (errors.NoiseFailed, "noise"),
    ],
)
def test_connect_errors_name_their_phase(cls: type[errors.ConnectError], phase: str) -> None:
    assert cls.phase == phase


def test_a_rejection_has_a_code() -> None:
    assert errors.SignalingRejected("busy", code="busy").code == "busy"
    assert errors.SignalingRejected("no").code == "rejected"


def test_groups_are_described_by_what_is_in_them():
    group = ExceptionGroup("g", [errors.StreamReset("first"), ExceptionGroup("h", [anyio.EndOfStream()])])
    assert errors.describe(group) == "first; EndOfStream"


def test_every_reason_ends_a_connection_as_one_of_its_own_errors():
    closed = ConnectionClosed("closed")
    assert type(ended(closed)) is ConnectionClosed
    assert ended(closed) is not closed
    assert type(ended(IceFailed("no pair"))) is ConnectionAborted
    assert str(ended(KeyError("x"))) == "KeyError: 'x'"
    assert type(ended(KeyError("x"))) is EngineError


@pytest.mark.parametrize("reason", [EngineError("fault"), KeyError("fault")])
def test_a_fault_of_the_engine_is_none_of_the_peers_business(reason):
    failure = set_up_failed(reason)
    assert type(failure) is OwnFault
    assert "fault" in str(failure)
    assert "fault" not in reason_for_peer(failure)


def test_what_else_ends_a_set_up_is_told():
    no_pair = IceFailed("no pair")
    assert set_up_failed(no_pair) is no_pair
    assert type(set_up_failed(ConnectionClosed("closed"))) is ConnectError
