"""Lumpy bodies through planes, and the sample stack that is drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from fields import Floats, texture
from numpy.typing import NDArray
from scipy import ndimage

Volume = NDArray[np.int32]
Track = tuple[int, int, int, int]

SIDE = 192
SMALLEST_SECTION = 30
"""Sections of an object with fewer pixels than this are not labelled."""


@dataclass(frozen=True)
class StackSample:
    """A sample stack.

    Attributes
    ----------
    image
        uint16 (P, H, W).
    labels
        (P, H, W), 0 is background; an object has one number in all planes.
    axis
        ``Z`` or ``T``.
    pixel_size
        Height and width of a pixel in µm.
    spacing
        Of the planes, in µm or seconds.
    tracks
        Of a time series, rows of label, first frame, last frame and parent (0 for none), as in
        ``man_track.txt`` of the Cell Tracking Challenge.
    """

    image: NDArray[np.uint16]
    labels: Volume
    axis: str
    pixel_size: float
    spacing: float
    tracks: tuple[Track, ...] = ()


@dataclass(frozen=True)
class Body:
    """A lumpy ellipsoid or ellipse: semi-axes, their directions, and waves on its surface."""

    semi: Floats
    turn: Floats
    waves: Floats

    def distance(self, offset: Floats) -> Floats:
        """Return the distance from the centre, 1 at the surface; offsets are (..., 2 or 3)."""
        local = (offset @ self.turn) / self.semi
        radius = np.linalg.norm(local, axis=-1)
        unit = local / np.maximum(radius, 1e-6)[..., None]
        size = self.semi.size
        lump = np.zeros(radius.shape, np.float32)
        for wave in self.waves:
            lump += np.float32(0.05) * np.sin(2.5 * unit @ wave[:size] + wave[size])
        found: Floats = (radius / (1 + lump)).astype(np.float32)
        return found


def body_of(rng: np.random.Generator, radius: float, dimensions: int) -> Body:
    """Draw a body of about a radius in pixels, around the origin."""
    semi = radius * np.exp(rng.normal(0, 0.1, dimensions))
    turn, _ = np.linalg.qr(rng.normal(0, 1, (dimensions, dimensions)))
    waves = np.hstack([rng.normal(0, 1, (4, dimensions)), rng.uniform(0, 6.3, (4, 1))])
    return Body(*(part.astype(np.float32) for part in (semi, turn, waves)))


def scatter(
    rng: np.random.Generator, radii: Floats, low: Floats, high: Floats, gap: float
) -> Floats:
    """Place spheres or discs one by one, each at least ``gap`` sums of radii from the others."""
    places: list[Floats] = []
    for number, radius in enumerate(radii):
        for _ in range(4000):
            place = rng.uniform(low, high)
            reach = gap * (radii[:number] + radius)
            if all(
                np.linalg.norm(place - other) >= r for other, r in zip(places, reach, strict=True)
            ):
                places.append(place)
                break
        else:
            raise RuntimeError("no room: fewer objects, or closer ones")
    return np.array(places, np.float32)


def labelled(distances: Floats) -> tuple[Volume, Floats]:
    """Give each pixel to the object whose surface encloses it most; return it and how far in.

    ``distances`` is (N, ...), 1 at the surfaces.
    """
    nearest = distances.argmin(0)
    closest = distances.min(0)
    labels = np.where(closest < 1, nearest + 1, 0).astype(np.int32)
    return labels, np.maximum(1 - closest, 0)


def drop_specks(labels: Volume) -> Volume:
    """Unlabel sections that are too small to be seen."""
    for plane in labels:
        plane[(np.bincount(plane.ravel()) < SMALLEST_SECTION)[plane]] = 0
    return labels


def record(rng: np.random.Generator, photons: Floats) -> NDArray[np.uint16]:
    """Record photons with a camera: shot noise, read noise and offset."""
    counts = rng.poisson(np.maximum(photons, 0)) + rng.normal(0, 0.8, photons.shape) + 100
    return np.rint(counts).clip(0, 65535).astype(np.uint16)


def nuclei_stack(rng: np.random.Generator) -> StackSample:
    """Draw nuclei of a spheroid's rim: blurred along z, two that touch, one missing in a plane."""
    planes, pixel, spacing = 24, 0.4, 1.0
    step = spacing / pixel
    depth = planes * step
    radii = np.sort(np.exp(rng.normal(np.log(13.5), 0.16, 24)).astype(np.float32))[::-1].copy()
    low = np.array([0.1 * depth, 6, 6], np.float32)
    high = np.array([0.9 * depth, SIDE - 6, SIDE - 6], np.float32)
    centres = scatter(rng, radii, low, high, 1.12)
    # The last one moves beside the one that is nearest to the middle, so that they touch.
    middle = int(np.linalg.norm(centres - (depth / 2, SIDE / 2, SIDE / 2), axis=1)[:-1].argmin())
    centres, radii = _touching(centres, radii, middle)
    z, y, x = np.mgrid[:planes, :SIDE, :SIDE].astype(np.float32)
    grid = np.stack([z * np.float32(step), y, x], -1)
    distances = np.stack(
        [body_of(rng, r, 3).distance(grid - c) for r, c in zip(radii, centres, strict=True)]
    )
    labels, inside = labelled(distances)
    bright = np.append(0, np.exp(rng.normal(0, 0.25, radii.size)).clip(0.55, 1.6))
    chromatin = np.stack([1 + 0.2 * texture(rng, (SIDE, SIDE), 9) for _ in range(planes)])
    chromatin = ndimage.gaussian_filter1d(chromatin, 1.0, axis=0)
    body = bright[labels] * np.minimum(0.5 + 1.8 * inside, 1) * chromatin
    labels = drop_specks(labels)
    lost = _vanishing(labels)
    for number, plane in lost:
        body[plane][labels[plane] == number] = 0
        labels[plane][labels[plane] == number] = 0
    seen = ndimage.gaussian_filter(body, (0.45, 1.2, 1.2))
    haze = ndimage.gaussian_filter(body, (3.0, 9, 9))
    loss = np.exp(-np.arange(planes, dtype=np.float32) / 45)[:, None, None]
    image = record(rng, (60 * seen + 12 * haze) * loss + 1.5)
    return StackSample(image, _in_order(labels), "Z", pixel, spacing)


