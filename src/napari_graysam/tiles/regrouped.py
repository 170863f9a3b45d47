"""What was merged and split in the tiles of an image, kept with what they found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from napari_graysam.masks import Mask, mask_iou
from napari_graysam.masks.run_lengths import decode, encode
from napari_graysam.select.regrouping.evidence import Reasons
from napari_graysam.select.regrouping.objects import SAME, Regrouping
from napari_graysam.tiles.decided import part_in
from napari_graysam.tiles.folder import TileFolder
from napari_graysam.tiles.grid import Tile, TileGrid

ABOUT = "regroupings"
"""Entry of what is known of a tile."""


def recorded(
    regroupings: Sequence[Regrouping], masks: Sequence[Mask], origin: tuple[int, int]
) -> list[dict[str, Any]]:
    """Return what was merged and split in a tile in JSON's types, in pixels of the image.

    Parameters
    ----------
    regroupings, masks
        Of the tile's result.
    origin
        (y, x) of the tile's window.
    """
    return [
        {
            "kind": one.kind,
            "within": [label - 1 for label in one.labels(masks)],
            "before": [_plain(mask, origin) for mask in one.before],
            "reasons": one.reasons.to_dict(),
        }
        for one in regroupings
    ]


def regroupings_of(
    folder: TileFolder, grid: TileGrid, mask: Mask, owner: Tile
) -> tuple[Regrouping, ...]:
    """Return the merges and splits that an object of the image comes from.

    Parameters
    ----------
    folder, grid
        The tiles.
    mask
        The object, in pixels of the image.
    owner
        The tile that measures and draws it, whose answer counts if it has one.

    Raises
    ------
    OutputError
        What a tile found is missing or damaged.
    """
    x0, y0, x1, y1 = mask.box
    others = [one for one in grid.seeing((slice(y0, y1), slice(x0, x1))) if one != owner]
    for tile in (owner, *others):
        seen = part_in(mask, tile.window)
        records = folder.about(tile).get(ABOUT, ())
        if seen is None or not records:
            continue
        pieces = folder.load(tile)
        found = []
        for record in records:
            after = [pieces.mask(number) for number in record["within"]]
            if any(mask_iou(one, seen) >= SAME for one in after):
                before = tuple(_mask(one) for one in record["before"])
                reasons = Reasons(**{
                    name: math.nan if value is None else value
                    for name, value in record["reasons"].items()
                })  # fmt: skip
                found.append(Regrouping(record["kind"], before, tuple(after), reasons))
        if found:
            return tuple(found)
    return ()


def _plain(mask: Mask, origin: tuple[int, int]) -> dict[str, Any]:
    (top, left), (x0, y0, x1, y1) = origin, mask.box
    size = (y1 - y0, x1 - x0)
    counts = encode(Mask(mask.bits, (0, 0, size[1], size[0])), size, compressed=True)["counts"]
    return {"box": [x0 + left, y0 + top, x1 + left, y1 + top], "counts": counts}


def _mask(plain: dict[str, Any]) -> Mask:
    x0, y0, x1, y1 = plain["box"]
    size = (y1 - y0, x1 - x0)
    counts = {"size": size, "counts": plain["counts"]}
    return Mask(decode(counts, size, (0, 0, size[1], size[0])), (x0, y0, x1, y1))
