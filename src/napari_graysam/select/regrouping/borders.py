"""Outlines and common borders of masks, measured once."""

from __future__ import annotations

from collections.abc import Callable

from napari_graysam.masks import Mask
from napari_graysam.select.regrouping.evidence import Border, common_border
from napari_graysam.select.regrouping.outline import Levels, Outline, trace
from napari_graysam.select.regrouping.wholes import Shares
from napari_graysam.select.shapes import Shapes

Draw = Callable[[int], Mask | None]


class Borders:
    """What merging and splitting need to know again and again.

    Parameters
    ----------
    shapes
        Of all candidates, areas and boxes known.
    levels
        Gray values of the images.

    Attributes
    ----------
    shares
        Pixels that candidates have in common.
    """

    def __init__(self, shapes: Shapes, levels: Levels) -> None:
        self.shapes, self.levels = shapes, levels
        self.shares = Shares(shapes)
        self._outlines: dict[int, Outline] = {}
        self._borders: dict[tuple[int, int], Border | None] = {}

    @property
    def nbytes(self) -> int:
        """Memory that outlines, borders and counts take, about."""
        outlines = sum(one.nbytes for one in self._outlines.values())
        return outlines + self.shares.nbytes + 300 * len(self._borders)

    def between(self, one: Mask, other: Mask) -> Border | None:
        """Return the common border of two masks; None where they are no neighbours."""
        first, second = self._outline(one), self._outline(other)
        key = (id(first), id(second)) if id(first) < id(second) else (id(second), id(first))
        if key not in self._borders:
            self._borders[key] = common_border(first, second)
        return self._borders[key]

    def _outline(self, mask: Mask) -> Outline:
        # An outline holds its mask, so that no other one can get its id.
        outline = self._outlines.get(id(mask.bits))
        if outline is None:
            outline = self._outlines[id(mask.bits)] = trace(mask, self.levels)
        return outline
