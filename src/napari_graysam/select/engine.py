"""Makes choices among candidates, and remembers what the next one can use."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
import torch

from napari_graysam.masks import Mask, at_level, remove_small_regions, separate
from napari_graysam.masks.hierarchy import of_level, with_parents
from napari_graysam.propose import Proposals, rescore
from napari_graysam.recipe import GeneratorOptions, LabelOptions
from napari_graysam.select.clean import cleaned, is_wanted
from napari_graysam.select.filters import (
    check_covers,
    near_crop_edge,
    passes_iou,
    passes_stability,
)
from napari_graysam.select.hierarchy import Hierarchy
from napari_graysam.select.nms import in_upstreams_order
from napari_graysam.select.overlaps import OverlapTable, suppress_known
from napari_graysam.select.pinned import pinned
from napari_graysam.select.plain import Scores, by_crop
from napari_graysam.select.selection import Flags, Selection, threshold_of
from napari_graysam.select.shapes import Bits, Box, Indices, Shapes
from napari_graysam.select.store import Store


class Engine:
    """Makes choices, and remembers what the next one can use.

    Parameters
    ----------
    proposals
        Of one image.
    budget
        Bytes to remember at most.
    """

    def __init__(self, proposals: Proposals, budget: int) -> None:
        self.proposals = proposals
        self._store = Store(budget)

    @property
    def remembered(self) -> int:
        """Bytes in use."""
        return self._store.used

    def choose(self, generator: GeneratorOptions, labels: LabelOptions, source: str) -> Selection:
        """Choose as `select` does; parameters and errors are the same."""
        check_covers(self.proposals, generator)
        scored = self._scored(generator)
        cut = self._cut(scored, generator)
        compared = self._compared(cut, generator)
        stay = pinned(scored, labels.keep)
        passed_iou, passed_stability = (
            passes_iou(scored, generator),
            passes_stability(scored, generator),
        )
        chosen = np.flatnonzero((passed_iou & passed_stability) | stay)
        at_edge = near_crop_edge(
            compared.inclusive(chosen), scored.crop_box[chosen], scored.image_size
        )
        cut_off = np.zeros(len(scored), bool)
        cut_off[chosen] = at_edge & ~stay[chosen]
        chosen = chosen[~cut_off[chosen]]
        pairs = self._pairs(compared, labels)
        duplicate_of = np.full((2, len(scored)), -1, np.intp)
        survivors = self._distinct(chosen, scored, stay, pairs, generator, labels, duplicate_of)
        cleaned = self._cleaned(compared, labels)
        cleaned.ensure(survivors)
        sized, nested = self._nested(survivors, cleaned, scored, stay, labels, source)
        level = of_level(nested, labels.level)
        masks = at_level(nested, labels.level)
        if labels.overlap == "disjoint":
            masks = separate(masks)
        selected = np.array([mask.candidates[0] for mask in masks], np.intp)
        return Selection(
            generator=generator,
            labels=labels,
            scored=scored,
            cut=cut,
            compared=compared,
            cleaned=cleaned,
            pinned=stay,
            passed_iou=passed_iou,
            passed_stability=passed_stability,
            cut_off=cut_off,
            pairs=pairs,
            duplicate_of=duplicate_of,
            survivors=survivors,
            sized=sized,
            nested=nested,
            level=level,
            selected=selected,
            masks=masks,
        )

    def compared(self, generator: GeneratorOptions) -> Shapes:
        """Return all candidates as they are compared with each other, all known."""
        return self._compared(self._cut(self._scored(generator), generator), generator)

    def prepare(
        self, candidates: Indices, generator: GeneratorOptions, labels: LabelOptions
    ) -> None:
        """Compare some candidates with all others, as selections like this one do."""
        compared = self.compared(generator)
        pairs = self._pairs(compared, labels)
        for index in candidates.tolist():
            pairs.learn(index, threshold_of(generator, labels, False))
        cleaned = self._cleaned(compared, labels)
        cleaned.ensure(candidates)
        self._parents(cleaned, candidates[cleaned.area[candidates] > 0])

    def _cut(self, scored: Proposals, generator: GeneratorOptions) -> Shapes:
        """Return all candidates as they are cut."""
        threshold = generator.mask_threshold
        key = ("shapes", threshold)
        found: Shapes | None = self._store.get(key)
        if found is not None:
            return found

        def make(index: int) -> tuple[Box, Bits]:
            box = scored.half_open(index)
            return box, scored.bits(index, threshold, box)

        shapes = Shapes(scored, self._store, key, make)
        shapes.known[:] = True
        shapes.area[:] = scored.area
        shapes.box[:] = scored.box
        shapes.box[:, 2:] = np.where(
            scored.area[:, None] > 0, shapes.box[:, 2:] + 1, shapes.box[:, :2]
        )
        self._store.put(key, shapes, _size(shapes))
        return shapes

    def _compared(self, cut: Shapes, generator: GeneratorOptions) -> Shapes:
        """Return all candidates without small regions, all known."""
        size, area = self.proposals.image_size, generator.min_mask_region_area
        if area == 0:
            return cut
        change = ("regions", area)
        shapes = self._derived(cut, change, lambda mask: remove_small_regions(mask, size, area))
        shapes.ensure(range(len(self.proposals)))
        return shapes

    def _cleaned(self, compared: Shapes, labels: LabelOptions) -> Shapes:
        """Return candidates with holes filled and islands removed, as they become known."""
        size, hole, island = self.proposals.image_size, labels.fill_holes, labels.min_island
        if hole < 1 and island < 2:
            return compared
        return self._derived(
            compared,
            ("cleaned", hole, island),
            lambda mask: cleaned(mask, size, labels),
        )

    def _pairs(self, shapes: Shapes, labels: LabelOptions) -> OverlapTable:
        """Return the overlaps of all candidates."""
        key = (*shapes.key, "pairs", labels.suppression)
        pairs: OverlapTable | None = self._store.get(key)
        if pairs is None or pairs.shapes is not shapes:
            pairs = OverlapTable(shapes, labels.suppression, self._store)
            self._store.put(key, pairs, 32 * len(self.proposals))
        return pairs

    def _parents(self, shapes: Shapes, candidates: Indices) -> Indices:
        """Return the position of each candidate's parent in the list, or -1."""
        key = (*shapes.key, "hierarchy")
        hierarchy: Hierarchy | None = self._store.get(key)
        if hierarchy is None or hierarchy.shapes is not shapes:
            hierarchy = Hierarchy(shapes)
        parents = hierarchy.parents(candidates)
        self._store.put(key, hierarchy, hierarchy.nbytes)
        return parents

    def _derived(
        self, parent: Shapes, change: tuple[Hashable, ...], apply: Callable[[Mask], Mask]
    ) -> Shapes:
        """Return shapes made of others."""
        key = (*parent.key, *change)
        shapes: Shapes | None = self._store.get(key)
        if shapes is None:

            def make(index: int) -> tuple[Box, Bits]:
                mask = apply(parent.mask_alone(index))
                return mask.box, mask.bits

            shapes = Shapes(self.proposals, self._store, key, make)
            self._store.put(key, shapes, _size(shapes))
        return shapes

    def _scored(self, generator: GeneratorOptions) -> Proposals:
        """Do as `rescore`, once for every cut and offset."""
        cut, offset = generator.mask_threshold, generator.stability_score_offset
        made_with = self.proposals.record["generator"]
        same = (made_with["mask_threshold"], made_with["stability_score_offset"]) == (cut, offset)
        if same or self.proposals.record["stability_floor"] > 0:
            return rescore(self.proposals, generator)
        scored: Proposals | None = self._store.get(("scored", cut, offset))
        if scored is None:
            scored = rescore(self.proposals, generator)
            self._store.put(("scored", cut, offset), scored, 40 * len(scored))
        return scored

    def _distinct(
        self,
        chosen: Indices,
        scored: Proposals,
        stay: Flags,
        pairs: OverlapTable,
        generator: GeneratorOptions,
        labels: LabelOptions,
        duplicate_of: Indices,
    ) -> Indices:
        """Remove duplicates, best first, and note whose duplicates they are."""
        device_type = torch.device(scored.record["device"]).type

        def distinct(members: Indices, scores: Scores, between: bool) -> Indices:
            threshold = threshold_of(generator, labels, between)
            by = duplicate_of[int(between)]
            kept = suppress_known(chosen[members], scores, pairs, threshold, by)
            if labels.suppression != "box":
                return kept
            return in_upstreams_order(kept, scores, device_type)

        return chosen[by_crop(scored, chosen, stay, generator.crop_n_layers > 0, distinct)]

    def _nested(
        self,
        survivors: Indices,
        cleaned: Shapes,
        scored: Proposals,
        stay: Flags,
        labels: LabelOptions,
        source: str,
    ) -> tuple[Indices, tuple[Mask, ...]]:
        """Make masks, drop those of the wrong size or at the border, and find parents."""
        large = cleaned.area[survivors] >= np.where(stay[survivors], 1, max(1, labels.min_area))
        possible = survivors[large]
        masks = [
            cleaned.mask(index, stability, source, kept)
            for index, stability, kept in zip(
                possible.tolist(),
                scored.stability[possible].tolist(),
                stay[possible].tolist(),
                strict=True,
            )
        ]
        right = [is_wanted(mask, scored.image_size, labels) for mask in masks]
        sized = possible[np.array(right, bool)]
        parents = self._parents(cleaned, sized)
        wanted = [mask for mask, ok in zip(masks, right, strict=True) if ok]
        return sized, with_parents(wanted, parents)


def _size(shapes: Shapes) -> int:
    return shapes.area.nbytes + shapes.box.nbytes + shapes.known.nbytes
