"""Outlines, placements and tilings from which synthetic micrographs are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from fields import Floats, between, warp
from numpy.typing import NDArray

Labels = NDArray[np.int32]
Shape = tuple[int, int]

SMALLEST = 12
"""Objects with fewer pixels than this are not labelled."""

_MOST_OBJECTS = 260
_VERTICES = 28


@dataclass(frozen=True)
class Scene:
    """Labelled objects and what a renderer needs to know of them.

    Attributes
    ----------
    labels
        (H, W), 0 is background, N objects are numbered 1 to N.
    centres
        (N, 2), x and y in pixels.
    radii
        (N,), nominal radii in pixels.
    """

    labels: Labels
    centres: Floats
    radii: Floats

    @property
    def count(self) -> int:
        """Number of objects."""
        return len(self.radii)

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Pixels that belong to an object."""
        return self.labels > 0

    @cached_property
    def depth(self) -> Floats:
        """Distance in pixels to the edge of a pixel's own object, 0 in the background."""
        return edge_distance(self.labels)

    @cached_property
    def height(self) -> Floats:
        """Distance in pixels to the nearest object, 0 inside objects."""
        outside = (~self.inside).astype(np.uint8)
        if outside.all():
            return np.full(self.labels.shape, 1e3, np.float32)
        return cv2.distanceTransform(outside, cv2.DIST_L2, 3)

    def spread(self, values: Sequence[float] | Floats) -> Floats:
        """Give every pixel the value of its object, and 0 to the background."""
        table = np.zeros(self.count + 1, np.float32)
        table[1:] = values
        return table[self.labels]

    @property
    def reach(self) -> float:
        """Median radius in pixels; 10 where there are no objects."""
        return float(np.median(self.radii)) if self.count else 10.0

    def rim(self, width: float) -> Floats:
        """Rise from 0 at an object's edge to 1 at some pixels' depth."""
        return np.minimum(self.depth / np.float32(width), 1)

    def uneven(self, rng: np.random.Generator, spread: float) -> Floats:
        """Give each object its own brightness around 1, and 0 to the background."""
        return self.spread(np.exp(rng.normal(0, spread, self.count)).clip(0.25, 3))

    def offsets(self) -> tuple[Floats, Floats]:
        """Return x and y relative to the own object's centre, in units of its radius."""
        h, w = self.labels.shape
        x = np.arange(w, dtype=np.float32)[None, :] - self.spread(self.centres[:, 0])
        y = np.arange(h, dtype=np.float32)[:, None] - self.spread(self.centres[:, 1])
        scale = self.spread(1 / self.radii)
        return x * scale, y * scale


def edge_distance(labels: Labels) -> Floats:
    """Return the distance of each labelled pixel to the edge of its object, at least 1."""
    inner = labels > 0
    across = labels[:, 1:] != labels[:, :-1]
    down = labels[1:] != labels[:-1]
    interior = inner.copy()
    interior[:, 1:] &= ~across
    interior[:, :-1] &= ~across
    interior[1:] &= ~down
    interior[:-1] &= ~down
    if interior.all():
        return np.full(labels.shape, 1e3, np.float32)
    distance = cv2.distanceTransform(interior.astype(np.uint8), cv2.DIST_L2, 3)
    distance += inner
    return distance


def renumber(labels: Labels) -> tuple[Labels, NDArray[np.bool_]]:
    """Drop objects that are too small and number the rest from 1.

    Returns
    -------
    labels
        (H, W).
    kept
        Which of the old numbers 0, 1, … remain; 0 is False.
    """
    kept = np.bincount(labels.ravel()) >= SMALLEST
    kept[0] = False
    table = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return table[labels], kept


def scene(labels: Labels, centres: Floats, radii: Floats) -> Scene:
    """Gather the objects that are not hidden; object i has the label i + 1."""
    labels, kept = renumber(labels)
    remain = np.flatnonzero(kept) - 1
    return Scene(labels, centres[remain], radii[remain])


def outlines(rng: np.random.Generator, family: str, radii: Floats) -> Floats:
    """Draw one closed outline per object around the origin.

    Parameters
    ----------
    rng
        Source of randomness.
    family
        ``round``, ``blob``, ``lobed``, ``box``, ``needle``, ``facet`` or ``spread``.
    radii
        (N,), in pixels; the outline's area is about that of such a disc.

    Returns
    -------
    points
        (N, K, 2), x and y in pixels.
    """
    n = len(radii)
    if family == "facet":
        corners = int(rng.integers(4, 9))
        steps = rng.uniform(0.55, 1.45, (n, corners))
        angle = np.cumsum(steps, 1) / steps.sum(1, keepdims=True) * 2 * np.pi
        reach = rng.uniform(0.8, 1.25, (n, corners))
        aspect = np.exp(np.abs(rng.normal(0, 0.25, (n, 1))))
    else:
        angle = np.broadcast_to(
            np.linspace(0, 2 * np.pi, _VERTICES, endpoint=False), (n, _VERTICES)
        )
        power, stretch, wobble, order = _FAMILIES[family]
        aspect = np.exp(np.abs(rng.normal(0, 0.12, (n, 1))) + rng.uniform(*stretch, (n, 1)))
        p = rng.uniform(*power)
        reach = (np.abs(np.cos(angle)) ** p + np.abs(np.sin(angle)) ** p) ** (-1 / p)
        for k in range(2, order + 1):
            size = rng.normal(0, 2 * wobble / k, (n, 1))
            reach = reach * np.exp(size * np.cos(k * angle + rng.uniform(0, 2 * np.pi, (n, 1))))
    x = reach * np.cos(angle) * np.sqrt(aspect)
    y = reach * np.sin(angle) / np.sqrt(aspect)
    lean = rng.uniform(0, np.pi) if rng.random() < 0.15 else None
    turn = rng.uniform(0, 2 * np.pi, (n, 1)) if lean is None else rng.normal(lean, 0.2, (n, 1))
    c, s = np.cos(turn), np.sin(turn)
    points = np.stack([x * c - y * s, x * s + y * c], -1) * radii[:, None, None]
    return points.astype(np.float32)


