"""What the network should say about a window: soft masks at stride 4, centres, edges."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label as components
from torch import Tensor

STRIDE = 4
UNKNOWN = -1
PART, OBJECT, GROUP = range(3)

Labels = NDArray[np.int32]


class Targets(NamedTuple):
    """Targets of B windows with up to O sampled objects; L levels, h × w places at stride 4.

    Attributes
    ----------
    masks
        Covered share of each place by an object, (B, O, h, w).
    level
        Level of each object, int64 (B, O).
    valid
        Which of the O there are, bool (B, O).
    weight
        Weight of each object, (B, O).
    centres
        Mean (x, y) of each object in pixels, (B, O, 2).
    foreground
        Covered share of each place by any object, (B, L, h, w).
    known
        Where the labels say anything, bool (B, L, h, w).
    edge
        Where two labels meet, (B, h, w).
    """

    masks: Tensor
    level: Tensor
    valid: Tensor
    weight: Tensor
    centres: Tensor
    foreground: Tensor
    known: Tensor
    edge: Tensor


def groups(labels: Labels) -> Labels:
    """Join objects that touch into groups of two to twelve.

    What belongs to larger groups is `UNKNOWN`, since a window cannot tell how large; objects that
    touch nothing are their own group.
    """
    there = labels > 0
    joined, count = ndimage.label(ndimage.binary_dilation(there, iterations=1))
    joined = np.where(there, joined, 0).astype(np.int32)
    if not count:
        return joined
    # Every object is connected, so it lies in one group.
    home = np.zeros(int(labels.max()) + 1, np.int64)
    home[labels[there]] = joined[there]
    members = np.bincount(home[home > 0], minlength=count + 1)
    large = members > 12
    large |= (np.bincount(joined.ravel(), minlength=count + 1) > 0.4 * labels.size) & (members > 1)
    large[0] = False
    joined[large[joined]] = UNKNOWN
    joined[labels == UNKNOWN] = UNKNOWN
    return joined


def _covered(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the covered share of every 4 × 4 block of (H, W), 255 for all of it."""
    h, w = mask.shape
    full = mask.astype(np.uint8) * np.uint8(255)
    return cv2.resize(full, (w // STRIDE, h // STRIDE), interpolation=cv2.INTER_AREA)


def _edges(labels: Labels) -> NDArray[np.float32]:
    edge = np.zeros(labels.shape, bool)
    down, across = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    h, w = labels.shape
    return edge.reshape(h // STRIDE, STRIDE, w // STRIDE, STRIDE).any((1, 3)).astype(np.float32)


def encode(levels: Labels, count: int, rng: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """Sample ``count`` objects of (3, H, W) labels and describe them.

    Most are whole objects; parts and groups that differ from whole objects come next, and some
    whole objects are sampled once more as part and as group of their own.
    """
    _, height, width = levels.shape
    h, w = height // STRIDE, width // STRIDE
    chosen = _choose(levels, count, rng)
    masks = np.zeros((count, h, w), np.uint8)
    info = np.zeros((count, 4), np.float32)
    centres = np.zeros((count, 2), np.float32)
    boxes = [ndimage.find_objects(np.maximum(level, 0)) for level in levels]
    slot = 0
    for level, value, weight in chosen:
        box = boxes[level][value - 1]
        if box is None:
            continue
        rows = slice(box[0].start // STRIDE * STRIDE, -(-box[0].stop // STRIDE) * STRIDE)
        cols = slice(box[1].start // STRIDE * STRIDE, -(-box[1].stop // STRIDE) * STRIDE)
        part = levels[level, rows, cols] == value
        cover = _covered(part)
        if cover.max() < 128:
            continue
        masks[
            slot,
            rows.start // STRIDE : rows.stop // STRIDE,
            cols.start // STRIDE : cols.stop // STRIDE,
        ] = cover
        y, x = np.nonzero(part)
        centres[slot] = x.mean() + cols.start + 0.5, y.mean() + rows.start + 0.5
        info[slot] = level, 1, weight, part.sum()
        slot += 1
    return {
        "masks": masks,
        "info": info,
        "centres": centres,
        "foreground": np.stack([_covered(level > 0) for level in levels]),
        "known": np.stack([_covered(level != UNKNOWN) == 255 for level in levels]),
        "edge": _edges(levels[OBJECT]).astype(np.uint8),
    }


def _choose(levels: Labels, count: int, rng: np.random.Generator) -> list[tuple[int, int, float]]:
    """Return (level, label, weight) of up to ``count`` objects in order of use."""
    sizes = [np.bincount(np.maximum(level, 0).ravel()) for level in levels]
    found = [rng.permutation(np.flatnonzero(size[1:]) + 1) for size in sizes]
    own = {}
    for level in (PART, GROUP):
        there = levels[level] > 0
        whole_of = np.zeros(len(sizes[level]), np.int64)
        whole_of[levels[level][there]] = np.maximum(levels[OBJECT][there], 0)
        same = sizes[level] == sizes[OBJECT][whole_of]
        own[level] = [
            [(level, int(v), weight) for v in found[level] if same[v] == equal]
            for equal, weight in ((False, 1.0), (True, 0.3))
        ]
    share = max(1, count // 4)
    picked = own[PART][0][:share] + own[GROUP][0][: max(1, count // 6)]
    again = own[PART][1][:1] + own[GROUP][1][:1]
    whole = [(OBJECT, int(v), 1.0) for v in found[OBJECT][: count - len(picked) - len(again)]]
    rest = own[PART][0][share:]
    return (whole + picked + again + rest)[:count]


def collate(items: list[dict[str, NDArray[np.generic]]]) -> Targets:
    """Stack what `encode` says of the windows of a batch."""

    def stack(key: str) -> Tensor:
        return torch.from_numpy(np.stack([item[key] for item in items]))

    info = stack("info")
    return Targets(
        masks=stack("masks").float() / 255,
        level=info[..., 0].long(),
        valid=info[..., 1] > 0,
        weight=info[..., 2],
        centres=stack("centres"),
        foreground=stack("foreground").float() / 255,
        known=stack("known"),
        edge=stack("edge").float(),
    )


def separate(labels: Labels) -> Labels:
    """Give pieces that do not touch ids of their own; drop what is smaller than 10 pixels."""
    parts = components(np.maximum(labels, 0), background=0, connectivity=1).astype(np.int32)
    kept = np.bincount(parts.ravel()) >= 10
    kept[0] = False
    table = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    out = table[parts]
    out[labels == UNKNOWN] = UNKNOWN
    return out
