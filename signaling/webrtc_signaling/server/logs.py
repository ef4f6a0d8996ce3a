"""The log of the command: text for people, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import logging.handlers
import time
from typing import Final, Literal

from aiohttp.http import HttpProcessingError

from .journal import Event

LogFormat = Literal["text", "json"]

_EARLY_RECORDS: Final = 1000
"""Records that are kept until the settings are known: one for each variable that is no setting, and some."""


class TextFormatter(logging.Formatter):
    """A line for people. What a message has of control characters is escaped: it is one line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - named by logging
        record.message = "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in record.message
        )
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """A JSON object: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, and the fields of an event such as
    ``peer`` and ``session``; with ``exception`` if there is a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{seconds}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if isinstance(record.msg, Event):
            line |= {"message": record.msg.text, **record.msg.fields}
        else:
            line["message"] = record.getMessage()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _is_our_business(record: logging.LogRecord) -> bool:
    """Not what isn't HTTP: strangers could fill the log with tracebacks, and show what else is in their requests."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


class Log:
    """Standard error as the log of the process. What is logged before :meth:`begin` is kept until then."""

    def __init__(self) -> None:
        self._early = logging.handlers.MemoryHandler(_EARLY_RECORDS, flushLevel=logging.CRITICAL + 1)
        logging.getLogger().addHandler(self._early)

    def begin(self, log_format: LogFormat = "text", level: str = "warning") -> None:
        """Log from now on, and first what was kept."""
        root = logging.getLogger()
        handler = logging.StreamHandler()
        handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
        root.removeHandler(self._early)
        root.addHandler(handler)
        logging.getLogger("aiohttp.server").addFilter(_is_our_business)
        root.setLevel(level.upper())
        self._early.setTarget(handler)
        self._early.close()
