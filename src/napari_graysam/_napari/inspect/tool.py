"""The tool that answers "Why is this unmasked?": what became of every candidate at a pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_graysam._napari.canvas.candidate import CandidateLayer
from napari_graysam._napari.inspect.actions import CandidateActions
from napari_graysam._napari.inspect.answers import Answer, read_mask, summary
from napari_graysam._napari.inspect.asked import PlaneResults
from napari_graysam._napari.inspect.floors_note import FloorsNote
from napari_graysam._napari.inspect.table import ExplanationTable
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.results.combined import SHOWN
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam._napari.inspect.asked import Results
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.select.explanation import Explanation

CLICK = "Click a place in the image to see every candidate mask that covers it."
RUN_FIRST = "There is no result to ask yet: segment the image first, then click a place in it."
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
    whole
        Results of whole images in tiles; None where there are none.
    """

    def __init__(
        self,
        state: PanelState,
        placement: Callable[[Shown], Placement | None],
        whole: Results | None = None,
    ) -> None:
        super().__init__()
        self._state = state
        self._plane, self._whole = PlaneResults(state, placement), whole
        self._asked = self._results
        self._candidate = CandidateLayer(state.viewer)
        self._active = False
        self._pixel: tuple[int, int] | None = None
        self._answer: Answer | None = None
        self._picked = ""
        self.arm = QComboBox()
        self.arm.setToolTip("Whose candidates are listed")
        self.text = QLabel(wordWrap=True)
        self.table = ExplanationTable()
        self.floors = FloorsNote()
        self.actions = CandidateActions(state)
        self.keep, self.relax = self.actions.keep, self.actions.relax
        self._asking = LatestRequest(self._show_answer, on_error=self._on_error)
        self._drawing = LatestRequest(lambda drawn: self._candidate.show(*drawn))
        self._relaxing = self.actions.relaxing
        self._lay_out()
        self._connect()
        self._list_arms()
        self.hide()

    def _lay_out(self) -> None:
        bottom = QHBoxLayout()
        bottom.addWidget(self.arm)
        bottom.addWidget(self.actions, 1)
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
        self.floors.points_wanted.connect(self._use_points)
        self._state.subject_changed.connect(self._on_subject)
        self._state.result_changed.connect(self._on_result)
        self._state.recipe_changed.connect(self._note)
        self._state.extent.changed.connect(self._on_extent)

    @property
    def _results(self) -> Results:
        """Whose results are asked now."""
        if self._whole is not None and self._state.kind == "whole":
            return self._whole
        return self._plane

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
            self._clear(CLICK if self._results.arms() else RUN_FIRST)
        else:
            callbacks.remove(self._on_press)
            self._pixel = None
            for worker in (self._asking, self._drawing, self._relaxing, self.actions.pinning):
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
        self._state.extent.changed.disconnect(self._on_extent)

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
        placement = None if arm is None else self._results.placement(arm)
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
        ask = self._results.ask(arm, self._pixel)
        if isinstance(ask, str):
            self._clear(ask)
        else:
            self._asking.submit(ask)

    def _show_answer(self, answer: Answer | str) -> None:
        """List the candidates at a pixel, unless another place is asked by now."""
        if isinstance(answer, str):
            self.text.setText(answer)
            return
        if answer.pixel != self._pixel:
            return
        self._candidate.hide()
        self._answer = answer
        said = (summary(*answer.pixel, answer.explanations), *answer.notes)
        self.text.setText(" ".join(said))
        self.table.show_explanations(answer.explanations)
        self._note()

    def _on_error(self, error: Exception) -> None:
        if not isinstance(error, GraysamError):
            raise error
        self._clear(str(error))

    def _clear(self, text: str) -> None:
        """Say something in place of candidates."""
        self._pixel = self._answer = None
        self._asking.cancel()
        self._candidate.hide()
        self.table.show_explanations(())
        self.text.setText(text)
        self._note()

    def _note(self, *_: object) -> None:
        """Say what the asked result has not stored, while its candidates are listed."""
        plane = self._pixel is not None and self._answer is not None and not self._answer.notes
        selector = self._answer.selector if plane and self._answer is not None else None
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
        arms = self._results.arms()
        self.arm.clear()
        self.arm.addItems(arms[::-1])
        self.arm.setCurrentText(self._picked)
        self.arm.setVisible(len(arms) > 1)

    def _on_subject(self) -> None:
        """Ask nothing of what is no longer shown."""
        self._list_arms()
        if self._active:
            self._clear(CLICK if self._results.arms() else RUN_FIRST)

    def _on_extent(self) -> None:
        """Turn to the results of the whole image, or away from them."""
        if self._asked is not self._results:
            self._asked = self._results
            self._on_subject()

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
        arm, answer = self._chosen_arm(), self._answer
        placement = None if answer is None else answer.placement
        if placement is None and arm is not None:
            placement = self._results.placement(arm)
        if explanation is None or placement is None:
            self._drawing.cancel()
            self._candidate.hide()
        else:
            self._drawing.submit(partial(read_mask, explanation, placement))

    def _show_buttons(self, explanation: Explanation | None) -> None:
        self.actions.show_candidate(self._answer, explanation)
