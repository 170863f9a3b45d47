"""Where a Labels layer lies: as a file keeps it, or on the image that is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_graysam._napari.canvas.layers import pixels_of
from napari_graysam._napari.canvas.placement import TRANSFORM

if TYPE_CHECKING:
    from napari.layers import Image


def stored_placement(shape: Sequence[int], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer's shape and transform as a file keeps them.

    Parameters
    ----------
    shape
        Of the layer, also of one plane in a stack.
    attributes
        Of the layer, as napari hands them to writers.
    """
    stored: dict[str, Any] = {"shape": list(shape)}
    for name in TRANSFORM:
        value = attributes.get(name)
        if name in ("units", "axis_labels"):
            stored[name] = [f"{one}" for one in value or ()]
        elif value is not None:
            stored[name] = np.asarray(getattr(value, "affine_matrix", value), float).tolist()
    return stored


def restored_placement(
    stored: Mapping[str, Any], plane: tuple[int, int]
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Return the shape of a layer and its keyword arguments.

    Parameters
    ----------
    stored
        As `stored_placement` returns it.
    plane
        (H, W) of the labels.

    Raises
    ------
    ValueError
        It is damaged, or of labels of another shape.
    """
    from napari.layers import Labels

    try:
        shape = tuple(int(side) for side in stored["shape"])
        if [side for side in shape if side > 1] != [side for side in plane if side > 1]:
            raise ValueError(f"placement of {shape}, labels of {plane}")
        options = {name: stored[name] for name in TRANSFORM if stored.get(name)}
        for name in set(options) - {"units", "axis_labels"}:
            options[name] = np.asarray(options[name], float)
        Labels(np.zeros((1,) * len(shape), np.uint8), **options)
    except Exception as error:
        raise ValueError("its placement is damaged") from error
    return shape, options


def open_image() -> Image | None:
    """Return the selected image of one plane, or the only one in the viewer."""
    import napari
    from napari.layers import Image

    viewer = napari.current_viewer()
    if viewer is None:
        return None
    images = [layer for layer in viewer.layers if isinstance(layer, Image) and layer.ndim == 2]
    active = [layer for layer in images if layer is viewer.layers.selection.active]
    if active:
        return active[0]
    return images[0] if len(images) == 1 else None


def shape_of(image: Image) -> tuple[int, int]:
    """Return (H, W) of an image of one plane."""
    shape = pixels_of(image).shape
    return int(shape[0]), int(shape[1])
