"""What the prompt tool draws over the image: the prompt, and the outline of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_graysam._napari.canvas.layers import KEY, same_selection
from napari_graysam._napari.canvas.placement import Placement

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_graysam.masks import Mask
    from napari_graysam.recipe import Prompt

OUTLINE = (1.0, 0.85, 0.1, 1.0)
ON, OFF = "#2bd45a", "#ff3b30"
NAMES = {"outline": "prompt: answer", "points": "prompt: points", "box": "prompt: box"}
_MARGIN = 2
"""Pixels around a mask, so that its outline closes."""


class PromptDrawing:
    """Temporary layers that show a prompt and its answer; none becomes the selected layer.

    Parameters
    ----------
    viewer
        Where the layers come and go.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layers: dict[str, Layer] = {}

    def show_prompt(self, prompt: Prompt | None, placement: Placement) -> None:
        """Mark the points and the box of a prompt; None marks nothing."""
        from napari.layers import Points

        self._remove("points")
        if prompt is None or prompt.box is None:
            self._remove("box")
        if prompt is None:
            return
        places = [*prompt.positive, *prompt.negative]
        colors = [ON] * len(prompt.positive) + [OFF] * len(prompt.negative)
        if prompt.box is not None:
            self.show_box(prompt.box, placement)
        if places:
            points = Points(
                _data(placement, places),
                size=max(1.0, max(placement.plane_shape) / 70),
                face_color=colors,
                border_color="white",
                **self._options("points", placement),
            )
            self._add("points", points)

    def show_box(self, box: tuple[float, float, float, float], placement: Placement) -> None:
        """Draw a box ``(x0, y0, x1, y1)``."""
        from napari.layers import Shapes

        x0, y0, x1, y1 = box
        corners = _data(placement, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        layer = self._layers.get("box")
        if layer is not None and layer in self._viewer.layers:
            layer.data = [corners]
            return
        layer = Shapes(
            [corners],
            shape_type="polygon",
            edge_color=ON,
            face_color="transparent",
            edge_width=max(0.5, max(placement.plane_shape) / 400),
            **self._options("box", placement),
        )
        self._add("box", layer)

    def show_mask(self, mask: Mask | None, placement: Placement) -> None:
        """Draw the outline of a mask; None draws none."""
        from napari.layers import Labels
        from napari.utils.colormaps import DirectLabelColormap

        self._remove("outline")
        if mask is None:
            return
        x0, y0, x1, y1 = mask.box
        box = (x0 - _MARGIN, y0 - _MARGIN, x1 + _MARGIN, y1 + _MARGIN)
        where = placement.part(box)
        layer = Labels(
            where.arrange(np.pad(mask.bits, _MARGIN).astype(np.uint8)),
            colormap=DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 1: OUTLINE}),
            opacity=1.0,
            **self._options("outline", where),
        )
        layer.contour = 2 if max(placement.plane_shape) > 300 else 1
        self._add("outline", layer)

    def clear(self) -> None:
        """Take all layers away."""
        for name in NAMES:
            self._remove(name)

    def _options(self, name: str, placement: Placement) -> dict[str, Any]:
        return {"name": NAMES[name], "metadata": {KEY: {"prompt": True}}, **placement.options}

    def _add(self, name: str, layer: Layer) -> None:
        self._layers[name] = layer
        with same_selection(self._viewer.layers):
            self._viewer.layers.append(layer)

    def _remove(self, name: str) -> None:
        layer = self._layers.pop(name, None)
        if layer is not None and layer in self._viewer.layers:
            with same_selection(self._viewer.layers):
                self._viewer.layers.remove(layer)


def _data(placement: Placement, places: list[tuple[float, float]]) -> np.ndarray:
    """Return places ``(x, y)`` of the image as coordinates of a layer with its placement."""
    data = np.zeros((len(places), len(placement.shape)))
    y, x = placement.axes
    data[:, x], data[:, y] = np.transpose(places)
    return data
