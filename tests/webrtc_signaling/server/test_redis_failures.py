import pytest
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from webrtc_signaling.server.redis_failures import Pauses, Refusals, loses_connection

LOGGER = "libp2p.transport.webrtc.signaling.server"


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (RedisConnectionError("reset"), True),
        (AuthenticationError("NOAUTH"), True),
        (BusyLoadingError("loading the dataset"), True),
        (ReadOnlyError("a replica"), True),
        (OSError("reset"), True),
        (NoPermissionError("this user has no permissions"), False),
        (OutOfMemoryError("command not allowed"), False),
        (ResponseError("BUSY Redis is busy running a script"), False),
        (ResponseError("WRONGTYPE Operation against a key"), False),
    ],
    ids=str,
)
def test_only_some_errors_lose_the_connection(error, is_lost):
    assert loses_connection(error) is is_lost


def test_each_kind_of_refusal_is_told_once(caplog):
    caplog.set_level("ERROR", LOGGER)
    refusals = Refusals("redis://…@127.0.0.1/0")
    for _ in range(3):
        refusals.tell(OutOfMemoryError("command not allowed"))
        refusals.tell(ResponseError("BUSY for a script"))
        refusals.tell(ResponseError("MISCONF for the disk"))
    assert len(caplog.records) == 3
    refusals.forget()
    refusals.tell(ResponseError("BUSY for a script"))
    assert len(caplog.records) == 4
    assert "redis://…@127.0.0.1/0 refuses a command: BUSY for a script; look at" in caplog.text
    for number in range(1000):
        refusals.tell(ResponseError(f"E{number}"))
    assert len(caplog.records) == 103


def test_losses_that_follow_each_other_have_longer_pauses_up_to_a_bound():
    pauses, now, seen = Pauses(), 1000.0, []
    for _ in range(6):
        seen.append(pauses.after_loss(now))
        now += seen[-1] + 0.01
    assert seen == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]
    assert pauses.after_loss(now + 6.0) == 0.25
