import logging

from tests.logs import LOGGER
from webrtc_transport import fault_log
from webrtc_transport.fault_log import FaultLog
from webrtc_transport.protocol.limits import FAULT_REPORTS_BURST, FAULT_REPORTS_PER_MINUTE


def test_what_strangers_bring_about_does_not_fill_the_log(caplog, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(fault_log.time, "monotonic", lambda: now)
    caplog.set_level("INFO", LOGGER)
    faults = FaultLog(logging.getLogger(LOGGER))
    for _ in range(1000):
        faults.report(logging.WARNING, "a fault")
    loud = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(loud) == FAULT_REPORTS_BURST
    assert len(caplog.records) == 1000

    now += 60 / FAULT_REPORTS_PER_MINUTE
    error = RuntimeError("out of cheese")
    faults.report(logging.ERROR, "another fault", error=error)
    *_, last = caplog.records
    assert last.levelno == logging.ERROR
    assert last.getMessage() == "another fault (and 995 faults before, told at level INFO)"
    assert last.exc_info[1] is error

    now += 60 / FAULT_REPORTS_PER_MINUTE
    faults.report(logging.WARNING, "a third")
    assert caplog.records[-1].getMessage() == "a third"
