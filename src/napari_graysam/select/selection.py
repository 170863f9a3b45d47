"""One selection with all its steps: who passed, who was dropped, by which filter, by whom."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_graysam.masks import ARMS, Mask, at_level, separate
from napari_graysam.masks.hierarchy import nest, with_parents
from napari_graysam.propose import Proposals
from napari_graysam.propose.arms import candidate_arms
from napari_graysam.recipe import BothArms, GeneratorOptions, LabelOptions
from napari_graysam.select.arms import distinct, passing
from napari_graysam.select.derived import Derived
from napari_graysam.select.filters import check_covers, near_crop_edge
from napari_graysam.select.overlaps import OverlapTable
from napari_graysam.select.pinned import is_pinned
from napari_graysam.select.pins import Edit, displaced_by, edits_of, pin_masks, without_removed
from napari_graysam.select.regrouping.asked import Answers
from napari_graysam.select.regrouping.objects import Regrouping
from napari_graysam.select.regrouping.outline import Levels
from napari_graysam.select.regrouping.regroup import Regrouper
from napari_graysam.select.shapes import Indices, Shapes
from napari_graysam.select.wanted import in_filters, of_size

Flags = npt.NDArray[np.bool_]
_NONE = Answers()


@dataclass(frozen=True, eq=False)
class Survivors:
    """Which candidates pass the generator's filters and are no duplicates.

    Attributes
    ----------
    generator, labels
        What was asked for.
    scored
        The proposals, measured at the wanted cut.
    cut, compared
        Shapes: as cut; with small regions removed, as compared with each other.
    pinned, passed_iou, passed_stability, cut_off
        bool (N,): pinned by the recipe; past the thresholds; dropped at a crop's edge.
    limits
        Thresholds of the predicted IoU, one for each arm, as of `Passed`.
    edits
        What the recipe's pins of this image do.
    displaced
        intp (N,), number of the pin that replaces a candidate; -1 for none.
    overlaps
        By which duplicates are recognised.
    duplicate_of
        intp (2, N), who dropped a candidate within its crop and between crops; -1 for nobody.
    agreed
        intp (N,), what a consensus drops, as of `Distinct`.
    survivors
        intp (K,), candidates that are no duplicates, best first.
    """

    generator: GeneratorOptions
    labels: LabelOptions
    scored: Proposals
    cut: Shapes
    compared: Shapes
    pinned: Flags
    passed_iou: Flags
    passed_stability: Flags
    limits: tuple[float, ...]
    cut_off: Flags
    edits: tuple[Edit, ...]
    displaced: Indices
    overlaps: OverlapTable
    duplicate_of: Indices
    agreed: Indices
    survivors: Indices

    def masks_of(self, candidates: Indices, shapes: Shapes, source: str) -> list[Mask]:
        """Return candidates as masks of some shapes, without parents.

        They name their own arm where there are both, and otherwise the `source`.
        """
        scores = self.scored.stability[candidates].tolist()
        pinned = self.pinned[candidates].tolist()
        arms = candidate_arms(self.scored)
        sources: list[str] = [source] * len(candidates)
        if arms is not None:
            sources = [ARMS[arm] for arm in arms[candidates].tolist()]
        rows = zip(candidates.tolist(), scores, sources, pinned, strict=True)
        return [shapes.mask(*row) for row in rows]

    def limit_of(self, candidate: int) -> float:
        """Return the threshold of the predicted IoU that counts for a candidate."""
        arms = candidate_arms(self.scored)
        return self.limits[0 if arms is None else int(arms[candidate])]


@dataclass(frozen=True, eq=False)
class Selection(Survivors):
    """What became of every candidate.

    Attributes
    ----------
    cleaned
        Shapes of the objects: with holes filled and islands removed.
    sized
        intp (L,), survivors that cleaning, size and border leave.
    nested
        Their masks, then those that pins added, with parent and depth.
    unfiltered
        What the nesting level and, if masks are disjoint, better ones leave.
    raw
        The original image (H, W), which filters on intensities measure; None if not known.
    masks
        The objects: those of them that lie in the range of every filter.
    regroupings
        Merges and splits of survivors, before size and border counted.
    """

    cleaned: Shapes
    sized: Indices
    nested: tuple[Mask, ...]
    unfiltered: tuple[Mask, ...]
    raw: npt.NDArray[Any] | None
    masks: tuple[Mask, ...]
    regroupings: tuple[Regrouping, ...]

    def shapes_of(self, candidate: int) -> Shapes:
        """Return the shapes that a candidate was last seen in: cleaned if it got that far."""
        return self.cleaned if candidate in self.survivors else self.cut

    @cached_property
    def selected(self) -> Indices:
        """The candidates that are objects, intp (M,); label ``i`` is ``selected[i - 1]``.

        Of an object that a pin added, -1.
        """
        return np.array([(mask.candidates or (-1,))[0] for mask in self.masks], np.intp)


def nms_threshold(generator: GeneratorOptions, labels: LabelOptions, between: bool) -> float:
    """Return the overlap beyond which candidates of a crop, or of several, are duplicates."""
    if labels.suppression != "box":
        return labels.suppression_thresh
    return generator.crop_nms_thresh if between else generator.box_nms_thresh


def find_survivors(
    derived: Derived,
    generator: GeneratorOptions,
    labels: LabelOptions,
    image: str | None = None,
    both: BothArms | None = None,
) -> Survivors:
    """Filter candidates as upstream's generator does, then remove duplicates.

    Parameters
    ----------
    derived
        What is known of the candidates.
    generator
        Thresholds no lower than the floors that the proposals were kept above; the grid as
        they were made with.
    labels
        Uses ``suppression``, ``suppression_thresh``, ``keep`` and ``pinned``.
    image
        Whose pins count, as for `edits_of`.
    both
        How candidates of both arms become one selection; nothing to those of one arm.

    Raises
    ------
    ProposalsError
        If the proposals do not hold what is asked for.

    Notes
    -----
    ``min_mask_region_area`` counts image pixels, and regions are cleaned before boxes are
    compared; upstream edits low-resolution logits, and only with its CUDA extension.
    Suppression by masks replaces the one by boxes, within crops and between them.
    """
    check_covers(derived.proposals, generator)
    scored = derived.scored(generator)
    cut, compared = derived.cut(generator), derived.compared(generator)
    pinned = is_pinned(scored, labels.keep)
    passed = passing(scored, generator, both)
    chosen = np.flatnonzero((passed.iou & passed.stability) | pinned)
    at_edge = near_crop_edge(compared.inclusive(chosen), scored.crop_box[chosen], scored.image_size)
    cut_off = np.zeros(len(scored), bool)
    cut_off[chosen] = at_edge & ~pinned[chosen]
    within = nms_threshold(generator, labels, False)
    edits = edits_of(labels, scored.image_size, image)
    chosen = chosen[~cut_off[chosen]]
    displaced = displaced_by(edits, chosen, derived, compared, labels, within)
    overlaps = derived.overlaps(generator, labels)
    left = distinct(
        chosen[displaced[chosen] < 0],
        scored,
        pinned,
        overlaps,
        within,
        nms_threshold(generator, labels, True) if generator.crop_n_layers > 0 else None,
        both,
    )
    return Survivors(
        generator=generator,
        labels=labels,
        scored=scored,
        cut=cut,
        compared=compared,
        pinned=pinned,
        passed_iou=passed.iou,
        passed_stability=passed.stability,
        limits=passed.limits,
        cut_off=cut_off,
        edits=edits,
        displaced=displaced,
        overlaps=overlaps,
        duplicate_of=left.duplicate_of,
        agreed=left.agreed,
        survivors=left.survivors,
    )


def find_objects(
    derived: Derived,
    found: Survivors,
    source: str,
    raw: npt.NDArray[Any] | None = None,
    levels: Levels | None = None,
    answers: Answers = _NONE,
) -> Selection:
    """Clean the survivors, drop those of the wrong size or at the border, nest and filter the rest.

    Parameters
    ----------
    derived
        What is known of the candidates.
    found
        The survivors.
    source
        Written to each mask: ``"raw"`` or ``"preprocessed"``.
    raw
        The original image (H, W), for filters on intensities.
    levels
        Of that image and the model's view, for merging and splitting.
    answers
        What the model drew for pairs of neighbours, for merging.

    Raises
    ------
    ProposalsError
        If a filter asks for intensities and ``raw`` is None, or ``labels.merging`` for these and
        they are None.
    """
    labels, size = found.labels, found.scored.image_size
    cleaned = derived.cleaned(found.generator, labels)
    cleaned.ensure(found.survivors)
    regroupings: tuple[Regrouping, ...] = ()
    if labels.merging.enabled:
        masks, regroupings = Regrouper(derived, found, source, levels, answers).regroup()
        masks = without_removed(masks, found.edits)
    else:
        masks = found.masks_of(found.survivors, cleaned, source)
    masks = of_size(masks, labels, size)
    sized = np.array([mask.candidates[0] for mask in masks], np.intp)
    added = pin_masks(found.edits, source)
    if added or regroupings:
        nested = nest([*masks, *added])
    else:
        nested = with_parents(masks, derived.parents(cleaned, sized))
    chosen = at_level(nested, labels.level)
    objects = separate(chosen) if labels.overlap == "disjoint" else chosen
    return Selection(
        **vars(found),
        cleaned=cleaned,
        sized=sized,
        nested=nested,
        unfiltered=objects,
        raw=raw,
        masks=in_filters(objects, labels, raw),
        regroupings=regroupings,
    )
