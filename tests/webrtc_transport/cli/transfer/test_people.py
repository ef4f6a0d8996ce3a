"""Two machines, as two processes, and our signaling server between them."""

import hashlib
import os
import signal
import time

import pytest

from tests.webrtc_transport.cli.program import run, started
from tests.webrtc_transport.engine.turn_server import PASSWORD, USER, turn_server
from webrtc_transport import Identity
from webrtc_transport.cli.transfer.short_code import ShortCode

SIZE = 20_000_000


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("here") / "holiday.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "there"
    path.mkdir()
    return path


@pytest.fixture
def environment(signaling_url):
    return {"WEBRTC_TRANSPORT_SIGNALING": signaling_url, "WEBRTC_TRANSPORT_BIND": "127.0.0.1"}


def whom(receiver):
    """What the receiver's first line says to give to `send`."""
    line = receiver.read_line().split()
    assert line[:3] == ["webrtc-transport", "send", "FILE"]
    return line[3]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wait_for_part(path, size):
    deadline = time.monotonic() + 30
    while not path.exists() or path.stat().st_size < size:
        assert time.monotonic() < deadline, "nothing arrives"
        time.sleep(0.002)


def test_by_code(file, folder, environment):
    with started("receive", "-o", folder, **environment) as receiver:
        done = run("send", file, whom(receiver).lower(), **environment)
        assert done.returncode == 0, done.stderr
        assert digest(file) in done.stderr
        assert "direct (host to host)" in done.stderr
        assert receiver.read_line().strip() == str(folder / "holiday.bin")
        assert receiver.stop(None) == 0
    assert digest(folder / "holiday.bin") == digest(file)
    assert len(list(folder.iterdir())) == 1


def test_by_peer_id_from_whom_is_named(file, tmp_path, folder, environment):
    alice = Identity.load_or_create(tmp_path / "alice").peer_id
    options = ("--identity", tmp_path / "bob", "--from", alice)
    with started("receive", "-o", folder / "other.bin", *options, **environment) as receiver:
        bob = whom(receiver)
        stranger = run("send", file, bob, **environment)
        assert stranger.returncode == 1
        assert "is not among those that may send" in stranger.stderr
        done = run("send", file, bob, "--identity", tmp_path / "alice", **environment)
        assert done.returncode == 0, done.stderr
        assert receiver.stop(None) == 0
    assert digest(folder / "other.bin") == digest(file)


def test_a_sender_that_is_killed_goes_on_when_it_is_started_again(file, folder, environment):
    with started("receive", "-o", folder, **environment) as receiver:
        code = whom(receiver)
        with started("send", file, code, **environment) as sender:
            wait_for_part(folder / "holiday.bin.part", 1_000_000)
            sender.stop(signal.SIGKILL)
        done = run("send", file, code, **environment)
        assert done.returncode == 0, done.stderr
        assert ", from " in done.stderr
        assert receiver.stop(None) == 0
    assert digest(folder / "holiday.bin") == digest(file)


def test_a_receiver_that_is_interrupted_goes_on_and_the_sender_waits_for_it(
    file, tmp_path, folder, environment
):
    command = ("receive", "-o", folder, "--identity", tmp_path / "bob", "--anyone")
    with started(*command, **environment) as receiver:
        bob = whom(receiver)
        with started("send", file, bob, **environment) as sender:
            wait_for_part(folder / "holiday.bin.part", 1_000_000)
            assert receiver.stop(signal.SIGINT) == 130
            assert receiver.errors().endswith("receive it again, and it goes on there\n")
            with started(*command, **environment) as again:
                whom(again)
                assert again.read_line(60).strip() == str(folder / "holiday.bin")
                assert again.stop(None) == 0
            assert sender.stop(None) == 0, sender.errors()
            assert "interrupted: " in sender.errors()
    assert digest(folder / "holiday.bin") == digest(file)


def test_a_receiver_with_a_code_that_is_stopped_is_not_waited_for(file, folder, environment):
    with started("receive", "-o", folder, **environment) as receiver:
        with started("send", file, whom(receiver), "--retry", "1000", **environment) as sender:
            wait_for_part(folder / "holiday.bin.part", 1_000_000)
            assert receiver.stop(signal.SIGINT) == 130
            assert receiver.errors().endswith("receive it again (with a new code), and it goes on there\n")
            assert sender.stop(None) == 1
            assert "the receiver was stopped; run `receive` again there and send with its new code" in (
                sender.errors()
            )


