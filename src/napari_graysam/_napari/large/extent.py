"""How much of a large image a run segments: the view, the region, or the whole in tiles."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Literal

from psygnal import Signal

from napari_graysam._napari.canvas.finding import region_part, shown_level, visible_part
from napari_graysam._napari.canvas.part import Part, cut, levels_of, plane_shape, recipe_region
from napari_graysam._napari.canvas.region import read_region
from napari_graysam._napari.canvas.source import read_source
from napari_graysam._napari.canvas.whole import WholeImages
from napari_graysam.errors import GraysamError, ImageError

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_graysam._napari.canvas.region import LayerRegion
    from napari_graysam._napari.canvas.source import Source
    from napari_graysam.recipe import Recipe

Kind = Literal["plane", "view", "region", "whole"]
KINDS: tuple[Kind, ...] = ("view", "region", "whole")
MARGIN = 64
"""Pixels around a region that are read at least, so that objects at its edge are seen whole."""


class Extent:
    """What the user wants of large images, and the part of each that was segmented last.

    Attributes
    ----------
    changed
        Emitted when another part is meant.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._wanted: Kind = "plane"
        self._parts: dict[Hashable, Part] = {}
        self._wholes: dict[Hashable, WholeImages] = {}

    def kind(self, layer: Layer | None, recipe: Recipe, region: Layer | None) -> Kind:
        """Return what a run segments of a layer; "plane" of one that is not large."""
        why = self.why_large(layer, recipe)
        if why == "":
            return "plane"
        if self._wanted == "region" and region is None:
            return "view"
        if self._wanted == "plane" and why != MULTISCALE and recipe.stack.axis == "none":
            return "view"
        return self._wanted

    def why_large(self, layer: Layer | None, recipe: Recipe) -> str:
        """Say why parts of a layer are offered; an empty text where they are not."""
        from napari.layers import Image

        from napari_graysam.tiles.extent import needs_tiles

        if layer is None or not isinstance(layer, Image):
            return ""
        try:
            source = read_source(self._viewer, layer, recipe.image)
        except GraysamError:
            return ""
        why = needs_tiles(plane_shape(layer, source.placement.axes), recipe)
        return why or (MULTISCALE if len(levels_of(layer)) > 1 else "")

    def choose(self, kind: Kind) -> None:
        """Want something else."""
        self._wanted = kind
        self.changed.emit()

    def look(self, layer: Layer, recipe: Recipe, region: Layer | None) -> Part:
        """Mean what is in view now, or what a region covers now.

        Raises
        ------
        GraysamError
            There is nothing of the image.
        """
        source = read_source(self._viewer, layer, recipe.image)
        level = recipe.tiles.level
        if region is not None:
            margin = max(MARGIN, round(1.5 * (recipe.image.object_diameter or 0)))
            part = region_part(region, source, layer, level, margin)
        else:
            axes = source.placement.axes
            part = visible_part(self._viewer, layer, axes, level or shown_level(layer))
        check_part(part, recipe)
        self._wholes.pop(layer.unique_id, None)  # Pixels may have changed in place.
        self._parts[layer.unique_id] = part
        self.changed.emit()
        return part

    def part(self, layer: Layer | None, recipe: Recipe, region: Layer | None) -> Part | None:
        """Return the part that was looked at last; None for whole planes, and before that."""
        if layer is None or self.kind(layer, recipe, region) in ("plane", "whole"):
            return None
        return self._parts.get(layer.unique_id)

    def cut(self, source: Source, layer: Layer, part: Part | None) -> Source:
        """Return a part of a plane; the plane itself where there is none."""
        if part is None:
            return source
        wholes = self._wholes.setdefault(layer.unique_id, WholeImages())
        return cut(source, layer, part, wholes)

    def forget(self, layer: Layer) -> None:
        """Let go of a layer that has left the viewer."""
        self._parts.pop(layer.unique_id, None)
        self._wholes.pop(layer.unique_id, None)


MULTISCALE = "the image has several resolutions"


def region_of(
    source: Source, layer: Layer, region: Layer | None, recipe: Recipe
) -> LayerRegion | None:
    """Return where points are allowed in a source, by a layer, or in a part by the recipe.

    Raises
    ------
    GraysamError
        As of `read_region` and `recipe_region`.
    """
    if region is not None or source.part is None:
        return read_region(region, source)
    axes = source.placement.axes
    shape = plane_shape(layer, axes, source.part.level)
    own = plane_shape(layer, axes, recipe.tiles.level)
    factors = (shape[0] / own[0], shape[1] / own[1])
    return recipe_region(recipe, source.part, shape, factors)


def check_part(part: Part, recipe: Recipe) -> None:
    """Refuse a part that is too large for one piece.

    Raises
    ------
    ImageError
        The message says what to do.
    """
    from napari_graysam.tiles.extent import needs_tiles

    whole = recipe.with_values({"tiles.use": "auto", "tiles.level": 0})
    if needs_tiles(part.shape, whole):
        rows, columns = part.shape
        raise ImageError(
            f"This part has {columns:,} × {rows:,} pixels, too many for one piece: zoom in, draw "
            "a smaller region, or choose “whole image”, which is segmented in tiles."
        )
