"""One large image on its way: what is segmented, where results go, and what is there of it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.finding import check_small
from napari_graysam._napari.canvas.part import lazy, level_index, levels_of, plane_shape
from napari_graysam._napari.canvas.region import LayerRegion, read_region
from napari_graysam._napari.canvas.source import read_source, short_plane
from napari_graysam.errors import ImageError
from napari_graysam.recipe import MODEL_STAGES, Explicit, StackOptions

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam._napari.canvas.region import Polygons
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
    pixels
        The layer's arrays, of all levels.
    inside
        Polygons that the region had in the run; empty where it limited nothing, None before.
    digest
        Of the image's gray values, once a run has read them.
    left
        Tiles that are missing, by arm.
    done
        The recipe of the labels that are there, by arm.
    numbers
        Behind the names of an arm's files where layers of earlier runs show others.
    earlier
        How the names of an arm's files began whose tiles its next run can use.
    begun
        Arms whose tiles on disk this run has touched.
    """

    key: Hashable
    source: Source
    placement: Placement
    pyramid: Pyramid
    recipe: Recipe
    region: LayerRegion | None
    folder: Path
    name: str
    pixels: Sequence[Any] = ()
    inside: Polygons | None = None
    digest: str = ""
    left: dict[Shown, int] = field(default_factory=dict)
    done: dict[Shown, Recipe] = field(default_factory=dict)
    objects: dict[Shown, int] = field(default_factory=dict)
    notes: dict[Shown, tuple[str, ...]] = field(default_factory=dict)
    numbers: dict[Shown, int] = field(default_factory=dict)
    earlier: dict[Shown, str] = field(default_factory=dict)
    begun: set[Shown] = field(default_factory=set)

    def stem(self, arm: Shown) -> str:
        """Return how the names of an arm's files begin."""
        number = self.numbers.get(arm, 1)
        return f"{self.name}_{arm}" if number == 1 else f"{self.name}_{arm}_{number}"

    def carry_on(self, before: WholeJob, arms: Collection[Shown]) -> None:
        """Take over what is there of some arms of the same image; the other job stays as it is."""
        for name in ("left", "done", "objects", "notes", "numbers", "earlier"):
            known = getattr(before, name)
            kept = {arm: known[arm] for arm in arms if arm in known}
            setattr(self, name, getattr(self, name) | kept)
        self.inside = before.inside if self.inside is None else self.inside
        self.digest = self.digest or before.digest

    def begin(self, arm: Shown) -> None:
        """Note that an arm's tiles are those of this run from now on."""
        self.begun.add(arm)
        self.earlier.pop(arm, None)

    def renumber(self, arm: Shown) -> None:
        """Leave an arm's files to the layer that shows them, and take other names."""
        for of in (self.left, self.done, self.objects, self.notes):
            of.pop(arm, None)
        while True:
            self.numbers[arm] = self.numbers.get(arm, 1) + 1
            stem = self.folder / self.stem(arm)
            if not any(stem.with_name(f"{stem.name}{end}").exists() for end in (".zarr", ".tiles")):
                return


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
        pixels=levels_of(layer),
    )


def region_of_job(layer: Layer | None, job: WholeJob) -> LayerRegion | None:
    """Return where a layer allows points in an image that was run, as it is now.

    Raises
    ------
    GraysamError
        As of `open_job`.
    """
    return _region(layer, replace(job.source, placement=job.placement))


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
        path=path_of(layer),
    )


def path_of(layer: Layer) -> str | None:
    path = layer.source.path
    return os.path.abspath(path) if path and os.path.exists(path) else None


def _name(layer: Layer, source: Source) -> str:
    path = path_of(layer)
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
    """Return rows and columns of levels for provisional labels, from the recipe's level on.

    Those of the image, and coarser ones: napari reads and colours all of the coarsest again
    whenever tiles have come, in the thread of the window.
    """
    from napari_graysam.files.zarr_labels.plan import SMALLEST_LEVEL

    image = job.recipe.image
    levels: list[Any] = list(range(job.recipe.tiles.level, len(job.pyramid.levels)))
    shapes = [job.pyramid.layout(image, level).plane_shape for level in levels]
    while max(shapes[-1]) > SMALLEST_LEVEL:
        rows, columns = shapes[-1]
        shapes.append((-(-rows // 2), -(-columns // 2)))
    return shapes
