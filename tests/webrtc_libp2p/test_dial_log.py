import logging

import pytest
import trio
from libp2p.network.exceptions import SwarmDialAllFailedError
from multiaddr import Multiaddr

from tests.webrtc_libp2p.hosts import direct, make_host, running
from webrtc_libp2p import dial_log
from webrtc_libp2p.dial_log import SAME_FAILURE, DialLog

DIALER = "libp2p.transport.webrtc.dialer"
ADDRESS = Multiaddr("/webrtc")


def warnings(caplog):
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == DIALER and record.levelno == logging.WARNING
    ]


def test_what_repeats_a_failure_is_no_warning(caplog, monkeypatch):
    caplog.set_level("INFO", DIALER)
    now = 1000.0
    monkeypatch.setattr(dial_log.time, "monotonic", lambda: now)
    log = DialLog()
    for reason in ("a", "a", "b", "a"):
        log.failed(ADDRESS, OSError(reason))
    assert warnings(caplog) == ["the dial of /webrtc failed: a", "the dial of /webrtc failed: b"]
    assert len(caplog.records) == 4
    now += SAME_FAILURE + 1
    log.failed(ADDRESS, OSError("a"))
    assert len(warnings(caplog)) == 3
    assert len(log._told) == 1


@pytest.mark.anyio
async def test_a_dial_without_a_server_is_told_once_and_its_reason_is_where_the_tutorial_says(caplog):
    caplog.set_level("INFO", DIALER)
    peer = direct(make_host())
    with trio.fail_after(30):
        async with running(make_host("ws://127.0.0.1:9")) as host:
            host.get_network().retry_config.initial_delay = 0.01
            with pytest.raises(SwarmDialAllFailedError) as caught:
                await host.connect(peer)
    error = caught.value.__cause__.errors[0].__cause__
    assert error.__cause__.phase == "signaling"
    reason = str(error)
    assert reason.startswith("SignalingUnavailable: no connection to ws://127.0.0.1:9: connection refused; ")
    assert reason.endswith(f"; no relay is known that leads to {peer.peer_id}")
    assert warnings(caplog) == [f"the dial of {peer.addrs[0]} failed: {reason}"]
