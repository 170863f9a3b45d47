"""Training windows for the bundled model: real and synthetic micrographs, augmented.

A window is a square piece of the model's frame. It carries the frame's own
coordinates, so that positional encodings mean the same in training on windows
and in use on whole frames.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import imageio.v3 as iio
import numpy as np
import tifffile
from micrographs import micrograph, nested_micrograph

FRAME = 512
STRIDE = 4
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)

# Images of these stems stay out of training: they measure the result.
HELD_OUT = {
    "val_set46",
    "val_set48",
    "val_set49",
    "train_set45",
    "Sc3Tile_008-007-000_0-000",
    "sample_ovule_z28",
}
FOLDERS = ("usiigaci_phase", "ampis_powder", "baby_yeast_bf", "plantseg_membrane")


@dataclass(frozen=True)
class Batch:
    """Windows with prompts and targets; B windows, K points each.

    Attributes
    ----------
    images
        Normalised views, float32 (B, 3, W, W).
    offset
        Row and column of the window in the frame, in pixels.
    points
        Prompts in frame pixels, float32 (B, K, P, 2) as (x, y).
    kinds
        What each point says, int32 (B, K, P): 1 on the object, 0 off it, 2 and 3 corners of its
        box, -1 none.
    again
        Whether to prompt a second time with the mask that came of the first.
    masks
        Soft masks at stride 4, float32 (B, K, W/4, W/4).
    foreground
        Whether the point lies on an object, bool (B, K).
    labels
        Instance labels, int32 (B, W, W).
    """

    images: np.ndarray
    offset: tuple[int, int]
    points: np.ndarray
    kinds: np.ndarray
    again: bool
    masks: np.ndarray
    foreground: np.ndarray
    labels: np.ndarray


def to_gray(image: np.ndarray) -> np.ndarray:
    """Return float32 in [0, 1] through the 0.1 to 99.9 percentile window."""
    gray = image.astype(np.float32)
    if gray.ndim == 3:
        gray = gray[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)
    low, high = np.percentile(gray, (0.1, 99.9))
    return np.clip((gray - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def load_real(root: Path) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """Load every real training image with its labels, and its sampling weight."""
    pairs, weights = [], []
    archive = np.load(root / "dsb2018_train.npz")
    for key in archive["ids"]:
        image = archive[f"img_{key}"]
        gray = to_gray(image)
        pairs.append((gray, archive[f"lab_{key}"].astype(np.int32)))
        weights.append(2.0 if image.ndim == 3 or gray.mean() > 0.5 else 1.0)
    for folder in FOLDERS:
        files = [
            p
            for p in sorted((root / folder / "images").iterdir())
            if p.stem not in HELD_OUT and not p.stem.startswith("Sc3Tile")
        ]
        for path in files:
            labels = tifffile.imread(root / folder / "labels" / f"{path.stem}.tif")
            pairs.append((to_gray(iio.imread(path)), labels.astype(np.int32)))
            weights.append((80.0 if folder == "usiigaci_phase" else 55.0) / len(files))
    return pairs, np.array(weights) / np.sum(weights)


PROMPTS = {"point": 0.82, "points": 0.06, "box": 0.06, "mask": 0.06}
"""Kinds of prompts and their shares of the steps."""


def _median_diameter(labels: np.ndarray) -> float:
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.sqrt(np.median(areas) * 4 / np.pi)) if areas.size else 20.0


def cut_window(
    image: np.ndarray, labels: np.ndarray, size: int, strength: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a randomly scaled, rotated, flipped and bent window of the squashed frame.

    ``labels`` is (L, H, W), one map a level: whole objects and, where they have any, their parts.
    """
    height, width = image.shape
    sx, sy = FRAME / width, FRAME / height
    diameter = _median_diameter(labels[0]) * np.sqrt(sx * sy)
    zoom = np.exp(strength * rng.uniform(np.log(0.65), np.log(2.2)))
    zoom = np.clip(zoom, 12 / diameter, max(260 / diameter, 12 / diameter))
    if rng.random() < 0.2 * strength:
        zoom = np.exp(rng.uniform(np.log(max(12, 0.4 * diameter)), np.log(260))) / diameter
    angle = rng.choice([0, 90, 180, 270]) + (
        rng.uniform(-20, 20) if rng.random() < 0.4 * strength else 0
    )
    shape = np.diag([sx * zoom * np.exp(rng.normal(0, 0.06)), sy * zoom])
    if rng.random() < 0.5:
        shape[0] *= -1
    theta = np.deg2rad(angle)
    turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
    matrix = turn @ shape
    centre = rng.uniform(0, 1, 2) * (width, height)
    if labels[0].any() and rng.random() < 0.7:
        rows, cols = np.nonzero(labels[0])
        pick = rng.integers(rows.size)
        centre = np.array([cols[pick], rows[pick]]) + rng.normal(0, 10, 2)
    target = size / 2 + rng.uniform(-0.2, 0.2, 2) * size
    if zoom * min(sx, sy) < 0.7:
        image = cv2.GaussianBlur(image, (0, 0), 0.45 / (zoom * min(sx, sy)))
    places = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).astype(np.float32)
    if rng.random() < 0.25 * strength:
        places += _bend(size, zoom * diameter, rng)
    inverse = np.linalg.inv(matrix)
    maps = (places @ inverse.T + (centre - inverse @ target)).astype(np.float32)
    window = cv2.remap(image, maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    cut = [
        cv2.remap(
            level.astype(np.float32),
            maps,
            None,
            cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_REFLECT_101,
        ).astype(np.int32)
        for level in labels
    ]
    return window, np.stack([_split_reflections(level) for level in cut])


def _bend(size: int, diameter: float, rng: np.random.Generator) -> np.ndarray:
    """Return smooth displacements in pixels, (size, size, 2), that bend but do not tear."""
    knots = int(np.clip(2 * size / max(diameter, 16), 3, 10))
    amount = 0.12 * size / knots * rng.uniform(0.3, 1)
    coarse = rng.normal(0, amount, (knots, knots, 2)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def _split_reflections(labels: np.ndarray) -> np.ndarray:
    """Give mirrored copies of an object ids of their own."""
    out = np.zeros_like(labels)
    following = 0
    for value in np.unique(labels):
        if value == 0:
            continue
        count, pieces = cv2.connectedComponents((labels == value).astype(np.uint8))
        sizes = np.bincount(pieces.ravel(), minlength=count)
        for piece in range(1, count):
            if sizes[piece] >= 16:
                following += 1
                out[pieces == piece] = following
    return out


def change_contrast(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
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
        image = image + rng.normal(0, rng.uniform(0, 0.08), image.shape)
    if rng.random() < 0.1:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))]
        _, coded = cv2.imencode(
            ".jpg", np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8), quality
        )
        image = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
    return np.clip(image, 0, 1).astype(np.float32)


