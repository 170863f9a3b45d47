"""What can be done about a candidate: keep it by name, or relax what dropped it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_graysam._napari.inspect.answers import Answer, Relaxed, pinned, relax, relax_tip
from napari_graysam._napari.inspect.floors_note import floors_of
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam.recipe import Pin
    from napari_graysam.select.explanation import Explanation

KEEP = "Add this mask to the result whatever the thresholds say; the recipe remembers it."
NOT_STORED = "This run has not stored every mask, so none can be kept by itself."
PIN = (
    "Pin this mask as an object of the whole image, which “Select again” paints; once more takes "
    "the pin back."
)
PINNED = "Pinned as an object: “Select again” paints it into the whole image."
UNPINNED = "The pin is taken back."


class CandidateActions(QWidget):
    """Buttons that change the recipe for the chosen candidate.

    Parameters
    ----------
    state
        Its recipe is changed.
    """

    def __init__(self, state: PanelState) -> None:
        super().__init__()
        self._state = state
        self._answer: Answer | None = None
        self._explanation: Explanation | None = None
        self.keep = QPushButton("Keep this one")
        self.relax = QPushButton("Relax the threshold")
        self.relaxing = LatestRequest(self._apply_relaxed)
        self.pinning = LatestRequest(self._apply_pin, on_error=self._on_error)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.keep)
        row.addWidget(self.relax)
        self.keep.clicked.connect(self._keep)
        self.relax.clicked.connect(self._relax)
        self.show_candidate(None, None)

    def show_candidate(self, answer: Answer | None, explanation: Explanation | None) -> None:
        """Offer what can be done about a candidate of an answer; nothing about none."""
        self._answer, self._explanation = answer, explanation
        pins = answer is not None and answer.pin is not None
        kept = explanation is not None and explanation.pinned and not pins
        self.keep.setText("Keep no longer" if kept else "Keep this one")
        possible = explanation is not None and (kept or explanation.label is None)
        if explanation is not None and explanation.reason == "pinned":
            possible = False  # Pins win over kept masks: undo the pin instead.
        self.keep.setEnabled(possible and (pins or self._all_stored))
        self.keep.setToolTip(PIN if pins else KEEP if self._all_stored else NOT_STORED)
        self.relax.setEnabled(explanation is not None and explanation.parameter is not None)
        self.relax.setToolTip(relax_tip(explanation))

    @property
    def _all_stored(self) -> bool:
        """Whether the asked result holds every candidate, so that one can be named."""
        return self._answer is not None and not any(floors_of(self._answer.selector))

    def _keep(self) -> None:
        """Name the chosen candidate in the recipe, so that no filter drops it; or no longer."""
        explanation, answer = self._explanation, self._answer
        if explanation is None or answer is None:
            return
        if answer.pin is not None:
            self.pinning.submit(partial(pinned, answer.pin, explanation))
            return
        name = answer.selector.pinned_mask(explanation.candidate)
        recipe = self._state.recipe
        kept = tuple(one for one in recipe.labels.keep if one != name)
        if not explanation.pinned:
            kept = (*kept, name)
        self._state.recipe = recipe.replace(labels=recipe.labels.replace(keep=kept))

    def _apply_pin(self, pin: Pin) -> None:
        """Pin a candidate of a whole image, or take its pin back."""
        recipe = self._state.recipe
        kept = tuple(one for one in recipe.labels.pinned if one != pin)
        new = len(kept) == len(recipe.labels.pinned)
        labels = recipe.labels.replace(pinned=(*kept, pin) if new else kept)
        self._state.recipe = recipe.replace(labels=labels)
        self._state.said.emit(PINNED if new else UNPINNED, False)

    def _on_error(self, error: Exception) -> None:
        if not isinstance(error, GraysamError):
            raise error
        self._state.problem.emit(str(error))

    def _relax(self) -> None:
        """Change what dropped the chosen candidate, or its piece here, by as little as needed."""
        explanation, answer = self._explanation, self._answer
        if explanation is None or answer is None:
            return
        if explanation.label is None and explanation.candidate not in answer.later:
            recipe, candidate = self._state.recipe, explanation.candidate
            self.relaxing.submit(partial(relax, answer.selector, candidate, recipe))
        else:
            self._state.change({str(explanation.parameter): explanation.relaxed})

    def _apply_relaxed(self, relaxed: Relaxed) -> None:
        """Take the values that were found, unless the recipe has changed meanwhile."""
        if relaxed.recipe != self._state.recipe:
            return
        if relaxed.values is None:
            way_out = ": use “Keep this one”" if self.keep.isEnabled() else ""
            self._state.problem.emit(f"No value of a threshold lets this mask pass{way_out}.")
        else:
            self._state.change(relaxed.values)
