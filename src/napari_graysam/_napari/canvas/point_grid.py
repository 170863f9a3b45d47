"""The points at which the model is asked, as a layer over the image; and a layer as points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_graysam._napari.canvas.layers import KEY
from napari_graysam._napari.canvas.region import region_mask
from napari_graysam._napari.canvas.source import read_source
from napari_graysam.errors import ImageError, UsageError

if TYPE_CHECKING:
    from napari.layers import Points

    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam._napari.panel.state import PanelState

MOST_POINTS = 50_000
"""More points than this are not drawn: the display would become slow."""
_COLORS = ("#ffb000", "#56b4e9", "#cc79a7", "#009e73", "#f0e442", "#d55e00")


class PointGrid:
    """Keeps the layer "NAME point grid".

    Parameters
    ----------
    state
        Whose layer, recipe and region decide the points.

    Attributes
    ----------
    layer
        The layer, or None.
    removed
        Emitted when the user removes the layer.
    """

    removed = Signal()

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self.layer: Points | None = None
        state.viewer.layers.events.removed.connect(self._on_removed)

    def draw(self) -> str:
        """Show the points of the recipe on the chosen image.

        Returns
        -------
        str
            How many points there are.

        Raises
        ------
        ImageError
            If no plane can be read, or the region holds none of it.
        UsageError
            If there are too many points to show.
        """
        from napari_graysam.propose.grid import crops

        state, options = self._state, self._state.recipe.generator
        source = read_source(state.viewer, state.layer, state.recipe.image)
        place = source.placement
        region = region_mask(state.region, source)
        found = crops(place.plane_shape, options, region)
        count = sum(len(crop.points) for crop in found)
        if count > MOST_POINTS:
            raise UsageError(
                f"The grid has {count:,} points, more than the {MOST_POINTS:,} that are shown: "
                "lower the points per side or the crop layers to see it."
            )
        points = [crop.points + np.array(crop.box[:2]) for crop in found]
        layers = [np.full(len(crop.points), _layer_of(crop.index)) for crop in found]
        data = _arranged(np.concatenate(points or [np.empty((0, 2))]), place)
        self._show(data, np.concatenate(layers or [np.empty(0, int)]), source.title, place)
        within = " within the region" if region is not None else ""
        return f"{count:,} points{within}."

    def _show(
        self, data: NDArray[Any], crop_layers: NDArray[Any], name: str, place: Placement
    ) -> None:
        viewer = self._state.viewer
        side = max(1.0, np.sqrt(np.prod(place.plane_shape) / max(1, len(data))) / 5)
        colors = [_COLORS[number % len(_COLORS)] for number in crop_layers]
        look = {
            "features": {"crop_layer": crop_layers},
            "size": np.full(len(data), side) / (1 + crop_layers),
            "face_color": colors or _COLORS[0],
        }
        if self.layer is not None and self.layer.ndim != data.shape[1]:
            self.remove()
        if self.layer is not None and np.array_equal(self.layer.data, data):
            look = {}
        active = viewer.layers.selection.active
        if self.layer is None:
            self.layer = viewer.add_points(
                data,
                border_width=0,
                out_of_slice_display=False,
                metadata={KEY: {"point_grid": True}},
                name=f"{name} point grid",
                **look,
                **place.options,
            )
            viewer.layers.selection.active = active
            return
        if look:
            self.layer.data = data
        for key, value in {**look, **place.options}.items():
            setattr(self.layer, key, value)
        self.layer.selected_data = set()
        self.layer.name = f"{name} point grid"

    def remove(self) -> None:
        """Take the layer away."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._state.viewer.layers:
            self._state.viewer.layers.remove(layer)

    def close(self) -> None:
        """Let go of the viewer; the layer stays."""
        self._state.viewer.layers.events.removed.disconnect(self._on_removed)

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = None
            self.removed.emit()


def grid_from_layer(state: PanelState, layer: Points | None) -> list[list[float]]:
    """Return a layer's points as the recipe's point grid.

    Parameters
    ----------
    state
        Whose image the points lie on.
    layer
        Points in any place and units of the world.

    Returns
    -------
    list of [x, y]
        From 0 (left, top) to 1 (right, bottom); points outside the image are left out.

    Raises
    ------
    ImageError
        If no plane can be read, or no point lies on the image.
    UsageError
        If no layer is chosen.
    """
    if layer is None:
        raise UsageError("No Points layer is chosen: add one, and click where objects lie.")
    source = read_source(state.viewer, state.layer, state.recipe.image)
    image, axes = state.layer, list(source.placement.axes)
    assert image is not None
    found = [
        [(x + 0.5) / source.placement.plane_shape[1], (y + 0.5) / source.placement.plane_shape[0]]
        for y, x in (
            np.asarray(image.world_to_data(layer.data_to_world(point)))[axes]
            for point in layer.data
        )
    ]
    inside = [[float(x), float(y)] for x, y in found if 0 <= x <= 1 and 0 <= y <= 1]
    if not inside:
        raise ImageError(
            f"None of the {len(found)} points of “{layer.name}” lies on “{image.name}”: add points "
            "there, or choose another layer."
        )
    return inside


def _arranged(points: NDArray[np.float64], place: Placement) -> NDArray[np.float64]:
    """Turn ``(x, y)`` in pixels from the corner into coordinates of the layer."""
    data = np.zeros((len(points), len(place.shape)))
    y, x = place.axes
    data[:, x], data[:, y] = points[:, 0] - 0.5, points[:, 1] - 0.5
    return data


def _layer_of(crop: int) -> int:
    """Return the crop layer of the crop with this index: layers hold 1, 4, 16, … crops."""
    layer = 0
    while crop >= 4**layer:
        crop -= 4**layer
        layer += 1
    return layer
