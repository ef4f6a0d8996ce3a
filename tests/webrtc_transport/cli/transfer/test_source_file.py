import hashlib
import os

import pytest

from webrtc_transport.cli.transfer.source_file import SourceError, SourceFile


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"0123456789")
    return path


def test_it_is_read_in_blocks(path):
    source = SourceFile(path)
    assert (source.name, source.size) == ("a.txt", 10)
    assert source.read(4) == b"0123"
    assert source.read(10) == b"456789"
    assert source.sha256 == hashlib.sha256(b"0123456789").hexdigest()
    source.check_unchanged()
    source.rewind()
    assert source.read(1) == b"0"
    source.close()


def test_a_name_that_is_no_unicode(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9")
    path.touch()
    source = SourceFile(path)
    assert source.name == "caf\ufffd"
    source.close()


def test_what_can_not_be_sent(tmp_path):
    with pytest.raises(SourceError, match="is the name right"):
        SourceFile(tmp_path / "nothing")
    with pytest.raises(SourceError, match="tar czf"):
        SourceFile(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="no plain file"):
        SourceFile(tmp_path / "pipe")
    (tmp_path / "large").touch()


@pytest.mark.parametrize("content", [b"", b"0123456789"])
def test_a_file_that_grows_or_does_not_tell_its_size(path, content):
    path.write_bytes(content)
    source = SourceFile(path)
    source.read(len(content))
    source.check_ended()
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(SourceError, match="became longer while it was sent; copy it"):
        source.check_ended()
    source.close()


def test_a_file_that_changes(path):
    source = SourceFile(path)
    path.write_bytes(b"01234")
    assert source.read(10) == b"01234"
    with pytest.raises(SourceError, match="became shorter"):
        source.read(10)
    with pytest.raises(SourceError, match="was changed"):
        source.check_unchanged()
    source.close()
