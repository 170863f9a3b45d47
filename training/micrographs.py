"""Synthetic micrographs with exact instance labels, made to train the bundled model.

Every image is drawn from a random generator alone: the same seed gives the same image. numpy and
OpenCV only; a 256 × 256 image takes some milliseconds of one core.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from optics import annotate, degrade
from shapes import (
    Floats,
    Labels,
    Scene,
    between,
    fibres,
    scatter,
    scene,
    smooth_noise,
    texture,
    tiling,
    warp,
)

Shape = tuple[int, int]
Painter = Callable[[np.random.Generator, Shape], tuple[Floats, Labels]]


def micrograph(
    rng: np.random.Generator, shape: Shape = (256, 256), kind: str | None = None
) -> tuple[Floats, Labels]:
    """Draw one synthetic micrograph.

    Parameters
    ----------
    rng
        The only source of randomness.
    shape
        (H, W), each at least 32.
    kind
        One of `KINDS`; None chooses one at random.

    Returns
    -------
    image
        float32 (H, W) in [0, 1].
    labels
        int32 (H, W), 0 is background, objects are numbered from 1 and have at least 12 pixels.

    Raises
    ------
    ValueError
        If ``kind`` is unknown.
    """
    if kind is None:
        kind = str(rng.choice(KINDS, p=_WEIGHTS))
    if kind not in _PAINTERS:
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}")
    image, labels = _PAINTERS[kind](rng, shape)
    if rng.random() < 0.5:
        image, labels = image[:, ::-1], labels[:, ::-1]
    image = degrade(rng, np.ascontiguousarray(image))
    labels = np.ascontiguousarray(labels)
    if rng.random() < _ANNOTATED.get(kind, 0.04):
        image, labels = annotate(rng, image, labels)
    count = int(labels.max())
    nothing = np.zeros((count, 2), np.float32)
    return image, scene(labels, nothing, np.ones(count, np.float32)).labels


def _uneven(rng: np.random.Generator, objects: Scene, spread: float) -> Floats:
    """Give each object its own brightness around 1."""
    return objects.spread(np.exp(rng.normal(0, spread, objects.count)).clip(0.25, 3))


def _rim(objects: Scene, width: float) -> Floats:
    """Rise from 0 at an object's edge to 1 at some pixels' depth."""
    return np.minimum(objects.depth / np.float32(width), 1)


def _reach(objects: Scene) -> float:
    """Median radius in pixels."""
    return float(np.median(objects.radii)) if objects.count else 10.0


def nuclei(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Fluorescent nuclei: bright, textured or smooth, on a dark background with haze."""
    objects = scatter(rng, shape, ("blob", "blob", "blob", "round", "lobed"), (8, 110), gap=(0.72, 1.4))
    reach = _reach(objects)
    dome = _rim(objects, max(1.5, reach * rng.uniform(0.1, 1.1)))
    light = _uneven(rng, objects, between(rng, 0.05, 0.6)) * (0.35 + 0.65 * dome)
    grain = texture(rng, shape, max(1.2, reach * rng.uniform(0.15, 0.7)))
    light *= np.maximum(1 + np.float32(rng.uniform(0, 0.35)) * grain, 0.1)
    if rng.random() < 0.3:
        spots = smooth_noise(rng, shape, max(1.5, reach * rng.uniform(0.25, 0.5))) > 1.1
        light *= np.where(spots, np.float32(rng.choice((0.5, 1.6, 2.2))), np.float32(1))
    light *= objects.inside
    back = np.float32(between(rng, 0.005, 0.15)) * (1 + 0.5 * smooth_noise(rng, shape, 60))
    if rng.random() < 0.4:
        glow = cv2.GaussianBlur(cv2.resize(light, None, fx=0.25, fy=0.25), (0, 0), max(1, reach / 4))
        back = back + np.float32(rng.uniform(0.1, 0.5)) * cv2.resize(glow, shape[::-1])
    if rng.random() < 0.25:
        back = back + np.float32(rng.uniform(0.01, 0.06)) * np.maximum(fibres(rng, shape, 4), 0)
    return light + np.maximum(back, 0), objects.labels


