import io
from types import SimpleNamespace

from rich.console import Console

from webrtc_transport.abc import CandidatePair
from webrtc_transport.cli.transfer.display import Display, describe_path
from webrtc_transport.protocol.sdp import IceCandidate


def connection(local="host", remote="host"):
    pair = CandidatePair(*(candidate(kind) for kind in (local, remote)))
    return SimpleNamespace(candidate_pair=pair)


def candidate(kind):
    return IceCandidate.from_sdp(f"candidate:1 1 udp 1 192.0.2.1 4000 typ {kind}")


def test_paths():
    assert describe_path(connection()) == "direct (host to host)"
    assert describe_path(connection("host", "srflx")) == "direct (host to srflx)"
    assert describe_path(connection("relay", "host")) == "relayed (relay to host)"


def test_lines_are_shown_as_text():
    console = Console(file=io.StringIO(), width=40)
    Display(console).say("[bold]a\x1b[2J\u202e " + "x" * 60)
    assert console.file.getvalue() == "[bold]a\ufffd[2J\ufffd " + "x" * 60 + "\n"


def test_a_transfer_without_a_terminal():
    console = Console(file=io.StringIO(), width=200)
    with Display(console).transfer("sending", "a", 0, 2000, connection()) as advance:
        advance(2000)
    first, last = console.file.getvalue().splitlines()
    assert first == "sending a, 2.0 kB, direct (host to host)"
    assert last.startswith("2.0 kB in ")


def test_a_transfer_in_a_terminal_has_a_bar():
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    with Display(console).transfer("sending", "a", 1000, 2000, connection("relay")) as advance:
        advance(500)
        advance(500)
    assert "from 1.0 kB on" in console.file.getvalue()
    assert "2.0/2.0 kB" in console.file.getvalue()
