"""Files that hold secrets."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_private(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = True) -> None:
    """Write ``data`` to a file that nobody but its owner can read (mode 0600).

    Other processes, and this one after a crash, see the old file or the whole new one, never a part.

    :param overwrite: ``False`` leaves a file alone that exists
    :raises FileExistsError: if ``overwrite`` is false and ``path`` exists
    :raises OSError: if the file can't be written
    """
    path = Path(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # of mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        if overwrite:
            temporary.replace(path)
        else:
            # Unlike a rename, a link fails when its target exists: of two processes that try, one wins.
            path.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)
