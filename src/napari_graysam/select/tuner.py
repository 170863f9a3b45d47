"""Repeated selection from the same proposals: what a moving slider asks for."""

from __future__ import annotations

from collections.abc import Generator
from threading import RLock
from typing import Any

import numpy as np

from napari_graysam.masks.mask import Mask
from napari_graysam.progress import Progress
from napari_graysam.propose import Proposals
from napari_graysam.recipe import GeneratorOptions, KeptMask, LabelOptions
from napari_graysam.select.choice import Choice
from napari_graysam.select.chooser import Chooser
from napari_graysam.select.kept import name_of, unknown
from napari_graysam.select.verdicts import Verdict, loosening, verdicts_at

BUDGET = 2**30
_AT_ONCE = 8
_Asked = tuple[GeneratorOptions, LabelOptions, str]


class Tuner:
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
        self._chooser = Chooser(proposals, budget)
        self._lock = RLock()
        self._last: tuple[_Asked, Choice] | None = None

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
                self._chooser.prepare(order[start : start + _AT_ONCE], generator, labels)
        yield Progress("prepare", count, count)

    def candidates_at(
        self, x: int, y: int, generator: GeneratorOptions, labels: LabelOptions
    ) -> list[Verdict]:
        """Tell what became of every candidate that covers a pixel.

        Parameters
        ----------
        x, y
            Column and row of the pixel.
        generator, labels
            As of a selection.

        Returns
        -------
        list of Verdict
            The object seen there first, then other objects, then what was dropped; each by
            predicted IoU. Empty outside the image and where no candidate lies.
        """
        with self._lock:
            choice = self._choose(generator, labels, self._source)
            return verdicts_at(choice, x, y, self._mask_of)

    def loosening(
        self, candidate: int, generator: GeneratorOptions, labels: LabelOptions
    ) -> dict[str, Any] | None:
        """Find the values that make a candidate an object, filter after filter.

        Returns
        -------
        dict or None
            Values by dotted path, for `Recipe.with_values`; empty for an object, None where
            no value of a filter would do.
        """

        def choose(generator: GeneratorOptions, labels: LabelOptions) -> Choice:
            return self._chooser.choose(generator, labels, self._source)

        with self._lock:
            return loosening(choose, candidate, generator, labels)

    def name_of(self, candidate: int) -> KeptMask:
        """Return the entry of ``labels.keep`` that keeps a candidate.

        Raises
        ------
        ProposalsError
            If the proposals were made with floors.
        """
        return name_of(self.proposals, candidate)

    def unknown(self, labels: LabelOptions) -> tuple[KeptMask, ...]:
        """List the entries of ``labels.keep`` that are not among the candidates."""
        return unknown(self.proposals, labels.keep)

    @property
    def remembered(self) -> int:
        """Bytes in use, besides the proposals."""
        return self._chooser.remembered

    @property
    def _source(self) -> str:
        """The arm that the last selection named."""
        return "raw" if self._last is None else self._last[0][2]

    def _choose(self, generator: GeneratorOptions, labels: LabelOptions, source: str) -> Choice:
        key = (generator, labels, source)
        with self._lock:
            if self._last is None or self._last[0] != key:
                self._last = key, self._chooser.choose(generator, labels, source)
            return self._last[1]

    def _mask_of(self, choice: Choice, candidate: int) -> Mask:
        """Return a candidate as an object would show it."""
        with self._lock:
            stability = float(choice.scored.stability[candidate])
            shapes = choice.cleaned if candidate in choice.survivors else choice.cut
            return shapes.mask(candidate, stability, self._source, bool(choice.forced[candidate]))
