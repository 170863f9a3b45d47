"""What workers do for an image in tiles; each can be sent to another process."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam.progress import Progress
from napari_graysam.recipe import Recipe
from napari_graysam.tiles.decided import Decided
from napari_graysam.tiles.folder import TileFolder
from napari_graysam.tiles.grid import Tile, TileGrid
from napari_graysam.tiles.image import LargeImage
from napari_graysam.tiles.measure import Chosen, measure_tile
from napari_graysam.tiles.paint import Painted, Place, block_labels
from napari_graysam.tiles.tile import segment_tile
from napari_graysam.tiles.view import LargeView

if TYPE_CHECKING:
    from pathlib import Path

    from napari_graysam.files.zarr_labels import LabelBlocks
    from napari_graysam.propose.cache import Cache


FEATURES = 2**28
"""Bytes of a tile's features that are kept in memory while it is worked on."""


class Segmented(NamedTuple):
    """What became of a tile: how many objects, and how long it took."""

    objects: int
    seconds: float


@dataclass(frozen=True)
class Candidates:
    """Where candidates of tiles are kept, so that thresholds change without the model.

    Attributes
    ----------
    folder
        None where none are kept.
    size
        Bytes in it, at most.
    shared
        Whether other runs keep theirs there too: then what was used longest ago is removed.
    """

    folder: Path | None
    size: int
    shared: bool

    def open(self, recipe: Recipe) -> Cache | None:
        """Return the cache for one tile."""
        if self.folder is None:
            return None
        from napari_graysam.propose.cache import Cache

        # Asking a second time needs the features of the first.
        again = recipe.refine or recipe.labels.merging.ask
        budget = FEATURES if again else 0
        return Cache(budget, self.folder, self.size, evict=self.shared)


@dataclass(frozen=True)
class SegmentTile:
    """Segments a tile and keeps what it found."""

    view: LargeView
    recipe: Recipe
    size: int
    folder: TileFolder
    candidates: Candidates = Candidates(None, 0, False)
    decided: Mapping[str, Decided] = field(default_factory=dict)

    def __call__(self, tile: Tile) -> Generator[Progress, None, Segmented]:
        """Work on one tile."""
        cache = self.candidates.open(self.recipe)
        decided = self.decided.get(tile.name)
        steps = segment_tile(self.view, self.recipe, tile, self.size, cache, decided)
        pieces = yield from steps
        self.folder.save(tile, pieces)
        return Segmented(len(pieces), float(pieces.about["seconds"]))


@dataclass(frozen=True)
class MeasureTile:
    """Measures the objects of a tile, once the seams are resolved."""

    image: LargeImage
    recipe: Recipe
    folder: TileFolder

    def __call__(
        self, item: tuple[int, Tile, Chosen]
    ) -> Generator[Progress, None, NDArray[np.bool_]]:
        """Work on one tile."""
        yield from ()
        _, tile, chosen = item
        return measure_tile(self.image, self.folder, tile, chosen, self.recipe.labels.filters)


@dataclass(frozen=True)
class PaintBlock:
    """Paints one block of the label image, which no other task writes to."""

    folder: TileFolder
    grid: TileGrid
    recipe: Recipe
    blocks: LabelBlocks

    def __call__(self, place: Place) -> Generator[Progress, None, Painted]:
        """Work on one block."""
        yield from ()
        labels, painted = block_labels(self.folder, self.grid, self.recipe, place)
        self.blocks.write_block(place[0], place[2], labels)
        return painted


@dataclass(frozen=True)
class BuildBlock:
    """Makes one block of a lower level from the level above, which is complete."""

    blocks: LabelBlocks
    level: int

    def __call__(self, place: Place) -> Generator[Progress, None, None]:
        """Work on one block."""
        yield from ()
        self.blocks.build_block(self.level, place)
