"""Painters of grains, of electron micrographs, of faint objects and of nothing."""

from __future__ import annotations

import cv2
import numpy as np
from fields import Floats, between, fibres, smooth_noise, texture
from shapes import Labels, Shape, scatter, tiling


def dark_blobs(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Absorbing grains on a bright background, as in transmission electron microscopy."""
    families = ("round", "blob", "box", "box", "needle", "facet", "lobed")
    objects = scatter(rng, shape, families, (10, 120), gap=(0.75, 1.5))
    deep = objects.spread(rng.uniform(0.25, 1, objects.count) ** rng.uniform(0.1, 1.5))
    dome = objects.rim(max(1.0, objects.reach * rng.uniform(0.05, 1)))
    deep *= np.float32(rng.uniform(0.2, 0.8)) * (0.55 + 0.45 * dome)
    deep *= 1 + np.float32(rng.uniform(0, 0.2)) * texture(rng, shape, objects.reach)
    image = np.float32(0.9) - deep
    image += np.float32(between(rng, 0.005, 0.05)) * texture(rng, shape, between(rng, 3, 30))
    if rng.random() < 0.4:
        fringe = np.exp(-(((objects.height - 1.5) / np.float32(rng.uniform(1, 2.5))) ** 2))
        image += np.float32(rng.uniform(0.1, 0.3)) * fringe * ~objects.inside
    return image, objects.labels


def particles(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Grains in scanning electron microscopy: shaded, touching, overlapping."""
    families = ("round", "round", "facet", "facet", "box", "blob", "lobed", "needle")
    objects = scatter(
        rng, shape, families, (10, 130), (0.05, 1.2), gap=(0.45, 1.15), variation=(0.05, 0.6)
    )
    x, y = objects.offsets()
    turn = rng.uniform(0, 2 * np.pi)
    slope = np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y
    if rng.random() < 0.35:
        tilt = objects.spread(rng.normal(0, 1, objects.count))
        slope = (
            np.sign(x * np.float32(np.sin(turn)) + tilt * y + np.float32(0.2) * tilt) * tilt * 0.5
        )
    ground = np.float32(between(rng, 0.03, 0.5))
    light = objects.uneven(rng, between(rng, 0.05, 0.4))
    light *= np.float32(ground + rng.uniform(0.15, 0.5))
    light += np.float32(rng.uniform(0, 0.3)) * slope
    glow = np.exp(-(objects.depth - 1) / np.float32(max(1, objects.reach * rng.uniform(0.04, 0.3))))
    light += np.float32(rng.uniform(-0.25, 0.5)) * glow
    light += np.float32(rng.uniform(0, 0.15)) * texture(rng, shape, max(1.5, objects.reach * 0.3))
    shade = 1 - np.float32(rng.uniform(0, 0.7)) * np.exp(
        -objects.height / np.float32(objects.reach * 0.4)
    )
    shade *= 1 + np.float32(rng.uniform(0, 0.2)) * texture(rng, shape, between(rng, 3, 40))
    return np.where(objects.inside, light, ground * shade), objects.labels


def electron_tissue(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Transmission electron microscopy of tissue: dark membranes, granules and organelles.

    Either the cells are labelled, or, in granular cytoplasm, the organelles.
    """
    size = between(rng, 20, 100)
    cells = tiling(rng, shape, size, rng.uniform(1, 6))
    organelles = scatter(rng, shape, ("blob", "lobed"), (14, 60), (0.02, 0.2), gap=(1.05, 1.4))
    own_cells = rng.random() < 0.6
    image = np.float32(0.7) * cells.spread(rng.normal(1, rng.uniform(0.02, 0.15), cells.count))
    image -= np.float32(rng.uniform(0.05, 0.15)) * texture(rng, shape, between(rng, 1.5, 4))
    image -= np.float32(rng.uniform(0.1, 0.4)) * (
        smooth_noise(rng, shape, between(rng, 2, 4)) > 1.7
    )
    body = organelles.inside & (cells.depth > 3) if own_cells else organelles.inside
    stripes = np.sin(_phase(rng, shape, between(rng, 4, 8)))
    tone = np.float32(rng.uniform(0.15, 0.35)) + np.float32(rng.uniform(0, 0.12)) * stripes
    skin = np.exp(-(((organelles.depth - 1) / np.float32(1.5)) ** 2))
    image = np.where(body, image - tone - np.float32(0.2) * skin, image)
    wall = np.exp(-(((cells.depth - 1) / np.float32(between(rng, 1, 3))) ** 2))
    if own_cells:
        image -= np.float32(rng.uniform(0.3, 0.6)) * wall
        return image, cells.labels
    if rng.random() < 0.4:
        image -= np.float32(0.15) * wall * ~organelles.inside
    return image, organelles.labels


def _phase(rng: np.random.Generator, shape: Shape, period: float) -> Floats:
    """Return a plane wave's phase with smooth bends, for the cristae of mitochondria."""
    h, w = shape
    turn = rng.uniform(0, 2 * np.pi)
    x = np.arange(w, dtype=np.float32)[None, :] * np.float32(np.cos(turn) * 2 * np.pi / period)
    y = np.arange(h, dtype=np.float32)[:, None] * np.float32(np.sin(turn) * 2 * np.pi / period)
    return x + y + 4 * smooth_noise(rng, shape, 40)


def faint(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Objects hardly brighter or darker than a noisy background, next to glaring specks."""
    families = ("blob", "round", "lobed", "spread", "box")
    objects = scatter(rng, shape, families, (16, 120), (0.06, 0.5), gap=(0.85, 1.4))
    light = objects.uneven(rng, 0.2) * objects.rim(max(1.5, objects.reach * rng.uniform(0.1, 0.6)))
    image = np.float32(rng.choice((-1, 1))) * light
    image += np.float32(rng.uniform(0.05, 0.3)) * rng.standard_normal(shape, dtype=np.float32)
    image += np.float32(rng.uniform(0, 0.5)) * smooth_noise(rng, shape, between(rng, 60, 250))
    if rng.random() < 0.5:
        glare = np.zeros(shape, np.float32)
        for _ in range(int(rng.integers(1, 6))):
            spot = (int(rng.integers(0, shape[1])), int(rng.integers(0, shape[0])))
            cv2.circle(glare, spot, int(rng.integers(1, 6)), 1.0, -1)
        image += np.float32(rng.uniform(2, 12)) * cv2.GaussianBlur(glare, (0, 0), 1.5)
    return image, objects.labels


def empty(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Background alone: nothing to find."""
    image = np.float32(between(rng, 0.02, 0.5)) * texture(rng, shape, between(rng, 3, 120))
    if rng.random() < 0.3:
        image += np.float32(rng.uniform(0.05, 0.3)) * fibres(rng, shape, between(rng, 2, 8))
    image += np.float32(0.2) * rng.standard_normal(shape, dtype=np.float32)
    return image, np.zeros(shape, np.int32)
