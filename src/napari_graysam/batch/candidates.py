"""Dropped candidates of a plane for the objects that it lacks."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_graysam import pipeline
from napari_graysam.masks import Mask, mask_overlaps, match
from napari_graysam.masks.overlap import shared_box_pixels
from napari_graysam.progress import Progress, renamed
from napari_graysam.recipe import for_image
from napari_graysam.source.stack import Stack
from napari_graysam.stack.propagation import TAKEN

if TYPE_CHECKING:
    from napari_graysam.propose import Proposals
    from napari_graysam.propose.cache import Cache
    from napari_graysam.recipe import Recipe

FITS = 0.5
"""Least IoU of a candidate and the mask that is expected."""
LOWER = 0.5
"""Part of a recipe's thresholds that candidates may fall down to; a cache keeps as many."""
_BUDGET = 2**26


class DroppedCandidates:
    """What the model proposed in planes and their selection dropped.

    They come from the cache; of planes that it does not hold, the model is asked again.

    Parameters
    ----------
    stack
        The planes.
    cache
        Of the run that segmented them; None without one.
    """

    def __init__(self, stack: Stack, cache: Cache | None) -> None:
        self._stack, self._cache = stack, cache
        self._proposals: Proposals | None = None
        self._recipe: Recipe | None = None

    def prepare(self, number: int) -> Generator[Progress, None, None]:
        """Get the candidates of a plane, yielding `Progress`; those of another one are let go."""
        self._proposals = None
        position = self._stack.positions[number]
        image = self._stack.plane(position)
        recipe = for_image(self._stack.plane_recipe(position), image.pixels.shape)
        # Of a recipe that joins both arms, the preprocessed one is asked.
        shown = recipe.raw_arm() if recipe.arms == "raw" else recipe.preprocessed_arm()
        generator = recipe.generator
        floors = pipeline.ScoreFloors(
            LOWER * generator.pred_iou_thresh, LOWER * generator.stability_score_thresh
        )
        view = pipeline.make_view(image, shown)
        steps = pipeline.propose(view, shown, score_floors=floors, cache=self._cache)
        self._proposals = yield from renamed(steps, "fill")
        self._recipe = recipe

    def __call__(
        self, number: int, expected: Sequence[Mask], labels: NDArray[np.uint32]
    ) -> list[Mask | None]:
        """Return for each expected mask the candidate of the prepared plane that fits best.

        One that lies on other objects, or outside the recipe's range of areas, fits none; none
        fits two.
        """
        masks = [
            mask
            for mask in self._near(expected)
            if np.mean(labels[mask.slices][mask.bits] > 0) <= TAKEN
        ]
        overlaps = mask_overlaps(expected, masks)
        found: list[Mask | None] = [None] * len(expected)
        for pair in match(overlaps, FITS):
            found[overlaps.a[pair]] = masks[overlaps.b[pair]]
        return found

    def _near(self, expected: Sequence[Mask]) -> list[Mask]:
        """Return the candidates that may fit, cleaned as the recipe says."""
        from napari_graysam.select.derived import Derived
        from napari_graysam.select.filters import near_crop_edge

        assert self._proposals is not None
        assert self._recipe is not None
        generator, labels = self._recipe.generator, self._recipe.labels
        derived = Derived(self._proposals, _BUDGET)
        scored = derived.scored(generator)
        good = scored.predicted_iou >= LOWER * generator.pred_iou_thresh
        good &= scored.stability >= LOWER * generator.stability_score_thresh
        boxes = scored.box + np.array([0, 0, 1, 1])
        near = np.zeros(len(scored), bool)
        for mask in expected:
            shared = shared_box_pixels(np.array(mask.box), boxes)
            near |= shared >= FITS * mask.area
        shapes = derived.cleaned(generator, labels)
        some = np.flatnonzero(good & near)
        shapes.ensure(some)
        cut = near_crop_edge(shapes.inclusive(some), scored.crop_box[some], scored.image_size)
        area = shapes.area[some]
        fit = (area >= max(1, labels.min_area)) & (area <= (labels.max_area or np.inf))
        stability = scored.stability.tolist()
        return [shapes.mask(n, stability[n], "raw", False) for n in some[~cut & fit].tolist()]
