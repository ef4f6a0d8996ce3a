import pytest
import typer

from webrtc_transport.cli.failures import leaves, run
from webrtc_transport.errors import SignalingUnavailable


def ending(error, capsys):
    async def command():
        if error is not None:
            raise error

    with pytest.raises(typer.Exit) as info:
        run(command, interrupted="do it again")
    return info.value.exit_code, capsys.readouterr().err


def test_success_goes_on():
    async def command():
        pass

    run(command, interrupted="")


def test_an_error_is_one_line(capsys):
    status, shown = ending(OSError(28, "No space left\x1b[2J\nat all"), capsys)
    assert status == 1
    assert shown == "error: [Errno 28] No space left\ufffd[2J\ufffdat all\n"


def test_signaling_errors_say_where_to_look(capsys):
    status, shown = ending(SignalingUnavailable("no connection to ws://here: refused"), capsys)
    assert status == 1
    assert "check --signaling, and see what `webrtc-transport doctor` tells" in shown


def test_after_a_question_there_is_no_other_mark(capsys):
    _, shown = ending(SignalingUnavailable("refused; is the server running?"), capsys)
    assert "running? Check --signaling, and see" in shown


def test_groups_show_each_error_once(capsys):
    group = ExceptionGroup(
        "two", [ValueError("one"), ExceptionGroup("more", [ValueError("one"), ValueError("two")])]
    )
    assert ending(group, capsys) == (1, "error: one\nerror: two\n")
    assert [str(error) for error in leaves(group)] == ["one", "one", "two"]


def test_an_interrupt_is_status_130(capsys):
    assert ending(KeyboardInterrupt(), capsys) == (130, "interrupted; do it again\n")


def test_a_mistake_of_ours_shows_where_it_was_made():
    async def command():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(command, interrupted="")
