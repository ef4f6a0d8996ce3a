"""Why the server can't listen, in words."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from typing import Final

_CURES: Final[Mapping[int, str]] = {
    errno.EADDRINUSE: "; stop the program that listens there, or take another port (0 picks a free one)",
    errno.EADDRNOTAVAIL: "; it is no address of this machine (0.0.0.0 is every IPv4 address, and :: every IPv6 one)",
    errno.EACCES: "; ports below 1024 are for the administrator: take another one",
}


def listen_error(error: OSError, host: str, port: int) -> OSError:
    """``error``, with the address that was asked for, and what helps."""
    if isinstance(error, socket.gaierror):
        reason, cure = "no such host", "; write a name or an address of this machine, such as 127.0.0.1"
    else:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        cure = _CURES.get(error.errno or 0, "")
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return OSError(error.errno, f"can't listen on {address}: {reason}{cure}")