def dark_blobs(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Absorbing grains on a bright background, as in transmission electron microscopy."""
    families = ("round", "blob", "box", "box", "needle", "facet", "lobed")
    objects = scatter(rng, shape, families, (10, 120), gap=(0.75, 1.5))
    deep = objects.spread(rng.uniform(0.25, 1, objects.count) ** rng.uniform(0.1, 1.5))
    dome = _rim(objects, max(1.0, _reach(objects) * rng.uniform(0.05, 1)))
    deep *= np.float32(rng.uniform(0.2, 0.8)) * (0.55 + 0.45 * dome)
    deep *= 1 + np.float32(rng.uniform(0, 0.2)) * texture(rng, shape, _reach(objects))
    image = np.float32(0.9) - deep
    image += np.float32(between(rng, 0.005, 0.05)) * texture(rng, shape, between(rng, 3, 30))
    if rng.random() < 0.4:
        fringe = np.exp(-(((objects.height - 1.5) / np.float32(rng.uniform(1, 2.5))) ** 2))
        image += np.float32(rng.uniform(0.1, 0.3)) * fringe * ~objects.inside
    return image, objects.labels


def rings(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Hollow cells and shells: only their walls show."""
    objects = scatter(rng, shape, ("round", "blob", "lobed", "box"), (16, 130), gap=(0.85, 1.4))
    wall = max(1.2, _reach(objects) * between(rng, 0.06, 0.35))
    ring = np.exp(-(((objects.depth - wall) / np.float32(wall * 0.7)) ** 2)) * objects.inside
    bright = np.float32(rng.choice((-1, 1)) * rng.uniform(0.3, 0.7))
    image = bright * ring * _uneven(rng, objects, 0.25)
    image += np.float32(bright * rng.uniform(-0.2, 0.45)) * (objects.inside & (objects.depth > wall))
    image += np.float32(rng.uniform(0, 0.06)) * texture(rng, shape, between(rng, 3, 20))
    return image, objects.labels


def phase_cells(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Phase contrast: gray spread-out cells with granules, a dark edge and a bright halo."""
    families = ("spread", "spread", "spread", "needle", "blob")
    objects = scatter(rng, shape, families, (24, 110), (0.08, 0.6), gap=(0.7, 1.3))
    halo = np.exp(-objects.height / np.float32(rng.uniform(1.5, 5))) * ~objects.inside
    edge = np.exp(-objects.depth / np.float32(rng.uniform(1, 3))) * objects.inside
    patchy = np.clip(0.6 + 0.5 * smooth_noise(rng, shape, between(rng, 8, 30)), 0, 1.6)
    image = np.float32(rng.uniform(0.1, 0.5)) * halo * patchy
    image -= np.float32(rng.uniform(0, 0.4)) * edge * patchy
    image += np.float32(rng.uniform(-0.22, 0.1)) * _uneven(rng, objects, 0.4)
    body = np.float32(rng.uniform(0.08, 0.3)) * texture(rng, shape, between(rng, 2, 7))
    body += np.float32(rng.uniform(0, 0.2)) * smooth_noise(rng, shape, 12)
    nucleus = np.hypot(*objects.offsets())
    body -= np.float32(rng.uniform(-0.2, 0.2)) * (nucleus < 0.35)
    body += np.float32(rng.uniform(0, 0.8)) * (smooth_noise(rng, shape, 2.5) > 2.2)
    image += body * objects.inside
    round_up = objects.spread((rng.random(objects.count) < 0.12).astype(np.float32))
    image += round_up * np.float32(0.5) * (1 + 0.6 * texture(rng, shape, 3))
    image += np.float32(rng.uniform(0.005, 0.05)) * texture(rng, shape, between(rng, 2, 12))
    return image, objects.labels


def relief(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Brightfield and differential interference contrast: fringes or a one-sided shadow."""
    families = ("round", "blob", "blob", "lobed", "spread", "box")
    objects = scatter(rng, shape, families, (14, 110), (0.06, 0.6), gap=(0.8, 1.3))
    reach = _reach(objects)
    if rng.random() < 0.5:
        bump = np.sqrt(np.minimum(objects.depth, np.float32(max(3, reach * rng.uniform(0.3, 1)))))
        bump += np.float32(rng.uniform(0, 0.5)) * objects.inside * texture(rng, shape, reach / 2)
        bump = cv2.GaussianBlur(bump, (0, 0), between(rng, 0.8, 3))
        turn = rng.uniform(0, 2 * np.pi)
        image = np.float32(np.cos(turn)) * cv2.Sobel(bump, cv2.CV_32F, 1, 0)
        image += np.float32(np.sin(turn)) * cv2.Sobel(bump, cv2.CV_32F, 0, 1)
    else:
        signed = objects.depth - objects.height
        period = between(rng, 3.5, max(5, reach))
        fade = np.exp(-np.abs(signed) / np.float32(period * rng.uniform(0.5, 1.3)))
        image = np.cos(signed * np.float32(2 * np.pi / period) + np.float32(rng.uniform(0, 6.3))) * fade
        image += np.float32(rng.uniform(-0.3, 0.4)) * objects.inside
        image += np.float32(rng.uniform(0, 0.3)) * objects.inside * texture(rng, shape, reach / 2)
        image *= np.where(objects.inside, _uneven(rng, objects, 0.25), 1)
    image += np.float32(rng.uniform(0.02, 0.3) * image.std()) * texture(rng, shape, between(rng, 3, 30))
    return image, objects.labels


def membranes(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """A tissue of cells wall to wall, with bright or dark walls of uneven width."""
    size = between(rng, 14, 110)
    cells = tiling(rng, shape, size, 1 if rng.random() < 0.7 else rng.uniform(2, 5))
    labels = cells.labels
    wall = np.float32(between(rng, 1.2, max(2.0, size * 0.15)))
    line = np.exp(-(((cells.depth - 1) / wall) ** 2))
    line *= np.clip(1 + np.float32(rng.uniform(0, 0.5)) * smooth_noise(rng, shape, size), 0.15, 2)
    image = line * np.float32(rng.uniform(0.4, 1))
    image += np.float32(rng.uniform(0, 0.2)) * smooth_noise(rng, shape, size * 2)
    image += (1 - line) * np.float32(rng.uniform(0, 0.25)) * _uneven(rng, cells, 0.5)
    image += np.float32(rng.uniform(0, 0.12)) * texture(rng, shape, between(rng, 2, size / 2))
    if rng.random() < 0.35:
        image = -image
    if rng.random() < 0.3:
        lumen = smooth_noise(rng, shape, size * 3)[labels > 0] > rng.uniform(0.3, 1.2)
        hit = np.bincount(labels.ravel(), lumen) > 0.6 * np.bincount(labels.ravel())
        gone = hit[labels]
        image = np.where(gone & (line < 0.5), np.float32(np.percentile(image, 5)), image)
        labels = np.where(gone, 0, labels)
    return image, labels


def particles(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Scanning electron microscopy: shaded grains that touch and overlap."""
    families = ("round", "round", "facet", "facet", "box", "blob", "lobed", "needle")
    objects = scatter(rng, shape, families, (10, 130), (0.05, 1.2), gap=(0.45, 1.15), variation=(0.05, 0.6))
    x, y = objects.offsets()
    turn = rng.uniform(0, 2 * np.pi)
    slope = np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y
    if rng.random() < 0.35:
        tilt = objects.spread(rng.normal(0, 1, objects.count))
        slope = np.sign(x * np.float32(np.sin(turn)) + tilt * y + np.float32(0.2) * tilt) * tilt * 0.5
    light = np.float32(rng.uniform(0.3, 0.7)) * _uneven(rng, objects, between(rng, 0.05, 0.4))
    light += np.float32(rng.uniform(0, 0.3)) * slope
    glow = np.exp(-(objects.depth - 1) / np.float32(max(1, _reach(objects) * rng.uniform(0.04, 0.3))))
    light += np.float32(rng.uniform(-0.25, 0.5)) * glow
    light += np.float32(rng.uniform(0, 0.15)) * texture(rng, shape, max(1.5, _reach(objects) * 0.3))
    shade = 1 - np.float32(rng.uniform(0, 0.7)) * np.exp(-objects.height / np.float32(_reach(objects) * 0.4))
    ground = np.float32(between(rng, 0.03, 0.5)) * (1 + 0.25 * texture(rng, shape, between(rng, 3, 40)))
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
    image -= np.float32(rng.uniform(0.1, 0.4)) * (smooth_noise(rng, shape, between(rng, 2, 4)) > 1.7)
    body = organelles.inside & (cells.depth > 3) if own_cells else organelles.inside
    stripes = np.sin(warp(rng, organelles.spread(rng.uniform(0, 6, organelles.count)), 0, 9)
                     + _phase(rng, shape, between(rng, 4, 8)))  # fmt: skip
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


def stained(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Stained tissue in gray: dark chromatin in fibrous, blotchy surroundings."""
    families = ("blob", "blob", "lobed", "round")
    objects = scatter(rng, shape, families, (9, 90), (0.05, 0.6), gap=(0.7, 1.25))
    reach = _reach(objects)
    dark = np.float32(rng.uniform(0.25, 0.6)) * _uneven(rng, objects, between(rng, 0.1, 0.45))
    dark *= 1 + np.float32(rng.uniform(0.1, 0.5)) * texture(rng, shape, max(1.5, reach * rng.uniform(0.2, 0.7)))
    dark += np.float32(rng.uniform(-0.1, 0.25)) * np.exp(-objects.depth / np.float32(max(1.5, reach / 5)))
    dark *= objects.inside
    tissue = np.float32(between(rng, 0.005, 0.12)) * fibres(rng, shape, between(rng, 2, 7))
    tissue += np.float32(between(rng, 0.01, 0.12)) * texture(rng, shape, between(rng, 4, 60))
    plasm = np.float32(rng.uniform(0, 0.25)) * np.exp(-objects.height / np.float32(reach * rng.uniform(0.3, 2)))
    image = np.float32(rng.uniform(0.6, 0.9)) - tissue - np.maximum(dark, 0) - plasm * ~objects.inside
    if rng.random() < 0.4:
        lumen = smooth_noise(rng, shape, between(rng, 40, 120)) > rng.uniform(0.3, 1)
        image = np.where(lumen & ~objects.inside, np.float32(0.95), image)
    if rng.random() < 0.4:
        ghosts = scatter(rng, shape, families, (reach, 3 * reach), (0.02, 0.2))
        blur = cv2.GaussianBlur(ghosts.inside.astype(np.float32), (0, 0), max(2, reach / 3))
        image -= np.float32(rng.uniform(0.05, 0.15)) * blur * ~objects.inside
    return image, objects.labels


def faint(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Objects hardly brighter or darker than a noisy background, next to glaring specks."""
    families = ("blob", "round", "lobed", "spread", "box")
    objects = scatter(rng, shape, families, (16, 120), (0.06, 0.5), gap=(0.85, 1.4))
    light = _uneven(rng, objects, 0.2) * _rim(objects, max(1.5, _reach(objects) * rng.uniform(0.1, 0.6)))
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


_PAINTERS: dict[str, Painter] = {
    "nuclei": nuclei,
    "dark_blobs": dark_blobs,
    "rings": rings,
    "phase_cells": phase_cells,
    "relief": relief,
    "membranes": membranes,
    "particles": particles,
    "electron_tissue": electron_tissue,
    "stained": stained,
    "faint": faint,
    "empty": empty,
}
_WEIGHTS = (0.2, 0.1, 0.08, 0.1, 0.09, 0.1, 0.12, 0.06, 0.1, 0.04, 0.01)
_ANNOTATED = {"dark_blobs": 0.4, "particles": 0.35, "electron_tissue": 0.15}

KINDS = tuple(_PAINTERS)
"""Names of the modalities that `micrograph` imitates."""
