"""Comparing two label images that need not fit into memory, in the background."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from napari_graysam._napari.compare.compute import Answer, Failure, Outcome, Request, same
from napari_graysam._napari.compare.levels import Levels
from napari_graysam.comparison import ARMS, Arm
from napari_graysam.comparison.blocks import LabelSums, compare_sums, sum_blocks
from napari_graysam.comparison.objects import BOX
from napari_graysam.comparison.painted import ChangePainter
from napari_graysam.errors import GraysamError
from napari_graysam.limits import reading
from napari_graysam.masks import Mask
from napari_graysam.progress import Progress

MOST_OUTLINED = 2**25
"""Pixels in the box around a change, times its objects, up to which it is outlined."""


@dataclass(frozen=True, eq=False)
class WholeOutcome(Outcome):
    """A comparison of which no plane is in memory; what is looked at is read.

    Attributes
    ----------
    levels
        What was compared.
    sums
        What was read of it, from which other rules compare without reading again.
    """

    levels: Levels
    sums: LabelSums

    @cached_property
    def painter(self) -> ChangePainter:
        """Paints the difference of any part."""
        return ChangePainter(self.comparison.events, self.comparison.objects)

    def is_still(self, request: Request) -> bool:
        """Whether the request would give this again."""
        tables = zip(request.tables, self.tables, strict=True)
        return (
            request.rules == self.comparison.rules
            and request.pixel_size == self.comparison.pixel_size
            and all(same(one, other) for one, other in tables)
        )

    def code_at(self, x: int, y: int) -> int:
        """Return the code of the class that is seen at a pixel."""
        raw, preprocessed = (np.array([[self.label_at(arm, x, y)]]) for arm in ARMS)
        return int(self.painter.paint(raw, preprocessed)[0, 0])

    def hides(self, arm: Arm, label: int) -> bool:
        """Return False: only objects of which something is seen are compared."""
        return False

    def outlined(self, labels: Mapping[Arm, Sequence[int]]) -> dict[Arm, list[Mask]] | None:
        """Return the objects of a change; None where they are too large to be read at once."""
        objects = self.comparison.objects
        rows = [
            objects[(objects["arm"] == arm) & objects["index"].isin(labels[arm])] for arm in labels
        ]
        boxes = np.concatenate([one[list(BOX)].to_numpy(np.int64) for one in rows])
        width, height = boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0)
        if len(boxes) * int(width) * int(height) > MOST_OUTLINED:
            return None
        return self.masks_of(labels)


def compare_whole(request: Request) -> Generator[Answer, None, None]:
    """Compare block by block; yield progress, and then the one answer."""
    import matplotlib.figure  # noqa: F401 - for the plots

    assert request.levels is not None
    previous = request.previous
    known = previous if isinstance(previous, WholeOutcome) else None
    if known is not None and known.levels.key != request.levels.key:
        known = None
    if known is not None and known.is_still(request):
        yield Answer(request.number, known)
        return
    try:
        sums = (yield from _read(request)) if known is None else known.sums
        comparison = compare_sums(sums, request.tables, request.rules, request.pixel_size)
    except GraysamError as error:
        yield Answer(request.number, Failure(str(error)))
        return
    labels: Mapping[Arm, Any] = request.levels.arms[0]
    outcome = WholeOutcome(
        comparison, dict(labels), None, request.tables, None, sums.scores, request.levels, sums
    )
    yield Answer(request.number, outcome)


def _read(request: Request) -> Generator[Answer, None, LabelSums]:
    levels = request.levels
    assert levels is not None
    fine = levels.arms[0]
    steps = sum_blocks(fine["raw"], fine["preprocessed"], levels.truth)
    with reading("A layer", "labels that can be read", advice="Segment again, or open it again."):
        while True:
            try:
                step: Progress = next(steps)
            except StopIteration as stop:
                sums: LabelSums = stop.value
                return sums
            yield Answer(request.number, step)
