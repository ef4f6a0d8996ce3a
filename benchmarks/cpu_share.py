"""A bounded share of a processor core for a process, by a control group of Linux (version 2 or 1). Needs root."""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD = 10_000
"""Microseconds for which a share counts: a process that has used it up waits for the next. The kernel's is 100 ms, by
which a server would be away for most of a tenth of a second."""

SECONDS_TO_END = 5.0


@contextmanager
def bounded_share(pid: int, share: float) -> Iterator[None]:
    """Let a process, and what it starts, have ``share`` of a core, as long as the context is open; before all others.

    :raises OSError: if there are no control groups, or they can't be written
    """
    is_second = (ROOT / "cgroup.controllers").exists()
    if is_second:
        (ROOT / "cgroup.subtree_control").write_text("+cpu")
    group = (ROOT if is_second else ROOT / "cpu") / f"webrtc-transport-{secrets.token_hex(4)}"
    group.mkdir()
    try:
        quota = round(share * PERIOD)
        if is_second:
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")
            (group / "cpu.weight").write_text("10000")
        else:
            (group / "cpu.shares").write_text("262144")
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        _end(group, pid)


def _end(group: Path, pid: int) -> None:
    """Remove a group whose process ends, or goes back to all others."""
    deadline = time.monotonic() + SECONDS_TO_END
    with contextlib.suppress(ProcessLookupError):
        (group.parent / "cgroup.procs").write_text(str(pid))
    while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        group.rmdir()
    except OSError as exc:
        # Raised, it would hide why the measure has failed.
        print(f"the control group stays: {exc}", file=sys.stderr)
