"""A stack is opened for the panel: its planes, how far apart they are, and where points may be."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_graysam._napari.canvas.layers import pixels_of
from napari_graysam._napari.canvas.placement import Placement
from napari_graysam._napari.canvas.region import LayerRegion, read_region
from napari_graysam._napari.stack.job import StackJob
from napari_graysam._napari.stack.scope import Scope, key_of
from napari_graysam.errors import UsageError
from napari_graysam.pipeline.kept import KeptPlanes
from napari_graysam.recipe import Recipe
from napari_graysam.source.stack import Stack
from napari_graysam.units import in_micrometres

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_graysam._napari.canvas.source import Source


def whole_placement(source: Source, scope: Scope) -> Placement:
    """Return where a whole stack lies, from where one of its planes does."""
    shape = list(source.placement.shape)
    offset = [0] * len(shape)
    shape[scope.along], offset[scope.along] = scope.length, -source.index[scope.along]
    return source.placement.moved(offset, shape)


def open_stack(
    layer: Layer, source: Source, scope: Scope, recipe: Recipe, region: Layer | None
) -> StackJob:
    """Return a stack with nothing in it yet; nothing is read.

    Parameters
    ----------
    layer
        The image.
    source
        The plane that is shown.
    scope
        The axis.
    recipe
        As the user set it.
    region
        The layer that limits the points.

    Raises
    ------
    GraysamError
        If the recipe chooses a plane, or none.
    """
    if recipe.image.plane is not None:
        raise UsageError(
            f"The recipe chooses plane {recipe.image.plane} (Image ▸ Plane): choose “the one "
            "shown” there to segment all planes."
        )
    letters = source.options.axes or ""
    wanted = scope.axis.upper()
    if wanted not in letters:
        letters = letters.replace(scope.letter, wanted)
    size = in_micrometres(*source.placement.pixel_size)
    options = recipe.stack.replace(
        axis=scope.axis,
        at=_elsewhere(source, scope),
        spacing=recipe.stack.spacing or plane_spacing(source.placement, scope.along, scope.axis),
    )
    image = source.options.replace(axes=letters, plane=None)
    stack = Stack(
        source.array,
        recipe.replace(image=image, stack=options),
        contrast_limits=source.contrast_limits,
        pixel_size=size,
    )
    whole = whole_placement(source, scope)
    regions = read_regions(region, source, scope, stack.positions)
    folder = Path(tempfile.mkdtemp(prefix="graysam-stack-"))
    return StackJob(
        key=key_of(source, scope.along),
        scope=scope,
        recipe=recipe,
        source=source,
        placement=whole,
        stack=stack,
        pixels=pixels_of(layer),
        regions=regions,
        kept=KeptPlanes(stack.plane, folder),
        folder=folder,
    )


def _elsewhere(source: Source, scope: Scope) -> int | None:
    """Return the position along the other one of z and t; None where there is none."""
    other = {"Z": "T", "T": "Z"}[scope.letter]
    if other not in source.letters:
        return None
    along = source.letters.index(other)
    layout = dict(zip(source.options.axes or "", source.array.shape, strict=False))
    return source.index[along] if layout.get(other, 1) > 1 else None


def read_regions(
    region: Layer | None, source: Source, scope: Scope, positions: Sequence[int]
) -> dict[int, LayerRegion] | None:
    """Return where points may be in each plane; None where nothing limits them.

    Raises
    ------
    ImageError
        As of `napari_graysam._napari.canvas.region.read_region`.
    """
    if region is None:
        return None
    found: dict[int, LayerRegion] = {}
    shape, whole = source.placement.shape, whole_placement(source, scope)
    for position in positions:
        offset = [position if axis == scope.along else 0 for axis in range(len(shape))]
        here = replace(source, placement=whole.moved(offset, shape))
        area = read_region(region, here)
        assert area is not None
        found[position] = area
    return found


def plane_spacing(placement: Placement, along: int, axis: str) -> float | None:
    """Return the distance of planes in µm (z) or seconds (t); None where the layer has none."""
    from pint import DimensionalityError

    units = placement.options.get("units")
    if units is None:
        return None
    try:
        factor = (1 * units[along]).to("second" if axis == "t" else "micrometer").magnitude
    except DimensionalityError:
        return None
    spacing = float(placement.options["scale"][along]) * float(factor)
    return spacing if spacing > 0 else None
