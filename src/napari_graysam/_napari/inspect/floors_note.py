"""What the user can do where a run has not stored every candidate mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from napari_graysam._napari.results.run import LARGEST_STORE, score_floors

if TYPE_CHECKING:
    from napari_graysam.pipeline import ScoreFloors
    from napari_graysam.recipe import Recipe
    from napari_graysam.select.selector import Selector


def floors_of(selector: Selector) -> ScoreFloors:
    """Return the scores below which no candidates were kept; 0 where all were."""
    from napari_graysam.pipeline import ScoreFloors

    record = selector.proposals.record
    return ScoreFloors(record["iou_floor"], record["stability_floor"])


def fewer_points(recipe: Recipe) -> int | None:
    """Return the most points per side of which a run stores every candidate.

    None where it does so as the recipe is, and where no number of points would help: one grid
    of them is not what the recipe has, or the crops alone are too many.
    """
    generator = recipe.generator
    if generator.points_per_side is None or not any(score_floors(recipe)):
        return None
    fewest = generator.crop_n_points_downscale_factor**generator.crop_n_layers
    for points in range(generator.points_per_side - 1, fewest - 1, -1):
        fewer = recipe.replace(generator=generator.replace(points_per_side=points))
        if not any(score_floors(fewer)):
            return points
    return None


class FloorsNote(QWidget):
    """Says that low scores were not stored, and offers as many points as can be stored.

    Attributes
    ----------
    points_wanted
        Emitted with the points per side that the user has asked for.
    """

    points_wanted = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.text = QLabel(wordWrap=True)
        self.button = QPushButton()
        self.button.setToolTip("Change the recipe; the next run stores every mask.")
        self.button.clicked.connect(self._ask)
        self._points: int | None = None
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.text, 1)
        row.addWidget(self.button)
        self.hide()

    def show_result(self, selector: Selector | None, recipe: Recipe) -> None:
        """Say which candidates were not kept, and what of the recipe would have to change."""
        least = None if selector is None else floors_of(selector)
        if least is None or not any(least):
            self.hide()
            return
        self._points = fewer_points(recipe)
        again = not any(score_floors(recipe))
        self.text.setText(_sentence(least, self._points, again=again))
        self.button.setVisible(self._points is not None)
        self.button.setText(f"Use {self._points} points")
        self.show()

    def _ask(self) -> None:
        if self._points is not None:
            self.points_wanted.emit(self._points)


def _sentence(least: ScoreFloors, points: int | None, *, again: bool) -> str:
    """Say what is missing, why, and what to do."""
    text = (
        f"Masks below predicted IoU {least.predicted_iou:.2f} or stability "
        f"{least.stability:.2f} were not stored: with so many points they could fill more than "
        f"{LARGEST_STORE / 2**30:g} GiB. So none can be kept by itself. "
    )
    if again:
        return f"{text}Run again: with the recipe as it is now, all are stored."
    fewer = "fewer points or crops" if points is None else f"at most {points} points per side"
    return f"{text}Relax a threshold, or run again with {fewer}."
