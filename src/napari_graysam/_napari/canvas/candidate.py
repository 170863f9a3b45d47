"""One candidate mask, drawn over the image for as long as somebody looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_graysam._napari.canvas.layers import KEY, same_selection
from napari_graysam._napari.canvas.placement import Placement

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_graysam.masks import Mask

COLOUR = (1.0, 0.85, 0.1, 1.0)
NAME = "candidate"


class CandidateLayer:
    """A temporary layer that shows one mask; it never becomes the selected layer.

    Parameters
    ----------
    viewer
        Where the layer comes and goes.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Labels | None = None

    def show(self, mask: Mask, placement: Placement) -> None:
        """Draw a mask of the image at `placement`."""
        where = placement.part(mask.box)
        data = where.arrange(mask.bits).astype(np.uint8)
        layer = self._layer
        if layer is None or layer not in self._viewer.layers or layer.ndim != data.ndim:
            self.remove()
            self._add(data, where)
            return
        layer.data = data
        where.apply_to(layer)
        layer.visible = True

    def hide(self) -> None:
        """Draw nothing, but keep the layer for the next mask."""
        if self._layer is not None:
            self._layer.visible = False

    def remove(self) -> None:
        """Take the layer away."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            with same_selection(self._viewer.layers):
                self._viewer.layers.remove(layer)

    def _add(self, data: np.ndarray, where: Placement) -> None:
        from napari.layers import Labels
        from napari.utils.colormaps import DirectLabelColormap

        self._layer = Labels(
            data,
            name=NAME,
            opacity=0.6,
            colormap=DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 1: COLOUR}),
            metadata={KEY: {"candidate": True}},
            **where.options,
        )
        with same_selection(self._viewer.layers):
            self._viewer.layers.append(self._layer)
