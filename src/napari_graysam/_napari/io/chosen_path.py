"""The path that a user chose in a dialog, completed by an ending where the dialog adds none."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from napari_graysam.errors import OutputError


def complete_path(path: str, ending: str, known: Collection[str]) -> Path:
    """Return a path whose name has one of the known endings.

    Parameters
    ----------
    path
        As it was chosen; the dialog has asked whether this very file may be replaced.
    ending
        Added where the name has none of the known ones. What the name has of it already is not
        added twice: ``cells.json`` becomes ``cells.coco.json``.
    known
        All endings that choose what is written.

    Raises
    ------
    OutputError
        The completed name is taken, by what the user was not asked about.
    """
    if path.endswith(tuple(known)):
        return Path(path)
    last = Path(ending).suffix or ending
    stem = path[: -len(last)] if path.lower().endswith(last) else path
    target = Path(stem + ending)
    if str(target) != path and target.exists():
        raise OutputError(
            f"{target} is there already: choose another name, or this one with its ending."
        )
    return target
