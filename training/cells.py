"""Painters of cells and tissue in light microscopy."""

from __future__ import annotations

import cv2
import numpy as np
from fields import Floats, between, fibres, smooth_noise, texture
from shapes import Labels, Shape, scatter, tiling


def nuclei(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Fluorescent nuclei: bright, textured or smooth, on a dark background with haze."""
    objects = scatter(
        rng, shape, ("blob", "blob", "blob", "round", "lobed"), (8, 110), gap=(0.72, 1.4)
    )
    reach = objects.reach
    dome = objects.rim(max(1.5, reach * rng.uniform(0.1, 1.1)))
    light = objects.uneven(rng, between(rng, 0.05, 0.6)) * (0.35 + 0.65 * dome)
    grain = texture(rng, shape, max(1.2, reach * rng.uniform(0.15, 0.7)))
    light *= np.maximum(1 + np.float32(rng.uniform(0, 0.35)) * grain, 0.1)
    if rng.random() < 0.3:
        spots = smooth_noise(rng, shape, max(1.5, reach * rng.uniform(0.25, 0.5))) > 1.1
        light *= np.where(spots, np.float32(rng.choice((0.5, 1.6, 2.2))), np.float32(1))
    light *= objects.inside
    back = np.float32(between(rng, 0.005, 0.15)) * (1 + 0.5 * smooth_noise(rng, shape, 60))
    if rng.random() < 0.4:
        glow = cv2.GaussianBlur(
            cv2.resize(light, None, fx=0.25, fy=0.25), (0, 0), max(1, reach / 4)
        )
        back = back + np.float32(rng.uniform(0.1, 0.5)) * cv2.resize(glow, shape[::-1])
    if rng.random() < 0.25:
        back = back + np.float32(rng.uniform(0.01, 0.06)) * np.maximum(fibres(rng, shape, 4), 0)
    return light + np.maximum(back, 0), objects.labels


def rings(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Hollow cells and shells: only their walls show."""
    objects = scatter(rng, shape, ("round", "blob", "lobed", "box"), (16, 130), gap=(0.85, 1.4))
    wall = max(1.6, objects.reach * between(rng, 0.08, 0.35))
    ring = np.exp(-(((objects.depth - wall) / np.float32(wall * 0.7)) ** 2)) * objects.inside
    bright = np.float32(rng.choice((-1, 1)) * rng.uniform(0.3, 0.7))
    image = bright * ring * objects.uneven(rng, 0.25)
    image += np.float32(bright * rng.uniform(-0.2, 0.45)) * (
        objects.inside & (objects.depth > wall)
    )
    image += np.float32(between(rng, 0.003, 0.05)) * texture(rng, shape, between(rng, 3, 20))
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
    image += np.float32(rng.uniform(-0.22, 0.1)) * objects.uneven(rng, 0.4)
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
    reach = objects.reach
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
        image = (
            np.cos(signed * np.float32(2 * np.pi / period) + np.float32(rng.uniform(0, 6.3))) * fade
        )
        image += np.float32(rng.uniform(-0.3, 0.4)) * objects.inside
        image += np.float32(rng.uniform(0, 0.3)) * objects.inside * texture(rng, shape, reach / 2)
        image *= np.where(objects.inside, objects.uneven(rng, 0.25), 1)
    image += np.float32(rng.uniform(0.02, 0.3) * image.std()) * texture(
        rng, shape, between(rng, 3, 30)
    )
    return image, objects.labels


def membranes(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Tissue: cells wall to wall, with bright or dark walls of uneven width."""
    size = between(rng, 14, 110)
    cells = tiling(rng, shape, size, 1 if rng.random() < 0.7 else rng.uniform(2, 5))
    labels = cells.labels
    wall = np.float32(between(rng, 1.2, max(2.0, size * 0.15)))
    line = np.exp(-(((cells.depth - 1) / wall) ** 2))
    line *= np.clip(1 + np.float32(rng.uniform(0, 0.5)) * smooth_noise(rng, shape, size), 0.15, 2)
    image = line * np.float32(rng.uniform(0.4, 1))
    image += np.float32(rng.uniform(0, 0.2)) * smooth_noise(rng, shape, size * 2)
    image += (1 - line) * np.float32(rng.uniform(0, 0.25)) * cells.uneven(rng, 0.5)
    image += np.float32(rng.uniform(0, 0.12)) * texture(rng, shape, between(rng, 2, size / 2))
    if rng.random() < 0.35:
        image = -image
    if rng.random() < 0.3:
        lumen = smooth_noise(rng, shape, size * 3) > rng.uniform(0.3, 1.2)
        areas = np.bincount(labels.ravel())
        hit = np.bincount(labels.ravel(), lumen.ravel()) > 0.6 * areas
        gone = hit[labels]
        image = np.where(gone & (line < 0.5), np.float32(np.percentile(image, 5)), image)
        labels = np.where(gone, 0, labels)
    return image, labels


def stained(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels]:
    """Stained tissue in gray: dark chromatin in fibrous, blotchy surroundings."""
    families = ("blob", "blob", "lobed", "round")
    objects = scatter(rng, shape, families, (9, 90), (0.05, 0.6), gap=(0.7, 1.25))
    reach = objects.reach
    dark = np.float32(rng.uniform(0.25, 0.6)) * objects.uneven(rng, between(rng, 0.1, 0.45))
    dark *= 1 + np.float32(rng.uniform(0.1, 0.5)) * texture(
        rng, shape, max(1.5, reach * rng.uniform(0.2, 0.7))
    )
    dark += np.float32(rng.uniform(-0.1, 0.25)) * np.exp(
        -objects.depth / np.float32(max(1.5, reach / 5))
    )
    dark *= objects.inside
    tissue = np.float32(between(rng, 0.005, 0.12)) * fibres(rng, shape, between(rng, 2, 7))
    tissue += np.float32(between(rng, 0.01, 0.12)) * texture(rng, shape, between(rng, 4, 60))
    plasm = np.float32(rng.uniform(0, 0.25)) * np.exp(
        -objects.height / np.float32(reach * rng.uniform(0.3, 2))
    )
    image = (
        np.float32(rng.uniform(0.6, 0.9)) - tissue - np.maximum(dark, 0) - plasm * ~objects.inside
    )
    if rng.random() < 0.4:
        lumen = smooth_noise(rng, shape, between(rng, 40, 120)) > rng.uniform(0.3, 1)
        image = np.where(lumen & ~objects.inside, np.float32(0.95), image)
    if rng.random() < 0.4:
        ghosts = scatter(rng, shape, families, (reach, 3 * reach), (0.02, 0.2))
        blur = cv2.GaussianBlur(ghosts.inside.astype(np.float32), (0, 0), max(2, reach / 3))
        image -= np.float32(rng.uniform(0.05, 0.15)) * blur * ~objects.inside
    return image, objects.labels


def cells_with_nuclei(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Labels, Labels]:
    """Cells that each hold a smaller body, brighter or darker: image, cells and bodies."""
    objects = scatter(
        rng, shape, ("blob", "blob", "round", "facet"), (30, 120), (0.2, 0.9), gap=(0.85, 1.3)
    )
    x, y = objects.offsets()
    shift = rng.uniform(-0.2, 0.2, (2, objects.count))
    radius = objects.spread(rng.uniform(0.3, 0.55, objects.count))
    away = np.hypot(x - objects.spread(shift[0]), y - objects.spread(shift[1]))
    away += np.float32(0.05) * smooth_noise(rng, shape, max(3.0, objects.reach * 0.4))
    body = objects.inside & (away < radius) & (objects.depth > 2)
    tone = np.float32(rng.choice((-1, 1)))
    image = tone * np.float32(between(rng, 0.1, 0.5)) * objects.uneven(rng, 0.25)
    image *= objects.rim(max(1.5, objects.reach * rng.uniform(0.05, 0.5)))
    image += np.float32(rng.choice((-1, 1)) * between(rng, 0.1, 0.5)) * body
    image += np.float32(rng.uniform(0, 0.08)) * texture(rng, shape, between(rng, 2, 12))
    return image, objects.labels, np.where(body, objects.labels, 0)
