"""Planes that lack an object which the planes around them have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Mask
from napari_graysam.stack.interpolation import interpolate
from napari_graysam.stack.links import Links

Source = Literal["candidate", "interpolated", "prompt"]
Candidates = Callable[[int, Sequence[Mask], NDArray[np.uint32]], Sequence[Mask | None]]
"""Takes a plane's position, the masks that are expected there and its painted objects, uint32
(H, W); returns for each of the masks one of the plane's own that fits, or None."""

FREE = 0.5
"""Least part of a missed object's mask that no other object has; else it is left out."""


@dataclass(frozen=True)
class Fill:
    """What a plane got for an object that it lacked.

    Parameters
    ----------
    id
        Of the object.
    source
        Whether the mask is a candidate of that plane, was interpolated, or answers a prompt.
    pixels
        How many pixels were painted: the mask's, without what other objects have.
    mask
        The whole mask.
    """

    id: int
    source: Source
    pixels: int
    mask: Mask = field(compare=False, repr=False)


@dataclass(frozen=True, eq=False)
class FilledPlane:
    """A plane with the numbers of the objects.

    Parameters
    ----------
    labels
        uint32 (H, W); 0 is background.
    fills
        Objects that this plane lacked, in the order in which they were painted.
    """

    labels: NDArray[np.uint32]
    fills: tuple[Fill, ...]


def fill_gaps(
    planes: Sequence[NDArray[np.integer]], links: Links, candidates: Candidates | None = None
) -> Iterator[FilledPlane]:
    """Paint the planes of a stack with their objects, those that were missed included.

    Parameters
    ----------
    planes
        The label images that were linked, (H, W) each, by position; they are asked for one at a
        time, so they may lie on disk.
    links
        Of these planes.
    candidates
        Asked first for the missed objects of a plane, with the masks that are expected there (see
        `interpolate`), none of them empty.

    Yields
    ------
    FilledPlane
        One for each plane, in order. Objects of the plane itself keep all of their pixels; of
        missed ones those with a candidate come first, then those with the lower number. One whose
        mask lies for the most part on others is left out.

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
        gaps = sorted(missed.get(position, ()))
        for plane in {plane for gap in gaps for plane in gap[1:]} - masks.keys():
            masks[plane] = masks_of(links.ids[plane][planes[plane]], wanted[plane])
        expected = {}
        for number, before, after in gaps:
            way = (position - before) / (after - before)
            expected[number] = interpolate(masks[before][number], masks[after][number], way)
        fills = _filled(labels, expected, position, candidates)
        needed = {plane for gap in missed.get(position + 1, ()) for plane in gap[1:]}
        masks = {plane: found for plane, found in masks.items() if plane in needed}
        yield FilledPlane(labels, fills)


def paint_fill(labels: NDArray[np.uint32], number: int, source: Source, mask: Mask) -> Fill | None:
    """Paint an object that a plane lacks where nothing else lies; None where that is too little.

    Parameters
    ----------
    labels
        uint32 (H, W), the plane's objects; changed in place.
    number
        Of the object.
    source, mask
        See `Fill`.
    """
    window = labels[mask.slices]
    free = mask.bits & (window == 0)
    pixels = int(np.count_nonzero(free))
    if pixels == 0 or pixels < FREE * mask.area:
        return None
    window[free] = number
    return Fill(number, source, pixels, mask)


def _filled(
    labels: NDArray[np.uint32],
    expected: dict[int, Mask],
    position: int,
    candidates: Candidates | None,
) -> tuple[Fill, ...]:
    """Paint the objects that a plane lacks."""
    expected = {number: mask for number, mask in expected.items() if mask.area}
    fills = []
    if candidates is not None and expected:
        answers = candidates(position, list(expected.values()), labels)
        for number, answer in zip(list(expected), answers, strict=True):
            fill = answer and paint_fill(labels, number, "candidate", answer)
            if fill:
                fills.append(fill)
                del expected[number]
    for number, mask in expected.items():
        if fill := paint_fill(labels, number, "interpolated", mask):
            fills.append(fill)
    return tuple(fills)


def masks_of(labels: NDArray[np.uint32], numbers: list[int]) -> dict[int, Mask]:
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
