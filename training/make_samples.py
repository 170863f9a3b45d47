"""Draw the sample images of `sample_data/` and their exact ground truth.

Run from the project's root: ``python training/make_samples.py``. The same seeds give the same
files. The scenes are larger and more carefully lit than those that train the bundled model, and
none of them is among its training images.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import cv2
import numpy as np
import tifffile
from fields import Floats, smooth_noise, texture
from numpy.typing import NDArray
from series import dividing_cells
from shapes import Labels, Scene, Shape, draw, edge_distance, outlines, place, renumber, tiling
from stacks import StackSample, nuclei_stack

Sample = tuple[NDArray[np.uint8] | NDArray[np.uint16], Labels]


def _objects(
    rng: np.random.Generator,
    shape: Shape,
    family: str,
    size: float,
    cover: float,
    gap: float,
    variation: float = 0.12,
) -> Scene:
    """Draw objects of one family and size."""
    centres, radii = place(rng, shape, size, cover, gap, variation)
    return draw(shape, centres, radii, outlines(rng, family, radii))


def _blur(image: Floats, sigma: float) -> Floats:
    return cv2.GaussianBlur(np.asarray(image, np.float32), (0, 0), sigma)


def _count(rng: np.random.Generator, photons: Floats, gain: float, offset: float) -> Floats:
    """Record photons with a camera: shot noise, read noise, gain and offset."""
    counts = rng.poisson(np.maximum(photons, 0)) + rng.normal(0, 1.5, photons.shape)
    return (counts * gain + offset).astype(np.float32)


def _sixteen(image: Floats) -> NDArray[np.uint16]:
    return np.rint(image).clip(0, 65535).astype(np.uint16)


def _eight(image: Floats) -> NDArray[np.uint8]:
    return np.rint(image * 255).clip(0, 255).astype(np.uint8)


def _radius(shape: Shape, x: float, y: float) -> Floats:
    """Distance to a point, in units of the frame's width and height."""
    h, w = shape
    rows, columns = np.mgrid[:h, :w].astype(np.float32)
    return np.hypot(columns / w - x, rows / h - y).astype(np.float32)


def nuclei_uneven(rng: np.random.Generator) -> Sample:
    """Draw fluorescent nuclei, some touching, in light that falls off to a seventh."""
    shape = (512, 512)
    nuclei = _objects(rng, shape, "blob", 40, 0.26, 0.86, 0.16)
    chromatin = 1 + 0.22 * texture(rng, shape, 9)
    nucleoli = np.where(smooth_noise(rng, shape, 7) > 1.75, 0.6, 1.0)
    body = nuclei.uneven(rng, 0.22) * (0.45 + 0.55 * nuclei.rim(7)) * chromatin * nucleoli
    haze = 0.1 * _blur(body, 18) + 0.02 * (1 + 0.4 * smooth_noise(rng, shape, 90))
    light = np.exp(-2.6 * _radius(shape, 0.3, 0.36) ** 2 / 0.75)
    photons = _blur((body + haze) * light, 1.1) * 420
    return _sixteen(_count(rng, photons, 24, 400)), nuclei.labels


def phase_cells(rng: np.random.Generator) -> Sample:
    """Draw spread-out cells in phase contrast, hardly darker than their surroundings."""
    shape = (512, 512)
    cells = _objects(rng, shape, "spread", 62, 0.34, 1.2, 0.18)
    patchy = np.clip(0.75 + 0.4 * smooth_noise(rng, shape, 24), 0.15, 1.5)
    halo = np.exp(-cells.height / 3.0) * ~cells.inside * patchy
    edge = np.exp(-cells.depth / 2.2) * cells.inside * patchy
    granules = np.clip(smooth_noise(rng, shape, 3) - 1.3, 0, 2) * np.minimum(cells.depth / 6, 1)
    x, y = cells.offsets()
    nucleus = (np.hypot(x, y) < 0.36) & cells.inside
    body = -0.16 * cells.uneven(rng, 0.25) + 0.10 * texture(rng, shape, 6) * cells.inside
    image = 0.42 * halo - 0.34 * edge + body + 0.35 * granules
    image += np.where(nucleus, 0.12, 0) - 0.1 * _blur(nucleus, 2)
    image += 0.06 * smooth_noise(rng, shape, 200) + 0.015 * texture(rng, shape, 4)
    photons = _blur(1 + 0.22 * image, 0.9) * 6000
    return _sixteen(_count(rng, photons, 0.35, 100)), cells.labels


