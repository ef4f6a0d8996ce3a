"""The backend that the tutorial writes does what any signaling backend has to do."""

from __future__ import annotations

import contextlib
import importlib
import sys

import pytest

from tests.docs.pages import DOCS, blocks
from webrtc_signaling.testing import SignalingConformance
from webrtc_transport.abc import SignalingContext
from webrtc_transport.config import TransportConfig

PAGE = DOCS / "tutorials" / "signaling-plugin.md"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The package of the tutorial, imported from where a reader would have it."""
    folder = tmp_path_factory.mktemp("plugin")
    for block in blocks(PAGE):
        if block.is_file and block.title.startswith("signaling-folder/"):
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    sys.path.insert(0, str(folder / "signaling-folder"))
    yield importlib.import_module("signaling_folder")
    sys.path.remove(str(folder / "signaling-folder"))
    for name in [name for name in sys.modules if name.startswith("signaling_folder")]:
        del sys.modules[name]


class TestConformance(SignalingConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, package, tmp_path, monkeypatch):
        # The tests look hundreds of times whether there is something new.
        monkeypatch.setattr(package.session, "POLL_INTERVAL", 0.001)
        monkeypatch.setattr(package.backend, "POLL_INTERVAL", 0.001)
        self._package = package
        self._meeting = tmp_path

    @contextlib.asynccontextmanager
    async def service(self):
        yield f"folder://{self._meeting}"

    def backend(self, url, identity):
        context = SignalingContext(identity, TransportConfig(), None)
        return self._package.FolderBackend.from_url(url, context)
