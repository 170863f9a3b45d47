"""Random fields: the noise, textures and flows of synthetic micrographs."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw log-uniformly between two positive numbers."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], scale: float, ratio: float = 1.0
) -> Floats:
    """Return noise of about unit variance with a correlation length in pixels.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        (H, W).
    scale
        Correlation length along x.
    ratio
        Correlation length along y relative to that along x.
    """
    h, w = shape
    rows = max(3, int(h / max(scale * ratio, 1)) + 2)
    columns = max(3, int(w / max(scale, 1)) + 2)
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    return cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC) * np.float32(1.25)


def texture(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Floats:
    """Return noise of three octaves below a correlation length in pixels."""
    total = smooth_noise(rng, shape, scale)
    total += 0.6 * smooth_noise(rng, shape, max(scale / 2, 1))
    total += 0.4 * smooth_noise(rng, shape, max(scale / 4, 1))
    return total * np.float32(0.8)


def warp(rng: np.random.Generator, image: Floats, amount: float, scale: float) -> Floats:
    """Bend an image by a smooth random flow of some pixels' amplitude."""
    h, w = image.shape
    amount = np.float32(amount)
    x = np.arange(w, dtype=np.float32)[None, :] + amount * smooth_noise(rng, (h, w), scale)
    y = np.arange(h, dtype=np.float32)[:, None] + amount * smooth_noise(rng, (h, w), scale)
    return cv2.remap(image, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def fibres(rng: np.random.Generator, shape: tuple[int, int], width: float) -> Floats:
    """Return wavy streaks of a width in pixels and a random direction."""
    h, w = shape
    streaks = smooth_noise(rng, shape, width * 14, 1 / 14)
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), float(rng.uniform(0, 180)), 1.0)
    streaks = cv2.warpAffine(streaks, turn, (w, h), borderMode=cv2.BORDER_REFLECT_101)
    return warp(rng, streaks, 3 * width, 16 * width)
