"""One large image on its way: what is segmented, where results go, and what is there of it."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.finding import check_small
from napari_graysam._napari.canvas.part import lazy, level_index, levels_of, plane_shape
from napari_graysam._napari.canvas.region import LayerRegion, read_region
from napari_graysam._napari.canvas.source import read_source, short_plane
from napari_graysam.errors import ImageError, UsageError
from napari_graysam.recipe import MODEL_STAGES, Explicit, StackOptions

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam._napari.canvas.source import Source
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.recipe import Recipe
    from napari_graysam.source.pyramid import Pyramid


@dataclass(eq=False)
class WholeJob:
    """A whole image in tiles.

    Attributes
    ----------
    key
        Of which image it is.
    source, placement
        The plane at its finest level, and where its pixels lie at the recipe's.
    pyramid
        The image, as compute takes it.
    recipe
        As the user set it; for this image.
    region
        Where points are allowed; None for everywhere, or as the recipe says.
    folder, name
        Where results go, and how their names begin.
    left
        Tiles that are missing, by arm.
    done
        The recipe of the labels that are there, by arm.
    """

    key: Hashable
    source: Source
    placement: Placement
    pyramid: Pyramid
    recipe: Recipe
    region: LayerRegion | None
    folder: Path
    name: str
    left: dict[Shown, int] = field(default_factory=dict)
    done: dict[Shown, Recipe] = field(default_factory=dict)
    objects: dict[Shown, int] = field(default_factory=dict)
    notes: dict[Shown, tuple[str, ...]] = field(default_factory=dict)

    def stem(self, arm: Shown) -> str:
        """Return how the names of an arm's files begin."""
        return f"{self.name}_{arm}"


def key_of(source: Source) -> Hashable:
    """Return which image, plane and region a source is."""
    return source.layer_id, source.plane, source.region_id


def open_job(state: PanelState, folder: Path) -> WholeJob:
    """Return a whole image with nothing of it done; nothing is read.

    Raises
    ------
    GraysamError
        If the image, its region or the recipe does not allow it.
    """
    recipe, layer = state.recipe, state.layer
    source = read_source(state.viewer, layer, recipe.image).within(state.region)
    assert layer is not None
    shape = plane_shape(layer, source.placement.axes, recipe.tiles.level)
    placement = source.placement.at_level(shape)
    return WholeJob(
        key=key_of(source),
        source=source,
        placement=placement,
        pyramid=_pyramid(layer, source),
        recipe=for_compute(recipe, source),
        region=_region(state.region, replace(source, placement=placement)),
        folder=folder,
        name=_name(layer, source),
    )


def for_compute(recipe: Recipe, source: Source) -> Recipe:
    """Return a recipe for the plane of a source, without a viewer."""
    axes = "".join(letter for letter in source.letters if letter in "YXS")
    channel = None if "C" in source.letters else source.options.channel
    image = source.options.replace(axes=axes, plane=None, channel=channel, series=None)
    if image.window.kind == "limits":
        assert source.contrast_limits is not None
        low, high = source.contrast_limits
        image = image.replace(window=Explicit(low=low, high=high))
    return recipe.replace(image=image, stack=StackOptions())


def _pyramid(layer: Layer, source: Source) -> Pyramid:
    from napari_graysam.source.pyramid import Pyramid, check_levels

    axes = "".join(letter for letter in source.letters if letter in "YXS")
    kept = [n for n, letter in enumerate(source.letters) if letter in "YX"]
    arrays = [
        lazy(level)[level_index(source, levels_of(layer), n)]
        for n, level in enumerate(levels_of(layer))
    ]
    check_levels(arrays, axes)
    scale, move = (source.placement.options[name] for name in ("scale", "translate"))
    units = source.placement.options.get("units") or ("",) * len(scale)
    scales, moves = [], []
    for level in levels_of(layer):
        steps = [source.placement.shape[n] / level.shape[n] for n in kept]
        scales.append([float(scale[n]) * s for n, s in zip(kept, steps, strict=True)])
        moves.append(
            [float(move[n] + scale[n] * (s - 1) / 2) for n, s in zip(kept, steps, strict=True)]
        )
    more = len(axes) - len(kept)
    texts = tuple("" if f"{units[n]}" == "pixel" else f"{units[n]:~}" for n in kept)
    return Pyramid(
        tuple(arrays),
        axes,
        tuple((*one, *(1.0,) * more) for one in scales),
        (*texts, *("",) * more),
        tuple((*one, *(0.0,) * more) for one in moves),
        path=_path(layer),
    )


