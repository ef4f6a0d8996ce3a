import pytest

from webrtc_transport.cli.printable import is_printable, printable


@pytest.mark.parametrize(
    "text", ["a\x1b[2Jb", "a\nb", "a\x00b", "a\u202eb", "a\u2028b", "a\x9bb", "a\u200bb", "a\ud800b"]
)
def test_what_moves_the_cursor_or_turns_text_is_replaced(text):
    assert printable(text).startswith("a\ufffd")
    assert all(map(is_printable, printable(text)))


@pytest.mark.parametrize("text", ["", "report 2.pdf", "Grüße", "写真", "🎉", "[bold]"])
def test_what_can_be_read_stays(text):
    assert printable(text) == text
