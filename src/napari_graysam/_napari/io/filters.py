"""Layers ▸ Filter ▸ Graysam: single preprocessing steps as image filters."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from magicgui.widgets import ComboBox, Container
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QWidget

from napari_graysam._napari.canvas.layers import KEY, pixels_of
from napari_graysam._napari.canvas.placement import transform_of
from napari_graysam._napari.forms.controls import align_label
from napari_graysam._napari.forms.folds import Message
from napari_graysam._napari.forms.form import PartForm
from napari_graysam._napari.panel.docking import join_soon
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.errors import GraysamError
from napari_graysam.preprocess import STEPS, BaseStep
from napari_graysam.progress import Progress
from napari_graysam.recipe.reference import description_of, title_of

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_graysam.filtering import Filtered

DOCK = "Filter (Graysam)"
NO_IMAGE = "There is no image: open one with File ▸ Open File(s) or File ▸ Open Sample."


class Request(NamedTuple):
    """What is filtered and how; nothing of the viewer is touched while it runs."""

    array: Any
    rgb: bool
    step: BaseStep
    name: str
    layer: dict[str, Any]


class Done(NamedTuple):
    """The filtered image of a request."""

    request: Request
    result: Filtered


class FilterDock(Container):
    """Choose an image and a filter, set its parameters, and apply it to get a new layer.

    Parameters
    ----------
    viewer
        Whose images are filtered.
    kind
        Of the step to start with.
    """

    def __init__(self, viewer: Viewer, kind: str = next(iter(STEPS))) -> None:
        self._viewer = viewer
        self._steps: dict[type[BaseStep], BaseStep] = {}
        self._image: ComboBox = ComboBox(
            label="Image", choices=self._images, tooltip="The image to filter; it stays as it is."
        )
        self._kind = ComboBox(
            label="Filter", choices=[(title_of(step), key) for key, step in STEPS.items()]
        )
        super().__init__(widgets=[self._image, self._kind])
        for choice in (self._image, self._kind):
            align_label(choice)
        self._about = QLabel(wordWrap=True)
        self._form = PartForm(STEPS[kind](), exclude=("enabled",))
        self._worker = LatestRequest(self._receive, self._rest, self._fail)
        self._lay_out()
        self._kind.changed.connect(self._show_form)
        self.choose(kind)

    def _lay_out(self) -> None:
        self.message = Message()
        self.progress = QProgressBar(textVisible=False, maximumHeight=8)
        self.apply_button = QPushButton("Apply", toolTip="Add the filtered image as a new layer")
        self.cancel_button = QPushButton("Cancel", toolTip="Stop after the current plane")
        self.apply_button.clicked.connect(self.apply)
        self.cancel_button.clicked.connect(self.cancel)
        buttons = QWidget()
        row = QHBoxLayout(buttons)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.apply_button)
        row.addWidget(self.cancel_button)
        layout = self.native.layout()
        for part in (self._about, self._form.native, buttons, self.progress, self.message):
            layout.addWidget(part)
        layout.addStretch(1)
        self._rest()
        worker = self._worker
        self.native.destroyed.connect(lambda: worker.cancel())

    @property
    def step(self) -> BaseStep:
        """The chosen filter with its parameters."""
        step = self._form.part
        assert isinstance(step, BaseStep)
        return step

    @property
    def form(self) -> PartForm:
        """The parameters of the chosen filter."""
        return self._form

    @property
    def image(self) -> Image | None:
        """The chosen image layer."""
        layer: Image | None = self._image.value
        return layer

    def choose(self, kind: str) -> None:
        """Show a filter, and choose the image that is selected in the layer list, if any."""
        self._image.reset_choices()
        selected = self._viewer.layers.selection.active
        if selected in self._image.choices:
            self._image.value = selected
        self._kind.value = kind
        self._show_form(kind)

    def apply(self) -> None:
        """Filter the chosen image in the background and add the result as a new layer."""
        layer = self.image
        if layer is None:
            self.message.say(NO_IMAGE)
            return
        self.message.clear()
        request = _request(layer, self.step)
        self.apply_button.setEnabled(False)
        self.cancel_button.show()
        self.progress.setRange(0, 0)
        self.progress.show()
        self._worker.submit(lambda: _filter(request))

    def cancel(self) -> None:
        """Stop what runs, without a new layer."""
        if self._worker.busy:
            self._worker.cancel()
            self.message.say("Cancelled; no layer was added.", warning=False)

    def _images(self, widget: Any = None) -> list[Image]:
        from napari.layers import Image

        return [layer for layer in self._viewer.layers if isinstance(layer, Image)]

    def _show_form(self, kind: str) -> None:
        """Show a filter's parameters, as they were left."""
        self._steps[type(self.step)] = self.step
        old, step = self._form, self._steps.get(STEPS[kind]) or STEPS[kind]()
        self._form = PartForm(step, exclude=("enabled",))
        self.native.layout().replaceWidget(old.native, self._form.native)
        old.native.hide()
        old.native.deleteLater()
        self._form.native.setVisible(bool(self._form.fields))
        self._about.setText(description_of(STEPS[kind]))

    def _receive(self, event: Progress | Done) -> None:
        if isinstance(event, Progress):
            half = event.total if event.stage == "filter" else 0
            self.progress.setRange(0, 2 * event.total)
            self.progress.setValue(half + event.done)
        else:
            self._add(event)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, GraysamError | MemoryError):
            raise error
        self.message.say(str(error) or "The memory does not suffice; crop the image first.")

    def _add(self, done: Done) -> None:
        request, (pixels, window) = done
        about = {
            "filter": request.step.model_dump(mode="json", exclude={"enabled"}),
            "source_layer": request.name,
            "window": list(window),
        }
        self._viewer.add_image(
            pixels,
            name=f"{request.name} [{title_of(type(request.step))}]",
            metadata={KEY: about},
            **request.layer,
        )
        if request.rgb:
            self.message.say(
                f"“{request.name}” is a colour image: its luminance was filtered.", warning=False
            )

    def _rest(self) -> None:
        self.apply_button.setEnabled(True)
        self.cancel_button.hide()
        self.progress.hide()


def _request(layer: Image, step: BaseStep) -> Request:
    return Request(pixels_of(layer), layer.rgb, step, layer.name, transform_of(layer))


def _filter(request: Request) -> Generator[Progress | Done, None, None]:
    from napari_graysam.filtering import filter_steps

    yield Done(request, (yield from filter_steps(request.array, request.step, rgb=request.rgb)))


def open_filter(kind: str) -> None:
    """Open the dock of filters in the current viewer, or go back to it, with one of them.

    Parameters
    ----------
    kind
        Of the step, a key of `napari_graysam.preprocess.STEPS`.
    """
    import napari
    from napari.utils.notifications import show_warning

    viewer: Viewer | None = napari.current_viewer()
    if viewer is None:
        show_warning("Filters work on the images of an open napari window; open one first.")
        return
    dock = viewer.window.dock_widgets.get(DOCK)
    if isinstance(dock, FilterDock):
        dock.choose(kind)
        dock.native.parent().show()
        dock.native.parent().raise_()
        return
    dock = FilterDock(viewer, kind)
    viewer.window.add_dock_widget(dock, name=DOCK, area="right")
    join_soon(dock.native)


def __getattr__(name: str) -> partial[None]:
    """Return the command that opens a filter; the manifest names commands like their filters."""
    if name not in STEPS:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return partial(open_filter, name)
