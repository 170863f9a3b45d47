"""The columns of the table of changes: what they are called, show and mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from napari_graysam.comparison import Arm

_LARGE = 1000
"""Areas from which on only whole ones are written."""


def _number(pattern: str) -> Callable[[Any], str]:
    return lambda value: "" if np.isnan(value) else pattern.format(value).replace("-", "−")


def _area(sign: str = "") -> Callable[[Any], str]:
    """Write whole areas and large ones as such, others with four digits."""

    def write(value: Any) -> str:
        whole = abs(value) >= _LARGE or value == round(value)
        return f"{value:{sign}{',.0f' if whole else '.4g'}}".replace("-", "−")

    return lambda value: "" if np.isnan(value) else write(value)


def _labels(labels: tuple[int, ...]) -> str:
    return " ".join(map(str, labels)) or "–"


class Column(NamedTuple):
    """A column: its header, the comparison's column, what it means and how it is written.

    ``{raw}`` and ``{preprocessed}`` stand for what the arms are called, ``{unit}`` for µm² where
    pixels have a size; the values are then those of ``physical``.
    """

    header: str
    name: str
    tip: str
    write: Callable[[Any], str] = str
    right: bool = True
    physical: str = ""

    def source(self, physical: bool) -> str:
        """Return the comparison's column that is shown."""
        return self.physical if physical and self.physical else self.name

    def title(self, names: Mapping[Arm, str], physical: bool) -> str:
        """Return the header, with what the arms are called."""
        short = {arm: _SHORT.get(name, name) for arm, name in names.items()}
        text = self.header.format(**short, unit=self._unit(physical))
        return text[:1].upper() + text[1:]

    def explanation(self, physical: bool) -> str:
        """Return what the column means."""
        return self.tip.format(unit=self._unit(physical))

    def _unit(self, physical: bool) -> str:
        return "µm²" if physical and self.physical else "px²"


_DELTA = "Area in the second layer minus that in the first, in {unit}"
_FIRST, _SECOND = "Area in the first layer, in {unit}", "Area in the second layer, in {unit}"
_AREAS = (
    Column("Δ {unit}", "delta_area", _DELTA, _area("+"), physical="delta_area_um2"),
    Column("{raw} {unit}", "area_raw", _FIRST, _area(), physical="area_raw_um2"),
    Column(
        "{preprocessed} {unit}",
        "area_preprocessed",
        _SECOND,
        _area(),
        physical="area_preprocessed_um2",
    ),
)
COLUMNS = (
    Column("Change", "change", "What became of the objects", right=False),
    Column("{raw}", "raw", "Labels of the objects in the first layer", _labels),
    Column("{preprocessed}", "preprocessed", "Labels in the second layer", _labels),
    Column("IoU", "iou", "Overlap (IoU) of the pair, or of one with its parts", _number("{:.2f}")),
    _AREAS[0],
    Column(
        "Δ score",
        "delta_predicted_iou",
        "Predicted IoU in the second layer minus that in the first",
        _number("{:+.2f}"),
    ),
    Column(
        "Δ stability",
        "delta_stability",
        "Stability score in the second layer minus that in the first",
        _number("{:+.2f}"),
    ),
    *_AREAS[1:],
    Column(
        "Merged, split",
        "regrouped",
        "Objects that fragments were merged to, or parts of a mask that was split, and the "
        "evidence from 0 to 1 (One object, one mask); or that a pin keeps apart or whole",
        right=False,
    ),
    *(column._replace(physical="") for column in _AREAS),
)
IN_PIXELS = range(len(COLUMNS) - len(_AREAS), len(COLUMNS))
"""Columns that repeat areas in µm² in px²."""
_SHORT = {"preprocessed": "prep."}
"""Names of arms that are too long for a header."""
