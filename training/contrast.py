"""Copies of images with little contrast: what microscopes give on a bad day, from a seed."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

SPAN = 0.15
NOISE = 0.008


def reduce_contrast(gray: NDArray[np.float32], name: str) -> NDArray[np.uint16]:
    """Compress the dynamic range to 15 %, light the field unevenly and add noise.

    Parameters
    ----------
    gray
        float32 (H, W) in [0, 1].
    name
        Of the image; seeds the light and the noise.

    Returns
    -------
    uint16 (H, W).
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    height, width = gray.shape
    light = rng.uniform(0.6, 1.0, (3, 3)).astype(np.float32)
    light = cv2.resize(light, (width, height), interpolation=cv2.INTER_CUBIC)
    level = rng.uniform(0.2, 0.5)
    faint = (level + SPAN * gray) * light + rng.normal(0, NOISE, gray.shape)
    return np.round(np.clip(faint, 0, 1) * 65535).astype(np.uint16)
