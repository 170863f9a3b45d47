"""Repeated selection from the same proposals: what a moving slider asks for."""

from __future__ import annotations

from collections.abc import Generator
from threading import RLock
from typing import Any

import numpy as np

from napari_graysam.masks import Mask
from napari_graysam.progress import Progress
from napari_graysam.propose import Proposals
from napari_graysam.recipe import GeneratorOptions, LabelOptions, PinnedMask
from napari_graysam.select.engine import Engine
from napari_graysam.select.explanation import Explanation, explain_at, relax
from napari_graysam.select.pinned import missing_pinned, pinned_mask
from napari_graysam.select.selection import Selection

BUDGET = 2**30
_AT_ONCE = 8
_Asked = tuple[GeneratorOptions, LabelOptions, str]


class Selector:
    """Selects masks among proposals again and again, remembering what does not change.

    Threads may share it: one call at a time works, the others wait.

    Parameters
    ----------
    proposals
        Of one image, kept down to floors below any threshold that will be asked for.
    budget
        Bytes to remember at most, besides the proposals. What does not fit is computed again.
    """

    def __init__(self, proposals: Proposals, budget: int = BUDGET) -> None:
        self.proposals = proposals
        self._engine = Engine(proposals, budget)
        self._lock = RLock()
        self._last: tuple[_Asked, Selection] | None = None

    def select(
        self, generator: GeneratorOptions, labels: LabelOptions, source: str = "raw"
    ) -> tuple[Mask, ...]:
        """Return what `napari_graysam.select.select` returns for the same arguments.

        Raises
        ------
        ProposalsError
            If the proposals do not hold what is asked for.
        """
        return self._choose(generator, labels, source).masks

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
                self._engine.prepare(order[start : start + _AT_ONCE], generator, labels)
        yield Progress("prepare", count, count)

    def explain(
        self, x: int, y: int, generator: GeneratorOptions, labels: LabelOptions
    ) -> list[Explanation]:
        """Tell what became of every candidate that covers a pixel.

        Parameters
        ----------
        x, y
            Column and row of the pixel.
        generator, labels
            As of a selection.

        Returns
        -------
        list of Explanation
            The object seen there first, then other objects, then what was dropped; each by
            predicted IoU. Empty outside the image and where no candidate lies.
        """
        with self._lock:
            selection = self._choose(generator, labels, self._source)
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

        def choose(generator: GeneratorOptions, labels: LabelOptions) -> Selection:
            return self._engine.choose(generator, labels, self._source)

        with self._lock:
            return relax(choose, candidate, generator, labels)

    def pinned_mask(self, candidate: int) -> PinnedMask:
        """Return the entry of ``labels.keep`` that keeps a candidate.

        Raises
        ------
        ProposalsError
            If the proposals were made with floors.
        """
        return pinned_mask(self.proposals, candidate)

    def missing_pinned(self, labels: LabelOptions) -> tuple[PinnedMask, ...]:
        """List the entries of ``labels.keep`` that are not among the candidates."""
        return missing_pinned(self.proposals, labels.keep)

    @property
    def remembered(self) -> int:
        """Bytes in use, besides the proposals."""
        return self._engine.remembered

    @property
    def _source(self) -> str:
        """The arm that the last selection named."""
        return "raw" if self._last is None else self._last[0][2]

    def _choose(self, generator: GeneratorOptions, labels: LabelOptions, source: str) -> Selection:
        key = (generator, labels, source)
        with self._lock:
            if self._last is None or self._last[0] != key:
                self._last = key, self._engine.choose(generator, labels, source)
            return self._last[1]

    def _mask_of(self, selection: Selection, candidate: int) -> Mask:
        """Return a candidate as an object would show it."""
        with self._lock:
            stability = float(selection.scored.stability[candidate])
            shapes = selection.cleaned if candidate in selection.survivors else selection.cut
            return shapes.mask(
                candidate, stability, self._source, bool(selection.pinned[candidate])
            )
