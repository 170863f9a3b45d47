"""What a microscope and its software add to an image: light, blur, noise, scale bars."""

from __future__ import annotations

import cv2
import numpy as np
from fields import Floats, between, smooth_noise
from shapes import Labels


def degrade(rng: np.random.Generator, image: Floats) -> Floats:
    """Return an image as a camera would record it: unevenly lit, blurred, noisy, in [0, 1]."""
    if rng.random() < 0.25:
        image = debris(rng, image)
    if rng.random() < 0.45:
        image = uneven_light(rng, image)
    if rng.random() < 0.75:
        image = cv2.GaussianBlur(image, (0, 0), between(rng, 0.4, 2.2))
    low, high = float(image.min()), float(image.max())
    image = (image - low) / max(high - low, 1e-3)
    if rng.random() < 0.4:
        image = image ** np.float32(between(rng, 0.6, 1.7))
    image = noise(rng, image)
    image = expose(rng, image)
    if rng.random() < 0.1:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))]
        _, coded = cv2.imencode(".jpg", np.rint(image * 255).astype(np.uint8), quality)
        image = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
    return np.ascontiguousarray(image, np.float32)


def uneven_light(rng: np.random.Generator, image: Floats) -> Floats:
    """Multiply by, or add, a smooth field: a gradient, a vignette or haze."""
    h, w = image.shape
    field = smooth_noise(rng, image.shape, max(h, w) * rng.uniform(0.3, 1.0))
    if rng.random() < 0.4:
        x = np.linspace(-1, 1, w, dtype=np.float32)[None, :] - np.float32(rng.uniform(-0.4, 0.4))
        y = np.linspace(-1, 1, h, dtype=np.float32)[:, None] - np.float32(rng.uniform(-0.4, 0.4))
        field = 0.6 - 1.2 * (x * x + y * y)
    strength = np.float32(rng.uniform(0.1, 0.5))
    if rng.random() < 0.6:
        return image * np.exp(strength * field)
    return image + strength * np.float32(image.std() * 2) * field


def debris(rng: np.random.Generator, image: Floats) -> Floats:
    """Add a few unlabelled specks, scratches or out-of-focus spots."""
    h, w = image.shape
    layer = np.zeros_like(image)
    blurry = rng.random() < 0.5
    for _ in range(int(rng.integers(1, 9))):
        x, y = int(rng.integers(0, w)), int(rng.integers(0, h))
        if not blurry and rng.random() < 0.2:
            end = (x + int(rng.normal(0, 40)), y + int(rng.normal(0, 40)))
            cv2.line(layer, (x, y), end, float(rng.uniform(0.2, 1)), 1, cv2.LINE_AA)
        else:
            reach = int(rng.integers(8, 30)) if blurry else 1
            cv2.circle(layer, (x, y), reach, float(rng.uniform(0.2, 1)), -1, cv2.LINE_AA)
    if blurry:
        layer = cv2.blur(cv2.blur(layer, (15, 15)), (21, 21)) * np.float32(0.5)
    sign = -1 if rng.random() < 0.4 else 1
    return image + np.float32(sign * rng.uniform(0.3, 1.0) * np.ptp(image)) * layer


def noise(rng: np.random.Generator, image: Floats) -> Floats:
    """Add shot noise, read noise (white or correlated), row noise or salt."""
    if rng.random() < 0.9:
        grain = rng.standard_normal(image.shape, dtype=np.float32)
        if rng.random() < 0.2:
            grain = cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.5, 1.2)) * np.float32(2)
        read = between(rng, 0.003, 0.08) if rng.random() < 0.7 else 0.0
        shot = between(rng, 1e-4, 6e-3) if rng.random() < 0.5 else 0.0
        image = image + grain * np.sqrt(np.float32(read**2) + np.float32(shot) * np.abs(image))
    if rng.random() < 0.04:
        image = image + rng.normal(0, 0.015, (image.shape[0], 1)).astype(np.float32)
    if rng.random() < 0.04:
        count = int(image.size * between(rng, 1e-4, 5e-3))
        image.ravel()[rng.integers(0, image.size, count)] = rng.integers(0, 2)
    return image


def expose(rng: np.random.Generator, image: Floats) -> Floats:
    """Map to part of [0, 1]: full range, low contrast or clipped, perhaps in 8 bits."""
    choice = rng.random()
    if choice < 0.5:
        low, high = rng.uniform(0, 0.15), rng.uniform(0.75, 1)
    elif choice < 0.8:
        width = between(rng, 0.06, 0.6)
        low = rng.uniform(0, 1 - width)
        high = low + width
    else:
        low, high = -rng.uniform(0, 0.2), 1 + rng.uniform(0, 0.6)
    image = np.clip(image * np.float32(high - low) + np.float32(low), 0, 1)
    if rng.random() < 0.4:
        image = np.rint(image * 255) / np.float32(255)
    return image


def annotate(rng: np.random.Generator, image: Floats, labels: Labels) -> tuple[Floats, Labels]:
    """Write a scale bar or a panel letter into a corner, where nothing is labelled."""
    h, w = image.shape
    image, labels = image.copy(), labels.copy()
    ink = np.float32(rng.integers(0, 2))
    letter = rng.random() < 0.4
    text = str(rng.choice(list("ABCDEFabcdef"))) if letter else str(rng.choice(_LENGTHS))
    size = max(0.3, h / 512 * rng.uniform(0.6, 1.1))
    (tw, th), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    bar = 0 if letter else max(2, int(th * 0.35))
    bw, bh = tw + 6, th + 8 + 2 * bar
    x = 2 if rng.random() < 0.5 else max(0, w - bw - 2)
    y = 2 if letter else max(0, h - bh - 2)
    box = np.s_[y : y + bh, x : x + bw]
    if rng.random() < 0.5:
        image[box] = 1 - ink
    labels[box] = 0
    if bar:
        image[y + bh - 2 * bar : y + bh - bar, x + 2 : x + bw - 2] = ink
    stamp = np.zeros(image.shape, np.uint8)
    cv2.putText(
        stamp, text, (x + 3, y + th + 2), cv2.FONT_HERSHEY_SIMPLEX, size, 255, 1, cv2.LINE_AA
    )
    cover = stamp.astype(np.float32) / 255
    return image + cover * (ink - image), labels


_LENGTHS = ("20 nm", "50 nm", "100 nm", "200 nm", "500 nm", "1 um", "5 um", "10 um", "100 um")
