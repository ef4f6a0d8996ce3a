import io
import json
import logging
import sys
from datetime import datetime

import pytest

from webrtc_signaling.server.journal import Event
from webrtc_signaling.server.logs import JsonFormatter, Log, TextFormatter


def record(message, *arguments, exc_info=None):
    return logging.LogRecord("a.logger", logging.INFO, __file__, 1, message, arguments, exc_info)


def test_an_event_is_an_object_with_its_fields():
    line = json.loads(JsonFormatter().format(record(Event("registered", peer="12D3", session="s1"))))
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line == {
        "level": "info",
        "logger": "a.logger",
        "message": "registered",
        "peer": "12D3",
        "session": "s1",
    }


def test_other_messages_are_objects_too():
    failure = (ValueError, ValueError("x"), None)
    text = JsonFormatter().format(record("%s and %d", "one", 2, exc_info=failure))
    line = json.loads(text)
    assert line["message"] == "one and 2"
    assert "ValueError: x" in line["exception"]
    assert "\n" not in text


def test_as_text_the_fields_follow():
    text = TextFormatter().format(record(Event("registered", peer="12D3")))
    assert text.endswith(" INFO a.logger: registered peer=12D3")


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_message_is_one_line(formatter):
    text = formatter.format(record("from outside: %s", "x\n2026 INFO forged\x1b[2J"))
    assert "\n" not in text
    assert "\x1b" not in text


def test_what_is_logged_before_the_settings_are_known_comes_first(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    logger = logging.getLogger("tests.early")
    try:
        log = Log()
        logger.warning("early")
        log.begin("json", "info")
        logger.info("late")
        assert [json.loads(line)["message"] for line in sys.stderr.getvalue().splitlines()] == [
            "early",
            "late",
        ]
    finally:
        for handler in set(root.handlers) - set(handlers):
            root.removeHandler(handler)
        root.setLevel(level)
