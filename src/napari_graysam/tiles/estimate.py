"""What a run in tiles costs, from one tile that is timed."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from napari_graysam.errors import ImageError
from napari_graysam.masks import paint
from napari_graysam.profile import Profile
from napari_graysam.progress import Progress, renamed
from napari_graysam.tiles.pieces import Pieces
from napari_graysam.tiles.plan import Prepared
from napari_graysam.tiles.tile import segment_tile

if TYPE_CHECKING:
    from napari_graysam.propose.cache import Cache

MORE = 1.25
"""Memory of the tile with the most candidates, in parts of the sample's, as far as seen."""


@dataclass(frozen=True)
class Estimate:
    """What a run will cost.

    Attributes
    ----------
    tiles, points
        How many.
    seconds
        Time of all tiles with one worker.
    memory
        Bytes of one worker.
    disk
        Bytes of labels, of what is kept to go on with, and of candidates that are kept.
    candidates
        Bytes of the candidates of all tiles.
    fit
        Tiles whose candidates are kept.
    sample
        What the timed tile was: name, seconds and objects.
    """

    tiles: int
    points: int
    seconds: float
    memory: int
    disk: int
    candidates: int
    fit: int
    sample: dict[str, Any]


def estimate(
    prepared: Prepared, cache_of: Callable[[Path], Cache | None], budget: int
) -> Generator[Progress, None, Estimate]:
    """Time one tile in the middle of the image, yielding `Progress`; nothing is left on disk.

    Parameters
    ----------
    prepared
        Of `napari_graysam.tiles.plan.prepare`.
    cache_of
        Given a folder, returns what keeps the candidates of a tile there; None where none are
        kept.
    budget
        Bytes of candidates that are kept.

    Raises
    ------
    ImageError
        If the tile lies outside of ``image.region``.
    """
    grid = prepared.grid
    tile = grid.middle()
    decided = prepared.decided.get(tile.name)
    with Profile() as costs, TemporaryDirectory() as scratch:
        # The first tile also loads the model.
        for number in range(2):
            cache = cache_of(Path(scratch, str(number)))
            steps = segment_tile(prepared.view, prepared.recipe, tile, grid.size, cache, decided)
            pieces = yield from renamed(costs.follow(steps), "sample")
        candidates = sum(path.stat().st_size for path in Path(scratch, "1").glob("*.npz"))
    seconds = float(pieces.about["seconds"])
    if not seconds and prepared.recipe.image.region is not None:
        raise ImageError(
            "the tile in the middle of the image lies outside of image.region: nothing can be "
            "timed; run without --plan"
        )
    share = math.prod(grid.shape) / int(tile.core_mask().sum()) if seconds else 0.0
    points = prepared.points
    if prepared.recipe.generator.searches:
        points = round(share * int(pieces.about["points"]))
    memory = round(MORE * max((cost.peak for cost in costs.stages.values()), default=0))
    labels = _label_bytes(pieces, prepared)
    kept = 2 * (pieces.runs.nbytes + 100 * len(pieces))
    sample = {"tile": tile.name, "seconds": round(seconds, 2), "objects": len(pieces)}
    every = round(candidates * share)
    fit = len(grid) if every <= budget else int(len(grid) * budget / every)
    disk = labels + round(kept * share) + min(every, budget)
    return Estimate(len(grid), points, seconds * share, memory, disk, every, fit, sample)


def _label_bytes(pieces: Pieces, prepared: Prepared) -> int:
    """Return about what the label image takes, from what the sample's takes."""
    tile = prepared.grid.middle()
    top, left = tile.origin
    masks = [pieces.mask(number) for number in range(len(pieces))]
    moved = []
    for mask in masks:
        x0, y0, x1, y1 = mask.box
        moved.append(mask.replace(box=(x0 - left, y0 - top, x1 - left, y1 - top)))
    labels = paint(moved, tile.shape)
    packed = len(zlib.compress(labels.tobytes(), 1))
    rows, columns = prepared.grid.shape
    # A third more for the lower levels.
    return round(packed / labels.size * rows * columns * 4 / 3)