_FAMILIES = {
    "round": ((2, 2), (0.0, 0.0), 0.01, 2),
    "blob": ((2, 2.3), (0.0, 0.6), 0.045, 4),
    "lobed": ((2, 2.3), (0.0, 0.7), 0.12, 4),
    "box": ((4, 12), (0.0, 1.2), 0.01, 3),
    "needle": ((2.5, 10), (1.2, 2.4), 0.02, 2),
    "spread": ((1.0, 2.0), (0.0, 1.6), 0.3, 7),
}
"""Superellipse exponent, log aspect ratio, waviness and highest harmonic of each family."""


def place(
    rng: np.random.Generator,
    shape: Shape,
    size: float,
    cover: float,
    gap: float,
    variation: float,
) -> tuple[Floats, Floats]:
    """Scatter discs, evenly or in clumps.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        (H, W).
    size
        Median diameter in pixels.
    cover
        Wanted part of the area, in [0, 1].
    gap
        Smallest distance of two centres, in sums of their radii.
    variation
        Standard deviation of the diameters' logarithm.

    Returns
    -------
    centres, radii
        (N, 2) x and y, and (N,), in pixels.
    """
    h, w = shape
    least = int(rng.integers(1, 7))
    wanted = int(np.clip(cover * h * w / (np.pi * size * size / 4), least, _MOST_OBJECTS))
    tries = 2 * wanted + 4
    radii = np.exp(rng.normal(np.log(size / 2), variation, tries)).clip(2.2, 0.45 * max(h, w))
    margin = rng.uniform(-0.6, 0.3) * min(size, min(h, w) / 2)
    low, high = (-margin, -margin), (w + margin, h + margin)
    centres = rng.uniform(low, high, (tries, 2))
    if rng.random() < 0.35:
        clumps = rng.uniform(low, high, (max(1, wanted // int(rng.integers(3, 12))), 2))
        near = rng.normal(0, between(rng, 0.8, 2.5) * size, (tries, 2))
        centres = clumps[rng.integers(0, len(clumps), tries)] + near
    reach = (gap * (radii[:, None] + radii[None, :])) ** 2
    clash = ((centres[:, None] - centres[None]) ** 2).sum(-1) < reach
    free = np.ones(tries, bool)
    chosen: list[int] = []
    for i in range(tries):
        if free[i]:
            chosen.append(i)
            free &= ~clash[i]
            if len(chosen) == wanted:
                break
    return centres[chosen].astype(np.float32), radii[chosen].astype(np.float32)


def draw(shape: Shape, centres: Floats, radii: Floats, points: Floats) -> Scene:
    """Fill outlines, later ones over earlier ones."""
    labels = np.zeros(shape, np.int32)
    fixed = np.rint((points + centres[:, None]) * 16).astype(np.int32)
    for i, outline in enumerate(fixed, 1):
        cv2.fillPoly(labels, [outline], i, shift=4)
    return scene(labels, centres, radii)


def scatter(
    rng: np.random.Generator,
    shape: Shape,
    families: Sequence[str],
    sizes: tuple[float, float],
    cover: tuple[float, float] = (0.06, 0.7),
    gap: tuple[float, float] = (0.7, 1.3),
    variation: tuple[float, float] = (0.03, 0.35),
) -> Scene:
    """Draw objects of one family whose median diameter lies in ``sizes``."""
    size = between(rng, *sizes)
    closeness = rng.uniform(*gap)
    centres, radii = place(
        rng, shape, size, between(rng, *cover), closeness, rng.uniform(*variation)
    )
    return draw(shape, centres, radii, outlines(rng, str(rng.choice(families)), radii))


def tiling(rng: np.random.Generator, shape: Shape, size: float, merge: float) -> Scene:
    """Divide the whole frame into bent Voronoi cells.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        (H, W).
    size
        Typical diameter of a cell in pixels.
    merge
        How many Voronoi cells make up one object; above 1 the objects are not convex.
    """
    h, w = shape
    count = int(np.clip(h * w / size**2, 2, _MOST_OBJECTS))
    coarse = rng.uniform((0, 0), (w, h), (count, 2)).astype(np.float32)
    fine = coarse
    if merge > 1:
        fine = rng.uniform((0, 0), (w, h), (int(count * merge), 2)).astype(np.float32)
    marks = np.ones(shape, np.uint8)
    x, y = fine.astype(np.intp).T
    marks[y, x] = 0
    _, cells = cv2.distanceTransformWithLabels(
        marks, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    pull = rng.uniform(0.5, 1.5, len(coarse))
    owner = np.zeros(len(fine) + 1, np.int32)
    owner[cells[y, x]] = (((fine[:, None] - coarse[None]) ** 2).sum(-1) * pull).argmin(1) + 1
    grain = size / np.sqrt(max(merge, 1))
    bent = warp(rng, owner[cells].astype(np.float32), grain * rng.uniform(0.02, 0.2), grain)
    radii = np.full(len(coarse), size / 2, np.float32)
    return scene(bent.astype(np.int32), coarse, radii)
