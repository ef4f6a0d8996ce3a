"""The file that is sent."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from .messages import MAX_NAME, MAX_SIZE
from .part_file import BLOCK


class SourceError(Exception):
    """The file can't be sent; the text says why, and what helps."""


class SourceFile:
    """A file, read from its beginning to its end. Its methods block: they are called in a thread."""

    def __init__(self, path: Path) -> None:
        """Open it.

        :raises SourceError: if it isn't there, can't be read, or isn't a plain file
        """
        try:
            # A pipe would hold us up here; it is refused below.
            descriptor = os.open(
                path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            )
        except OSError as exc:
            raise SourceError(f"{path}: {exc.strerror or exc}; is the name right?") from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise SourceError(f"{path} is no plain file; pack a folder first: tar czf folder.tar.gz folder")
        if status.st_size > MAX_SIZE:
            os.close(descriptor)
            raise SourceError(f"{path} has {status.st_size:,} bytes; at most {MAX_SIZE:,} can be sent")
        self._file: Final = os.fdopen(descriptor, "rb", buffering=0)
        self.path: Final = path
        self.name: Final = os.fsencode(path.name).decode(errors="replace")[:MAX_NAME]
        """As the peer is told it."""
        self.size: Final = status.st_size
        self.offset = 0
        """Bytes that were read, and are in the hash."""
        self._changed_at = status.st_mtime_ns
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what was read."""
        return self._hash.hexdigest()

    def read(self, end: int) -> bytes:
        """The next block, which doesn't reach over ``end``.

        :raises SourceError: if the file can't be read, or has become shorter
        """
        try:
            block = self._file.read(min(BLOCK, end - self.offset))
        except OSError as exc:
            raise SourceError(f"{self.path}: {exc.strerror or exc}") from None
        if not block and self.offset < end:
            raise SourceError(f"{self.path} became shorter while it was sent; send it again")
        self._hash.update(block)
        self.offset += len(block)
        return block

    def check_ended(self) -> None:
        """Check that nothing follows what was read: it grows, or the system doesn't tell its size, as in ``/proc``.

        :raises SourceError: if something does, or it can't be read
        """
        try:
            more = self._file.read(1)
        except OSError as exc:
            raise SourceError(f"{self.path}: {exc.strerror or exc}") from None
        if more:
            raise SourceError(
                f"{self.path} became longer while it was sent; copy it, and send the copy: it was opened with "
                f"{self.size:,} bytes"
            )

    def rewind(self) -> None:
        """Begin anew."""
        self._file.seek(0)
        self._hash = hashlib.sha256()
        self.offset = 0

    def check_unchanged(self) -> None:
        """Check that nobody has written to the file since it was opened.

        :raises SourceError: if somebody has
        """
        status = os.fstat(self._file.fileno())
        if (status.st_size, status.st_mtime_ns) != (self.size, self._changed_at):
            raise SourceError(f"{self.path} was changed while it was sent; send it again")

    def close(self) -> None:
        """Close it."""
        self._file.close()
