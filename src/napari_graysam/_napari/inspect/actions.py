"""What can be done about a candidate: keep it by name, or relax what dropped it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_graysam._napari.inspect.answers import Answer, Relaxed, relax, relax_tip
from napari_graysam._napari.inspect.floors_note import floors_of
from napari_graysam._napari.threads.latest_request import LatestRequest

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam.select.explanation import Explanation

KEEP = "Add this mask to the result whatever the thresholds say; the recipe remembers it."
NOT_STORED = "This run has not stored every mask, so none can be kept by itself."
IN_TILE = "Masks of a whole image are kept with “Add or correct”, which pins them."


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
        kept = explanation is not None and explanation.pinned
        self.keep.setText("Keep no longer" if kept else "Keep this one")
        possible = explanation is not None and (kept or explanation.label is None)
        if explanation is not None and explanation.reason == "pinned":
            possible = False  # Pins win over kept masks: undo the pin instead.
        self.keep.setEnabled(possible and self._all_stored)
        tile = answer is not None and answer.placement is not None
        self.keep.setToolTip(KEEP if self._all_stored else IN_TILE if tile else NOT_STORED)
        self.relax.setEnabled(explanation is not None and explanation.parameter is not None)
        self.relax.setToolTip(relax_tip(explanation))

    @property
    def _all_stored(self) -> bool:
        """Whether the asked result is of one piece and holds every candidate, to be named."""
        answer = self._answer
        if answer is None or answer.placement is not None:
            return False  # Names of masks in a tile are not those of the image.
        return not any(floors_of(answer.selector))

    def _keep(self) -> None:
        """Name the chosen candidate in the recipe, so that no filter drops it; or no longer."""
        explanation, answer = self._explanation, self._answer
        if explanation is None or answer is None:
            return
        name = answer.selector.pinned_mask(explanation.candidate)
        recipe = self._state.recipe
        kept = tuple(one for one in recipe.labels.keep if one != name)
        if not explanation.pinned:
            kept = (*kept, name)
        self._state.recipe = recipe.replace(labels=recipe.labels.replace(keep=kept))

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
            way_out = ": use “Keep this one”" if self._all_stored else ""
            self._state.problem.emit(f"No value of a threshold lets this mask pass{way_out}.")
        else:
            self._state.change(relaxed.values)
