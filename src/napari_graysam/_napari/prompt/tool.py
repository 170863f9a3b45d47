"""The tool that adds, corrects and removes single objects: click, look, keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_graysam._napari.canvas.listeners import Listeners
from napari_graysam._napari.canvas.source import Source
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.prompt.compute import Answered, Question, Session
from napari_graysam._napari.prompt.drawing import PromptDrawing
from napari_graysam._napari.prompt.keys import ToolKeys
from napari_graysam._napari.prompt.mouse import PromptMouse
from napari_graysam._napari.prompt.pins import PinEditor
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.comparison import ARMS
from napari_graysam.errors import GraysamError
from napari_graysam.recipe import MODEL_STAGES, Prompt

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam._napari.large.prompting import WholePrompts
    from napari_graysam.recipe import Recipe
    from napari_graysam.results import Arm

CLICK = (
    "Click an object, drag a box around it, or Shift+click what is not part of it. "
    "Enter keeps the outline, Esc discards it; Delete removes the object under the mouse, U "
    "takes back the merge or split that it comes from. "
    "Hold Space to move the image."
)
POINT_FIRST = "Start with a click on the object or a box around it."


class PromptTool(QWidget):
    """Asks the model for the object under a click, while it is active.

    Parameters
    ----------
    state
        Its chosen image is asked, its recipe is changed.
    placement
        Returns where the result of an arm lies; None where there is none.
    whole
        Asks in whole images; None where there are none.
    """

    def __init__(
        self,
        state: PanelState,
        placement: Callable[[Arm], Placement | None],
        whole: WholePrompts | None = None,
    ) -> None:
        super().__init__()
        self._state = state
        self._whole = whole
        self._drawing = PromptDrawing(state.viewer)
        self._session = Session(state.memory)
        self._worker = LatestRequest(self._receive, on_error=self._on_error)
        self.mouse = PromptMouse(
            state.viewer,
            point=self.ask_point,
            box=self.ask_box,
            dragging=self._show_box,
            blocked=lambda text: self.text.setText(text),
        )
        self._keys = ToolKeys(
            state.viewer,
            {
                "Enter": self.keep,
                "Escape": self.discard,
                "Delete": self.remove,
                "Backspace": self.remove,
                "U": self.take_back,
                "Control-Z": self.undo,
                ".": self.next_mask,
                "Space": self.mouse.pan,
            },
        )
        self._listeners = Listeners()
        self._active = False
        self._source: Source | None = None
        self._prompt: Prompt | None = None
        self._answered: Answered | None = None
        self._index = 0
        self.text = QLabel(wordWrap=True)
        self.pins = PinEditor(state, placement, self.text.setText, self._on_error, whole)
        self.arm = QComboBox()
        self.arm.addItems(ARMS[::-1])
        self.arm.setToolTip("In which image the model looks: preprocessed, or raw")
        self.other = QPushButton("Other mask", toolTip="The model's next answer: part, whole (.)")
        self.keep_button = QPushButton("Keep", toolTip="Pin this object in the recipe (Enter)")
        self.undo_button = QPushButton("Undo", toolTip="Take back the last pin (Ctrl+Z)")
        self._lay_out()
        self.hide()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        for widget in (self.arm, self.other, self.keep_button, self.undo_button):
            row.addWidget(widget)
        column = QVBoxLayout(self, spacing=4)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.text)
        column.addLayout(row)
        self.other.clicked.connect(self.next_mask)
        self.keep_button.clicked.connect(self.keep)
        self.undo_button.clicked.connect(self.undo)
        self.arm.activated.connect(self._ask)

    @property
    def active(self) -> bool:
        """Whether clicks in the image are prompts; switching it off removes what was drawn."""
        return self._active

    @active.setter
    def active(self, active: bool) -> None:
        if active == self._active:
            return
        self._active = active
        viewer, state = self._state.viewer, self._state
        if active:
            self.mouse.listen()
            self._keys.bind()
            self._listeners.add(state.recipe_changed, self._on_recipe)
            self._listeners.add(state.layer_changed, self._on_other_image)
            self._listeners.add(viewer.dims.events.point, self._on_other_image)
            self._listeners.add(state.extent.changed, self._on_other_image)
            self._start(CLICK)
        else:
            self.mouse.release()
            self._keys.release()
            self._listeners.clear()
            self._worker.cancel()
            self.pins.cancel()
            self._start("")
            self._session.forget()
        self.setVisible(active)

    def close_tool(self) -> None:
        """Stop for good."""
        self.active = False

    def ask_point(self, position: Sequence[float], positive: bool = True) -> None:
        """Add a point at a place in the world to the prompt, and ask."""
        pixel = self._pixel(position)
        if pixel is None:
            return
        prompt = self._prompt
        if prompt is None:
            if not positive:
                self.text.setText(POINT_FIRST)
                return
            self._prompt = Prompt(positive=(pixel,))
        else:
            name = "positive" if positive else "negative"
            self._prompt = prompt.replace(**{name: (*getattr(prompt, name), pixel)})
        self._ask()

    def ask_box(self, start: Sequence[float], end: Sequence[float]) -> None:
        """Make the box between two places in the world the prompt's, and ask."""
        box = self._box(start, end)
        if box is None:
            return
        prompt = self._prompt
        self._prompt = Prompt(box=box) if prompt is None else prompt.replace(box=box)
        self._ask()

    def _show_box(self, start: Sequence[float], end: Sequence[float]) -> None:
        box = self._box(start, end)
        if box is not None and self._source is not None:
            self._drawing.show_box(box, self._source.placement)

    def _box(
        self, start: Sequence[float], end: Sequence[float]
    ) -> tuple[float, float, float, float] | None:
        first, last = self._pixel(start), self._pixel(end)
        if first is None or last is None or first[0] == last[0] or first[1] == last[1]:
            return None
        (x0, x1), (y0, y1) = (sorted(pair) for pair in zip(first, last, strict=True))
        return x0, y0, x1, y1

    def _pixel(self, position: Sequence[float]) -> tuple[float, float] | None:
        """Return the pixel of the chosen image at a place; say why where there is none."""
        state = self._state
        try:
            self._source = self._read_source(position)
        except GraysamError as error:
            self._start(str(error))
            return None
        found = self._source.placement.pixel_at(position, state.viewer.layers.units)
        if found is None:
            self.text.setText(f"This place is outside of “{self._source.title}”.")
            return None
        return float(found[0]), float(found[1])

    def _read_source(self, position: Sequence[float]) -> Source:
        """Return what is asked; of a whole image the same part as long as a prompt goes on."""
        if self._whole is None or not self._whole.wanted:
            return self._state.read_source()
        started = self._prompt is not None and self._source is not None
        return self._source if started and self._source else self._whole.source(position)

    def _ask(self, *_: object) -> None:
        """Ask the model for the prompt's object."""
        if self._prompt is None or self._source is None:
            return
        self._answered = None
        self._drawing.show_prompt(self._prompt, self._source.placement)
        self._show_buttons()
        arm: Arm = "raw" if self.arm.currentText() == "raw" else "preprocessed"
        question = Question(self._source, self._state.recipe, arm, self._prompt)
        self._worker.submit(partial(self._session.answer, question))

    def _receive(self, event: str | Answered) -> None:
        if not self._active:
            return
        if isinstance(event, str):
            self.text.setText(event)
        elif event.question.prompt == self._prompt:
            self._answered, self._index = event, 0
            self._show_answer()

    def _show_answer(self) -> None:
        """Draw the chosen mask of the answer and say what it is."""
        answered = self._answered
        masks = () if answered is None else answered.answer.masks
        mask = masks[self._index] if masks else None
        if answered is not None:
            self._drawing.show_mask(mask, answered.placement)
        if mask is None:
            text = "The model finds no object there: click another place, or drag a box."
        else:
            which = f", mask {self._index + 1} of {len(masks)}" if len(masks) > 1 else ""
            text = (
                f"{mask.area:,} px², predicted IoU {mask.predicted_iou:.2f}{which}. "
                "Enter keeps it, Esc discards it."
            )
        self.text.setText(text)
        self._show_buttons()

    def _show_buttons(self) -> None:
        masks = () if self._answered is None else self._answered.answer.masks
        self.keep_button.setEnabled(bool(masks))
        self.other.setEnabled(len(masks) > 1)
        self.undo_button.setEnabled(bool(self.pins.pins))

    def next_mask(self, *_: object) -> None:
        """Show the model's next answer to the same prompt."""
        if self._answered is not None and self._answered.answer.masks:
            self._index = (self._index + 1) % len(self._answered.answer.masks)
            self._show_answer()

    def keep(self, *_: object) -> None:
        """Pin the outlined object in the recipe."""
        answered = self._answered
        if answered is None or not answered.answer.masks:
            return
        answer = answered.answer
        said = "Pinned." if self._state.results else "Pinned: it is there when you segment."
        if self._whole is not None and self._whole.wanted:
            try:
                answer = self._whole.in_image(answer, answered.question.source)
            except GraysamError as error:
                self.text.setText(str(error))
                return
            said = "Pinned: “Select again” paints it into the whole image."
        pin = answer.pin(self._index)
        self._start(f"{said} Click the next object.")
        self.pins.add(pin)

    def discard(self, *_: object) -> None:
        """Forget the prompt."""
        self._worker.cancel()
        self._start(CLICK)

    def remove(self, *_: object) -> None:
        """Remove the object under the mouse."""
        self.pins.remove(self.arm.currentText())

    def take_back(self, *_: object) -> None:
        """Take back the merge or the split that the object under the mouse comes from."""
        self.pins.take_back(self.arm.currentText())

    def undo(self, *_: object) -> None:
        """Take back the last pin."""
        self.pins.undo()

    def _start(self, text: str) -> None:
        """Begin without a prompt."""
        self._prompt = self._answered = None
        self._drawing.clear()
        self.text.setText(text)
        self._show_buttons()

    def _on_error(self, error: Exception) -> None:
        if not isinstance(error, GraysamError):
            raise error
        self._start(str(error))

    def _on_recipe(self, recipe: Recipe, stage: object) -> None:
        if stage in MODEL_STAGES and self._prompt is not None:
            self.discard()
        self._show_buttons()

    def _on_other_image(self, *_: object) -> None:
        if self._prompt is not None:
            self.discard()
