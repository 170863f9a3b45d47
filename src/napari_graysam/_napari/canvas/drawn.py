"""One object that the user drew or selected, in the pixels of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_graysam._napari.canvas.layers import pixels_of
from napari_graysam._napari.canvas.placement import matrix_of, transform_of
from napari_graysam._napari.canvas.region import of_labels, read_region
from napari_graysam.masks.size import disc_diameter, polygon_area

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_graysam._napari.canvas.source import Source


def drawn_diameter(layer: Layer | None, source: Source) -> float | None:
    """Return the diameter of a disc as large as the object that a layer shows.

    Parameters
    ----------
    layer
        Shapes: its last rectangle, ellipse or polygon. Labels: the selected label.
    source
        The image, in whose pixels the diameter is.

    Returns
    -------
    float or None
        None where the layer shows no object on the image.
    """
    from napari.layers import Labels, Shapes

    area = 0.0
    if isinstance(layer, Shapes):
        region = read_region(layer, source)
        shapes = () if region is None else region.shapes
        area = polygon_area(shapes[-1]) if shapes else 0.0
    elif isinstance(layer, Labels):
        selected = np.asarray(pixels_of(layer)) == layer.selected_label
        inside = of_labels(selected, matrix_of(transform_of(layer)), source.placement)
        area = float(np.count_nonzero(inside))
    return disc_diameter(area) if area else None
