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
from micrographs import micrograph

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
        Prompts in frame pixels, float32 (B, K, 2) as (x, y).
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
            weights.append(55.0 / len(files))
    return pairs, np.array(weights) / np.sum(weights)


def _median_diameter(labels: np.ndarray) -> float:
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.sqrt(np.median(areas) * 4 / np.pi)) if areas.size else 20.0


def cut_window(
    image: np.ndarray, labels: np.ndarray, size: int, strength: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a randomly scaled, rotated and flipped window of the squashed frame."""
    height, width = labels.shape
    sx, sy = FRAME / width, FRAME / height
    diameter = _median_diameter(labels) * np.sqrt(sx * sy)
    zoom = np.exp(strength * rng.uniform(np.log(0.65), np.log(2.2)))
    zoom = np.clip(zoom, 12 / diameter, max(260 / diameter, 12 / diameter))
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
    if labels.any() and rng.random() < 0.7:
        rows, cols = np.nonzero(labels)
        pick = rng.integers(rows.size)
        centre = np.array([cols[pick], rows[pick]]) + rng.normal(0, 10, 2)
    target = size / 2 + rng.uniform(-0.2, 0.2, 2) * size
    affine = np.concatenate([matrix, (target - matrix @ centre)[:, None]], 1)
    if zoom * min(sx, sy) < 0.7:
        image = cv2.GaussianBlur(image, (0, 0), 0.45 / (zoom * min(sx, sy)))
    window = cv2.warpAffine(
        image, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    cut = cv2.warpAffine(
        labels.astype(np.float32),
        affine,
        (size, size),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_REFLECT_101,
    ).astype(np.int32)
    return window, _split_reflections(cut)


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
    return np.clip(image, 0, 1).astype(np.float32)


def to_channels(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the normalised three-channel view, now and then in false colours."""
    view = np.repeat(image[None], 3, 0)
    if rng.random() < 0.1:
        view = np.stack([image ** np.exp(rng.normal(0, 0.4)) for _ in range(3)])
    view = np.round(view * 255) / 255
    return ((view - MEAN[:, None, None]) / STD[:, None, None]).astype(np.float32)


def sample_points(
    labels: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose prompts, two thirds on objects, with their masks at stride 4."""
    size = labels.shape[0]
    small = size // STRIDE
    points = np.zeros((count, 2), np.float32)
    ids = np.zeros(count, np.int32)
    present = np.unique(labels)
    present = present[present > 0]
    wanted = int(round(count * 0.67)) if present.size else 0
    rows, cols = np.nonzero(labels) if wanted else (np.zeros(0), np.zeros(0))
    for k in range(count):
        if k < wanted:
            if k % 2:
                r, c = np.nonzero(labels == rng.choice(present))
            else:
                r, c = rows, cols
            pick = rng.integers(r.size)
            points[k] = c[pick], r[pick]
        else:
            points[k] = rng.integers(0, size, 2)
        ids[k] = labels[int(points[k, 1]), int(points[k, 0])]
    coarse = labels[1::2, 1::2]
    chosen = (coarse[None] == ids[:, None, None]) & (ids > 0)[:, None, None]
    quarters = chosen.reshape(count, small, 2, small, 2)
    masks = (
        quarters[:, :, 0, :, 0].astype(np.float32)
        + quarters[:, :, 0, :, 1]
        + quarters[:, :, 1, :, 0]
        + quarters[:, :, 1, :, 1]
    ) / 4
    return points, masks, ids > 0


class Windows:
    """An endless, seeded stream of batches, prepared in a background thread.

    Parameters
    ----------
    root
        Folder with the development sets.
    windows, points
        Windows a batch and points a window.
    synthetic
        Share of synthetic windows.
    """

    def __init__(self, root: Path, windows: int, points: int, synthetic: float) -> None:
        self.pairs, self.weights = load_real(root)
        self.windows = windows
        self.points = points
        self.synthetic = synthetic

    def window(
        self, size: int, strength: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return one augmented window and its labels."""
        if rng.random() < self.synthetic:
            image, labels = micrograph(rng, (256, 256))
        else:
            image, labels = self.pairs[rng.choice(len(self.pairs), p=self.weights)]
        image, labels = cut_window(image, labels, size, strength, rng)
        return change_contrast(image, strength, rng), labels

    def batch(self, step: int, seed: int, whole: bool, strength: float) -> Batch:
        """Return the batch of a step; the same for the same seed and step."""
        rng = np.random.default_rng((seed, step))
        size = FRAME if whole else FRAME // 2
        windows = max(1, self.windows // 4) if whole else self.windows
        points = self.points * 2 if whole else self.points
        offset = tuple(int(v) * 16 for v in rng.integers(0, (FRAME - size) // 16 + 1, 2))
        images, labels, prompts, masks, foreground = [], [], [], [], []
        for _ in range(windows):
            image, label = self.window(size, strength, rng)
            place, mask, on = sample_points(label, points, rng)
            images.append(to_channels(image, rng))
            labels.append(label)
            prompts.append(np.add(place, offset[::-1]))
            masks.append(mask)
            foreground.append(on)
        return Batch(
            np.stack(images),
            (offset[0], offset[1]),
            np.stack(prompts).astype(np.float32),
            np.stack(masks),
            np.stack(foreground),
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
