import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from webrtc_transport.cli.doctor.clock import check_clock
from webrtc_transport.cli.doctor.findings import Outcome

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def server(headers):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        yield f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def date(**offset):
    return f"Date: {format_datetime(datetime.now(UTC) + timedelta(**offset), usegmt=True)}"


async def test_our_own_server(signaling_url):
    (found,) = await check_clock(signaling_url)
    assert found.outcome is Outcome.OK
    assert abs(found.details["skew_seconds"]) < 5


@pytest.mark.parametrize(
    ("offset", "outcome", "said"),
    [
        ({"seconds": 20}, Outcome.OK, "behind"),
        ({"seconds": -100}, Outcome.WARNING, "ahead of"),
        ({"hours": 1}, Outcome.FAILED, "peers refuse more than 300 s"),
    ],
)
async def test_a_clock_that_differs(offset, outcome, said):
    async with server(date(**offset)) as url:
        (found,) = await check_clock(url)
    assert found.outcome is outcome
    assert said in found.found
    assert bool(found.cure) is (outcome is not Outcome.OK)


@pytest.mark.parametrize("headers", ["", "Date: yesterday", "X: " + "y" * 100_000])
async def test_no_time_is_no_failure(headers):
    async with server(headers) as url:
        (found,) = await check_clock(url)
    assert found.outcome is Outcome.SKIPPED


async def test_other_ways_of_signaling_tell_no_time(unused_port):
    assert (await check_clock("memory://"))[0].outcome is Outcome.SKIPPED
    assert (await check_clock(f"ws://127.0.0.1:{unused_port}"))[0].outcome is Outcome.SKIPPED
