"""The tool that answers "Why is this unmasked?": what became of every candidate at a pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_graysam._napari.canvas.candidate import CandidateLayer
from napari_graysam._napari.inspect.answers import (
    Answer,
    Relaxed,
    explain,
    read_mask,
    relax,
    relax_tip,
    summary,
)
from napari_graysam._napari.inspect.floors_note import FloorsNote, floors_of
from napari_graysam._napari.inspect.table import ExplanationTable
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.results.combined import SHOWN
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.comparison import ARMS
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.select.explanation import Explanation
    from napari_graysam.select.selector import Selector

CLICK = "Click a place in the image to see every candidate mask that covers it."
RUN_FIRST = "There is no result to ask yet: segment the image first, then click a place in it."

KEEP = "Add this mask to the result whatever the thresholds say; the recipe remembers it."
NOT_STORED = "This run has not stored every mask, so none can be kept by itself."
JITTER = 3
"""Canvas pixels that the mouse may move between press and release of a click."""


class Inspector(QWidget):
    """Lists the candidates under a clicked pixel, while it is active.

    Parameters
    ----------
    state
        Its results are asked, its recipe is changed.
    placement
        Returns where the result of an arm lies; None where there is none.
    """

    def __init__(self, state: PanelState, placement: Callable[[Shown], Placement | None]) -> None:
        super().__init__()
        self._state = state
        self._placement = placement
        self._candidate = CandidateLayer(state.viewer)
        self._active = False
        self._pixel: tuple[int, int] | None = None
        self._picked = ""
        self.arm = QComboBox()
        self.arm.setToolTip("Whose candidates are listed")
        self.text = QLabel(wordWrap=True)
        self.table = ExplanationTable()
        self.floors = FloorsNote()
        self.keep = QPushButton("Keep this one")
        self._asking = LatestRequest(self._show_answer, on_error=self._on_error)
        self._drawing = LatestRequest(lambda drawn: self._candidate.show(*drawn))
        self._relaxing = LatestRequest(self._apply_relaxed)
        self.relax = QPushButton("Relax the threshold")
        self._lay_out()
        self._connect()
        self._list_arms()
        self._show_buttons(None)
        self.hide()

    def _lay_out(self) -> None:
        bottom = QHBoxLayout()
        for widget in (self.arm, self.keep, self.relax):
            bottom.addWidget(widget)
        column = QVBoxLayout(self, spacing=4)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.text)
        column.addWidget(self.table)
        column.addWidget(self.floors)
        column.addLayout(bottom)

    def _connect(self) -> None:
        self.arm.activated.connect(self._on_arm)
        self.table.highlighted.connect(self._draw)
        self.table.chosen.connect(self._show_buttons)
        self.keep.clicked.connect(self._keep)
        self.relax.clicked.connect(self._relax)
        self.floors.points_wanted.connect(self._use_points)
        self._state.subject_changed.connect(self._on_subject)
        self._state.result_changed.connect(self._on_result)
        self._state.recipe_changed.connect(self._note)

    @property
    def active(self) -> bool:
        """Whether clicks in the image are answered; switching it off removes what was drawn."""
        return self._active

    @active.setter
    def active(self, active: bool) -> None:
        if active == self._active:
            return
        self._active = active
        callbacks = self._state.viewer.mouse_drag_callbacks
        if active:
            callbacks.append(self._on_press)
            self._list_arms()
            self._clear(CLICK if self._state.results else RUN_FIRST)
        else:
            callbacks.remove(self._on_press)
            self._pixel = None
            for worker in (self._asking, self._drawing, self._relaxing):
                worker.cancel()
            self.table.show_explanations(())
            self._candidate.remove()
        self.setVisible(active)

    def close_tool(self) -> None:
        """Stop for good."""
        self.active = False
        self._state.subject_changed.disconnect(self._on_subject)
        self._state.result_changed.disconnect(self._on_result)
        self._state.recipe_changed.disconnect(self._note)

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        """Answer a click; a drag moves the image as ever."""
        position, start = event.position, np.asarray(event.pos)
        yield
        while event.type == "mouse_move":
            if np.abs(np.asarray(event.pos) - start).max() > JITTER:
                return
            yield
        if event.button == 1 and not event.modifiers:
            self.ask(position)

    def ask(self, position: Sequence[float]) -> None:
        """List the candidates under a place in the world."""
        arm = self._chosen_arm()
        placement = None if arm is None else self._placement(arm)
        if placement is None:
            self._clear(RUN_FIRST)
            return
        pixel = placement.pixel_at(position, self._state.viewer.layers.units)
        if pixel is None:
            self._clear("This place is outside of the segmented image.")
            return
        self._pixel = pixel
        self._ask_again()

    def _ask_again(self) -> None:
        arm = self._chosen_arm()
        if arm is None or self._pixel is None:
            return
        result, selector = self._state.results[arm], self._state.selectors.get(arm)
        if selector is None:
            self._clear("This result kept no candidates: segment again, then click.")
            return
        self._asking.submit(partial(explain, selector, self._pixel, result))

    def _show_answer(self, answer: Answer) -> None:
        """List the candidates at a pixel, unless another place or arm is asked by now."""
        selector = self._state.selectors.get(self._chosen_arm() or ARMS[0])
        if answer.pixel != self._pixel or answer.selector is not selector:
            return
        self._candidate.hide()
        self.text.setText(summary(*answer.pixel, answer.explanations))
        self.table.show_explanations(answer.explanations)
        self._note()

    def _on_error(self, error: Exception) -> None:
        if not isinstance(error, GraysamError):
            raise error
        self._clear(str(error))

    def _clear(self, text: str) -> None:
        """Say something in place of candidates."""
        self._pixel = None
        self._asking.cancel()
        self._candidate.hide()
        self.table.show_explanations(())
        self.text.setText(text)
        self._note()

    def _note(self, *_: object) -> None:
        """Say what the asked result has not stored, while its candidates are listed."""
        arm = None if self._pixel is None else self._chosen_arm()
        selector = None if arm is None else self._state.selectors.get(arm)
        self.floors.show_result(selector, self._state.recipe)

    def _use_points(self, points: int) -> None:
        self._state.change({"generator.points_per_side": points})

    def _chosen_arm(self) -> Shown | None:
        return next((arm for arm in SHOWN if arm == self.arm.currentText()), None)

    def _on_arm(self) -> None:
        self._picked = self.arm.currentText()
        self._ask_again()

    def _list_arms(self) -> None:
        """Offer the arms that have results; the preprocessed one unless the user picked."""
        arms = [arm for arm in SHOWN if arm in self._state.results]
        self.arm.clear()
        self.arm.addItems(arms[::-1])
        self.arm.setCurrentText(self._picked)
        self.arm.setVisible(len(arms) > 1)

    def _on_subject(self) -> None:
        """Ask nothing of what is no longer shown."""
        self._list_arms()
        if self._active:
            self._clear(CLICK if self._state.results else RUN_FIRST)

    def _on_result(self, arm: str) -> None:
        first = self.arm.count() == 0
        self._list_arms()
        if not self._active:
            return
        if self._chosen_arm() is None:
            self._clear(RUN_FIRST)
        elif first:
            self._clear(CLICK)
        elif arm == self._chosen_arm():
            self._ask_again()

    def _draw(self, explanation: Explanation | None) -> None:
        arm = self._chosen_arm()
        placement = None if arm is None else self._placement(arm)
        if explanation is None or placement is None:
            self._drawing.cancel()
            self._candidate.hide()
        else:
            self._drawing.submit(partial(read_mask, explanation, placement))

    def _show_buttons(self, explanation: Explanation | None) -> None:
        kept = explanation is not None and explanation.pinned
        self.keep.setText("Keep no longer" if kept else "Keep this one")
        possible = explanation is not None and (kept or explanation.label is None)
        if explanation is not None and explanation.reason == "pinned":
            possible = False  # Pins win over kept masks: undo the pin instead.
        self.keep.setEnabled(possible and self._all_stored)
        self.keep.setToolTip(KEEP if self._all_stored else NOT_STORED)
        self.relax.setEnabled(explanation is not None and explanation.parameter is not None)
        self.relax.setToolTip(relax_tip(explanation))

    @property
    def _all_stored(self) -> bool:
        """Whether the asked result holds every candidate, so that any can be named."""
        selector = self._state.selectors.get(self._chosen_arm() or ARMS[0])
        return selector is not None and not any(floors_of(selector))

    def _keep(self) -> None:
        """Name the chosen candidate in the recipe, so that no filter drops it; or no longer."""
        found = self._chosen()
        if found is None:
            return
        explanation, selector = found
        name = selector.pinned_mask(explanation.candidate)
        recipe = self._state.recipe
        kept = tuple(one for one in recipe.labels.keep if one != name)
        if not explanation.pinned:
            kept = (*kept, name)
        self._state.recipe = recipe.replace(labels=recipe.labels.replace(keep=kept))

    def _relax(self) -> None:
        """Change what dropped the chosen candidate, or its piece here, by as little as needed."""
        found = self._chosen()
        if found is None:
            return
        explanation, selector = found
        if explanation.label is None:
            recipe = self._state.recipe
            self._relaxing.submit(partial(relax, selector, explanation.candidate, recipe))
        else:
            self._state.change({str(explanation.parameter): explanation.relaxed})

    def _apply_relaxed(self, relaxed: Relaxed) -> None:
        """Take the values that were found, unless the recipe has changed meanwhile."""
        if relaxed.recipe != self._state.recipe:
            return
        if relaxed.values is None:
            way_out = ": use “Keep this one”" if self._all_stored else ""
            self._state.problem.emit(f"No value of a threshold lets this mask pass{way_out}.")
        else:
            self._state.change(relaxed.values)

    def _chosen(self) -> tuple[Explanation, Selector] | None:
        """Return the chosen candidate and what knows it."""
        arm, explanation = self._chosen_arm(), self.table.explanation
        selector = None if arm is None else self._state.selectors.get(arm)
        return None if explanation is None or selector is None else (explanation, selector)
