"""Work in pieces, of which one that fails mustn't end the others."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")


@contextlib.contextmanager
def guarded(work: str) -> Iterator[None]:
    """Log what goes wrong in ``work``, with its traceback. What comes after the context goes on."""
    try:
        yield
    except Exception:
        _logger.exception("an error while the server wanted to %s; it goes on. Please report this", work)
