"""Which files a result consists of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

from napari_graysam.errors import UsageError

Kind: TypeAlias = Literal[
    "labels", "objects", "coco", "geojson", "rois", "overlay", "zarr", "into-image"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Those that can be chosen, in the order in which they are written."""
USUAL: tuple[Kind, ...] = ("labels", "objects", "coco", "overlay")
ALWAYS = ("provenance", "recipe")
"""Those that say what the others are; the recipe is the last."""
ENDINGS = {
    "labels": "labels.tif",
    "objects": "objects.csv",
    "coco": "coco.json",
    "geojson": "geojson",
    "rois": "rois.zip",
    "overlay": "overlay.png",
    "zarr": "zarr",
    "provenance": "provenance.json",
    "recipe": "recipe.yaml",
}
OF_STACKS = ("planes.csv", "tracks.csv")
"""Endings of the tables that only the results of a whole stack have."""
INTO_IMAGE: Kind = "into-image"
"""Labels in the OME-Zarr image itself: no file of their own."""
FOLDERS: tuple[Kind, ...] = ("zarr", INTO_IMAGE)
"""Those that are no files."""
COMPARISON = ("csv", "png", "json")
"""Endings of the files that compare two arms; the JSON is the last."""
OTHER_NAMES = {"table": "objects"}


def choose_kinds(names: Iterable[str]) -> tuple[Kind, ...]:
    """Return the kinds of files that names mean, each once, in the order of `KINDS`.

    Parameters
    ----------
    names
        Any of `KINDS`; ``table`` is another name of ``objects``, and those of `ALWAYS`, which
        are written in any case, may be among them.

    Raises
    ------
    UsageError
        If there is no such kind.

    Examples
    --------
    >>> choose_kinds(["overlay", "table", "recipe"])
    ('objects', 'overlay')
    """
    wanted = [OTHER_NAMES.get(name, name) for name in names]
    unknown = [name for name in wanted if name not in (*KINDS, *ALWAYS)]
    if unknown:
        raise UsageError(
            f"there is no output {unknown[0]!r}; there are {', '.join(KINDS)} (table is another "
            f"name of objects; {' and '.join(ALWAYS)} are always written)"
        )
    return tuple(kind for kind in KINDS if kind in wanted)
