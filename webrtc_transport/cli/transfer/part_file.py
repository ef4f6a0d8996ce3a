"""A file that isn't complete yet, beside the place where it will be: ``name.part``."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import Final, Self

from .file_names import numbered

BLOCK: Final = 1024 * 1024
"""Bytes that are read, written and hashed at once: a thread is asked for each, which costs less than a percent then."""

_MOST_NAMES: Final = 1000
"""How many numbered names are tried before it is given up."""

_FLAGS: Final = (
    os.O_RDWR
    | os.O_CREAT
    # Somebody may have put a link to another file there.
    | getattr(os, "O_NOFOLLOW", 0)
    # Nor does a pipe of that name hold us up.
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)


class StorageError(Exception):
    """A file can't be written; the text says why, and what helps."""


class PartFile:
    """What has arrived of a file. Its methods block: they are called in a thread."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path: Final = path
        self.offset = 0
        """Bytes that are there, and in the hash."""
        self._file: Final = os.fdopen(descriptor, "r+b", buffering=0)
        self._hash = hashlib.sha256()

    @classmethod
    def open(cls, target: Path, size: int, *, fresh: bool = False) -> Self:
        """Take the part of an earlier try to get ``target``, or begin one. :meth:`catch_up` comes next.

        One that another process writes, that is larger than ``size``, or that isn't a plain file, is left alone.

        :param fresh: whether parts that hold something are left alone, too
        :raises StorageError: if none can be opened
        """
        for number in range(_MOST_NAMES):
            path = target.with_name(numbered(f"{target.name}.part", number))
            try:
                descriptor = os.open(path, _FLAGS, 0o666)
            except OSError as exc:
                if path.is_symlink() or path.exists():
                    continue
                raise StorageError(_told(exc, target.parent)) from None
            if _is_ours(descriptor, 0 if fresh else size):
                return cls(path, descriptor)
            os.close(descriptor)
        raise StorageError(
            f"{target.parent} has {_MOST_NAMES} parts of {target.name}: delete those that nobody needs"
        )

    def catch_up(self) -> bool:
        """Read a block of what is there from before. Returns whether there may be more.

        :raises StorageError: if it can't be read
        """
        try:
            block = self._file.read(BLOCK)
        except OSError as exc:
            raise StorageError(_told(exc, self.path)) from None
        self._hash.update(block)
        self.offset += len(block)
        return bool(block)

    @property
    def sha256(self) -> str:
        """Of the bytes that are there."""
        return self._hash.hexdigest()

    def check_space(self, size: int) -> None:
        """Check that a file of ``size`` bytes fits in.

        :raises StorageError: if it doesn't
        """
        free = shutil.disk_usage(self.path.parent).free
        if size - self.offset > free:
            needed = f"{size - self.offset:,} bytes are to come and {free:,} are free"
            raise StorageError(
                f"{self.path.parent} has too little space: {needed}; choose another folder with --output"
            )

    def append(self, data: bytes) -> None:
        """Write more of it.

        :raises StorageError: if the disk is full, or fails
        """
        view = memoryview(data)
        try:
            while view:
                written = self._file.write(view)
                view = view[written:]
        except OSError as exc:
            raise StorageError(_told(exc, self.path.parent)) from None
        self._hash.update(data)
        self.offset += len(data)

    def finish(self, target: Path, *, overwrite: bool) -> Path:
        """Give the file its name, or without ``overwrite`` another one like it if that is taken.

        :return: where it is
        :raises StorageError: if it can't be moved there
        """
        self._file.close()
        try:
            if not overwrite:
                target = _reserve(target)
            self.path.replace(target)
        except OSError as exc:
            raise StorageError(f"{_told(exc, target)}; the file is complete, as {self.path}") from None
        return target

    def discard(self) -> None:
        """Delete it: it is of no use to anybody."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Keep it for another try, if there is anything in it. Safe to call twice, and after the others."""
        if not self._file.closed:
            self._file.close()
            if self.offset == 0:
                self.path.unlink(missing_ok=True)


def _is_ours(descriptor: int, most: int) -> bool:
    """Whether it is a plain file with one name, not too large, that nobody else writes; then it is locked."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_size > most:
        return False
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - Windows has none

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def _reserve(target: Path) -> Path:
    """Make an empty file, ``target`` or another one like it, that wasn't there."""
    for number in range(_MOST_NAMES):
        path = target.with_name(numbered(target.name, number))
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return path
    raise FileExistsError(f"{_MOST_NAMES} files like it are there")


def _told(error: OSError, path: Path) -> str:
    reason = error.strerror or str(error)
    return f"{path}: {reason}; make room, or choose another folder with --output"
