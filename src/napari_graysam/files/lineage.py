"""Who came from whom in a time series: tables of tracks beside label images."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from napari_graysam.errors import LabelsError
from napari_graysam.limits import reading

FOLDER_NAMES = ("man_track.txt", "res_track.txt")
"""Of the Cell Tracking Challenge, in a folder of label images."""
ENDINGS = (".tracks.csv", *(f".{name}" for name in FOLDER_NAMES))
"""What a table of tracks is called after the stem of its label volume."""


def find_lineage(labels: str | os.PathLike[str]) -> Path | None:
    """Return the table of tracks that lies beside a label volume or in a folder of frames.

    Examples
    --------
    >>> import pathlib
    >>> table = pathlib.Path("film.tracks.csv")
    >>> _ = table.write_text("ID,t,parent")
    >>> find_lineage("film.labels.tif")
    PosixPath('film.tracks.csv')
    """
    path = Path(labels)
    if path.is_dir():
        names = [path / name for name in FOLDER_NAMES]
    else:
        stem = path.stem.removesuffix(".labels")
        names = [path.with_name(f"{stem}{ending}") for ending in ENDINGS]
    return next((name for name in names if name.is_file()), None)


def read_lineage(path: str | os.PathLike[str]) -> tuple[tuple[int, int], ...]:
    """Read parents and children from a table of tracks.

    Parameters
    ----------
    path
        A CSV file with the columns ``ID`` and ``parent``, as of btrack, in which an object without
        a parent names itself or 0; or text of the Cell Tracking Challenge: label, first frame,
        last frame and parent in each line, 0 for none.

    Returns
    -------
    tuple
        Parent and child of each division, ascending.

    Raises
    ------
    LabelsError
        If the file cannot be read, or is no such table.

    Examples
    --------
    >>> import pathlib
    >>> _ = pathlib.Path("man_track.txt").write_text("1 0 4 0" + chr(10) + "2 5 9 1")
    >>> read_lineage("man_track.txt")
    ((1, 2),)
    """
    with reading(path, "a table of tracks", LabelsError):
        text = Path(path).read_text(encoding="utf-8-sig")
        try:
            rows = _of_columns(text) if "," in text.partition("\n")[0] else _of_challenge(text)
        except (KeyError, ValueError) as error:
            raise LabelsError(
                "This is no table of tracks: expected the columns ID and parent (CSV), or lines "
                f"of label, first frame, last frame and parent; got {error}."
            ) from error
    return tuple(sorted({(parent, child) for child, parent in rows if parent not in (0, child)}))


def _of_columns(text: str) -> list[tuple[int, int]]:
    rows = csv.DictReader(io.StringIO(text))
    return [(int(float(row["ID"])), int(float(row["parent"]))) for row in rows]


def _of_challenge(text: str) -> list[tuple[int, int]]:
    rows = []
    for line in filter(str.strip, text.splitlines()):
        label, _, _, parent = map(int, line.split())
        rows.append((label, parent))
    return rows
