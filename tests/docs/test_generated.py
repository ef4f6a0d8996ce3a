"""What pages say about settings, limits, flags and diagrams is what the code says."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from docs.diagrams.render import digest
from tests.docs.generated import PARTS, regenerate, used_parts
from tests.docs.pages import DOCS
from tests.processes import running
from webrtc_signaling import limits as signaling_limits
from webrtc_signaling.server.settings import ServerSettings
from webrtc_transport import TransportConfig
from webrtc_transport.protocol import limits as transport_limits
from webrtc_transport.protocol.stream_state import state_diagram

PAGES = sorted(DOCS.rglob("*.md"))
DIAGRAMS = sorted((DOCS / "diagrams").glob("*.mmd"))
PROGRAM = Path(sys.executable).with_name("webrtc-signaling")
OTHER_PROGRAM = PROGRAM.with_name("webrtc-transport")


def names(page):
    return str(page.relative_to(DOCS))


def read(page):
    return (DOCS / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_generated_parts_are_up_to_date(page):
    content = page.read_text(encoding="utf-8")
    assert regenerate(content) == content, "run: python -m tests.docs.generated"


def test_all_parts_are_used():
    assert used_parts() == set(PARTS)


def test_no_setting_is_missing():
    for name in TransportConfig.model_fields:
        assert f"\n| `{name}` |" in read("reference/configuration.md")
    for name in ServerSettings.model_fields:
        assert f"\n| `WEBRTC_SIGNALING_{name.upper()}` |" in read("reference/configuration.md")


def test_no_limit_is_missing_or_without_reason():
    for module in (transport_limits, signaling_limits):
        for name in vars(module):
            if name.isupper():
                row = re.search(
                    rf"^\| `{name}` \| [^|]+ \| (.*) \|$", read("reference/limits.md"), re.MULTILINE
                )
                assert row, name
                assert row[1], f"{name} has no reason"


def test_no_setting_is_without_explanation():
    for row in re.findall(r"^\| `.*$", read("reference/configuration.md"), re.MULTILINE):
        assert not row.endswith("|  |"), row


def test_the_bounds_in_the_guide_are_the_defaults():
    fields = {name: field.default for name, field in ServerSettings.model_fields.items()}
    guide = read("how-to/running-a-signaling-server.md")
    rows = dict(re.findall(r"^\| [^|]+ \| ([^|]+) \| `WEBRTC_SIGNALING_(\w+)`", guide, re.MULTILINE))
    assert len(rows) == 8
    for shown, variable in rows.items():
        unit = 1024 * 1024 if re.fullmatch(r"\d+ MiB", shown) else 1
        value = int(re.match(r"[\d,]+", shown)[0].replace(",", "")) * unit
        assert value == fields[variable.lower()]
    assert fields["max_queued_bytes"] == 1024 * 1024
    assert f"heartbeat of {fields['heartbeat']:g} seconds" in guide


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_names_of_the_packages_exist(page):
    for dotted in re.findall(r"`(webrtc_(?:transport|signaling|libp2p)(?:\.\w+)+)`", page.read_text("utf-8")):
        if dotted in ("webrtc_transport.signaling", "webrtc_transport.engines"):
            continue  # groups of entry points
        package, *rest = dotted.split(".")
        found = importlib.import_module(package)
        for position, name in enumerate(rest, start=1):
            if not hasattr(found, name):
                importlib.import_module(".".join([package, *rest[:position]]))
            found = getattr(found, name)


class TestDiagrams:
    def test_the_states_of_a_stream_are_those_of_the_code(self):
        assert read("diagrams/stream-state.mmd") == state_diagram(), "run: python -m tests.docs.generated"

    @pytest.mark.parametrize("source", DIAGRAMS, ids=names)
    def test_the_drawing_is_of_its_source(self, source):
        drawing = source.with_suffix(".svg").read_text(encoding="utf-8")
        assert digest(source.read_text(encoding="utf-8")) in drawing, "run: python docs/diagrams/render.py"

    @pytest.mark.parametrize("source", DIAGRAMS, ids=names)
    def test_the_drawing_is_shown(self, source):
        pages = DOCS.glob("explanation/*.md")
        assert any(f"](../diagrams/{source.stem}.svg)" in page.read_text("utf-8") for page in pages)


class TestCommandLine:
    @pytest.fixture
    def environment(self):
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("WEBRTC_SIGNALING_")},
            "COLUMNS": "200",
            "NO_COLOR": "1",
        }

    def test_help_has_what_the_page_has(self, environment):
        done = subprocess.run(
            [PROGRAM, "serve", "--help"], env=environment, capture_output=True, text=True, check=True
        )
        words = re.sub(r"[\s│╭╮╰╯─]+", " ", done.stdout)
        page, _, _ = read("reference/cli.md").partition("## webrtc-signaling token")
        rows = re.findall(r"^\| `(--[\w-]+)` \| .* \| (.+) \|$", page, re.MULTILINE)
        assert len(rows) == len(ServerSettings.model_fields)
        for option, text in rows:
            assert option in words
            assert text.replace("`", "") in words

    @pytest.mark.parametrize("command", ["doctor", "send", "receive"])
    def test_help_of_the_other_command_has_what_the_page_has(self, environment, command):
        done = subprocess.run(
            [OTHER_PROGRAM, command, "--help"], env=environment, capture_output=True, text=True, check=True
        )
        words = re.sub(r"[\s│╭╮╰╯─]+", " ", done.stdout)
        _, _, page = read("reference/cli.md").partition(f"## webrtc-transport {command}\n")
        rows = re.findall(r"^\| `(--[\w-]+)` \| .* \| (.+) \|$", page.partition("\n## ")[0], re.MULTILINE)
        assert len(rows) > 8
        for flag, text in rows:
            assert flag in words
            assert text in words

    @pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
    def test_it_ends_on_signals_with_status_0(self, environment, signum):
        with running([PROGRAM, "serve", "--port", "0"], env=environment) as server:
            assert server.read_line().startswith("listening on ws://127.0.0.1:")
            assert server.stop(signum) == 0

    def test_an_address_in_use_is_status_1(self, environment):
        with running([PROGRAM, "serve", "--port", "0"], env=environment) as server:
            port = server.read_line().strip().rpartition(":")[2]
            done = subprocess.run(
                [PROGRAM, "serve", "--port", port],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 1
        assert done.stderr.startswith(f"can't listen on 127.0.0.1:{port}: address already in use; ")

    def test_a_wrong_flag_or_variable_is_status_2(self, environment):
        flag = subprocess.run(
            [PROGRAM, "serve", "--port", "99999"], env=environment, capture_output=True, check=False
        )
        environment["WEBRTC_SIGNALING_HEARTBEAT"] = "-1"
        variable = subprocess.run(
            [PROGRAM, "serve", "--port", "0"], env=environment, capture_output=True, check=False
        )
        assert (flag.returncode, variable.returncode) == (2, 2)

    def test_a_flag_wins_over_its_variable(self, environment):
        environment["WEBRTC_SIGNALING_HOST"] = "127.0.0.2"
        with running([PROGRAM, "serve", "--port", "0", "--host", "127.0.0.1"], env=environment) as server:
            assert server.read_line().startswith("listening on ws://127.0.0.1:")
