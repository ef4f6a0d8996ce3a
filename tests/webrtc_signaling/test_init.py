import subprocess
import sys

import pytest

import webrtc_signaling
from webrtc_signaling.long_poll import LongPollBackend
from webrtc_signaling.websocket import WebSocketBackend


def test_backends_come_when_they_are_asked_for():
    assert webrtc_signaling.LongPollBackend is LongPollBackend
    assert webrtc_signaling.WebSocketBackend is WebSocketBackend


def test_they_are_found_by_looking_around():
    assert set(webrtc_signaling.__all__) <= set(dir(webrtc_signaling))


def test_there_is_nothing_else():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        webrtc_signaling.Nothing  # noqa: B018 - looking is what is tested


def test_the_package_needs_none_of_the_extras():
    hidden = ["aiohttp", "msgpack", "stamina", "typer", "pydantic_settings", "libp2p"]
    program = f"""
import sys
sys.path[:] = {sys.path!r}
sys.modules.update(dict.fromkeys({hidden!r}))
import webrtc_signaling
webrtc_signaling.MemoryBackend
try:
    webrtc_signaling.WebSocketBackend
except ModuleNotFoundError as exc:
    print(exc.name)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.strip() in hidden