def to_channels(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the normalised three-channel view, now and then in false colours."""
    view = np.repeat(image[None], 3, 0)
    if rng.random() < 0.1:
        view = np.stack([image ** np.exp(rng.normal(0, 0.4)) for _ in range(3)])
    view = np.round(view * 255) / 255
    return ((view - MEAN[:, None, None]) / STD[:, None, None]).astype(np.float32)


def sample_prompts(
    labels: np.ndarray, count: int, kind: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Choose prompts, two thirds on objects, with their masks at stride 4.

    Where objects have parts, a prompt on a part means the part or the whole, by chance.

    Returns
    -------
    points, kinds, masks, foreground
        As in `Batch`, for one window.
    """
    size = labels.shape[-1]
    places = 1 if kind in ("point", "mask") else 3
    points = np.zeros((count, places, 2), np.float32)
    kinds = np.full((count, places), -1, np.int32)
    chosen = np.zeros((count, size, size), bool)
    wholes = labels[0]
    present = np.unique(wholes)
    present = present[present > 0]
    wanted = int(round(count * 0.67)) if present.size else 0
    rows, cols = np.nonzero(wholes)
    for k in range(count):
        if k < wanted:
            r, c = np.nonzero(wholes == rng.choice(present)) if k % 2 else (rows, cols)
            pick = rng.integers(r.size)
            row, col = r[pick], c[pick]
        else:
            row, col = rng.integers(0, size, 2)
        points[k, 0], kinds[k, 0] = (col, row), 1
        level = int(rng.integers(len(labels))) if labels[-1, row, col] else 0
        value = labels[level, row, col]
        if value == 0:
            continue
        mask = chosen[k]
        mask[:] = labels[level] == value
        if kind == "points":
            _add_points(mask, points[k], kinds[k], rng)
        elif kind == "box":
            _add_box(mask, points[k], kinds[k], rng)
    masks = _coverage(chosen)
    return points, kinds, masks, chosen.any((1, 2))


def _add_points(
    mask: np.ndarray, points: np.ndarray, kinds: np.ndarray, rng: np.random.Generator
) -> None:
    """Add a second point on the object and one off it."""
    for place, kind, region in ((1, 1, mask), (2, 0, ~mask)):
        rows, cols = np.nonzero(region)
        if rows.size:
            pick = rng.integers(rows.size)
            points[place], kinds[place] = (cols[pick], rows[pick]), kind


def _add_box(
    mask: np.ndarray, points: np.ndarray, kinds: np.ndarray, rng: np.random.Generator
) -> None:
    """Replace the point by the corners of the object's box, each moved by up to a tenth."""
    rows, cols = np.nonzero(mask)
    corners = np.array([[cols.min(), rows.min()], [cols.max() + 1, rows.max() + 1]], np.float32)
    reach = 0.1 * (corners[1] - corners[0])
    points[:2] = corners + rng.uniform(-1, 1, (2, 2)) * reach
    kinds[:] = 2, 3, -1


def _coverage(masks: np.ndarray) -> np.ndarray:
    """Return the covered fraction of every 4 × 4 block, float32 (K, H/4, W/4)."""
    count, height, width = masks.shape
    blocks = masks.reshape(count, height // STRIDE, STRIDE, width // STRIDE, STRIDE)
    return blocks.mean((2, 4), dtype=np.float32)


class Windows:
    """An endless, seeded stream of batches, prepared in a background thread.

    Parameters
    ----------
    root
        Folder with the development sets.
    windows, points
        Windows a batch and points a window.
    synthetic, nested
        Shares of synthetic windows, without and with objects that have parts.
    """

    def __init__(
        self, root: Path, windows: int, points: int, synthetic: float, nested: float
    ) -> None:
        self.pairs, self.weights = load_real(root)
        self.windows = windows
        self.points = points
        self.synthetic = synthetic
        self.nested = nested

    def window(
        self, size: int, strength: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return one augmented window and its labels, (L, size, size)."""
        if rng.random() < self.synthetic:
            image, labels = micrograph(rng, (256, 256))
            levels = labels[None]
        elif rng.random() < self.nested:
            image, levels = nested_micrograph(rng, (256, 256))
        else:
            image, labels = self.pairs[rng.choice(len(self.pairs), p=self.weights)]
            levels = labels[None]
        image, levels = cut_window(image, levels, size, strength, rng)
        return change_contrast(image, strength, rng), levels

    def batch(self, step: int, seed: int, whole: bool, strength: float) -> Batch:
        """Return the batch of a step; the same for the same seed and step."""
        rng = np.random.default_rng((seed, step))
        size = FRAME if whole else FRAME // 2
        windows = max(1, self.windows // 4) if whole else self.windows
        points = self.points * 2 if whole else self.points
        offset = tuple(int(v) * 16 for v in rng.integers(0, (FRAME - size) // 16 + 1, 2))
        kind = str(rng.choice(list(PROMPTS), p=list(PROMPTS.values())))
        images, labels, prompts = [], [], []
        for _ in range(windows):
            image, levels = self.window(size, strength, rng)
            images.append(to_channels(image, rng))
            labels.append(levels[0])
            prompts.append(sample_prompts(levels, points, kind, rng))
        places, kinds, masks, foreground = (np.stack(part) for part in zip(*prompts, strict=True))
        return Batch(
            np.stack(images),
            (offset[0], offset[1]),
            places + np.float32(offset[::-1]),
            kinds,
            kind == "mask",
            masks,
            foreground,
            np.stack(labels),
        )

    def stream(
        self, start: int, stop: int, seed: int, whole_from: int, gentle_from: int
    ) -> Iterator[Batch]:
        """Yield the batches of steps start to stop.

        From ``whole_from`` every third is of whole frames; from ``gentle_from`` augmentation is
        half as strong, so that the end of training looks more like use.
        """
        ready: queue.Queue[Batch] = queue.Queue(4)

        def produce() -> None:
            for step in range(start, stop):
                whole = step >= whole_from and step % 3 == 0
                strength = 1.0 if step < gentle_from else 0.5
                ready.put(self.batch(step, seed, whole, strength))

        threading.Thread(target=produce, daemon=True).start()
        for _ in range(start, stop):
            yield ready.get()
