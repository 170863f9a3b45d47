"""Planes that lack an object which the planes around them have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Box, Mask
from napari_graysam.masks.regions import reframe
from napari_graysam.stack.links import Links

Candidate = Callable[[int, Mask], Mask | None]
"""Takes a plane and the mask that is expected there; returns one of its own that fits, or None."""


class Fill(NamedTuple):
    """What a plane got for an object that it lacked.

    Parameters
    ----------
    id
        Of the object.
    source
        Whether the mask is a candidate of that plane or was interpolated.
    pixels
        How many pixels were painted: the mask's, without what other objects have.
    """

    id: int
    source: Literal["candidate", "interpolated"]
    pixels: int


@dataclass(frozen=True, eq=False)
class FilledPlane:
    """A plane with the numbers of the objects.

    Parameters
    ----------
    labels
        uint32 (H, W); 0 is background.
    fills
        Objects that this plane lacked, ascending.
    """

    labels: NDArray[np.uint32]
    fills: tuple[Fill, ...]


def fill_gaps(
    planes: Sequence[NDArray[np.integer]], links: Links, candidate: Candidate | None = None
) -> Iterator[FilledPlane]:
    """Paint the planes of a stack with their objects, those that were missed included.

    Parameters
    ----------
    planes
        The label images that were linked, (H, W) each, by position; they are asked for one at a
        time, so they may lie on disk.
    links
        Of these planes.
    candidate
        Asked first for every missed object, with the plane's position and the mask that is
        expected there (see `interpolate`), never empty.

    Yields
    ------
    FilledPlane
        One for each plane, in order. Objects of the plane itself keep all of their pixels, and
        of two missed ones the one with the lower number.

    See Also
    --------
    link_planes : Finds the gaps.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.stack import LinkOptions, fill_gaps, link_planes
    >>> planes = [np.ones((3, 4), int), np.zeros((3, 4), int), np.ones((3, 4), int)]
    >>> links = link_planes(planes, LinkOptions(gap=1))
    >>> [plane.fills for plane in fill_gaps(planes, links)]
    [(), (Fill(id=1, source='interpolated', pixels=12),), ()]
    """
    missed: dict[int, list[tuple[int, int, int]]] = {}
    wanted: dict[int, list[int]] = {}
    for number, before, after in links.bridges:
        for plane in range(before + 1, after):
            missed.setdefault(plane, []).append((number, before, after))
        for plane in (before, after):
            wanted.setdefault(plane, []).append(number)
    masks: dict[int, dict[int, Mask]] = {}
    for position, ids in enumerate(links.ids):
        labels = ids[planes[position]]
        fills = []
        gaps = sorted(missed.get(position, ()))
        for plane in {plane for gap in gaps for plane in gap[1:]} - masks.keys():
            masks[plane] = _masks(links.ids[plane][planes[plane]], wanted[plane])
        for number, before, after in gaps:
            way = (position - before) / (after - before)
            expected = interpolate(masks[before][number], masks[after][number], way)
            fills.append(_fill(labels, number, position, expected, candidate))
        needed = {plane for gap in missed.get(position + 1, ()) for plane in gap[1:]}
        masks = {plane: found for plane, found in masks.items() if plane in needed}
        yield FilledPlane(labels, tuple(fills))


def _masks(labels: NDArray[np.uint32], numbers: list[int]) -> dict[int, Mask]:
    """Return the masks of some objects of a plane."""
    from scipy.ndimage import find_objects

    numbers = sorted(set(numbers))
    table = np.zeros(int(labels.max()) + 1, dtype=np.int32)
    table[numbers] = np.arange(1, len(numbers) + 1)
    few = table[labels]
    found = {}
    for k, (rows, columns) in enumerate(find_objects(few), start=1):
        box = columns.start, rows.start, columns.stop, rows.stop
        found[numbers[k - 1]] = Mask(few[rows, columns] == k, box)
    return found


def _fill(
    labels: NDArray[np.uint32],
    number: int,
    position: int,
    expected: Mask,
    candidate: Candidate | None,
) -> Fill:
    """Paint an object where nothing else lies."""
    own = candidate(position, expected) if candidate and expected.area else None
    mask = expected if own is None else own
    window = labels[mask.slices]
    free = mask.bits & (window == 0)
    window[free] = number
    return Fill(number, "interpolated" if own is None else "candidate", int(free.sum()))


def interpolate(one: Mask, other: Mask, way: float) -> Mask:
    """Return the mask between two masks of one object, by their signed distances.

    Both are moved to where the centre is expected, whole pixels, so that an object that moves
    does not shrink; then the distances to their outlines, negative outside, are averaged
    (Raya and Udupa 1990).

    Parameters
    ----------
    one, other
        Masks that are not empty.
    way
        How far between them, from 0 (``one``) to 1 (``other``).

    Returns
    -------
    Mask
        Inside the smallest box around both.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> from napari_graysam.stack.gaps import interpolate
    >>> bits = np.ones((4, 4), bool)
    >>> interpolate(Mask(bits, (0, 0, 4, 4)), Mask(bits, (6, 2, 10, 6)), 0.5).box
    (3, 1, 7, 5)
    """
    boxes = np.array([one.box, other.box])
    box: Box = (*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
    step = _centre(other) - _centre(one)
    first = _moved(one, np.rint(step * way))
    second = _moved(other, np.rint(step * way) - np.rint(step))
    wide = np.array([box, first.box, second.box])
    frame: Box = (*wide[:, :2].min(axis=0).tolist(), *wide[:, 2:].max(axis=0).tolist())
    distance = (1 - way) * _distance(first, frame) + way * _distance(second, frame)
    inside = Mask(distance > 0, frame).with_bits(distance > 0)
    return _within(inside, box)


def _centre(mask: Mask) -> NDArray[np.float64]:
    """Return the centre of a mask, (x, y)."""
    rows, columns = np.nonzero(mask.bits)
    return np.array([columns.mean() + mask.box[0], rows.mean() + mask.box[1]])


def _moved(mask: Mask, by: NDArray[np.float64]) -> Mask:
    x, y = (int(step) for step in by)
    x0, y0, x1, y1 = mask.box
    return mask.replace(box=(x0 + x, y0 + y, x1 + x, y1 + y))


def _distance(mask: Mask, frame: Box) -> NDArray[np.float64]:
    """Return the distance to the outline, negative outside, in a frame around the mask."""
    from scipy.ndimage import distance_transform_edt

    bits = np.pad(reframe(mask, frame), 1)
    signed = distance_transform_edt(bits) - distance_transform_edt(~bits)
    return np.asarray(signed[1:-1, 1:-1], dtype=np.float64)


def _within(mask: Mask, box: Box) -> Mask:
    """Cut a mask to a box, which lies in the image."""
    x0, y0, x1, y1 = mask.box
    rows, columns = np.mgrid[y0:y1, x0:x1]
    kept = (rows >= box[1]) & (rows < box[3]) & (columns >= box[0]) & (columns < box[2])
    return mask.with_bits(mask.bits & kept)