def _touching(centres: Floats, radii: Floats, at: int) -> tuple[Floats, Floats]:
    """Put the last body beside another one, where it is farthest from all others."""
    others = np.delete(centres[:-1], at, axis=0)
    reach = 0.94 * (radii[at] + radii[-1])
    places = [
        centres[at] + reach * np.array([0, np.sin(a), np.cos(a)], np.float32)
        for a in np.linspace(0, 6.2, 60)
    ]
    gaps = [
        (np.linalg.norm(others - place, axis=1) - np.delete(radii[:-1], at)).min()
        for place in places
    ]
    centres[-1] = places[int(np.argmax(gaps))]
    return centres, radii


def _vanishing(labels: Volume) -> list[tuple[int, int]]:
    """Choose the object that misses its middle plane: the longest one that touches no side."""
    best = (0, 0, 0)
    for number in range(1, labels.max() + 1):
        planes = np.flatnonzero((labels == number).any((1, 2)))
        whole = planes.size and planes[0] > 0 and planes[-1] < len(labels) - 1
        if whole and planes.size > best[0]:
            best = (planes.size, number, int(planes[planes.size // 2]))
    return [best[1:]]


def _in_order(labels: Volume) -> Volume:
    """Renumber the objects from 1 in the order in which they appear."""
    values, first = np.unique(labels, return_index=True)
    values = values[np.argsort(first)]
    values = values[values > 0]
    table = np.zeros(labels.max() + 1, np.int32)
    table[values] = np.arange(1, values.size + 1)
    return table[labels]
