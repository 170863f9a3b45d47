"""What a label image in OME-Zarr looks like before it is written: levels, axes and scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_graysam.recipe import ImageOptions
from napari_graysam.source.physical import unit_of
from napari_graysam.source.pyramid import Pyramid

CHUNK = 512
"""Rows and columns that are read at once."""
BLOCK = 2048
"""Rows and columns that are written at once: one shard, which belongs to one task."""
MOST_LEVELS = 32
SMALLEST_LEVEL = 1024
"""Levels are added until a side is not longer, where the image has one level only."""
NAMES = {
    "µm": "micrometer", "nm": "nanometer", "pm": "picometer", "mm": "millimeter",
    "cm": "centimeter", "dm": "decimeter", "m": "meter", "km": "kilometer", "Å": "angstrom",
    "in": "inch", "ft": "foot", "s": "second", "ms": "millisecond", "min": "minute", "h": "hour",
}  # fmt: skip
"""Units as OME-Zarr spells them."""
TYPES = {"T": "time", "C": "channel"}


@dataclass(frozen=True)
class LabelPlan:
    """Shapes of all levels of a label image, and where its pixels lie.

    Attributes
    ----------
    axes
        ``YX`` or ``ZYX`` and the like, one letter for each axis.
    shapes
        Of every level, from fine to coarse.
    scales, translations
        Of every level, in `units`.
    units
        For each axis, such as ``µm``; an empty text where unknown.
    chunk, block
        Rows and columns of a chunk, and of what is written at once.
    """

    axes: str
    shapes: tuple[tuple[int, ...], ...]
    scales: tuple[tuple[float, ...], ...]
    translations: tuple[tuple[float, ...], ...]
    units: tuple[str, ...]
    chunk: int = CHUNK
    block: int = BLOCK

    @property
    def leading(self) -> int:
        """Number of axes before rows and columns."""
        return len(self.axes) - 2

    def multiscales(self, name: str) -> dict[str, Any]:
        """Return OME-Zarr's description of the levels, which are called 0, 1 and so on."""
        axes = []
        for letter, unit in zip(self.axes, self.units, strict=True):
            axis = {"name": letter.lower(), "type": TYPES.get(letter, "space")}
            spelled = NAMES.get(unit_of(unit))
            axes.append(axis | ({"unit": spelled} if spelled else {}))
        datasets = []
        for level, scale in enumerate(self.scales):
            steps: list[dict[str, Any]] = [{"type": "scale", "scale": list(scale)}]
            moved = self.translations[level]
            if any(moved):
                steps.append({"type": "translation", "translation": list(moved)})
            datasets.append({"path": str(level), "coordinateTransformations": steps})
        return {"name": name, "axes": axes, "datasets": datasets, "type": "nearest"}


def plan_labels(
    like: Pyramid | None = None,
    *,
    options: ImageOptions | None = None,
    shape: Sequence[int] | None = None,
    axes: str = "YX",
    pixel_size: tuple[float, float] | None = None,
    unit: str | None = None,
    spacing: float | None = None,
    more_levels: bool | None = None,
    chunk: int = CHUNK,
    block: int = BLOCK,
) -> LabelPlan:
    """Plan a label image for an image: as many levels as that, each of the same size.

    Parameters
    ----------
    like
        The image; its axes T, Z and Y, X that are in `axes` count.
    options
        Name the axes of the image where it does not.
    shape
        In place of an image.
    axes
        Of the labels: ``YX`` for one plane, ``ZYX`` or ``TYX`` for a stack.
    pixel_size, unit, spacing
        (Height, width) of a pixel, in place of the image's; and the distance of planes (µm or
        s) where that does not tell it.
    more_levels
        Whether an image of one level gets labels of several, so that a viewer shows large ones
        quickly. By default all do but those of OME-Zarr, of which both must have as many.
    chunk, block
        Rows and columns of a chunk; and of what is written at once, a multiple.

    Examples
    --------
    >>> plan = plan_labels(shape=(3000, 2000), pixel_size=(0.5, 0.5), unit="µm")
    >>> plan.shapes, plan.scales[-1]
    (((3000, 2000), (1500, 1000), (750, 500)), (2.0, 2.0))
    """
    shapes = [tuple(shape or ())]
    scales: list[tuple[float, ...]] = []
    translations: list[tuple[float, ...]] = []
    units: tuple[str, ...] = ("",) * len(axes)
    if like is not None:
        layouts = [like.layout(options, level) for level in range(len(like.levels))]
        shapes = [tuple(layout.size(letter) for letter in axes) for layout in layouts]
        where = [layouts[0].axes.find(letter) for letter in axes]
        if like.scales and like.axes == layouts[0].axes:
            scales = [_chosen(one, where, 1.0) for one in like.scales]
            translations = [_chosen(one, where, 0.0) for one in like.translations]
            units = _chosen(like.units, where, "")
    if more_levels is None:
        more_levels = like is None or like.kind != "ome-zarr"
    while more_levels and len(shapes) < MOST_LEVELS and (like is None or len(like.levels) == 1):
        last = shapes[-1]
        if max(last[-2:]) <= SMALLEST_LEVEL:
            break
        shapes.append((*last[:-2], -(-last[-2] // 2), -(-last[-1] // 2)))
    first = shapes[0]
    scale = scales[0] if scales else (1.0,) * len(axes)
    if pixel_size is not None:
        scale, units = (*scale[:-2], *pixel_size), (*units[:-2], *(unit or "µm",) * 2)
    if spacing is not None and len(axes) > 2 and not units[-3]:
        scale = (*scale[:-3], spacing, *scale[-2:])
        units = (*units[:-3], "µm" if axes[-3] == "Z" else "s", *units[-2:])
    if not scales or scale != scales[0] or len(scales) < len(shapes):
        scales = [
            tuple(s * n / m for s, n, m in zip(scale, first, one, strict=True)) for one in shapes
        ]
    if len(translations) < len(shapes):
        translations = [(translations or [(0.0,) * len(axes)])[0]] * len(shapes)
    # A small image is one chunk, and no longer than it has to be.
    longest = max(first[-2:])
    chunk = min(chunk, max(16, -(-longest // 16) * 16))
    block = max(chunk, min(block, -(-longest // chunk) * chunk) // chunk * chunk)
    return LabelPlan(axes, tuple(shapes), tuple(scales), tuple(translations), units, chunk, block)


def _chosen(values: Sequence[Any], where: Sequence[int], missing: Any) -> tuple[Any, ...]:
    return tuple(values[i] if i >= 0 else missing for i in where)
