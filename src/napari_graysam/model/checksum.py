"""SHA-256 of checkpoint files, remembered while the file does not change."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from functools import lru_cache
from pathlib import Path

from napari_graysam.progress import Progress, run

_BLOCK = 1 << 22


def sha256_steps(path: Path) -> Generator[Progress, None, str]:
    """Hash a file and yield progress in bytes under the stage ``verify``.

    Parameters
    ----------
    path
        A readable file.

    Returns
    -------
    str
        Lower-case hexadecimal digest.
    """
    total = path.stat().st_size
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            yield Progress("verify", done, total)
    return digest.hexdigest()


@lru_cache(maxsize=32)
def _remembered(path: Path, size: int, modified: int) -> str:
    return run(sha256_steps(path))


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256; the same size and time of change give the remembered one."""
    facts = path.stat()
    return _remembered(path.resolve(), facts.st_size, facts.st_mtime_ns)
