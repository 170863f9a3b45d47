"""What selections of the same candidates have in common, computed once within a budget."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from cachetools import LRUCache

from napari_graysam.masks import Box, Mask, remove_small_regions
from napari_graysam.propose import Proposals, rescore
from napari_graysam.recipe import GeneratorOptions, LabelOptions
from napari_graysam.select.clean import cleaned
from napari_graysam.select.hierarchy import Hierarchy
from napari_graysam.select.overlaps import OverlapTable
from napari_graysam.select.regrouping.borders import Borders
from napari_graysam.select.regrouping.outline import Levels
from napari_graysam.select.shapes import Bits, Cache, Indices, Shapes, remember, size_in_bytes

# Cuts and offsets whose scores are remembered, at 40 bytes a candidate.
_SCORINGS = 4


class Derived:
    """Scores, shapes, overlaps and parents of candidates, as the options ask for them.

    Each is identified by the options that it depends on, and by nothing else; what was used
    longest ago is forgotten first.

    Parameters
    ----------
    proposals
        Of one image.
    budget
        Bytes to remember at most, besides the proposals.
    """

    def __init__(self, proposals: Proposals, budget: int) -> None:
        self.proposals = proposals
        self.cache: Cache = LRUCache(budget, getsizeof=size_in_bytes)
        # What the cache holds refers to it weakly: in a circle, gigabytes of candidates would stay
        # until Python looks for circles.
        self._shared: Cache = weakref.proxy(self.cache)
        self._scored: LRUCache[tuple[float, float], Proposals] = LRUCache(_SCORINGS)

    def scored(self, generator: GeneratorOptions) -> Proposals:
        """Return the proposals measured at ``mask_threshold`` and ``stability_score_offset``.

        Raises
        ------
        ProposalsError
            As from `rescore`.
        """
        key = generator.mask_threshold, generator.stability_score_offset
        scored = self._scored.get(key)
        if scored is None:
            scored = self._scored[key] = rescore(self.proposals, generator)
        return scored

    def cut(self, generator: GeneratorOptions) -> Shapes:
        """Return all candidates as cut at ``mask_threshold``; areas and boxes are known."""
        threshold = generator.mask_threshold
        key = f"cut {threshold}"
        shapes: Shapes | None = self.cache.get(key)
        if shapes is None:
            scored = self.scored(generator)

            def make(index: int) -> tuple[Box, Bits]:
                box = scored.half_open(index)
                return box, scored.bits(index, threshold, box)

            packed = scored.masks
            if packed is not None and packed.mask_threshold != threshold:
                packed = None
            shapes = Shapes(scored, self._shared, key, make, packed)
            shapes.know_all(scored.area, scored.box)
            remember(self.cache, key, shapes)
        return shapes

    def compared(self, generator: GeneratorOptions) -> Shapes:
        """Return all candidates without regions below ``min_mask_region_area``, all known."""
        size, area = self.proposals.image_size, generator.min_mask_region_area
        cut = self.cut(generator)
        if area == 0:
            return cut
        shapes = self._changed(
            cut, f"regions {area}", lambda mask: remove_small_regions(mask, size, area)
        )
        shapes.ensure(range(len(self.proposals)))
        return shapes

    def cleaned(self, generator: GeneratorOptions, labels: LabelOptions) -> Shapes:
        """Return candidates with holes filled and islands removed, as they become known."""
        size, compared = self.proposals.image_size, self.compared(generator)
        if labels.fill_holes < 1 and labels.min_island < 2:
            return compared
        change = f"holes {labels.fill_holes} islands {labels.min_island}"
        return self._changed(compared, change, lambda mask: cleaned(mask, size, labels))

    def overlaps(self, generator: GeneratorOptions, labels: LabelOptions) -> OverlapTable:
        """Return the overlaps of the candidates `compared`, as ``suppression`` measures them."""
        shapes = self.compared(generator)
        key = f"{shapes.key}, overlaps {labels.suppression}"
        overlaps: OverlapTable | None = self.cache.get(key)
        if overlaps is None or overlaps.shapes is not shapes:
            overlaps = OverlapTable(shapes, labels.suppression, self._shared)
            remember(self.cache, key, overlaps)
        return overlaps

    def parents(self, shapes: Shapes, candidates: Indices) -> Indices:
        """Return the position of each candidate's parent in the list, or -1.

        Parameters
        ----------
        shapes
            As `cleaned` returns them.
        candidates
            intp (K,), known in ``shapes`` and none empty.
        """
        key = f"{shapes.key}, hierarchy"
        hierarchy: Hierarchy | None = self.cache.get(key)
        if hierarchy is None or hierarchy.shapes is not shapes:
            hierarchy = Hierarchy(shapes)
        parents = hierarchy.parents(candidates)
        remember(self.cache, key, hierarchy)
        return parents

    def borders(self, shapes: Shapes, levels: Levels) -> Borders:
        """Return outlines and borders of candidates, in shapes that are all known.

        Parameters
        ----------
        shapes
            As `compared` returns them.
        levels
            Gray values of the image that they are of.
        """
        key = f"{shapes.key}, borders"
        borders: Borders | None = self.cache.get(key)
        if borders is None or borders.shapes is not shapes or borders.levels is not levels:
            borders = Borders(shapes, levels)
        # Remembered anew each time, so that what it has learned since is counted.
        remember(self.cache, key, borders)
        return borders

    def _changed(self, parent: Shapes, change: str, apply: Callable[[Mask], Mask]) -> Shapes:
        """Return shapes made of others by a change that its text identifies."""
        key = f"{parent.key}, {change}"
        shapes: Shapes | None = self.cache.get(key)
        if shapes is None:

            def make(index: int) -> tuple[Box, Bits]:
                mask = apply(parent.mask_alone(index))
                return mask.box, mask.bits

            shapes = Shapes(self.proposals, self._shared, key, make)
            remember(self.cache, key, shapes)
        return shapes
