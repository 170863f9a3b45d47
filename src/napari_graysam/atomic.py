"""Write a file whole or not at all."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from uuid import uuid4

from napari_graysam.errors import DiskFullError, GraysamError, OutputError

ADVICE = {
    errno.ENOSPC: "The disk is full; free some space or choose another folder.",
    errno.EDQUOT: "The disk quota is used up; free some space or choose another folder.",
    errno.EFBIG: "Files may not become that large there; choose another folder.",
    errno.EROFS: "The place is read-only; choose another folder.",
    errno.EACCES: "You may not write there; choose another folder.",
    errno.EPERM: "You may not write there; choose another folder.",
    errno.ENOENT: "Choose an existing folder that you may write to.",
    errno.ENOTDIR: "A part of the path is a file, not a folder; choose another folder.",
    errno.EEXIST: "A part of the path is a file, not a folder; choose another folder.",
    errno.ENAMETOOLONG: "The name is too long; choose a shorter one.",
}
FULL = (errno.ENOSPC, errno.EDQUOT)

_TEMPORARY = re.compile(r"\..{1,40}-[0-9a-f]{12}(\.\w+)?")


@contextmanager
def atomic_path(
    path: str | os.PathLike[str], *, make_folder: bool = True
) -> Generator[Path, None, None]:
    """Give a temporary path beside `path`, renamed to it when the block succeeds.

    Parameters
    ----------
    path
        Where the file shall be; an existing file is replaced.
    make_folder
        Make its folder if missing.

    Yields
    ------
    Path
        A name in the same folder with the same suffix. If the block fails, the file there is
        removed, and what `path` held before stays.

    Raises
    ------
    OutputError
        The folder cannot be made, or the file cannot be written or renamed: a `DiskFullError`
        where there is no room.

    See Also
    --------
    write_text : The same for a text that is at hand.

    Examples
    --------
    >>> from pathlib import Path
    >>> with atomic_path("results/areas.csv") as temporary:
    ...     _ = temporary.write_text("label,area")
    >>> [path.name for path in Path("results").iterdir()]
    ['areas.csv']
    """
    target = Path(path)
    temporary = target.with_name(f".{target.stem[:40]}-{uuid4().hex[:12]}{target.suffix}")
    try:
        with writing(target):
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if make_folder:
                target.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def writing(target: str | os.PathLike[str]) -> Generator[None, None, None]:
    """Turn what the system says against writing somewhere into an error with advice.

    Examples
    --------
    >>> with writing("no folder/areas.csv"):
    ...     open("no folder/areas.csv", "w")
    Traceback (most recent call last):
    napari_graysam.errors.OutputError: Cannot write no folder/areas.csv: No such file ...
    """
    try:
        yield
    except GraysamError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        advice = ADVICE.get(error.errno or 0, "Choose another file name or folder.")
        kind = DiskFullError if error.errno in FULL else OutputError
        raise kind(f"Cannot write {target}: {reason}. {advice}") from error


def remove_abandoned(folder: Path, before: float, beginning: str = "") -> None:
    """Remove temporary files of `atomic_path` that a killed process has left.

    Parameters
    ----------
    folder
        Where they lie.
    before
        Time, in seconds as `time.time` tells it, of the last change of what is removed: what
        another process writes now is younger.
    beginning
        Of the names of the files that they were to become.

    Examples
    --------
    >>> from pathlib import Path
    >>> import time
    >>> left, other = Path(".cells.labels-0123456789ab.tif"), Path(".cells.labels.tif")
    >>> for path in (left, other):
    ...     path.touch()
    >>> remove_abandoned(Path("."), time.time() + 1, "cells.")
    >>> left.exists(), other.exists()
    (False, True)
    """
    for path in folder.glob(f".{escape(beginning[:40])}*"):
        with suppress(OSError):
            if _TEMPORARY.fullmatch(path.name) and path.stat().st_mtime < before:
                path.unlink()


def write_text(path: str | os.PathLike[str], text: str, *, make_folder: bool = True) -> None:
    """Write a text as UTF-8, as `atomic_path` writes.

    Examples
    --------
    >>> from pathlib import Path
    >>> write_text("areas.csv", "label,area")
    >>> Path("areas.csv").read_text()
    'label,area'
    """
    with atomic_path(path, make_folder=make_folder) as temporary:
        temporary.write_bytes(text.encode())
