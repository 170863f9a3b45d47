"""Which layers belong together, and whether they can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.canvas.layers import about
from napari_graysam._napari.canvas.units import factors, unit_text
from napari_graysam._napari.compare.planes import ShownPlane, plane_axes, shape_of, shown_plane
from napari_graysam._napari.results.identity import comparable_layers
from napari_graysam.comparison import ARMS, Arm

if TYPE_CHECKING:
    import pint
    from napari.components import Dims
    from napari.layers import Image, Labels, Layer

_ARM_NAME = re.compile(r"^(?P<base>.*) \[(?P<arm>raw|preprocessed)\]")
_ALIGNED = 1e-3
"""Pixels by which layers that lie on each other may be apart."""


def arm_of(layer: Layer) -> Arm | None:
    """Return the arm a result layer holds, by its metadata or else its name."""
    arm = about(layer).get("arm")
    if arm is None and (named := _ARM_NAME.match(layer.name)):
        arm = named["arm"]
    return next((known for known in ARMS if known == arm), None)


def base_name(layer: Layer) -> str:
    """Return the source's name from a result's, ``NAME`` from ``NAME [raw]``."""
    named = _ARM_NAME.match(layer.name)
    return named["base"] if named else layer.name


def labels_layers(layers: Iterable[Layer]) -> list[Labels]:
    """Return the Labels layers that can be compared: all but differences and candidates."""
    from napari.layers import Labels

    return [
        layer
        for layer in layers
        if isinstance(layer, Labels)
        and about(layer).get("kind") != "difference"
        and not about(layer).get("candidate")
    ]


def truth_among(layers: Iterable[Layer]) -> Labels | None:
    """Return the newest layer that is marked as a ground truth."""
    marked = [layer for layer in labels_layers(layers) if about(layer).get("ground_truth")]
    return marked[-1] if marked else None


def pair_among(layers: Iterable[Layer]) -> tuple[Labels | None, Labels | None]:
    """Return the newest two arms of one image, or else the only two Labels layers.

    A layer that is marked as a ground truth is never one of them.
    """
    candidates = [one for one in labels_layers(layers) if not about(one).get("ground_truth")]
    arms: dict[str, dict[Arm, Labels]] = {}
    for layer in candidates:
        arm = arm_of(layer)
        if arm is not None:
            found = arms.setdefault(base_name(layer), {})
            found[arm] = layer
    for found in reversed(arms.values()):
        if len(found) == len(ARMS) and comparable_layers(*found.values()):
            return found["raw"], found["preprocessed"]
    if len(candidates) == 2 and not arms:
        return candidates[0], candidates[1]
    return None, None


def source_of(layers: Iterable[Layer], labels: Layer) -> Image | None:
    """Return the image that a Labels layer lies on: the one named as its source, or the lowest."""
    from napari.layers import Image

    images = [
        layer
        for layer in layers
        if isinstance(layer, Image)
        and layer.ndim == labels.ndim
        and (_covers(layer, labels) or layer.name == base_name(labels))
    ]
    source = about(labels).get("source_layer")
    names = [source, base_name(labels)]
    for name in names:
        for layer in images:
            if layer.name == name:
                return layer
    return images[0] if images else None


def problem_with(
    first: Labels | None,
    second: Labels | None,
    truth: Labels | None,
    dims: Dims | None = None,
) -> str:
    """Say what keeps layers from being compared; empty if nothing does.

    Parameters
    ----------
    first, second, truth
        The layers; None where none is chosen.
    dims
        Of the viewer, whose sliders choose a plane of a stack.
    """
    if first is None or second is None:
        return (
            "Choose two Labels layers to compare, for example the raw and the preprocessed "
            "result of one image."
        )
    if first == second:
        return f"“{first.name}” is chosen twice: choose another Labels layer to compare it with."
    chosen = [layer for layer in (first, second, truth) if layer is not None]
    for layer in chosen:
        if about(layer).get("provisional"):
            return (
                f"“{layer.name}” is provisional: tiles are missing, and objects are cut at the "
                "seams. Wait until the run ends, or press “Continue” in the panel to finish it."
            )
        if shown_plane(layer, dims) is None:
            return (
                f"“{layer.name}” has the shape {shape_of(layer)}, and planes are compared one by "
                "one: show one of its planes in 2D, with the sliders."
            )
    if not comparable_layers(first, second):
        return (
            f"“{first.name}” and “{second.name}” are results of different images, planes or "
            "regions. Segment both arms again, or choose others."
        )
    for other in chosen[1:]:
        if text := _mismatch(shown_plane(first, dims), shown_plane(other, dims)):
            role = "the ground truth " if other == truth else ""
            return text.format(other=f"{role}“{other.name}”")
    return ""


def _mismatch(first: ShownPlane | None, other: ShownPlane | None) -> str:
    """Say how two layers do not lie on each other; ``{other}`` stands for the second one."""
    assert first is not None
    assert other is not None
    one = f"“{first.layer.name}”".replace("{", "{{").replace("}", "}}")
    shapes = first.placement.plane_shape, other.placement.plane_shape
    if shapes[0] != shapes[1]:
        sizes = [f"{height} × {width}" for height, width in shapes]
        return (
            f"{one} has {sizes[0]} pixels (height × width), {{other}} has {sizes[1]}. Choose "
            "Labels layers of the same image, uncropped and unscaled."
        )
    if _aligned(first, other):
        return ""
    numbers = _numbers(first), _numbers(other)
    if numbers[0] == numbers[1]:
        return (
            f"{one} and {{other}} have another rotation, shear or affine transform: they do not "
            "lie on each other. Give both layers the same, or choose others."
        )
    return (
        f"{one} has scale {numbers[0]}, {{other}} has {numbers[1]}: they do not lie on each "
        "other. Give both layers the same scale, units and position, or choose others."
    )


def _numbers(plane: ShownPlane) -> str:
    """Write scale and, where there is one, position of a layer."""
    layer, axes = plane.layer, plane.axes
    scale = " × ".join(f"{layer.scale[axis]:g}" for axis in axes)
    translate = [layer.translate[axis] for axis in axes]
    place = f" at ({translate[0]:g}, {translate[1]:g})" if any(translate) else ""
    return f"{scale} {unit_text([layer.units[axis] for axis in axes])}{place}"


def _corners(plane: ShownPlane, units: Sequence[pint.Unit]) -> NDArray[np.float64]:
    """Place a plane's corner pixels along its axes, in the given units."""
    placement = plane.placement
    axes, (height, width) = list(placement.axes), placement.plane_shape
    scale = factors([plane.layer.units[axis] for axis in axes], units)
    corners = [placement.world_at(x, y)[axes] for y in (0, height) for x in (0, width)]
    return np.array(corners * scale, dtype=np.float64)


def _aligned(first: ShownPlane, other: ShownPlane) -> bool:
    """Whether the corners of two planes meet, to a small part of a pixel."""
    units = [first.layer.units[axis] for axis in first.axes]
    one, two = _corners(first, units), _corners(other, units)
    height, width = first.placement.plane_shape
    pixel = np.linalg.norm(one[3] - one[0]) / np.hypot(height, width)
    return bool(np.abs(one - two).max() <= _ALIGNED * max(pixel, np.finfo(float).tiny))


def _covers(image: Image, labels: Layer) -> bool:
    """Whether an image has the pixels of a Labels layer, in one of its planes."""
    axes = plane_axes(labels)
    if axes is None:
        return shape_of(labels) == shape_of(image)
    shape, other = shape_of(labels), shape_of(image)
    return all(shape[axis] == other[axis] for axis in axes)
