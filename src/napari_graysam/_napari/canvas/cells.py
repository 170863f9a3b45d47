"""Layers side by side, each over its image, under one camera."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.layers import KEY, about, same_selection
from napari_graysam._napari.canvas.placement import transform_of

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

_GRID = ("enabled", "stride", "shape", "spacing")
_CELL = "cell"
_LINKED = ("contrast_limits", "gamma", "colormap")


def is_copy(layer: Layer) -> bool:
    """Whether a layer is an image that is there once more, for a cell of its own."""
    return about(layer).get("kind") == _CELL


class SideBySide:
    """napari's grid, whose cells have one camera; put back as it was afterwards.

    Parameters
    ----------
    viewer
        Whose layers are shown.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._order: list[Layer] = []
        self._visible: list[tuple[Layer, bool]] = []
        self._grid: dict[str, Any] = {}
        self._copies: list[Image] = []

    @property
    def on(self) -> bool:
        """Whether layers are shown side by side."""
        return bool(self._grid)

    def show(self, layers: Sequence[Labels], image: Image | None) -> None:
        """Show each layer in a cell of its own, over the image if there is one.

        Parameters
        ----------
        layers
            From the upper left cell to the lower right one.
        image
            That they lie on; it is there once more for every further cell.
        """
        self.restore()
        viewer_layers, grid = self._viewer.layers, self._viewer.canvas.grid
        self._grid = {name: getattr(grid, name) for name in _GRID}
        self._order = list(viewer_layers)
        self._visible = [(layer, layer.visible) for layer in viewer_layers]
        cells: list[list[Layer]] = [[layer] for layer in layers]
        if image is not None:
            self._copies = [self._duplicate(image, cell) for cell in range(2, len(layers) + 1)]
            cells = [
                [below, *cell] for below, cell in zip([image, *self._copies], cells, strict=True)
            ]
        shown = [layer for cell in cells for layer in cell]
        self._arrange([*shown, *(one for one in self._order if one not in shown)])
        for layer in viewer_layers:
            layer.visible = layer in shown
        columns = ceil(sqrt(len(cells)))
        grid.stride, grid.shape, grid.spacing = (
            len(cells[0]),
            (ceil(len(cells) / columns), columns),
            4,
        )
        grid.enabled = True
        self._viewer.fit_to_view(layers=[layers[0]])

    def restore(self) -> None:
        """Put layers, their order and their visibility back; does nothing if not shown."""
        if not self.on:
            return
        viewer_layers, grid = self._viewer.layers, self._viewer.canvas.grid
        grid.enabled = self._grid["enabled"]
        for name in _GRID[1:]:
            setattr(grid, name, self._grid[name])
        for copy in self._copies:
            if copy in viewer_layers:
                with suppress(ValueError):
                    viewer_layers.unlink_layers([copy])
                viewer_layers.remove(copy)
        for layer, visible in self._visible:
            if layer in viewer_layers:
                layer.visible = visible
        known = [layer for layer in self._order if layer in viewer_layers]
        self._arrange([*known, *(one for one in viewer_layers if one not in known)])
        self._grid, self._order, self._visible, self._copies = {}, [], [], []
        self._viewer.fit_to_view()

    def _duplicate(self, image: Image, cell: int) -> Image:
        """Add the image once more, sharing its pixels and following its contrast."""
        from napari.layers import Image

        style = {name: getattr(image, name) for name in (*_LINKED, "interpolation2d")}
        if image.rgb:
            style = {}
        copy = Image(
            image.data,
            name=f"{image.name} (cell {cell})",
            rgb=image.rgb,
            multiscale=image.multiscale,
            metadata={KEY: {"kind": _CELL}},
            **transform_of(image),
            **style,
        )
        with same_selection(self._viewer.layers):
            added: Image = self._viewer.add_layer(copy)
        if not image.rgb:
            self._viewer.layers.link_layers([image, added], _LINKED)
        return added

    def _arrange(self, order: list[Layer]) -> None:
        """Bring the viewer's layers into an order, moving only those out of place."""
        layers = self._viewer.layers
        for place, layer in enumerate(order):
            if layers[place] != layer:
                layers.move(layers.index(layer), place)
