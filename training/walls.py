"""Painters of large, straight and textured objects: walls, strips, rubble and even slabs."""

from __future__ import annotations

import cv2
import numpy as np
from fields import Floats, between, fibres, smooth_noise, texture
from shapes import Labels, Scene, Shape, edge_distance, scatter, scene, tiling


def walls(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Bricks in courses, or strips from edge to edge, with or without mortar."""
    h, w = shape
    height = between(rng, 12, 70)
    strips = rng.random() < 0.35
    width = 8 * max(h, w) if strips else height * rng.uniform(1.2, 5)
    turn = rng.choice([0, np.pi / 2]) + rng.normal(0, 0.1)
    turn = rng.uniform(0, np.pi) if rng.random() < 0.3 else turn
    x = np.arange(w, dtype=np.float32)[None, :] - np.float32(w / 2)
    y = np.arange(h, dtype=np.float32)[:, None] - np.float32(h / 2)
    along = np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y + 4 * max(h, w)
    across = np.float32(np.cos(turn)) * y - np.float32(np.sin(turn)) * x + 4 * max(h, w)
    bend = np.float32(rng.uniform(0, 0.06) * height)
    across = across + bend * smooth_noise(rng, shape, 3 * height)
    along = along + bend * smooth_noise(rng, shape, 3 * height)
    course = np.floor(across / height).astype(np.int32)
    shift = rng.uniform(0, 1, 4096) if rng.random() < 0.4 else 0.5 * np.arange(4096)
    column = np.floor(along / width + shift[course % 4096]).astype(np.int32)
    pair = (course.astype(np.int64) << 20) + column
    labels = np.unique(pair, return_inverse=True)[1].reshape(shape).astype(np.int32) + 1
    if rng.random() < 0.7:
        labels[edge_distance(labels) <= rng.uniform(0.02, 0.12) * height + 1] = 0
    count = int(labels.max())
    bricks = scene(labels, np.zeros((count, 2), np.float32), np.full(count, height / 2, np.float32))
    return _stones(rng, bricks), bricks.labels


def rubble(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Large rough stones that touch: their texture is stronger than their borders."""
    stones = tiling(rng, shape, between(rng, 45, 220), rng.uniform(1, 4))
    labels = stones.labels.copy()
    labels[stones.depth <= between(rng, 1, 8)] = 0
    stones = scene(labels, stones.centres, stones.radii)
    return _stones(rng, stones), stones.labels


def slabs(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Draw a few large objects, even or textured, on an even ground."""
    families = ("box", "box", "round", "blob", "facet", "needle")
    objects = scatter(rng, shape, families, (70, 210), (0.1, 0.6), gap=(0.8, 1.3))
    tone = objects.spread(rng.uniform(0.25, 0.8, objects.count) * rng.choice([-1, 1]))
    rough = np.float32(between(rng, 0.003, 0.25)) * texture(rng, shape, between(rng, 2, 25))
    image = tone + rough * objects.inside
    image += np.float32(between(rng, 0.003, 0.1)) * texture(rng, shape, between(rng, 3, 60))
    return image, objects.labels


def _stones(rng: np.random.Generator, stones: Scene) -> Floats:
    shape = stones.labels.shape
    inside = stones.inside
    image = stones.uneven(rng, between(rng, 0.03, 0.5))
    image *= 1 - np.float32(rng.uniform(0.25, 0.7)) * np.exp(
        -(stones.depth - 1) / np.float32(max(1.0, stones.reach * rng.uniform(0.05, 0.4)))
    )
    rough = np.float32(between(rng, 0.01, 0.25)) * texture(rng, shape, between(rng, 2, 20))
    image += rough * inside
    if rng.random() < 0.3:
        streaks = fibres(rng, shape, between(rng, 1.5, 6))
        image += np.float32(rng.uniform(0.03, 0.12)) * streaks * inside
    mortar = np.float32(between(rng, 0.01, 0.25)) * texture(rng, shape, between(rng, 2, 12))
    mortar += np.float32(rng.choice([rng.uniform(0.05, 0.7), rng.uniform(1.3, 1.6)]))
    image = np.where(inside, image, mortar)
    if rng.random() < 0.3:
        image += np.float32(rng.uniform(0.1, 0.4)) * smooth_noise(rng, shape, 60)
    return cv2.GaussianBlur(image, (0, 0), 0.6)
