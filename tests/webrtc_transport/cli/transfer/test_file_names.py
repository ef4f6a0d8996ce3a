from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webrtc_transport.cli.printable import is_printable
from webrtc_transport.cli.transfer.file_names import MAX_NAME_BYTES, numbered, safe_name


@pytest.mark.parametrize(
    ("offered", "name"),
    [
        ("report.pdf", "report.pdf"),
        ("Grüße 写真.tar.gz", "Grüße 写真.tar.gz"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("C:\\Windows\\system.ini", "system.ini"),
        ("C:evil", "C_evil"),
        ("..", "file"),
        (".", "file"),
        ("", "file"),
        ("folder/", "file"),
        (".bashrc", "bashrc"),
        ("a\x00b\nc\x1b[2J", "a_b_c_[2J"),
        ("invoice\u202efdp.exe", "invoice_fdp.exe"),
        ("end. . ", "end"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("com1", "_com1"),
        ("-rf", "-rf"),
        ("x:stream", "x_stream"),
        ("e\u0301", "é"),
    ],
)
def test_names(offered, name):
    assert safe_name(offered) == name


def test_long_names_keep_their_ending():
    name = safe_name("ä" * 500 + ".tar")
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert name.endswith("ä.tar")
    assert len(safe_name("x" * 500)) == MAX_NAME_BYTES
    assert len(safe_name("x." + "y" * 500)) == MAX_NAME_BYTES


@settings(deadline=None)
@given(st.text(max_size=600))
def test_any_name_is_safe(offered):
    name = safe_name(offered)
    assert name
    assert not set("/\\:\x00") & set(name)
    assert not name.startswith(".")
    assert not name.endswith((".", " "))
    assert all(map(is_printable, name))
    assert len(name.encode()) <= MAX_NAME_BYTES + 1
    assert Path(name).name == name
    assert safe_name(name).removeprefix("_") == name.removeprefix("_")


def test_numbers():
    assert [numbered("a.jpg", number) for number in (0, 1, 12)] == ["a.jpg", "a-1.jpg", "a-12.jpg"]
    assert numbered("README", 1) == "README-1"
    assert numbered(".x", 1) == ".x-1"
