"""The sections Points and crops, and Thresholds: the parameters of the mask generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container, Label, PushButton
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QSizePolicy

from napari_graysam._napari.canvas.point_grid import PointGrid, grid_from_layer
from napari_graysam._napari.forms.controls import Note, align_label, more
from napari_graysam._napari.forms.fields import OptionalField, guard_wheel
from napari_graysam._napari.forms.part_section import PartSection
from napari_graysam._napari.forms.recipe_form import RecipeForm, fields_of
from napari_graysam._napari.forms.wording import tooltip
from napari_graysam.errors import GraysamError
from napari_graysam.recipe import GeneratorOptions

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_graysam._napari.panel.state import PanelState

POINTS = ("points_per_side", "crop_n_layers")
MORE_POINTS = ("grid", "crop_overlap_ratio", "crop_n_points_downscale_factor", "points_per_batch")
THRESHOLDS = ("pred_iou_thresh", "stability_score_thresh")
EVERYWHERE = "the whole image"
"""Choice of no region; a combo box does not tell of None."""
REDRAW_AFTER = 150
"""Milliseconds without a change after which the shown grid is drawn again."""


class PointsSection(Container):
    """Edits where the model is asked, and shows it as a Points layer.

    Parameters
    ----------
    state
        Whose recipe and region are shown and changed.

    Attributes
    ----------
    fields
        Widget of each of the recipe's parameters, by its dotted path.
    grid
        Keeps the Points layer that shows the grid.
    """

    title = "Points and crops"

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self.common = RecipeForm(state, "generator", POINTS)
        self.more = RecipeForm(state, "generator", MORE_POINTS)
        self.region = ComboBox(label="Only within", choices=self._regions, nullable=False)
        self.region.tooltip = (
            "<qt>A Shapes layer (rectangles, ellipses, polygons) or a Labels layer: the model is "
            "asked only at points within.</qt>"
        )
        self.show_grid = CheckBox(text="Show point grid")
        self.show_grid.tooltip = "<qt>Show the points as a layer that follows every change.</qt>"
        self.message = Note()
        self.grids = OwnPoints(state)
        self.fields = fields_of(self.common, self.more)
        self.fields["generator.point_grids"] = self.grids.given
        self.fields["image.region"] = self.region
        super().__init__(labels=False)
        self._lay_out()
        self.grid = PointGrid(state)
        self._timer = QTimer(self.native, singleShot=True, interval=REDRAW_AFTER)
        self._connect()
        self._follow()

    def _lay_out(self) -> None:
        chooser = Container(widgets=[self.region], labels=True)
        chooser.margins = (0, 0, 0, 0)
        align_label(self.region)
        guard_wheel(self.region.native)
        column = self.native.layout()
        for widget in (self.common, chooser, self.show_grid, self.message):
            column.addWidget(widget.native)
        self.more.native.layout().addWidget(self.grids.native)
        column.addWidget(more(self.more.native))
        self._chooser = chooser

    def _connect(self) -> None:
        state = self._state
        self.region.changed.connect(self._limit)
        state.region_changed.connect(self._follow_region)
        self.show_grid.changed.connect(self._switch)
        self.grid.removed.connect(self._on_removed)
        self.grid.drawn.connect(self.message.say)
        self._timer.timeout.connect(self._draw)
        state.recipe_changed.connect(self._follow)
        state.recipe_changed.connect(self._draw_soon)
        state.layer_changed.connect(self._draw_soon)
        state.region_changed.connect(self._draw_soon)
        state.viewer.dims.events.point.connect(self._draw_soon)
        self.native.destroyed.connect(self._disconnect)

    def _disconnect(self) -> None:
        self._state.viewer.dims.events.point.disconnect(self._draw_soon)
        self.grid.close()

    def _regions(self, widget: object) -> list[tuple[str, Layer | str]]:
        from napari.layers import Labels, Shapes

        layers = [one for one in self._state.viewer.layers if isinstance(one, (Labels, Shapes))]
        named = self._state.recipe.image.region is not None
        first = "the recipe's region" if named else EVERYWHERE
        return [(first, EVERYWHERE), *((layer.name, layer) for layer in layers)]

    def reset_choices(self, event: Any = None) -> None:
        """Offer the Shapes, Labels and Points layers that there are now."""
        with self.region.changed.blocked():
            self.region.reset_choices()
            if self._state.region in self.region.choices:
                self.region.value = self._state.region
        self._limit(self.region.value)
        self.grids.reset_choices()

    def _limit(self, choice: Layer | str) -> None:
        self._state.region = None if isinstance(choice, str) else choice

    def _follow_region(self, layer: Layer | None) -> None:
        with self.region.changed.blocked():
            self.region.reset_choices()
            self.region.value = layer if layer in self.region.choices else EVERYWHERE

    def _follow(self) -> None:
        options = self._state.recipe.generator
        side = self.fields["generator.points_per_side"]
        assert isinstance(side, OptionalField)
        side.box.visible = options.points_per_side is None
        side.enabled = options.points_per_side is not None
        for name in ("crop_overlap_ratio", "crop_n_points_downscale_factor"):
            self.fields[f"generator.{name}"].enabled = options.crop_n_layers > 0

    def _switch(self, shown: bool) -> None:
        if shown:
            self._draw()
        else:
            self.message.say("")
            self.grid.remove()

    def _on_removed(self) -> None:
        with self.show_grid.changed.blocked():
            self.show_grid.value = False

    def _draw_soon(self, *_: object) -> None:
        if self.show_grid.value:
            self._timer.start()

    def _draw(self) -> None:
        if not self.show_grid.value:
            return
        try:
            self.grid.draw()
        except GraysamError as error:
            self.grid.remove()
            self.message.say(f"⚠ {error}")


class OwnPoints(Container):
    """Takes the points of a Points layer in place of the regular grid.

    Parameters
    ----------
    state
        Whose recipe's ``generator.point_grids`` is shown and changed.
    """

    def __init__(self, state: PanelState) -> None:
        self._state = state
        field = GeneratorOptions.model_fields["point_grids"]
        self.given = Label(label=field.title, value="")
        self.given.tooltip = tooltip(GeneratorOptions, "point_grids")
        self.source = ComboBox(label="Points layer", choices=self._points, nullable=False)
        self.given.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.take = PushButton(text="Use the layer's points")
        self.clear_button = PushButton(text="Back to the regular grid")
        super().__init__(
            widgets=[self.given, self.source, self.take, self.clear_button], labels=True
        )
        self.margins = (0, 0, 0, 0)
        for widget in (self.given, self.source):
            align_label(widget)
        guard_wheel(self.source.native)
        self.take.changed.connect(self._take)
        self.clear_button.changed.connect(self._clear)
        state.recipe_changed.connect(self._follow)
        self.reset_choices()
        self._follow()

    def _points(self, widget: object) -> list[tuple[str, Layer]]:
        from napari.layers import Points

        layers = self._state.viewer.layers
        return [(layer.name, layer) for layer in layers if isinstance(layer, Points)]

    def reset_choices(self, *_: Any) -> None:
        """Offer the Points layers that there are now."""
        super().reset_choices()
        found = bool(self.source.choices)
        row = self.source.native.parentWidget()
        row.setVisible(found)
        self.take.native.setVisible(found)

    def _take(self) -> None:
        state = self._state
        try:
            grid = grid_from_layer(state, self.source.value)
        except GraysamError as error:
            state.problem.emit(str(error))
            return
        grids = [grid] * (state.recipe.generator.crop_n_layers + 1)
        state.change({"generator.points_per_side": None, "generator.point_grids": grids})

    def _clear(self) -> None:
        side = GeneratorOptions.model_fields["points_per_side"].default
        self._state.change({"generator.points_per_side": side, "generator.point_grids": None})

    def _follow(self) -> None:
        grids = self._state.recipe.generator.point_grids
        counts = "" if grids is None else ", ".join(str(len(grid)) for grid in grids)
        self.given.value = f"{counts} points" if counts else "none: the regular grid"
        self.clear_button.native.setVisible(grids is not None)


class ThresholdsSection(PartSection):
    """Edits which of the model's answers are kept; after a run every change shows at once."""

    title = "Thresholds"

    def __init__(self, state: PanelState) -> None:
        super().__init__(state, "generator", THRESHOLDS, (*POINTS, *MORE_POINTS, "point_grids"))

    def _follow(self) -> None:
        recipe = self._state.recipe
        self.fields["generator.box_nms_thresh"].enabled = recipe.labels.suppression == "box"
        self.fields["generator.crop_nms_thresh"].enabled = recipe.generator.crop_n_layers > 0
