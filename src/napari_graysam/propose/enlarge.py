"""Low-resolution logits enlarged to a crop as torch does, and how it does that to the bit.

Torch's bilinear enlargement on a processor rounds in one of two orders, which depend on its
threads and on the sizes. A trial tells which; then any pixel can be computed alone, with the
very value that torch gives it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

BLOCK = 64
"""Pixels of an axis that are enlarged together."""
# What a trial enlarges: the image's longer strips, and pixels of them.
_STRIP = 128
_TRIALS = 8192


class Axis(NamedTuple):
    """How one axis is enlarged, from ``n`` logits to ``m`` pixels.

    Attributes
    ----------
    first, last
        intp (m,), the logits before and after each pixel.
    near, far
        float32 (m,), their weights.
    blocks
        Of every `BLOCK` pixels: the logits that they need, and float32 weights
        (pixels, logits).
    shift
        Bound of the distance, in logits, between the places where torch and others that place
        pixels by the same rule, in single precision, read a pixel.
    """

    first: Indices
    last: Indices
    near: Floats
    far: Floats
    blocks: tuple[tuple[slice, Floats], ...]
    shift: float

    def __len__(self) -> int:
        """Return the number of pixels."""
        return len(self.first)

    def reached(self, logits: npt.NDArray[np.bool_]) -> slice:
        """Return the pixels from the first to the last that depend on any of some logits."""
        places = np.flatnonzero(logits)
        if len(places) == 0:
            return slice(0, 0)
        return slice(
            int(np.searchsorted(self.last, places[0])),
            int(np.searchsorted(self.first, places[-1], side="right")),
        )


class Enlargement(NamedTuple):
    """How a crop is enlarged: ``at_once`` from four products, else across and then down."""

    down: Axis
    across: Axis
    at_once: bool


def enlarge(logits: Tensor, size: tuple[int, int], group: int) -> Tensor:
    """Enlarge logits bilinearly to an image.

    Parameters
    ----------
    logits
        (N, h, w).
    size
        ``(H, W)`` in pixels.
    group
        How many go through as the channels of one image: the last bit of torch's result on a
        single CPU thread depends on it, but not on which they are.

    Returns
    -------
    float32 (N, H, W), the values of ``SAM2Transforms.postprocess_masks`` where ``group`` is
    the number of masks that the decoder gave for a prompt.
    """
    count = len(logits)
    missing = -count % group
    filled = torch.cat([logits, logits[:1].expand(missing, -1, -1)]) if missing else logits
    groups = filled.float().reshape(-1, group, *logits.shape[1:])
    images = functional.interpolate(groups, size, mode="bilinear", align_corners=False)
    return images.flatten(0, 1)[:count]


def exactly(logits: Floats, enlargement: Enlargement, y: Indices, x: Indices) -> Floats:
    """Return some pixels of one enlarged mask, as `enlarge` gives them.

    Parameters
    ----------
    logits
        float32 (h, w), finite.
    enlargement
        Of `enlargement_of`.
    y, x
        intp (K,).
    """
    down, across, at_once = enlargement
    above, below, left, right = down.first[y], down.last[y], across.first[x], across.last[x]
    corners = logits[above, left], logits[above, right], logits[below, left], logits[below, right]
    weights = down.near[y], down.far[y], across.near[x], across.far[x]
    return (_at_once if at_once else _across_then_down)(corners, weights)


def enlargement_of(
    shape: tuple[int, int], size: tuple[int, int], group: int, device: torch.device
) -> Enlargement | None:
    """Find out how torch enlarges logits here; None where it does in an unknown way.

    Parameters
    ----------
    shape
        ``(h, w)`` of the logits.
    size, group
        As for `enlarge`.
    device
        Where the logits are.
    """
    if device.type != "cpu":
        return None
    return _enlargement(shape, size, group, torch.get_num_threads())


@lru_cache(maxsize=64)
def _enlargement(
    small: tuple[int, int], size: tuple[int, int], group: int, threads: int
) -> Enlargement | None:
    """Try both ways in strips of the image, whose numbers of threads and channels are the same."""
    strips = (min(size[0], _STRIP), size[1]), (size[0], min(size[1], _STRIP))
    for at_once in (False, True):
        if all(_is_so(small, strip, group, at_once) for strip in strips):
            return _made(small, size, at_once)
    return None


def _is_so(small: tuple[int, int], size: tuple[int, int], group: int, at_once: bool) -> bool:
    """Try whether one way gives torch's very values."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((1, *small), np.float32)
    y, x = (rng.integers(side, size=_TRIALS) for side in size)
    # Borders are computed in other ways than the middle.
    for position, side, quarter in ((y, size[0], slice(2048)), (x, size[1], slice(2048, 4096))):
        end = position[quarter] % min(16, side)
        position[quarter] = np.where(end % 2 == 0, end, side - 1 - end)
    ours = exactly(logits[0], _made(small, size, at_once), y, x)
    return np.array_equal(ours, enlarge(torch.from_numpy(logits), size, group)[0].numpy()[y, x])


def _made(small: tuple[int, int], size: tuple[int, int], at_once: bool) -> Enlargement:
    down, across = (_axis(*sides, fused=at_once) for sides in zip(small, size, strict=True))
    return Enlargement(down, across, at_once)


def _axis(small: int, large: int, *, fused: bool) -> Axis:
    """Place pixels among logits, in the order of operations of one of torch's kernels."""
    scale = np.float32(small) / np.float32(large)
    centre = np.arange(large, dtype=np.float32) + np.float32(0.5)
    half = np.full(large, -0.5, np.float32)
    source = _fused(scale, centre, half) if fused else scale * centre + half
    shift = float(np.abs(source - (centre.astype(np.float64) * small / large - 0.5)).max())
    source = np.maximum(source, np.float32(0))
    first = np.minimum(source.astype(np.intp), small - 1)
    last = np.minimum(first + 1, small - 1)
    far = np.clip(source - first.astype(np.float32), 0, 1).astype(np.float32)
    near = np.float32(1) - far
    blocks = []
    for start in range(0, large, BLOCK):
        some = slice(start, start + BLOCK)
        needed = slice(int(first[some][0]), int(last[some][-1]) + 1)
        weights = np.zeros((len(first[some]), needed.stop - needed.start), np.float32)
        pixel = np.arange(len(weights))
        weights[pixel, first[some] - needed.start] = near[some]
        weights[pixel, last[some] - needed.start] += far[some]
        blocks.append((needed, weights))
    # What others add to a place that is not exact.
    shift += small * 2.0**-24 if shift > 0 else 0
    return Axis(first, last, near, far, tuple(blocks), shift)


def _fused(one: Floats | np.float32, other: Floats, more: Floats) -> Floats:
    """Multiply and add with a single rounding."""
    exact = one.astype(np.float64) * other + more
    fused: Floats = exact.astype(np.float32)
    return fused


def _across_then_down(corners: tuple[Floats, ...], weights: tuple[Floats, ...]) -> Floats:
    """Follow torch's general kernel."""
    top, bottom, left, right = weights
    above = _fused(left, corners[0], right * corners[1])
    below = _fused(left, corners[2], right * corners[3])
    return _fused(top, above, bottom * below)


def _at_once(corners: tuple[Floats, ...], weights: tuple[Floats, ...]) -> Floats:
    """Follow torch's kernel for small images and, on one thread, for several channels."""
    top, bottom, left, right = weights
    value = _fused(top * left, corners[0], top * right * corners[1])
    value = _fused(bottom * left, corners[2], value)
    return _fused(bottom * right, corners[3], value)