def membranes(rng: np.random.Generator) -> Sample:
    """Draw a tissue wall to wall whose bright membranes fade in places."""
    shape = (384, 384)
    cells = tiling(rng, shape, 46, 1)
    fading = np.clip(0.75 + 0.45 * smooth_noise(rng, shape, 40), 0.18, 1.4)
    wall = np.exp(-(((cells.depth - 1) / 1.9) ** 2)) * fading
    inside = 0.07 * cells.uneven(rng, 0.6) + 0.02 * texture(rng, shape, 12)
    light = 1 - 0.55 * _radius(shape, 0.6, 0.4)
    photons = _blur((wall + inside + 0.04) * light, 1.0) * 55
    image = _count(rng, photons, 1, 2)
    return _eight(image / 75), cells.labels


def particles(rng: np.random.Generator) -> Sample:
    """Draw shaded grains of three kinds that touch and overlap, and a scale bar."""
    shape = (512, 512)
    centres, radii = place(rng, shape, 44, 0.95, 0.76, 0.36)
    labels = np.zeros(shape, np.int32)
    light = np.zeros(shape, np.float32)
    for turn, family in enumerate(("facet", "round", "blob")):
        some = np.s_[turn::3]
        layer = draw(shape, centres[some], radii[some], outlines(rng, family, radii[some]))
        x, y = layer.offsets()
        shade = 0.5 - 0.17 * x - 0.2 * y + 0.28 * np.exp(-(layer.depth - 1) / 3.0)
        light = np.where(layer.inside, shade * layer.uneven(rng, 0.16), light)
        labels = np.where(layer.inside, layer.labels + labels.max(), labels)
    labels[478:, 392:] = 0
    labels, _ = renumber(labels.astype(np.int32))
    depth = edge_distance(labels)
    light *= 1 - 0.5 * np.exp(-np.maximum(depth - 1, 0) / 1.5)
    light += (0.06 * texture(rng, shape, 7) + 0.03 * texture(rng, shape, 2)) * (labels > 0)
    ground = 0.12 + 0.02 * texture(rng, shape, 30)
    image = _blur(np.where(labels > 0, light, ground), 0.9)
    image += rng.normal(0, 0.02, shape).astype(np.float32)
    image[478:, 392:] = 0
    image[496:502, 402:502] = 1
    return _eight(image), labels


def em_texture(rng: np.random.Generator) -> Sample:
    """Draw nerve-like tissue: dark membranes, granular plasm, mitochondria, vesicles."""
    shape = (512, 512)
    cells = tiling(rng, shape, 66, 3.5)
    rows, columns = np.mgrid[:512, :512].astype(np.float32)
    mitochondria = _objects(rng, shape, "blob", 30, 0.06, 1.6, 0.2)
    body = mitochondria.inside & (cells.depth > 4)
    cristae = np.sin(0.9 * columns + 0.5 * rows + 5 * smooth_noise(rng, shape, 30))
    image = 0.68 * cells.uneven(rng, 0.09) + np.where(cells.inside, 0, 0.68)
    image += 0.05 * texture(rng, shape, 3) - 0.22 * (smooth_noise(rng, shape, 3) > 1.75)
    image = np.where(body, image - 0.2 + 0.09 * cristae, image)
    image -= 0.25 * np.exp(-((mitochondria.depth - 1.5) ** 2) / 2) * body
    vesicles = _objects(rng, shape, "round", 9, 0.05, 1.3, 0.1)
    ring = np.exp(-((vesicles.depth - 1.2) ** 2)) * vesicles.inside
    image -= 0.28 * ring * (smooth_noise(rng, shape, 70) > 0.6) * (cells.depth > 4) * ~body
    image -= 0.52 * np.exp(-(((cells.depth - 1) / 1.9) ** 2))
    image = _blur(image, 0.8) + 0.04 * rng.standard_normal(shape, dtype=np.float32)
    return _eight(image), cells.labels


