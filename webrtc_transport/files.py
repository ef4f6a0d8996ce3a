"""Files that hold secrets."""

from __future__ import annotations

import errno
import logging
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

_logger = logging.getLogger("libp2p.transport.webrtc")

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What file systems say that have no hard links: FAT, and some that are mounted over a network (link(2))."""


def read_private(path: str | os.PathLike[str]) -> bytes:
    """Read a file that nobody but its owner should be able to read.

    If others can, a warning is logged. It is read all the same: where secrets are mounted into containers, their modes
    are often wide and can't be changed. On Windows, modes say nothing, and nothing is checked.

    :raises OSError: if the file can't be read
    """
    with Path(path).open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if os.name == "posix" and mode & _OTHERS:
            _logger.warning(
                "%s is read as a secret, and has mode %04o, so others can use it; run: chmod 600 %s",
                os.fspath(path),
                mode,
                os.fspath(path),
            )
        return file.read()


def write_private(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = True) -> None:
    """Write ``data`` to a file that nobody but its owner can read (mode 0600).

    Other processes, and this one after a crash, see the old file or the whole new one, never a part.

    :param overwrite: ``False`` leaves a file alone that exists. On file systems without hard links others may see the
        new file empty for a moment
    :raises FileExistsError: if ``overwrite`` is false and ``path`` exists
    :raises OSError: if the file can't be written
    """
    path = Path(path)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # of mode 0600
    except OSError as exc:
        # It names the temporary file, which says nothing to anybody.
        cure = f"{exc.strerror}; the directory {path.parent} has to exist and be writable"
        raise OSError(exc.errno, cure, os.fspath(path)) from None
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        _move(temporary, path, overwrite=overwrite)
    finally:
        temporary.unlink(missing_ok=True)


def _move(temporary: Path, path: Path, *, overwrite: bool) -> None:
    # Errors name the temporary file, which says nothing to anybody.
    try:
        if overwrite:
            temporary.replace(path)
        else:
            _move_if_free(temporary, path)
    except FileExistsError as exc:
        cure = "the file exists already, and is left as it is"
        raise FileExistsError(exc.errno, cure, os.fspath(path)) from None
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, os.fspath(path)) from None


def _move_if_free(temporary: Path, path: Path) -> None:
    try:
        # Unlike a rename, a link fails when its target exists: of two processes that try, one wins.
        path.hardlink_to(temporary)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        # So does this, and who has won may replace what it has made.
        path.touch(mode=0o600, exist_ok=False)
        temporary.replace(path)
