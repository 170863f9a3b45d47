"""The button that takes back the merge or the split of the selected row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton

from napari_graysam._napari.panel.docking import panel_state
from napari_graysam._napari.prompt.pins import PinEditor
from napari_graysam._napari.results.written import result_of
from napari_graysam.comparison import ARMS

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_graysam._napari.compare.compute import Outcome
    from napari_graysam._napari.compare.event_model import EventRow
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam.comparison import Arm
    from napari_graysam.results import Segmentation

NOTHING = "Select a row in whose column “Merged, split” something stands"
NO_PANEL = (
    "Only in results that the panel still holds can a merge or split be taken back: segment again"
)
WHOLE = (
    "Merges and splits of whole images are not listed here: in “Add or correct”, key U takes back "
    "the one under the mouse"
)
BACK = "Take back what was merged or split here; a pin in the recipe keeps it so (key U)"
AGAIN = "Take the pin back, so that it is merged or split where there is evidence"

_Objects = list[tuple["Segmentation", tuple[int, ...]]]


class UndoButton:
    """Pins the objects of the selected row as they were before a merge or split, and unpins them.

    Parameters
    ----------
    viewer
        Whose panel's recipe gets the pins.
    button
        What is pressed.
    say
        Called with what has become of it.

    Attributes
    ----------
    words
        What was merged or split in the selected row and what speaks for it, or that it is
        pinned; empty for nothing.
    """

    def __init__(self, viewer: Viewer, button: QPushButton, say: Callable[[str], None]) -> None:
        self._viewer, self._button, self._say = viewer, button, say
        self._state: PanelState | None = None
        self._pins: PinEditor | None = None
        self._objects: _Objects = []
        self.words = ""
        self._arm: Arm = "raw"
        self._place: tuple[float, float] | None = None
        button.clicked.connect(self._press)
        self.show(None, {})

    def show(self, row: EventRow | None, layers: Mapping[Arm, Labels]) -> None:
        """Follow the selected row of the table.

        Parameters
        ----------
        row
            The row; None where none is selected.
        layers
            That are compared.
        """
        said = "" if row is None else row.regrouped
        self._state = panel_state(self._viewer) if said else None
        self._objects = []
        if row is not None and self._state is not None:
            shown = tuple(self._state.results.values())
            found = {arm: result_of(layer) for arm, layer in layers.items() if row.labels[arm]}
            held = {arm: one for arm, one in found.items() if one is not None and one in shown}
            self._objects = [(one, row.labels[arm]) for arm, one in held.items()]
            self._arm = next(iter(held), ARMS[0])
        pinned = said.startswith("pinned")
        words = dict.fromkeys(text for of in self._objects for text in _words(*of))
        self.words = said if pinned and self._objects else "; ".join(words)
        nothing = WHOLE if any(one.multiscale for one in layers.values()) else NOTHING
        self._button.setText("Unpin" if pinned else "Undo")
        self._button.setEnabled(bool(self._objects))
        self._button.setToolTip(
            (AGAIN if pinned else BACK) if self._objects else NO_PANEL if said else nothing
        )

    def follow(self, outcome: Outcome) -> tuple[Arm, int] | None:
        """Return the object to select after a press, once the layers are as it made them."""
        if self._place is None:
            return None
        (x, y), self._place = self._place, None
        label = outcome.regrouped_at(self._arm, round(x), round(y))
        return (self._arm, label) if label else None

    def release(self) -> None:
        """Do nothing more."""
        if self._pins is not None:
            self._pins.cancel()

    def _press(self) -> None:
        if self._state is None or not self._objects:
            return
        self.release()
        self._pins = PinEditor(self._state, lambda arm: None, self._say, self._on_error)
        self._pins.returned.connect(self._on_returned)
        self._pins.take_back_of(self._objects)

    def _on_returned(self, place: tuple[float, float]) -> None:
        self._place = place

    def _on_error(self, error: Exception) -> None:
        raise error


def _words(result: Segmentation, labels: Sequence[int]) -> list[str]:
    """Say of each merge or split of some objects what speaks for it."""
    return [
        f"{one.kind}, evidence {one.reasons.evidence:.2f}: {one.reasons.words}"
        for one in result.regroupings
        if set(labels) & set(one.labels(result.masks))
    ]
