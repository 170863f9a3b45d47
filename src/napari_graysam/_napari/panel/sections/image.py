"""The section Image: which layer, which gray values, and what was read."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox, Container

from napari_graysam._napari.canvas.cells import is_copy
from napari_graysam._napari.canvas.source import read_source
from napari_graysam._napari.forms.controls import Note, align_label
from napari_graysam._napari.forms.fields import NumberField, OptionalField, TextField, guard_wheel
from napari_graysam._napari.forms.form import KindField
from napari_graysam._napari.forms.recipe_form import RecipeForm, fields_of
from napari_graysam._napari.panel.sections.object_size import ObjectSize
from napari_graysam._napari.preview.controller import is_preview
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.errors import GraysamError
from napari_graysam.recipe import Explicit
from napari_graysam.source.axes import resolve, sample, strides

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_graysam._napari.canvas.source import Source
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam.parameters import Part
    from napari_graysam.source.axes import Layout

_SAMPLED = 2**20
"""Pixels that the value range is read from."""
_AXES = {"C": "channels", "Z": "slices", "T": "time points"}


class ImageSection(Container):
    """Chooses the layer to segment and how it becomes gray.

    Parameters
    ----------
    state
        Its layer and ``recipe.image`` are set.

    Attributes
    ----------
    fields
        Widget of each of the recipe's parameters, by its dotted path.
    """

    title = "Image"

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self._range: tuple[object, str] = (None, "")
        self._reader = LatestRequest(self._show_range)
        self.layer = ComboBox(label="Image layer", choices=self._images, nullable=False)
        self.layer.tooltip = "<qt>The image that is segmented. Open one with File ▸ Open.</qt>"
        self.about = Note()
        self.reading = RecipeForm(state, "image", ("plane", "channel", "gray"))
        self.window = RecipeForm(state, "image", ("window",))
        self.axes = RecipeForm(state, "image", ("axes", "series"))
        self.objects = ObjectSize(state)
        self.fields = fields_of(self.reading, self.window, self.axes, self.objects.form)
        super().__init__(widgets=[self.layer], labels=True)
        align_label(self.layer)
        guard_wheel(self.layer.native)
        column = self.native.layout()
        for widget in (self.about, self.reading, self.window, self.axes, self.objects):
            column.addWidget(widget.native)
        self._name_choices()
        self._connect()
        self.reset_choices()

    def _name_choices(self) -> None:
        plane, channel = self._optional("plane"), self._optional("channel")
        plane.box.text = "the one shown"
        channel.box.text = "colours mixed"
        axes = self.fields["image.axes"]
        assert isinstance(axes, TextField)
        axes.line.native.setPlaceholderText("as shown")
        window = self.fields["image.window"]
        assert isinstance(window, KindField)
        window.start = self._start

    def _optional(self, name: str) -> OptionalField:
        field = self.fields[f"image.{name}"]
        assert isinstance(field, OptionalField)
        return field

    def _connect(self) -> None:
        state, viewer = self._state, self._state.viewer
        self.layer.changed.connect(self._choose)
        state.layer_changed.connect(self._follow_layer)
        state.recipe_changed.connect(self.describe)
        for emitter in (
            viewer.dims.events.point,
            viewer.dims.events.ndisplay,
            viewer.dims.events.order,
            viewer.layers.events.removed,
        ):
            emitter.connect(self._on_viewer)
        for emitter in (viewer.layers.selection.events.active, viewer.layers.events.inserted):
            emitter.connect(self._on_other_layer)
        self.native.destroyed.connect(self._disconnect)

    def _disconnect(self) -> None:
        self._reader.cancel()
        dims, layers = self._state.viewer.dims, self._state.viewer.layers
        for emitter in (dims.events, layers.events):
            emitter.disconnect(self._on_viewer)
        for emitter in (layers.selection.events, layers.events):
            emitter.disconnect(self._on_other_layer)

    def _on_viewer(self, event: Any = None) -> None:
        self.describe()

    def _on_other_layer(self, event: Any = None) -> None:
        """Follow the layer that is active in napari's list, if it is an image."""
        active = self._state.viewer.layers.selection.active
        if active is not None and active in self.layer.choices:
            self._state.layer = active
        if self._state.layer is None:
            self.describe()

    def _images(self, widget: object) -> list[tuple[str, Layer]]:
        from napari.layers import Image

        layers = self._state.viewer.layers
        return [
            (layer.name, layer)
            for layer in reversed(layers)
            if isinstance(layer, Image) and not is_preview(layer) and not is_copy(layer)
        ]

    def reset_choices(self, event: Any = None) -> None:
        """Offer the image layers that there are now."""
        with self.layer.changed.blocked():
            self.layer.reset_choices()
            if self._state.layer in self.layer.choices:
                self.layer.value = self._state.layer
        self._state.layer = self.layer.value
        self._on_other_layer()
        self.describe()

    def _choose(self, layer: Layer | None) -> None:
        self._state.layer = layer
        if layer is not None:  # Or a later change of the active layer would choose another.
            self._state.viewer.layers.selection.active = layer

    def _follow_layer(self, layer: Layer | None) -> None:
        if layer is not self.layer.value and layer in self.layer.choices:
            with self.layer.changed.blocked():
                self.layer.value = layer
        if layer is not None:
            for name in ("data", "name"):
                getattr(layer.events, name).connect(self._on_layer)
        self.describe()

    def _on_layer(self, event: Any = None) -> None:
        self._range = (None, "")
        self.reset_choices()

    def _start(self, kind: type[Part]) -> Part:
        """Return the window that a newly chosen kind starts with."""
        if kind is not Explicit:
            return kind()
        layer = self._state.layer
        low, high = (0.0, 255.0) if layer is None or layer.rgb else layer.contrast_limits
        return Explicit(low=float(low), high=float(high))

    def describe(self) -> None:
        """Say what is read from the layer, and offer what applies to it."""
        state = self._state
        layer = state.layer or state.viewer.layers.selection.active
        try:
            source = read_source(state.viewer, layer, state.recipe.image)
            layout = resolve(tuple(source.array.shape), source.options)
        except GraysamError as error:
            self.about.say(f"⚠ {error}")
            self._offer(None)
            self.objects.describe(None)
            return
        self._offer(layout)
        self.about.say(self._in_words(source, layout))
        self.objects.describe(layout.plane_shape)

    def _offer(self, layout: Layout | None) -> None:
        """Show only what the image has: planes of a stack, channels, colours."""
        channels = 1 if layout is None else layout.size(layout.colour)
        planes = 1 if layout is None else layout.planes
        colours = layout is not None and "S" in layout.axes
        shown = {"plane": planes > 1, "channel": channels > 1, "gray": channels > 1 and colours}
        for name, visible in shown.items():
            row = self.fields[f"image.{name}"].native.parentWidget()
            row.setVisible(visible)
        self._optional("channel").box.text = "colours mixed" if colours else "the one shown"
        for name, count in (("plane", planes), ("channel", channels)):
            number = self._optional(name).inner
            assert isinstance(number, NumberField)
            number.limit(0, count - 1)
        self.reading.native.setVisible(any(shown.values()))
        series = self.fields["image.series"].native.parentWidget()
        series.setVisible(self._state.recipe.image.series is not None)

    def _in_words(self, source: Source, layout: Layout) -> str:
        rows, columns = layout.plane_shape
        words = [f"{columns} × {rows} px", np.dtype(source.array.dtype).name]
        if "S" in layout.axes:
            words.append("colour" if layout.size("S") > 1 else "gray")
        words += [
            f"{layout.size(letter)} {name}"
            for letter, name in _AXES.items()
            if layout.size(letter) > 1
        ]
        text = ", ".join(filter(None, [*words, self._values(source, layout)]))
        return f"{text}\nShown: {source.plane}" if source.plane else text

    def _values(self, source: Source, layout: Layout) -> str:
        """Tell the range of the values; of a lazy array only what the display shows."""
        if not isinstance(source.array, np.ndarray):
            low_high = source.contrast_limits
            shown = "" if low_high is None else f", shown from {low_high[0]:g} to {low_high[1]:g}"
            return f"read when needed{shown}"
        key = (id(source.array), source.options.axes, source.options.channel, source.options.gray)
        if self._range[0] != key:
            self._range = (key, "")
            self._reader.submit(partial(_read_range, key, source, layout))
        return self._range[1]

    def _show_range(self, found: tuple[object, str]) -> None:
        if found[0] == self._range[0]:
            self._range = found
            self.describe()


def _read_range(
    key: object, source: Source, layout: Layout
) -> Generator[tuple[object, str], None, None]:
    about = "about " if max(strides(layout, _SAMPLED)) > 1 else ""
    yield key, _extremes(source, layout, about)


def _extremes(source: Source, layout: Layout, about: str) -> str:
    values = sample(source.array, layout, source.options, _SAMPLED)
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if finite.size == 0:
        return "no finite values"
    holes = " with gaps (NaN or infinite)" if finite.size < values.size else ""
    mixed = "S" in layout.axes and layout.size("S") > 1
    whole = values.dtype.kind != "f" or (mixed and source.array.dtype.kind in "ui")
    low, high = (
        f"{round(float(value))}" if whole else f"{value:.5g}"
        for value in (finite.min(), finite.max())
    )
    return f"{'gray ' * mixed}values {about}{low} to {high}{holes}"
