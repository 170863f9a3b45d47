"""What OME-Zarr says of an image: its levels, axes, units and scales (versions 0.1 to 0.5)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from napari_graysam.errors import ImageError
from napari_graysam.source.images import check_number

LETTERS = {"t": "T", "c": "C", "z": "Z", "y": "Y", "x": "X"}
TIMES = {"second": "s", "millisecond": "ms", "minute": "min", "hour": "h"}
FIRST_AXES = ("t", "c", "z", "y", "x")
"""Of versions 0.1 and 0.2, which name none."""
MOST_LEVELS = 64
DAMAGED = "The metadata are damaged, or the copy is unfinished."


class Multiscales(NamedTuple):
    """Paths of the levels within the group, and what is said of them.

    ``axes`` are letters of a recipe, None where they mean something else; ``scales`` and
    ``translations`` are empty where unknown; ``notes`` tell what is wrong with the scale.
    """

    paths: tuple[str, ...]
    axes: str | None
    units: tuple[str, ...]
    scales: tuple[tuple[float, ...], ...]
    name: str
    version: str
    notes: tuple[str, ...]
    translations: tuple[tuple[float, ...], ...] = ()


def ome_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return OME's part of a group's attributes: below ``ome`` from version 0.5 on.

    Examples
    --------
    >>> ome_attributes({"ome": {"version": "0.5"}}), ome_attributes({"labels": ["a"]})
    ({'version': '0.5'}, {'labels': ['a']})
    """
    ome = attributes.get("ome")
    return dict(ome if isinstance(ome, dict) else attributes)


def parse_multiscales(attributes: Mapping[str, Any], series: int | None = None) -> Multiscales:
    """Read ``multiscales`` of OME attributes.

    Parameters
    ----------
    attributes
        As `ome_attributes` returns them.
    series
        Which of several images; None for the only one.

    Raises
    ------
    ImageError
        They are damaged, or there are several images and none was chosen.

    Examples
    --------
    >>> axes = [{"name": "y", "unit": "micrometer"}, {"name": "x", "unit": "micrometer"}]
    >>> scale = [{"type": "scale", "scale": [0.5, 0.5]}]
    >>> dataset = {"path": "0", "coordinateTransformations": scale}
    >>> parse_multiscales({"multiscales": [{"axes": axes, "datasets": [dataset]}]})[:4]
    (('0',), 'YX', ('micrometer', 'micrometer'), ((0.5, 0.5),))
    """
    images = _objects(attributes.get("multiscales"), "multiscales")
    if series is None and len(images) > 1:
        raise ImageError(
            f"The group holds {len(images)} images; choose one with image.series=N, "
            f"image.series=0..{len(images) - 1}."
        )
    check_number(series or 0, len(images))
    image = images[series or 0]
    datasets = _objects(image.get("datasets"), "datasets")
    if len(datasets) > MOST_LEVELS:
        raise ImageError(f"Its metadata name {len(datasets)} levels; at most {MOST_LEVELS} exist.")
    paths = tuple(str(dataset.get("path")) for dataset in datasets)
    if any(not isinstance(dataset.get("path"), str) for dataset in datasets):
        raise ImageError(f"A level of the image has no path. {DAMAGED}")
    named = image.get("axes", FIRST_AXES)
    axes = _axes(named)
    units = tuple(_unit(axis) for axis in named) if isinstance(named, Sequence) else ()
    about = str(image.get("version", attributes.get("version", "")))
    scales, translations, notes = _transformations(image, datasets, len(units))
    if axes is None:
        notes = (*notes, f"The axes of the image are {_shown(named)}; name them with image.axes.")
    name = str(image.get("name") or "")
    return Multiscales(paths, axes, units, scales, name, about, notes, translations)


def _objects(given: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not given or not all(isinstance(g, dict) for g in given):
        raise ImageError(f"Its {name} are {_shown(given)}; expected a list of objects. {DAMAGED}")
    return given


def _shown(given: Any) -> str:
    return str(given)[:60]


def _axes(named: Any) -> str | None:
    """Return the letters of axes, None where they mean something else."""
    letters = []
    for axis in named if isinstance(named, Sequence) else ():
        name = axis.get("name") if isinstance(axis, dict) else axis
        letters.append(LETTERS.get(str(name).lower(), "?"))
    found = "".join(letters)
    if "?" in found or len(set(found)) < len(found) or not {"Y", "X"} <= set(found):
        return None
    return found


def _unit(axis: Any) -> str:
    unit = axis.get("unit") if isinstance(axis, dict) else None
    return TIMES.get(str(unit), str(unit)) if unit else ""


def _transformations(
    image: Mapping[str, Any], datasets: Sequence[Mapping[str, Any]], count: int
) -> tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...], tuple[str, ...]]:
    """Return scale and translation of every level, or none and a note where one is wrong."""
    all_of_it = image.get("coordinateTransformations")
    outer = _numbers(all_of_it, "scale", count) or (1.0,) * count
    offset = _numbers(all_of_it, "translation", count) or (0.0,) * count
    scales, translations = [], []
    for number, dataset in enumerate(datasets):
        given = dataset.get("coordinateTransformations")
        scale = _numbers(given, "scale", count)
        if scale is None:
            what = "has no scale" if not given else f"has the scale {_shown(given)}"
            note = (
                f"Level {number} of the image {what}; expected {count} positive numbers. The "
                "size of a pixel is taken as unknown."
            )
            return (), (), (note,)
        moved = _numbers(given, "translation", count) or (0.0,) * count
        scales.append(tuple(a * b for a, b in zip(scale, outer, strict=True)))
        translations.append(tuple(t * s + o for t, s, o in zip(moved, outer, offset, strict=True)))
    return tuple(scales), tuple(translations), ()


def _numbers(transformations: Any, kind: str, count: int) -> tuple[float, ...] | None:
    """Return the numbers of a kind of transformation, if these are right."""
    for one in transformations if isinstance(transformations, list) else ():
        given = one.get(kind) if isinstance(one, dict) and one.get("type") == kind else None
        if isinstance(given, list) and len(given) == count:
            numbers = [
                float(side)
                for side in given
                if isinstance(side, int | float) and not isinstance(side, bool)
            ]
            least = 0.0 if kind == "scale" else -math.inf
            if len(numbers) == count and all(least < side < math.inf for side in numbers):
                return tuple(numbers)
    return None


def scale_notes(
    scales: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]]
) -> tuple[str, ...]:
    """Say where the scale of a level does not fit how much smaller than the finest it is.

    Examples
    --------
    >>> scale_notes([(1, 1), (2, 2)], [(9, 9), (5, 5)])
    ()
    >>> scale_notes([(1, 1), (8, 8)], [(9, 9), (5, 5)])[0][:44]
    'Level 1 has 5 × 5 pixels, 1.8 × 1.8 times fe'
    """
    for number, (scale, shape) in enumerate(zip(scales, shapes, strict=True)):
        claimed = [a / b for a, b in zip(scale, scales[0], strict=True)]
        pairs = list(zip(shapes[0], shape, claimed, strict=True))
        if all(abs(side / factor - here) <= max(2, 0.02 * here) for side, here, factor in pairs):
            continue
        sides = " × ".join(map(str, shape))
        fewer = " × ".join(f"{side / here:.3g}" for side, here, _ in pairs)
        said = " × ".join(f"{factor:.3g}" for factor in claimed)
        return (
            f"Level {number} has {sides} pixels, {fewer} times fewer than level 0, but its scale "
            f"says {said}; what counts is the number of pixels.",
        )
    return ()
