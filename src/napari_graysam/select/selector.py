"""Selection of objects among candidates, again and again: what a moving slider asks for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from threading import RLock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Mask
from napari_graysam.progress import Progress
from napari_graysam.propose import Proposals
from napari_graysam.recipe import BothArms, GeneratorOptions, LabelOptions, Pin, PinnedMask
from napari_graysam.select.derived import Derived
from napari_graysam.select.explanation import Explanation, explain_at
from napari_graysam.select.measured import values_of
from napari_graysam.select.pinned import missing_pinned, pinned_mask
from napari_graysam.select.pins import is_of
from napari_graysam.select.regrouping.asked import Answers
from napari_graysam.select.regrouping.objects import Regrouping
from napari_graysam.select.regrouping.outline import Levels
from napari_graysam.select.regrouping.regroup import Regrouper
from napari_graysam.select.relax import relax
from napari_graysam.select.selection import (
    Selection,
    Survivors,
    find_objects,
    find_survivors,
    nms_threshold,
)
from napari_graysam.select.shapes import Indices
from napari_graysam.select.wanted import wanted_later

BUDGET = 2**30
_AT_ONCE = 8
T = TypeVar("T")
_Asked = tuple[GeneratorOptions, LabelOptions, str, BothArms | None]
_OF_SURVIVORS = ("suppression", "suppression_thresh", "keep", "pinned")
"""What `find_survivors` uses of the labels."""


class Selector:
    """Selects objects among candidates, and remembers what the next selection can use.

    Threads may share it: one call at a time works, the others wait.

    Parameters
    ----------
    proposals
        Of one image, kept down to floors below any threshold that will be asked for.
    budget
        Bytes to remember at most, besides the proposals. What does not fit is computed again.
    image
        `napari_graysam.fingerprint.array_digest` of the image's gray values, whose pinned
        objects count; None lets those of any image of this size count.
    raw
        The original image (H, W), for filters on intensities and for edges between objects.
    views
        uint8 (H, W, 3) each, what the model saw: merging and splitting look at their edges, too.

    Attributes
    ----------
    answers
        What the model drew for pairs of neighbours when it was asked, for merging.

    See Also
    --------
    select : Selects once.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, run
    >>> from napari_graysam.pipeline import ScoreFloors, propose
    >>> from napari_graysam.select import Selector
    >>> recipe = Recipe().with_values({"generator.points_per_side": 4})
    >>> view = np.zeros((64, 64, 3), np.uint8)
    >>> y, x = np.ogrid[:64, :64]
    >>> view[(y - 24) ** 2 + (x - 24) ** 2 < 81] = 200
    >>> selector = Selector(run(propose(view, recipe, score_floors=ScoreFloors(0, 0))))
    >>> strict = recipe.generator.replace(pred_iou_thresh=1.0)
    >>> selector.select(strict, recipe.labels)
    ()
    >>> (why, *_) = selector.explain(24, 24, strict, recipe.labels)
    >>> why.reason
    'predicted_iou'
    >>> changes = selector.relax(why.candidate, strict, recipe.labels)
    >>> "generator.pred_iou_thresh" in changes
    True
    """

    def __init__(
        self,
        proposals: Proposals,
        budget: int = BUDGET,
        *,
        image: str | None = None,
        raw: NDArray[Any] | None = None,
        views: Sequence[NDArray[np.uint8]] = (),
    ) -> None:
        self.proposals = proposals
        self.image, self._raw = image, raw
        self._levels = None if raw is None else Levels(raw, *views)
        self._derived = Derived(proposals, budget)
        self.answers = Answers()
        self._lock = RLock()
        self._last: tuple[_Asked, Selection] | None = None
        self._as_before: tuple[str, BothArms | None] = "raw", None
        self._survived: tuple[Any, Survivors] | None = None

    def select(
        self,
        generator: GeneratorOptions,
        labels: LabelOptions,
        source: str = "raw",
        both: BothArms | None = None,
    ) -> tuple[Mask, ...]:
        """Return the objects; parameters, order and errors are those of `select`.

        Candidates of both arms, as `join_arms` gives them, name their own arm; ``both`` says how
        they become one selection: None joins them.
        """
        return self.selection(generator, labels, source, both).masks

    def selection(
        self,
        generator: GeneratorOptions,
        labels: LabelOptions,
        source: str = "raw",
        both: BothArms | None = None,
    ) -> Selection:
        """Return what became of every candidate; parameters and errors as of `select`."""
        key = (generator, labels, source, both)
        with self._lock:
            if self._last is None or self._last[0] != key:
                self._last = key, self._select(*key)
            self._as_before = source, both
            return self._last[1]

    def learn(self, answers: Answers) -> None:
        """Take answers of the model about neighbours into account from now on."""
        with self._lock:
            self.answers = self.answers | answers
            self._last = None

    def wanted(self, masks: Sequence[Mask], labels: LabelOptions) -> tuple[Mask, ...]:
        """Return those of masks that came later that the labels want, as `wanted_later`."""
        return wanted_later(masks, labels, self.proposals.image_size, self._raw, self.image)

    def with_regrouper(
        self,
        act: Callable[[Regrouper], T],
        generator: GeneratorOptions,
        labels: LabelOptions,
        source: str = "raw",
        both: BothArms | None = None,
    ) -> T:
        """Return what is done with what merges and splits the survivors of a selection.

        Parameters
        ----------
        act
            Called with the `Regrouper`; no other thread selects meanwhile.
        generator, labels, source, both
            As of the selection.

        Raises
        ------
        ProposalsError
            As `Regrouper`.
        """
        with self._lock:
            found = self._survivors(generator, labels, both)
            return act(Regrouper(self._derived, found, source, self._levels, self.answers))

    def survivors(
        self,
        generator: GeneratorOptions,
        labels: LabelOptions | None = None,
        source: str = "raw",
    ) -> tuple[Mask, ...]:
        """Return the masks that pass every filter and are no duplicates, as they are.

        With the default ``labels`` these are upstream's masks in upstream's order, empty ones
        included. Parameters and errors as of `select`.
        """
        with self._lock:
            found = find_survivors(self._derived, generator, labels or LabelOptions(), self.image)
            return tuple(found.masks_of(found.survivors, found.compared, source))

    def prepare(
        self, generator: GeneratorOptions, labels: LabelOptions
    ) -> Generator[Progress, None, None]:
        """Do ahead what selections with other thresholds will need, for the surest masks first.

        Parameters
        ----------
        generator, labels
            As of the last selection.

        Yields
        ------
        Progress
            "prepare", a few candidates at a time; other threads may select in between.
            Closing the generator there cancels.
        """
        count = len(self.proposals)
        order = np.argsort(-self.proposals.predicted_iou, kind="stable")
        for start in range(0, count, _AT_ONCE):
            yield Progress("prepare", start, count)
            with self._lock:
                self._prepare(order[start : start + _AT_ONCE], generator, labels)
        yield Progress("prepare", count, count)

    def explain(
        self,
        x: int,
        y: int,
        generator: GeneratorOptions,
        labels: LabelOptions,
        masks: Sequence[Mask] | None = None,
        regroupings: Sequence[Regrouping] = (),
    ) -> list[Explanation]:
        """Explain what became of every candidate that covers a pixel.

        Parameters
        ----------
        x, y
            Column and row of the pixel.
        generator, labels
            As of a selection.
        masks, regroupings
            What became of the selection later, as a second look does: labels are then those of
            these masks.

        Returns
        -------
        list of Explanation
            The object seen there first, then other objects, then what was dropped; each by
            predicted IoU. Empty outside the image and where no candidate lies.
        """
        with self._lock:
            selection = self.selection(generator, labels, *self._as_before)
            if masks is not None:
                selection = replace(selection, masks=tuple(masks), regroupings=tuple(regroupings))
            return explain_at(selection, x, y, self._mask_of)

    def relax(
        self, candidate: int, generator: GeneratorOptions, labels: LabelOptions
    ) -> dict[str, Any] | None:
        """Find the values that make a candidate an object, filter after filter.

        Returns
        -------
        dict or None
            Values by dotted path, for `Recipe.with_values`; empty for an object, None where
            no value of a filter would do.
        """

        def reselect(generator: GeneratorOptions, labels: LabelOptions) -> Selection:
            return self._select(generator, labels, *self._as_before)

        with self._lock:
            return relax(reselect, candidate, generator, labels)

    def column_range(
        self, column: str, generator: GeneratorOptions, labels: LabelOptions
    ) -> tuple[float, float] | None:
        """Return the smallest and the largest value of a column among the objects.

        Filters do not count. None where there are no objects, or none can be measured.

        Parameters
        ----------
        column
            A name that `ColumnFilter` knows.
        generator, labels
            As of a selection.
        """
        with self._lock:
            unfiltered = labels.replace(filters=())
            objects = self._select(generator, unfiltered, *self._as_before).masks
        values = values_of(objects, column, self._raw)
        known = values[np.isfinite(values)]
        return (float(known.min()), float(known.max())) if known.size else None

    def pinned_mask(self, candidate: int) -> PinnedMask:
        """Return the entry of ``labels.keep`` that pins a candidate.

        Raises
        ------
        ProposalsError
            If the proposals were made with floors.
        """
        return pinned_mask(self.proposals, candidate)

    def missing_pinned(self, labels: LabelOptions) -> tuple[PinnedMask, ...]:
        """List the entries of ``labels.keep`` that are not among the candidates."""
        return missing_pinned(self.proposals, labels.keep)

    def foreign_pins(self, labels: LabelOptions) -> tuple[Pin, ...]:
        """List the entries of ``labels.pinned`` that belong to other images."""
        size = self.proposals.image_size
        return tuple(pin for pin in labels.pinned if not is_of(pin, size, self.image))

    @property
    def nbytes(self) -> int:
        """Bytes in use, besides the proposals."""
        return int(self._derived.cache.currsize) + self.answers.nbytes

    def _select(
        self,
        generator: GeneratorOptions,
        labels: LabelOptions,
        source: str,
        both: BothArms | None,
    ) -> Selection:
        found = self._survivors(generator, labels, both)
        return find_objects(self._derived, found, source, self._raw, self._levels, self.answers)

    def _survivors(
        self, generator: GeneratorOptions, labels: LabelOptions, both: BothArms | None
    ) -> Survivors:
        """Return the last survivors again where only what comes after them differs."""
        key = (generator, both, *(getattr(labels, name) for name in _OF_SURVIVORS))
        if self._survived is None or self._survived[0] != key:
            found = find_survivors(self._derived, generator, labels, self.image, both)
            self._survived = key, found
        return replace(self._survived[1], labels=labels)

    def _prepare(
        self, candidates: Indices, generator: GeneratorOptions, labels: LabelOptions
    ) -> None:
        """Compare some candidates with all others, as selections like this one do."""
        overlaps = self._derived.overlaps(generator, labels)
        for index in candidates.tolist():
            overlaps.learn(index, nms_threshold(generator, labels, False))
        cleaned = self._derived.cleaned(generator, labels)
        cleaned.ensure(candidates)
        self._derived.parents(cleaned, candidates[cleaned.area[candidates] > 0])

    def _mask_of(self, selection: Selection, candidate: int) -> Mask:
        """Return a candidate as an object would show it."""
        with self._lock:
            shapes = selection.shapes_of(candidate)
            (mask,) = selection.masks_of(np.array([candidate]), shapes, self._as_before[0])
            return mask
