import hashlib
import os
from pathlib import Path

import pytest

from webrtc_transport.cli.transfer import part_file
from webrtc_transport.cli.transfer.part_file import BLOCK, PartFile, StorageError


def opened(target, size=100, **options):
    part = PartFile.open(target, size, **options)
    while part.catch_up():
        pass
    return part


def test_a_file_is_written_and_gets_its_name(tmp_path):
    part = opened(tmp_path / "a.bin")
    part.append(b"one")
    part.append(b"two")
    assert part.path == tmp_path / "a.bin.part"
    assert (part.offset, part.sha256) == (6, hashlib.sha256(b"onetwo").hexdigest())
    assert part.finish(tmp_path / "a.bin", overwrite=False) == tmp_path / "a.bin"
    part.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"onetwo"


def test_what_is_there_is_kept_and_gone_on_with(tmp_path):
    content = os.urandom(BLOCK + 5)
    part = opened(tmp_path / "a", len(content) + 1)
    part.append(content)
    part.close()
    again = opened(tmp_path / "a", len(content) + 1)
    assert (again.offset, again.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    again.append(b"!")
    again.finish(tmp_path / "a", overwrite=False)
    assert (tmp_path / "a").read_bytes() == content + b"!"


def test_an_empty_part_is_not_left_behind(tmp_path):
    opened(tmp_path / "a").close()
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_another_process_writes_is_left_alone(tmp_path):
    first = opened(tmp_path / "a.txt")
    first.append(b"x")
    second = opened(tmp_path / "a.txt")
    assert second.path.name == "a.txt-1.part"
    assert second.offset == 0
    second.close()
    first.close()


@pytest.mark.parametrize("kind", ["larger", "link", "hard link", "folder", "pipe", "fresh"])
def test_what_is_not_ours_is_left_alone(tmp_path, kind):
    place, secret = tmp_path / "a.part", tmp_path / "secret"
    secret.write_bytes(b"secret")
    if kind in ("larger", "fresh"):
        place.write_bytes(bytes(101))
    elif kind == "link":
        place.symlink_to(secret)
    elif kind == "hard link":
        place.hardlink_to(secret)
    elif kind == "folder":
        place.mkdir()
    else:
        os.mkfifo(place)
    part = opened(tmp_path / "a", 1000 if kind == "fresh" else 100, fresh=kind == "fresh")
    part.append(b"mine")
    assert part.path.name == "a-1.part"
    assert secret.read_bytes() == b"secret"
    part.close()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"old")
    (tmp_path / "a-1.txt").mkdir()
    part = opened(tmp_path / "a.txt")
    part.append(b"new")
    assert part.finish(tmp_path / "a.txt", overwrite=False) == tmp_path / "a-2.txt"
    assert (tmp_path / "a.txt").read_bytes() == b"old"


def test_unless_it_is_asked_for(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"old")
    part = opened(tmp_path / "a.txt")
    part.append(b"new")
    assert part.finish(tmp_path / "a.txt", overwrite=True) == tmp_path / "a.txt"
    assert (tmp_path / "a.txt").read_bytes() == b"new"


def test_a_file_that_can_not_be_moved_stays_complete(tmp_path):
    part = opened(tmp_path / "a")
    part.append(b"all")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=r"the file is complete, as .*a\.part"):
        part.finish(tmp_path / "folder", overwrite=True)
    assert (tmp_path / "a.part").read_bytes() == b"all"


def test_a_full_disk():
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    part = PartFile(Path("/dev/full"), os.open("/dev/full", os.O_RDWR))
    with pytest.raises(StorageError, match="No space left on device; make room"):
        part.append(b"x")
    part._file.close()


def test_a_file_that_does_not_fit(tmp_path):
    part = opened(tmp_path / "a", 2**53)
    with pytest.raises(StorageError, match="too little space"):
        part.check_space(2**53)
    part.check_space(1)
    part.close()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(StorageError, match="No such file or directory"):
        PartFile.open(tmp_path / "nowhere" / "a", 1)


def test_what_is_discarded_is_gone(tmp_path):
    part = opened(tmp_path / "a")
    part.append(b"x")
    part.discard()
    part.close()
    assert list(tmp_path.iterdir()) == []


def test_parts_without_end_are_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(part_file, "_MOST_NAMES", 2)
    (tmp_path / "a.part").mkdir()
    (tmp_path / "a-1.part").mkdir()
    with pytest.raises(StorageError, match="delete those that nobody needs"):
        PartFile.open(tmp_path / "a", 1)