def faint(rng: np.random.Generator) -> Sample:
    """Draw a few glaring beads and many cells that an 8-bit window flattens to some gray levels.

    The beads cover more of the frame than a percentile window clips, and the light is uneven.
    """
    shape = (384, 384)
    cells = _objects(rng, shape, "blob", 36, 0.17, 1.15, 0.12)
    beads = _objects(rng, shape, "round", 17, 0.012, 3.0, 0.1)
    apart = np.bincount(cells.labels.ravel(), beads.height.ravel() < 7) == 0
    labels = np.where(apart[cells.labels], cells.labels, 0)
    body = cells.uneven(rng, 0.12) * (0.6 + 0.4 * cells.rim(5)) * (labels > 0)
    body *= 1 + 0.1 * texture(rng, shape, 6)
    light = 1.4 - 1.1 * _radius(shape, 0.25, 0.3)
    veil = 150 * light + 12 * smooth_noise(rng, shape, 110)
    glare = 26000 * _blur(beads.inside, 1.5) * (0.8 + 0.2 * beads.rim(4))
    photons = _blur(90 * body * light, 1.2) + veil + glare
    labels = np.where(beads.inside, beads.labels + cells.count, labels)
    return _sixteen(_count(rng, photons, 2, 200)), renumber(labels.astype(np.int32))[0]


SAMPLES: dict[str, tuple[int, Callable[[np.random.Generator], Sample]]] = {
    "nuclei_uneven": (20261, nuclei_uneven),
    "phase_cells": (20262, phase_cells),
    "membranes": (20263, membranes),
    "particles": (20264, particles),
    "em_texture": (20265, em_texture),
    "faint": (20266, faint),
}
"""Seed and painter of each sample."""
STACKS: dict[str, tuple[int, Callable[[np.random.Generator], StackSample]]] = {
    "nuclei_stack": (20271, nuclei_stack),
    "dividing_cells": (20272, dividing_cells),
}
"""Seed and painter of each sample stack."""


def _write_stack(out: Path, name: str, sample: StackSample) -> None:
    """Write a stack and its labels as OME-TIFF, and the tracks of a time series as text."""
    metadata: dict[str, object] = {"axes": f"{sample.axis}YX"}
    for side in "YX":
        metadata[f"PhysicalSize{side}"] = sample.pixel_size
        metadata[f"PhysicalSize{side}Unit"] = "µm"
    space = ("PhysicalSizeZ", "µm") if sample.axis == "Z" else ("TimeIncrement", "s")
    metadata |= {space[0]: sample.spacing, f"{space[0]}Unit": space[1]}
    files = {f"{name}.tif": sample.image, f"{name}.labels.tif": sample.labels.astype(np.uint16)}
    for number, (file, planes) in enumerate(files.items()):
        options = {"compression": "zlib", "compressionargs": {"level": 9}}
        # The same planes are the same file.
        identity = {"UUID": str(UUID(int=STACKS[name][0] * 2 + number).urn)}
        tifffile.imwrite(out / file, planes, ome=True, metadata=metadata | identity, **options)
    if sample.tracks:
        rows = "".join(f"{' '.join(map(str, row))}\n" for row in sample.tracks)
        (out / f"{name}.man_track.txt").write_text(rows, encoding="ascii")


def main() -> None:
    """Write every sample and its labels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "sample_data")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    options = {"compression": "zlib", "predictor": True, "compressionargs": {"level": 9}}
    for name, (seed, paint) in SAMPLES.items():
        image, labels = paint(np.random.default_rng(seed))
        tifffile.imwrite(out / f"{name}.tif", image, **options)
        tifffile.imwrite(out / f"{name}.labels.tif", labels.astype(np.uint16), **options)
        print(f"{name}: {image.shape[0]} × {image.shape[1]} {image.dtype}, {labels.max()} objects")
    for name, (seed, draw_stack) in STACKS.items():
        sample = draw_stack(np.random.default_rng(seed))
        _write_stack(out, name, sample)
        shape = " × ".join(map(str, sample.image.shape))
        print(f"{name}: {shape} {sample.image.dtype}, {sample.labels.max()} objects")


if __name__ == "__main__":
    main()
