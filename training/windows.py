"""Training windows: real and synthetic micrographs, scaled, bent, changed in contrast."""

from __future__ import annotations

import multiprocessing as mp
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from data import Sample, median_diameter
from micrographs import micrograph, nested_micrograph
from numpy.typing import NDArray
from optics import annotate
from targets import OBJECT, UNKNOWN, collate, encode, groups, separate

FRAME = 512
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
SHAPES = (((8, 256), 0.62), ((4, 384), 0.22), ((2, 512), 0.16))
"""Windows of a batch and their side in pixels, and how often; the last show whole frames."""
OBJECTS = {256: 14, 384: 18, 512: 28}
"""Objects sampled in a window of a side."""
SYNTHETIC, NESTED = 0.17, 0.05

Floats = NDArray[np.float32]
Labels = NDArray[np.int32]


class Mode(NamedTuple):
    """Shares of synthetic windows and strength of augmentation, from 0 to 1."""

    synthetic: float = SYNTHETIC
    nested: float = NESTED
    strength: float = 1.0


def _zoom(shape: tuple[int, int], diameter: float, whole: bool, strength: float, rng: Any) -> float:
    fit = FRAME / max(shape)
    if whole:
        return float(fit * rng.uniform(0.8, 1.1))
    if rng.random() < 0.6:
        zoom = fit * np.exp(strength * rng.uniform(np.log(0.7), np.log(2.2)))
    else:
        zoom = np.exp(rng.uniform(np.log(9), np.log(240))) / diameter
        zoom = np.clip(zoom, 0.35 * fit, 3.5 * fit)
    return float(np.clip(zoom, 7 / diameter, max(280 / diameter, 7 / diameter)))


def _maps(
    levels: Labels, diameter: float, size: int, whole: bool, strength: float, rng: Any
) -> tuple[Floats, float]:
    """Return the source (x, y) of each pixel of the window, (size, size, 2), and the zoom."""
    height, width = levels.shape[1:]
    zoom = _zoom((height, width), diameter, whole, strength, rng)
    stretch = np.exp(rng.normal(0, 0.08))
    if rng.random() < 0.3:
        # The generator squashes an image into a square frame.
        stretch *= height / width
    angle = rng.choice([0, 90, 180, 270])
    if rng.random() < 0.4 * strength and not whole:
        angle += rng.uniform(-25, 25)
    shape = np.diag([zoom * np.sqrt(stretch), zoom / np.sqrt(stretch)])
    if rng.random() < 0.5:
        shape[0] *= -1
    theta = np.deg2rad(angle)
    turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
    matrix = turn @ shape
    centre = np.array([width, height]) * (0.5 if whole else rng.uniform(0, 1, 2))
    if not whole and rng.random() < 0.7:
        rows, cols = np.nonzero(levels[-1] > 0)
        if rows.size:
            pick = rng.integers(rows.size)
            centre = np.array([cols[pick], rows[pick]]) + rng.normal(0, 10, 2)
    target = size / 2 + rng.uniform(-0.2, 0.2, 2) * size * (0.2 if whole else 1)
    places = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).astype(np.float32)
    if rng.random() < 0.25 * strength and not whole:
        places += _bend(size, zoom * diameter, rng)
    inverse = np.linalg.inv(matrix)
    return (places @ inverse.T + (centre - inverse @ target)).astype(np.float32), zoom


def _bend(size: int, diameter: float, rng: np.random.Generator) -> Floats:
    """Return smooth displacements in pixels, (size, size, 2), that bend but do not tear."""
    knots = int(np.clip(2 * size / max(diameter, 16), 3, 10))
    amount = 0.12 * size / knots * rng.uniform(0.3, 1)
    coarse = rng.normal(0, amount, (knots, knots, 2)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def cut(
    image: NDArray[Any],
    levels: Labels,
    diameter: float,
    size: int,
    whole: bool,
    strength: float,
    rng: np.random.Generator,
) -> tuple[Floats, Labels]:
    """Cut a window of ``size`` out of an image and its (L, H, W) labels.

    Objects have median diameters of some 7 to 280 pixels in it. ``whole`` shows the whole image
    in about the frame. Beyond the image is its mirror image, unlabelled, or an even gray.
    """
    maps, zoom = _maps(levels, diameter, size, whole, strength, rng)
    image, levels, maps = _around(image, levels, maps)
    gray = image.astype(np.float32) / np.float32(255 if image.dtype == np.uint8 else 1)
    if zoom < 0.7:
        gray = cv2.GaussianBlur(gray, (0, 0), 0.45 / zoom)
    outside: dict[str, Any] = {"borderMode": cv2.BORDER_REFLECT_101}
    beyond = UNKNOWN
    if rng.random() < 0.35:
        beyond = 0
        fill = float(rng.choice([0, 1, gray.mean(), rng.uniform()]))
        outside = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": fill}
    window = cv2.remap(gray, maps, None, cv2.INTER_LINEAR, **outside)
    cuts = [
        cv2.remap(
            level.astype(np.float32),
            maps,
            None,
            cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=beyond,
        ).astype(np.int32)
        for level in levels
    ]
    cuts = [separate(level) for level in cuts]
    return window, np.stack([cuts[0], cuts[-1]])


def _around(
    image: NDArray[Any], levels: Labels, maps: Floats
) -> tuple[NDArray[Any], Labels, Floats]:
    """Crop to what a window sees, unless it sees what is beyond the image."""
    low = np.floor(maps.min((0, 1))).astype(int) - 4
    high = np.ceil(maps.max((0, 1))).astype(int) + 5
    if (low < 0).any() or high[0] > image.shape[1] or high[1] > image.shape[0]:
        return image, levels, maps
    box = np.s_[low[1] : high[1], low[0] : high[0]]
    return image[box], levels[:, *box], maps - low.astype(np.float32)


def change_contrast(image: Floats, strength: float, rng: np.random.Generator) -> Floats:
    """Vary polarity, gamma, range, light, sharpness and noise; strength 1 is the most."""
    size = image.shape[0]
    if rng.random() < 0.12 * strength:
        image = 1 - image
    image = np.clip(image, 0, 1) ** np.exp(rng.normal(0, 0.4 * strength))
    if rng.random() > strength:
        return np.clip(image, 0, 1).astype(np.float32)
    if rng.random() < 0.25:
        ramp = cv2.resize(
            rng.uniform(0.3, 1, (3, 3)).astype(np.float32),
            (size, size),
            interpolation=cv2.INTER_CUBIC,
        )
        image = image * ramp
    if rng.random() < 0.4:
        span = rng.uniform(0.2, 1)
        image = rng.uniform(0, 1 - span) + span * image
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.0))
    if rng.random() < 0.1:
        soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(1, 4))
        image = image + rng.uniform(0.5, 2) * (image - soft)
    if rng.random() < 0.1:
        clahe = cv2.createCLAHE(float(rng.uniform(1, 6)), (4, 4))
        image = clahe.apply((np.clip(image, 0, 1) * 65535).astype(np.uint16)) / np.float32(65535)
    if rng.random() < 0.5:
        grain = rng.standard_normal(image.shape, dtype=np.float32)
        image = image + np.float32(rng.uniform(0, 0.08)) * grain
    if rng.random() < 0.1:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))]
        _, coded = cv2.imencode(
            ".jpg", np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8), quality
        )
        image = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
    return np.clip(image, 0, 1).astype(np.float32)


