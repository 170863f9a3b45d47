"""Real training images with labels, in memory as 8 bits gray and 16 bits labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import imageio.v3 as iio
import numpy as np
import tifffile
from numpy.typing import NDArray
from targets import UNKNOWN

# Images of these stems stay out of training: they measure the result.
HELD_OUT = {
    "val_set46",
    "val_set48",
    "val_set49",
    "train_set45",
    "Sc3Tile_008-007-000_0-000",
    "sample_ovule_z28",
}
SHARES = {
    "dsb2018_train": 0.24,
    "usiigaci_phase": 0.06,
    "ampis_powder": 0.06,
    "baby_yeast_bf": 0.05,
    "plantseg_membrane": 0.06,
    "emps": 0.22,
    "usiigaci": 0.12,
    "ampis_satellites": 0.015,
    "axon_sem": 0.07,
    "superalloy": 0.06,
    "pebbles": 0.04,
    "chloroplast_em": 0.015,
}
"""How often a real window comes from each set."""
FOLDERS = ("usiigaci_phase", "ampis_powder", "baby_yeast_bf", "plantseg_membrane")


class Sample(NamedTuple):
    """An image: uint8 (H, W); labels uint16 (H, W); set; median diameter in pixels; weight."""

    image: NDArray[np.uint8]
    labels: NDArray[np.uint16]
    name: str
    diameter: float
    weight: float

    def levels(self) -> NDArray[np.int32]:
        """Return int32 (L, H, W), −1 where unknown: parts and wholes, or one map for both."""
        labels = self.labels.astype(np.int32)
        if self.name == "chloroplast_em":
            labels[labels == 0] = UNKNOWN
        if self.name == "ampis_satellites":
            labels[labels == 0] = UNKNOWN
            return np.stack([labels, np.full_like(labels, UNKNOWN)])
        if self.name == "ampis_powder":
            return np.stack([np.full_like(labels, UNKNOWN), labels])
        return labels[None]


def to_gray(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return float32 in [0, 1] through the 0.1 to 99.9 percentile window."""
    gray = image.astype(np.float32)
    if gray.ndim == 3:
        gray = gray[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)
    low, high = np.percentile(gray, (0.1, 99.9))
    return np.clip((gray - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def median_diameter(labels: NDArray[np.integer]) -> float:
    """Return the diameter in pixels of a disc of the objects' median area; 20 without any."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.sqrt(np.median(areas) * 4 / np.pi)) if areas.size else 20.0


def _raw(root: Path) -> Iterator[tuple[str, NDArray[np.generic], NDArray[np.generic]]]:
    for path in (root / "dsb2018_train.npz", *sorted((root / "train").glob("*.npz"))):
        archive = np.load(path)
        for key in archive["ids"]:
            yield path.stem, archive[f"img_{key}"], archive[f"lab_{key}"]
    for folder in FOLDERS:
        for path in sorted((root / folder / "images").iterdir()):
            # The two SEM powder mosaics: the first trains, the other is held out.
            if path.stem not in HELD_OUT:
                labels = tifffile.imread(root / folder / "labels" / f"{path.stem}.tif")
                yield folder, iio.imread(path), labels


def load(root: Path) -> list[Sample]:
    """Load every real training image; weights sum to 1 and follow `SHARES`."""
    samples = []
    for name, image, labels in _raw(root):
        gray = to_gray(image)
        weight = 3.0 if name == "dsb2018_train" and (image.ndim == 3 or gray.mean() > 0.5) else 1.0
        samples.append(
            Sample(
                np.rint(gray * 255).astype(np.uint8),
                labels.astype(np.uint16),
                name,
                median_diameter(labels),
                weight,
            )
        )
    total = {name: sum(s.weight for s in samples if s.name == name) for name in SHARES}
    return [s._replace(weight=s.weight * SHARES[s.name] / total[s.name]) for s in samples]