def _path(layer: Layer) -> str | None:
    path = layer.source.path
    return os.path.abspath(path) if path and os.path.exists(path) else None


def _name(layer: Layer, source: Source) -> str:
    path = _path(layer)
    stem = layer.name if path is None else Path(path).name
    for ending in (".zarr", ".tif", ".tiff", ".ome"):
        stem = stem.removesuffix(ending)
    text = " ".join(filter(None, (stem, short_plane(source.plane), source.region_name)))
    return re.sub(r"[^\w.-]+", "_", text).strip("._") or "image"


def _region(layer: Layer | None, source: Source) -> LayerRegion | None:
    """Read where points are allowed; shapes are not drawn, which would take all of the image."""
    region = read_region(layer, source)
    if region is None or layer is None:
        return None
    if region.shapes is None:
        check_small(layer)
    elif not region.shapes:
        raise ImageError(region.problem)
    return region


def default_folder(layer: Layer) -> Path:
    """Return a folder for results: beside the image, or in the user's cache where it cannot be."""
    from platformdirs import user_cache_path

    path = _path(layer)
    name = re.sub(r"[^\w.-]+", "_", layer.name).strip("._") or "image"
    if path is not None and os.access(Path(path).parent, os.W_OK):
        return Path(path).parent / f"{name}_graysam"
    return user_cache_path("napari-graysam", appauthor=False) / "large" / name


def check_folder(text: str) -> Path:
    """Return the folder that was typed.

    Raises
    ------
    UsageError
        It is empty, a file, or cannot be written to.
    """
    if not text.strip():
        raise UsageError("No folder for the results is given: type one, or choose it with “…”.")
    folder = Path(text.strip()).expanduser().absolute()
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not there.is_dir():
        raise UsageError(f"{there} is a file: choose a folder for the results.")
    if not os.access(there, os.W_OK):
        raise UsageError(f"{there} cannot be written to: choose another folder for the results.")
    return folder


def same_tiles(one: Recipe, other: Recipe, *, candidates: bool = False) -> bool:
    """Whether two recipes find the same in every tile, or ask the model the same.

    Parameters
    ----------
    one, other
        Of `for_compute`.
    candidates
        Whether it suffices that the tiles' candidates are the same: then objects are selected
        from them again.
    """
    from napari_graysam.tiles.tile import recipe_of_tile

    changed = recipe_of_tile(one).changed_stage(recipe_of_tile(other))
    if changed in MODEL_STAGES or (changed is not None and not candidates):
        return False
    return one.tiles == other.tiles and one.image.region == other.image.region


def shapes_of(job: WholeJob) -> list[tuple[int, int]]:
    """Return rows and columns of the labels' levels: those of the image from the recipe's on."""
    from napari_graysam.files.zarr_labels.plan import SMALLEST_LEVEL

    image = job.recipe.image
    levels: list[Any] = list(range(job.recipe.tiles.level, len(job.pyramid.levels)))
    shapes = [job.pyramid.layout(image, level).plane_shape for level in levels]
    while len(job.pyramid.levels) == 1 and max(shapes[-1]) > SMALLEST_LEVEL:
        rows, columns = shapes[-1]
        shapes.append((-(-rows // 2), -(-columns // 2)))
    return shapes
