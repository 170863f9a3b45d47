"""Objects of neighbouring planes that overlap become one object of the stack."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import LabelsError
from napari_graysam.masks import label_overlaps, match
from napari_graysam.recipe import LinkOptions
from napari_graysam.stack.links import Bridge, Links

# A lookup table of a plane may always be this long, however small the plane.
LARGEST_LABEL = 65535


@dataclass(frozen=True, eq=False)
class _Plane:
    """A plane whose objects are numbered from 1 in the order of their first pixels.

    That order is the same whatever the labels are, so nothing that follows depends on them.
    """

    image: NDArray[np.uint32]
    labels: NDArray[np.int64]
    largest: int
    start: int

    @property
    def objects(self) -> slice:
        """Where its objects stand in the list of those of all planes."""
        return slice(self.start, self.start + self.labels.size)


def link_planes(planes: Iterable[NDArray[np.integer]], options: LinkOptions) -> Links:
    """Link the objects of the planes of a volume or time series by their overlap.

    Neighbouring planes come first: their objects are paired one to one so that the sum of IoU is
    largest, with at least ``min_overlap`` each (Hungarian method within each group of objects
    that compete). What then has no partner is paired likewise two planes apart, then three, up
    to ``gap + 1``. The result does not depend on how the labels of a plane are numbered.

    Parameters
    ----------
    planes
        Label images of any integer dtype and one shape (H, W); 0 is background. They are read
        once, in order, and at most ``gap + 2`` are in memory.
    options
        See `LinkOptions`.

    Returns
    -------
    Links
        The object of every label.

    Raises
    ------
    LabelsError
        If a plane is not a label image, or not of the first one's shape.

    See Also
    --------
    napari_graysam.masks.match : Pairs the objects of two planes.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.stack import LinkOptions, link_planes
    >>> planes = [np.array([[7, 7, 0, 2]]), np.array([[1, 1, 0, 0]]), np.array([[5, 5, 0, 9]])]
    >>> links = link_planes(planes, LinkOptions(gap=1))
    >>> [links.ids[p][plane].tolist() for p, plane in enumerate(planes)]
    [[[1, 1, 0, 2]], [[1, 1, 0, 0]], [[1, 1, 0, 2]]]
    >>> links.bridges
    (Bridge(id=2, before=0, after=2),)
    """
    recent: deque[_Plane] = deque(maxlen=options.gap + 1)
    tables: list[tuple[NDArray[np.int64], int]] = []
    before = np.zeros(0, dtype=np.int64)
    after = np.zeros(0, dtype=np.int64)
    for position, labels in enumerate(planes):
        plane = _numbered(labels, position, before.size, recent[-1] if recent else None)
        none = np.full(plane.labels.size, -1)
        before, after = np.append(before, none), np.append(after, none)
        for earlier in reversed(recent):
            _pair(earlier, plane, before, after, options.min_overlap)
        tables.append((plane.labels, plane.largest))
        recent.append(plane)
        del labels
    return _chained(tables, before, options.min_extent)


def _numbered(
    labels: NDArray[np.integer], position: int, start: int, last: _Plane | None
) -> _Plane:
    """Check a plane and number its objects by their first pixels."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise LabelsError(
            f"plane {position} of the stack is not a label image: expected integers of shape "
            f"(H, W), got {labels.dtype} of shape {labels.shape}"
        )
    if last is not None and labels.shape != last.image.shape:
        raise LabelsError(
            f"plane {position} of the stack has {labels.shape[0]} × {labels.shape[1]} pixels, "
            f"those before it {last.image.shape[0]} × {last.image.shape[1]}: the planes of a "
            "stack are of one size; crop or pad them to it, or leave this one out"
        )
    lowest, largest = int(labels.min(initial=0)), int(labels.max(initial=0))
    most = max(LARGEST_LABEL, labels.size)
    if lowest < 0 or largest > most:
        raise LabelsError(
            f"plane {position} of the stack has the label {lowest if lowest < 0 else largest}; "
            f"expected labels from 0 to {most}: number the objects of each plane from 1"
        )
    flat = labels.ravel()
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)[: flat.size]
    values, first = np.unique(flat[starts], return_index=True)
    values = values[np.argsort(first)].astype(np.int64)
    values = values[values != 0]
    table = np.zeros(largest + 1, dtype=np.uint32)
    table[values] = np.arange(1, values.size + 1)
    return _Plane(table[labels], values, largest, start)


def _pair(
    earlier: _Plane,
    plane: _Plane,
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    min_overlap: float,
) -> None:
    """Pair what has no partner yet in two planes; the arrays are changed in place."""
    ends, begins = after[earlier.objects] < 0, before[plane.objects] < 0
    if not (ends.any() and begins.any()):
        return
    _, _, overlaps = label_overlaps(earlier.image, plane.image)
    overlaps = overlaps.among(ends, begins)
    chosen = match(overlaps, min_overlap)
    a, b = earlier.start + overlaps.a[chosen], plane.start + overlaps.b[chosen]
    after[a], before[b] = b, a


def _chained(
    tables: list[tuple[NDArray[np.int64], int]], before: NDArray[np.int64], min_extent: int
) -> Links:
    """Give every chain of objects a number, except those that are too short."""
    counts = np.array([labels.size for labels, _ in tables], dtype=np.int64)
    plane = np.repeat(np.arange(counts.size), counts)
    of, n = np.zeros(before.size, dtype=np.int64), 0
    for part in np.split(np.arange(before.size), np.cumsum(counts)[:-1]) if counts.size else []:
        linked = before[part] >= 0
        of[part[linked]] = of[before[part[linked]]]
        new = int(np.count_nonzero(~linked))
        of[part[~linked]] = np.arange(n, n + new)
        n += new
    first, last = np.full(n, plane.size), np.zeros(n, dtype=np.int64)
    np.minimum.at(first, of, plane)
    np.maximum.at(last, of, plane)
    kept = last - first + 1 >= min_extent
    ids = np.where(kept, np.cumsum(kept), 0)[of]
    bridged = np.flatnonzero((ids > 0) & (before >= 0) & (plane - plane[before] > 1))
    found, start = [], 0
    for labels, largest in tables:
        table = np.zeros(largest + 1, dtype=np.uint32)
        table[labels] = ids[start : start + labels.size]
        found.append(table)
        start += labels.size
    return Links(
        tuple(found),
        tuple(Bridge(int(ids[i]), int(plane[before[i]]), int(plane[i])) for i in bridged),
    )
