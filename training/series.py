"""The sample time series: cells that move, divide, meet and part."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from fields import Floats, smooth_noise, texture
from stacks import (
    SIDE,
    Body,
    StackSample,
    Volume,
    body_of,
    drop_specks,
    labelled,
    record,
    scatter,
)

FRAMES = 20


@dataclass
class _Cell:
    """A cell of the series: its way, size and shape, when it lives and whose child it is."""

    path: Floats
    radius: Floats
    body: Body
    first: int
    last: int
    bright: float
    parent: int = 0


def dividing_cells(rng: np.random.Generator) -> StackSample:
    """Draw moving cells: two divide, two meet and part, one is unseen for a frame."""
    radii = np.exp(rng.normal(np.log(13), 0.1, 14)).astype(np.float32)
    inner = np.array([16, 16], np.float32), np.array([SIDE - 16, SIDE - 16], np.float32)
    start = scatter(rng, radii, *inner, 1.45)
    paths = _wander(rng, start, radii)
    cells = [
        _Cell(path, np.full(FRAMES, r, np.float32), body_of(rng, r, 2), 0, FRAMES - 1, b)
        for path, r, b in zip(paths, radii, rng.uniform(0.7, 1.3, radii.size), strict=True)
    ]
    for mother, frame in ((0, 7), (1, 12)):
        _divide(rng, cells, mother, frame)
    labels, body = _frames(rng, cells)
    labels = drop_specks(labels)
    unseen, frame = 3, 11
    gone = labels[frame] == unseen
    body[frame][gone] = 0
    labels[frame][gone] = 0
    images = []
    for number in range(FRAMES):
        light = cv2.GaussianBlur(body[number], (0, 0), 1.2)
        haze = cv2.GaussianBlur(body[number], (0, 0), 12)
        bleach = np.exp(-number / 60)
        images.append(record(rng, (64 * light + 13 * haze) * bleach + 1.5))
    tracks = []
    for number in range(1, len(cells) + 1):
        frames = np.flatnonzero((labels == number).any((1, 2)))
        parent = cells[number - 1].parent
        tracks.append((number, int(frames[0]), int(frames[-1]), parent))
    return StackSample(np.stack(images), labels, "T", 0.5, 300.0, tuple(tracks))


def _wander(rng: np.random.Generator, start: Floats, radii: Floats) -> Floats:
    """Return ways (N, F, 2): cells drift, push each other apart, and the last two meet."""
    place, ways = start.astype(np.float64).copy(), []
    speed = rng.normal(0, 1.0, place.shape)
    gaps = np.linalg.norm(place[:, None] - place[None], axis=-1) + 1e9 * np.eye(len(place))
    gaps[:4] = gaps[:, :4] = 1e9
    pair = np.unravel_index(gaps.argmin(), gaps.shape)
    for frame in range(FRAMES):
        ways.append(place.copy())
        speed = 0.8 * speed + rng.normal(0, 0.6, place.shape)
        apart = place[pair[1]] - place[pair[0]]
        toward = apart / np.linalg.norm(apart) * (1.6 if frame < 10 else -1.6)
        speed[pair[0]], speed[pair[1]] = toward, -toward
        place = place + speed
        for _ in range(8):
            offset = place[:, None] - place[None]
            gap = np.linalg.norm(offset, axis=-1) + np.eye(len(place))
            close = np.full_like(gap, 1.28)
            close[pair], close[pair[::-1]] = 0.9, 0.9
            short = np.maximum(close * (radii[:, None] + radii[None]) - gap, 0)
            np.fill_diagonal(short, 0)
            place = place + 0.25 * (offset / gap[..., None] * short[..., None]).sum(1)
            place = place.clip(10, SIDE - 11)
    return np.stack(ways, 1).astype(np.float32)


def _divide(rng: np.random.Generator, cells: list[_Cell], mother: int, frame: int) -> None:
    """End a cell at a frame, where two smaller ones take its place and part."""
    cell = cells[mother]
    cell.last = frame - 1
    angle = rng.uniform(0, np.pi)
    aim = np.array([np.sin(angle), np.cos(angle)], np.float32)
    small = cell.radius[0] * 0.78
    for side in (-1, 1):
        since = np.maximum(np.arange(FRAMES) - frame, 0)
        apart = small * (0.9 + 0.32 * np.minimum(since, 3))
        radius = small * (0.92 + 0.02 * np.minimum(since, 8))
        path = cell.path + side * apart[:, None] * aim
        body = body_of(rng, float(small), 2)
        bright = cell.bright * float(rng.uniform(0.95, 1.1))
        last = FRAMES - 1
        cells.append(_Cell(path, radius, body, frame, last, bright, mother + 1))


def _frames(rng: np.random.Generator, cells: list[_Cell]) -> tuple[Volume, Floats]:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    grid = np.stack([y, x], -1)
    bright = np.append(0, [cell.bright for cell in cells])
    labels = np.zeros((FRAMES, SIDE, SIDE), np.int32)
    body = np.zeros((FRAMES, SIDE, SIDE), np.float32)
    grain = texture(rng, (SIDE * 2, SIDE * 2), 9)
    for frame in range(FRAMES):
        far = np.full((SIDE, SIDE), 9, np.float32)
        distances = []
        for cell in cells:
            lives = cell.first <= frame <= cell.last
            size = cell.radius[frame] / cell.body.semi.mean()
            offset = (grid - cell.path[frame]) / np.float32(size)
            distances.append(cell.body.distance(offset) if lives else far)
        labels[frame], inside = labelled(np.stack(distances))
        shift = int(smooth_noise(rng, (3, 3), 2).mean() * 2) + frame
        shade = 1 + 0.18 * grain[shift : shift + SIDE, shift : shift + SIDE]
        body[frame] = bright[labels[frame]] * np.minimum(0.5 + 2.0 * inside, 1) * shade
    return labels, body
