"""A temporary layer over the image that points something out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.canvas.layers import KEY, same_selection
from napari_graysam._napari.canvas.placement import Placement

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

Colour = str | tuple[float, float, float, float]


class MarkLayer:
    """Shows pixels for as long as somebody looks at them; it never becomes the selected layer.

    Parameters
    ----------
    viewer
        Where the layer comes and goes.
    name
        Of the layer.
    opacity
        From 0 to 1.
    contour
        Width of outlines, in pixels of the image; 0 fills.
    """

    def __init__(
        self, viewer: Viewer, name: str, *, opacity: float = 1.0, contour: int = 0
    ) -> None:
        self._viewer = viewer
        self._name = name
        self._style = {"opacity": opacity}
        self._contour = contour
        self._layer: Labels | None = None

    @property
    def layer(self) -> Labels | None:
        """The layer, as long as it is in the viewer."""
        if self._layer is not None and self._layer not in self._viewer.layers:
            self._layer = None
        return self._layer

    def draw(self, labels: NDArray[Any], where: Placement, colour: Colour) -> None:
        """Draw every label of an (H, W) array in one colour; 0 is transparent."""
        from napari.utils.colormaps import DirectLabelColormap

        colormap = DirectLabelColormap(color_dict={None: colour, 0: (0, 0, 0, 0)})
        data = where.arrange(labels).astype(np.uint8)
        layer = self.layer
        if layer is None or layer.ndim != data.ndim:
            self.remove()
            self._add(data, where, colormap)
            return
        layer.data = data
        layer.colormap = colormap
        where.apply_to(layer)
        layer.visible = True

    def hide(self) -> None:
        """Draw nothing, but keep the layer for the next time."""
        if self._layer is not None:
            self._layer.visible = False

    def remove(self) -> None:
        """Take the layer away."""
        layer, self._layer = self.layer, None
        if layer is not None:
            with same_selection(self._viewer.layers):
                self._viewer.layers.remove(layer)

    def _add(self, data: NDArray[np.uint8], where: Placement, colormap: Any) -> None:
        from napari.layers import Labels

        self._layer = Labels(
            data,
            name=self._name,
            colormap=colormap,
            metadata={KEY: {"candidate": True}},
            **self._style,
            **where.options,
        )
        self._layer.contour = self._contour
        with same_selection(self._viewer.layers):
            self._viewer.layers.append(self._layer)