def test_a_file_that_does_not_tell_its_size(folder, environment):
    with started("receive", "-o", folder, **environment) as receiver:
        done = run("send", "/proc/cpuinfo", whom(receiver), **environment)
        assert done.returncode == 1
        assert "/proc/cpuinfo became longer while it was sent; copy it" in done.stderr
        assert receiver.stop(signal.SIGINT) == 130
        assert "Ctrl-C stops that" in receiver.errors()
    assert list(folder.iterdir()) == []


def one_line(done):
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr


def test_a_code_of_nobody(file, environment):
    assert "nobody receives under the code" in one_line(run("send", file, "KNDW-S05B-F7GQ", **environment))


def test_a_code_of_nobody_at_a_url_with_secrets(file, environment):
    url = environment["WEBRTC_TRANSPORT_SIGNALING"].replace("//", "//anna:SECRET@") + "/?token=SECRET"
    text = one_line(run("send", file, "KNDW-S05B-F7GQ", "--signaling", url, **environment))
    assert "nobody receives under the code KNDW-S05B-F7GQ at ws://…@" in text
    assert "SECRET" not in text


def test_a_typing_error(file, environment):
    assert "typing error" in one_line(run("send", file, "KNDW-S05B-F7GG", **environment))


def test_a_broken_peer_id(file, environment):
    assert "'12D3KooWxx' is a broken peer id" in one_line(run("send", file, "12D3KooWxx", **environment))


def test_a_broken_identity(file, tmp_path, environment):
    (tmp_path / "key").write_text("nothing")
    (tmp_path / "key").chmod(0o600)
    shown = one_line(run("send", file, "KNDW-S05B-F7GQ", "--identity", tmp_path / "key", **environment))
    assert "or name another one with --identity" in shown
    assert "load_or_create" not in shown


def test_a_server_that_is_not_there(file, environment):
    shown = one_line(run("send", file, "KNDW-S05B-F7GQ", "--signaling", "ws://127.0.0.1:1", **environment))
    assert "Check --signaling" in shown


def test_an_interrupt_while_nobody_comes(folder, environment):
    with started("receive", "-o", folder, **environment) as receiver:
        whom(receiver)
        assert receiver.stop(signal.SIGINT) == 130
        assert "Traceback" not in receiver.errors()
    assert list(folder.iterdir()) == []


def test_a_sender_that_is_interrupted_says_how_to_go_on(file, folder, environment):
    with started("receive", "-o", folder, **environment) as receiver:
        with started("send", file, whom(receiver), **environment) as sender:
            wait_for_part(folder / "holiday.bin.part", 1_000_000)
            assert sender.stop(signal.SIGINT) == 130
            assert sender.errors().endswith("interrupted; send it again, and it goes on where it stopped\n")
            assert "Traceback" not in sender.errors()
        assert receiver.is_running
        receiver.stop(signal.SIGINT)
        assert "waiting for the sender to go on" in receiver.errors()


def test_who_knows_the_peer_id_and_not_the_code_gets_nowhere(file, folder, environment):
    with started("receive", "-o", folder, **environment) as receiver:
        code = whom(receiver)
        peer = ShortCode.parse(code).derive().identity.peer_id
        done = run("send", file, peer, **environment)
        assert done.returncode == 1
        assert "no proof that the sender knows the code" in done.stderr
        assert list(folder.iterdir()) == []
        assert run("send", file, code, **environment).returncode == 0


def test_through_a_relay(tmp_path, folder, environment):
    small = tmp_path / "small"
    small.write_bytes(b"hello")
    with turn_server(tmp_path) as turn:
        environment |= {
            "WEBRTC_TRANSPORT_TURN": str(turn.turn().parsed[0]),
            "WEBRTC_TRANSPORT_TURN_USER": USER,
            "WEBRTC_TRANSPORT_TURN_PASSWORD": PASSWORD,
        }
        with started("receive", "-o", folder, "--relay", **environment) as receiver:
            done = run("send", small, whom(receiver), "--relay", **environment)
            assert done.returncode == 0, done.stderr
            assert "relayed (relay to relay)" in done.stderr
            assert receiver.stop(None) == 0
    assert (folder / "small").read_bytes() == b"hello"
