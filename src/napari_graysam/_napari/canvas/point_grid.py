"""The points at which the model is asked, as a layer over the image; and a layer as points."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_graysam._napari.canvas.layers import KEY, same_selection
from napari_graysam._napari.canvas.placement import matrix_of, transform_of
from napari_graysam._napari.canvas.region import to_image
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.errors import GraysamError, ImageError, UsageError

if TYPE_CHECKING:
    from napari.layers import Points

    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam._napari.canvas.region import LayerRegion
    from napari_graysam._napari.canvas.source import Source
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam.recipe import Recipe

MOST_POINTS = 50_000
"""More points than this are not drawn: the display would become slow."""
_DIAMETER = 9
"""Of a mark, in pixels of the screen at every zoom: nuclei stay in sight."""
_COLORS = ("#ffb000", "#56b4e9", "#cc79a7", "#009e73", "#f0e442", "#d55e00")


class _Found(NamedTuple):
    """The points of a grid, in pixels of the layer, and the crop layer that each is of."""

    data: NDArray[np.float64]
    crop_layers: NDArray[np.int64]
    name: str
    placement: Placement
    words: str


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
    drawn
        Emitted with how many points are shown, or why none are.
    """

    removed = Signal()
    drawn = Signal(str)

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self.layer: Points | None = None
        self._worker = LatestRequest(self._receive, on_error=self._fail)
        state.viewer.layers.events.removed.connect(self._on_removed)

    def draw(self) -> None:
        """Show the points of the recipe on the chosen image, found in a worker thread.

        Raises
        ------
        ImageError
            If no plane can be read.
        """
        state = self._state
        source = state.read_source()
        region = state.read_region(source)
        self._worker.submit(partial(_find, source, state.recipe, region))

    def _receive(self, found: _Found) -> None:
        self._show(found)
        self.drawn.emit(found.words)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, GraysamError):
            raise error
        self.remove()
        self.drawn.emit(f"⚠ {error}")

    def _show(self, found: _Found) -> None:
        viewer, data, crop_layers = self._state.viewer, found.data, found.crop_layers
        name, place = found.name, found.placement
        colors = [_COLORS[number % len(_COLORS)] for number in crop_layers]
        style = {
            "features": {"crop_layer": crop_layers},
            "border_color": colors or _COLORS[0],
        }
        if self.layer is not None and self.layer.ndim != data.shape[1]:
            self.remove()
        if self.layer is not None and np.array_equal(self.layer.data, data):
            style = {}
        if self.layer is None:
            with same_selection(viewer.layers):
                self.layer = viewer.add_points(
                    data,
                    face_color="transparent",
                    border_width=0.2,
                    size=max(place.plane_shape),
                    canvas_size_limits=(_DIAMETER, _DIAMETER),
                    out_of_slice_display=False,
                    metadata={KEY: {"point_grid": True}},
                    name=f"{name} point grid",
                    **style,
                    **place.options,
                )
            return
        if style:
            self.layer.data = data
        for key, value in style.items():
            setattr(self.layer, key, value)
        place.apply_to(self.layer)
        self.layer.selected_data = set()
        self.layer.name = f"{name} point grid"

    def remove(self) -> None:
        """Take the layer away."""
        self._worker.cancel()
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


def _find(
    source: Source, recipe: Recipe, region: LayerRegion | None
) -> Generator[_Found, None, None]:
    from napari_graysam.pipeline.stages import find_region
    from napari_graysam.propose.grid import crops
    from napari_graysam.recipe import for_image

    place = source.placement
    mask = None if region is None else region.mask()
    mask = find_region(recipe, place.plane_shape, mask)
    sized = for_image(recipe, place.plane_shape)
    found = crops(place.plane_shape, sized.generator, mask)
    count = sum(len(crop.points) for crop in found)
    if count > MOST_POINTS:
        raise UsageError(
            f"The grid has {count:,} points, more than the {MOST_POINTS:,} that are shown: "
            "lower the points per side or the crop layers to see it."
        )
    points = [crop.points + np.array(crop.box[:2]) for crop in found]
    layers = [np.full(len(crop.points), _layer_of(crop.index)) for crop in found]
    yield _Found(
        data=_arranged(np.concatenate(points or [np.empty((0, 2))]), place),
        crop_layers=np.concatenate(layers or [np.empty(0, int)]),
        name=source.title,
        placement=place,
        words=f"{count:,} points{' within the region' if mask is not None else ''}.",
    )


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
    source = state.read_source()
    image, axes = state.layer, list(source.placement.axes)
    assert image is not None
    places: Iterable[NDArray[np.floating]] = (
        np.asarray(image.world_to_data(layer.data_to_world(point)))[axes] for point in layer.data
    )
    if source.part is not None:
        places = to_image(matrix_of(transform_of(layer)), source.placement, layer.data)[:, axes]
    rows, columns = source.placement.plane_shape
    found = [[(x + 0.5) / columns, (y + 0.5) / rows] for y, x in places]
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
