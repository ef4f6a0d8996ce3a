import asyncio
import socket
import ssl

import pytest

from webrtc_transport.cli.doctor.findings import Finding, Outcome, bounded, reason_of

pytestmark = pytest.mark.anyio


async def test_what_is_found_is_passed_on():
    async def check():
        return [Finding("a", Outcome.OK, "fine")]

    assert await bounded("a", 1, "", check) == [Finding("a", Outcome.OK, "fine")]


async def test_a_check_that_takes_too_long_has_failed():
    async def check():
        await asyncio.Event().wait()

    (found,) = await bounded("a", 0.01, "hurry", check)
    assert (found.outcome, found.found, found.cure) == (Outcome.FAILED, "no answer within 0.01 s", "hurry")


async def test_a_check_that_breaks_has_failed():
    async def check():
        raise LookupError("what?")

    (found,) = await bounded("a", 1, "", check)
    assert (found.outcome, found.found) == (Outcome.FAILED, "LookupError: what?")


async def test_reasons():
    assert reason_of(ConnectionRefusedError(111, "x")) == "connection refused: nobody listens there"
    assert reason_of(socket.gaierror(-2, "x")) == "there is no machine of that name"
    assert reason_of(OSError(101, "Network is unreachable")) == "Network is unreachable"


def test_tls_errors_are_in_words():
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error.verify_message = "self-signed certificate"
    assert reason_of(error) == "its certificate isn't accepted: self-signed certificate"
    assert "[SSL" not in reason_of(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"))
