"""Objects of neighbouring planes that overlap become one object of the stack."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import LabelsError
from napari_graysam.masks import Overlaps, label_overlaps, match
from napari_graysam.recipe import LinkOptions
from napari_graysam.recipe.linking import LinkRules
from napari_graysam.stack.chains import PlaneObjects, join
from napari_graysam.stack.lineage import note_parts
from napari_graysam.stack.links import Links

# A lookup table of a plane may always be this long, however small the plane.
LARGEST_LABEL = 65535

Numbered = tuple[NDArray[np.uint32], PlaneObjects]
Pairs = NDArray[np.int64]
"""Position of the earlier object, of the later one, and the pixels they share: (k, 3)."""


def link_planes(
    planes: Iterable[NDArray[np.integer]], options: LinkOptions, axis: Literal["z", "t"] = "z"
) -> Links:
    """Link the objects of the planes of a volume or time series by their overlap.

    Neighbouring planes come first: their objects are paired one to one so that the sum of IoU is
    largest, among the pairs that share at least ``min_overlap`` of the smaller one (Hungarian
    method within each group of objects that compete). What then has no partner is paired
    likewise two planes apart, then three, up to ``gap + 1``. The result does not depend on how
    the labels of a plane are numbered.

    The share of the smaller one decides, because an object's sections shrink fast towards its
    poles. Two objects right above each other overlap as one does; what tells them apart is the
    neck between them, see `LinkOptions.neck`.

    Parameters
    ----------
    planes
        Label images of any integer dtype and one shape (H, W); 0 is background. They are read
        once, in order, and at most ``gap + 2`` are in memory.
    options
        See `LinkOptions`.
    axis
        ``z`` or ``t``: of what is left to the axis in ``options``.

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
    rules = options.along(axis)
    recent: deque[Numbered] = deque(maxlen=rules.gap + 1)
    stack: list[PlaneObjects] = []
    apart: list[list[Pairs]] = [[] for _ in range(rules.gap)]
    n = 0
    for position, labels in enumerate(planes):
        shape = recent[-1][0].shape if recent else None
        image, objects = numbered(labels, position, n, shape)
        del labels
        n += objects.count
        for distance, earlier in enumerate(reversed(recent), start=1):
            if distance == 1:
                _pair(earlier, (image, objects), rules)
            else:
                apart[distance - 2].append(_apart(earlier, (image, objects)))
        stack.append(objects)
        recent.append((image, objects))
    return join(stack, [_together(pairs, stack) for pairs in apart], rules)


def _together(pairs: Sequence[Pairs], stack: Sequence[PlaneObjects]) -> Overlaps:
    """Return overlaps by the positions of the objects among those of all planes."""
    areas = np.concatenate([np.empty(0, np.int64), *(objects.areas for objects in stack)])
    a, b, pixels = np.concatenate([np.empty((0, 3), np.int64), *pairs]).T
    return Overlaps(areas, areas, a.astype(np.intp), b.astype(np.intp), pixels)


def numbered(
    labels: NDArray[np.integer], position: int, start: int, shape: tuple[int, ...] | None
) -> Numbered:
    """Check a plane and number its objects from 1 in the order of their first pixels.

    That order is the same whatever the labels are, so nothing that follows depends on them.
    """
    labels = np.asarray(labels)
    largest = _check(labels, position, shape)
    flat = labels.ravel()
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)[: flat.size]
    values, first = np.unique(flat[starts], return_index=True)
    values = values[np.argsort(first)].astype(np.int64)
    values = values[values != 0]
    table = np.zeros(largest + 1, dtype=np.uint32)
    table[values] = np.arange(1, values.size + 1)
    image = table[labels]
    areas = np.bincount(image.ravel(), minlength=values.size + 1)[1:].astype(np.int64)
    return image, PlaneObjects(values, areas, largest, start)


def _check(labels: NDArray[np.integer], position: int, shape: tuple[int, ...] | None) -> int:
    """Return the largest label of a plane, if it is one."""
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise LabelsError(
            f"plane {position} of the stack is not a label image: expected integers of shape "
            f"(H, W), got {labels.dtype} of shape {labels.shape}"
        )
    if shape not in (None, labels.shape):
        raise LabelsError(
            f"plane {position} of the stack has {_size(labels.shape)} pixels, those before it "
            f"{_size(shape)}: the planes of a stack are of one size; crop or pad them to it, or "
            "leave this one out"
        )
    lowest, largest = int(labels.min(initial=0)), int(labels.max(initial=0))
    most = max(LARGEST_LABEL, labels.size)
    if lowest < 0 or largest > most:
        raise LabelsError(
            f"plane {position} of the stack has the label {lowest if lowest < 0 else largest}; "
            f"expected labels from 0 to {most}: number the objects of each plane from 1"
        )
    return largest


def _size(shape: tuple[int, ...] | None) -> str:
    return " × ".join(map(str, shape or ()))


def _pair(earlier: Numbered, later: Numbered, rules: LinkRules) -> None:
    """Pair the objects of two neighbouring planes."""
    (image, ending), (other, beginning) = earlier, later
    if not (ending.count and beginning.count):
        return
    _, _, overlaps = label_overlaps(image, other)
    eligible = overlaps.only(overlaps.share >= rules.min_overlap)
    chosen = match(eligible, 0.0)
    a, b = eligible.a[chosen], eligible.b[chosen]
    ending.after[a] = beginning.start + b
    beginning.before[b] = ending.start + a
    if rules.splits:
        note_parts(overlaps, ending.start, beginning.before, beginning.parent)
    if rules.merges:
        note_parts(overlaps.exchanged, beginning.start, ending.after, ending.child)


def _apart(earlier: Numbered, later: Numbered) -> Pairs:
    """Return the overlaps of two planes that an object without a partner has a part in."""
    (image, ending), (other, beginning) = earlier, later
    ends, begins = ending.after < 0, beginning.before < 0
    if not ((ends.any() and beginning.count) or (begins.any() and ending.count)):
        return np.empty((0, 3), np.int64)
    _, _, overlaps = label_overlaps(image, other)
    some = overlaps.only(ends[overlaps.a] | begins[overlaps.b])
    return np.stack([ending.start + some.a, beginning.start + some.b, some.pixels], axis=1)
