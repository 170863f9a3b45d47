"""Object tables as CSV."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from napari_graysam.atomic import atomic_path

if TYPE_CHECKING:
    import pandas as pd


def write_table(
    path: str | os.PathLike[str],
    table: pd.DataFrame,
    *,
    pixel_size: tuple[float, float] | None = None,
) -> None:
    """Write a table as UTF-8 CSV with a header, one row per object, floats in full precision.

    Parameters
    ----------
    path
        The file to write.
    table
        Its index is left out: the column ``index`` holds the label ids.
    pixel_size
        (height, width) of a pixel in micrometres, on which the table's areas in µm² rest; written
        as its last columns, ``pixel_height_um`` and ``pixel_width_um``.

    Raises
    ------
    OutputError
        The file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> write_table("cells.csv", pd.DataFrame({"index": [1, 2], "area": [10, 20]}))
    >>> Path("cells.csv").read_text().splitlines()
    ['index,area', '1,10', '2,20']
    """
    if pixel_size is not None:
        height, width = pixel_size
        table = table.assign(pixel_height_um=height, pixel_width_um=width)
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")