def to_channels(image: Floats, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the three-channel view, uint8 (3, H, W), now and then in false colours."""
    if rng.random() < 0.1:
        view = np.stack([image ** np.exp(rng.normal(0, 0.4)) for _ in range(3)])
    else:
        view = np.repeat(image[None], 3, 0)
    return np.rint(view * 255).astype(np.uint8)


class Windows:
    """An endless stream of batches; the same for the same seed and step.

    Parameters
    ----------
    samples
        Real images.
    seed
        Of everything random.
    """

    def __init__(self, samples: list[Sample], seed: int) -> None:
        self.samples = samples
        self.weights = np.array([s.weight for s in samples])
        self.weights /= self.weights.sum()
        self.seed = seed

    def window(self, size: int, mode: Mode, rng: np.random.Generator) -> tuple[Floats, Labels]:
        """Return one augmented window and its labels, (3, size, size)."""
        draw = rng.random()
        whole = size == FRAME and rng.random() < 0.7
        if draw < mode.synthetic + mode.nested:
            side = (size, size) if whole or size == 384 else (256, 256)
            if draw < mode.synthetic:
                image, labels = micrograph(rng, side)
                levels = labels[None]
            else:
                image, nested = nested_micrograph(rng, side)
                levels = np.stack([_fill(nested[1], nested[0]), nested[0]])
            diameter = median_diameter(levels[-1])
        else:
            sample = self.samples[rng.choice(len(self.samples), p=self.weights)]
            image, levels, diameter = sample.image, sample.levels(), sample.diameter
        image, levels = cut(image, levels, diameter, size, whole, mode.strength, rng)
        image = change_contrast(image, mode.strength, rng)
        if rng.random() < 0.12:
            image, known = annotate(rng, image, np.ones(image.shape, np.int32))
            levels = np.where(known == 0, 0, levels)
        return image, np.concatenate([levels, groups(levels[OBJECT])[None]])

    def batch(self, step: int, mode: Mode) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
        """Return views, uint8 (B, 3, S, S), and what `targets.encode` says of each."""
        rng = np.random.default_rng((self.seed, step))
        count, size = SHAPES[rng.choice(len(SHAPES), p=[share for _, share in SHAPES])][0]
        views, items = [], []
        for _ in range(count):
            image, levels = self.window(size, mode, rng)
            views.append(to_channels(image, rng))
            items.append(encode(levels, OBJECTS[size], rng))
        return np.stack(views), items


def _fill(parts: Labels, wholes: Labels) -> Labels:
    """Return the parts; whole objects without parts are their own part."""
    out = parts.copy()
    has = np.unique(wholes[parts > 0])
    alone = (wholes > 0) & ~np.isin(wholes, has)
    out[alone] = wholes[alone] + int(parts.max())
    return out


class Stream:
    """Batches of a `Windows` from processes of their own, in order.

    Parameters
    ----------
    windows
        Shared with the processes as they start.
    start
        First step.
    workers
        Processes.
    """

    def __init__(self, windows: Windows, start: int, workers: int) -> None:
        context = mp.get_context("fork")
        self.strength = context.Value("d", 1.0)
        self.queues = [context.Queue(3) for _ in range(workers)]
        self.start = start
        # Before the fork: a child waits forever for threads that only its parent has.
        cv2.setNumThreads(1)
        for index, queue in enumerate(self.queues):
            context.Process(target=self._produce, args=(windows, index, queue), daemon=True).start()

    def _produce(self, windows: Windows, index: int, queue: Any) -> None:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        step = self.start + index
        while True:
            queue.put(windows.batch(step, Mode(strength=self.strength.value)))
            step += len(self.queues)

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], Any]]:
        """Yield views and their collated targets."""
        step = 0
        while True:
            views, items = self.queues[step % len(self.queues)].get()
            yield views, collate(items)
            step += 1
