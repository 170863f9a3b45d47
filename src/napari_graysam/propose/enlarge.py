"""Low-resolution logits enlarged to a crop by torch, and pixels that torch is asked for.

Torch's last bit depends on the processor, its threads, and the number of masks of a prompt; its
weights hardly do, and are read from torch itself. So a pixel's value is known up to a bound of
what any order of rounding makes of it. Where that does not decide, torch decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

BLOCK = 64
"""Pixels of an axis that are enlarged together."""


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
    """

    first: Indices
    last: Indices
    near: Floats
    far: Floats
    blocks: tuple[tuple[slice, Floats], ...]

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
    """How torch enlarges a crop's logits.

    Attributes
    ----------
    down, across
        The weights of rows and of columns.
    group
        As for `enlarge`.
    opencv
        Bound, relative to the largest logit, of what OpenCV's other weights change.
    """

    down: Axis
    across: Axis
    group: int
    opencv: float


class Question(NamedTuple):
    """Some pixels ``y``, ``x``, intp (K,), of one mask with ``logits``, float32 (h, w)."""

    logits: Floats
    y: Indices
    x: Indices


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


def interpolate(question: Question, enlargement: Enlargement) -> tuple[Doubles, Doubles]:
    """Interpolate some pixels of one mask in double precision.

    Returns
    -------
    float64 (K,)
        The values.
    float64 (K,)
        How far from these any bilinear interpolation in single precision with torch's weights
        can be. Whether it goes across and then down, down and then across, or adds four
        products, a logit is multiplied twice and added three times at most; a fused operation
        only leaves out a rounding. Each rounding changes a term by a factor within 1 ± u,
        u = 2⁻²⁴. Two more may be in the weights, where both are those of one logit. So the
        terms change by 7 u of their magnitudes, and 8 u leaves room for products of u and for
        double precision. Numbers next to zero may be rounded to zero: a tiny constant.
    """
    logits, y, x = question
    down, across = enlargement.down, enlargement.across
    value, magnitude = np.zeros(len(y)), np.zeros(len(y))
    rows = (down.first[y], down.near[y]), (down.last[y], down.far[y])
    columns = (across.first[x], across.near[x]), (across.last[x], across.far[x])
    for (row, tall), (column, wide) in product(rows, columns):
        term = tall.astype(np.float64) * wide * logits[row, column]
        value += term
        magnitude += np.abs(term)
    return value, 8 * 2.0**-24 * magnitude + 2.0**-120


def ask(questions: Sequence[Question], enlargement: Enlargement) -> list[Floats]:
    """Ask torch for some pixels of masks, float32 (K,) for each question.

    A pixel depends on four logits alone, and on its place in the image. So torch enlarges
    images that hold only those logits, of as many masks as do not want others at one place.
    """
    group, size = enlargement.group, (len(enlargement.down), len(enlargement.across))
    images, places = _share(questions, enlargement)
    answers = [np.empty(0, np.float32) for _ in questions]
    for start in range(0, len(images), group):
        some = torch.from_numpy(np.array(images[start : start + group]))
        enlarged = enlarge(some, size, group).numpy()
        for number, (_, y, x) in enumerate(questions):
            if start <= places[number] < start + group:
                answers[number] = enlarged[places[number] - start, y, x]
    return answers


def _share(
    questions: Sequence[Question], enlargement: Enlargement
) -> tuple[list[Floats], list[int]]:
    """Return images of logits, float32 (h, w), and which of them each question is in."""
    down, across = enlargement.down, enlargement.across
    images: list[Floats] = []
    places = []
    for logits, y, x in questions:
        needed = np.zeros(logits.shape, bool)
        for row, column in product((down.first, down.last), (across.first, across.last)):
            needed[row[y], column[x]] = True
        mine = logits[needed]
        free = (
            place
            for place, image in enumerate(images)
            if np.all(np.isnan(image[needed]) | (image[needed] == mine))
        )
        place = next(free, len(images))
        if place == len(images):
            images.append(np.full(logits.shape, np.nan, np.float32))
        images[place][needed] = mine
        places.append(place)
    return [np.nan_to_num(image) for image in images], places


def enlargement_of(
    shape: tuple[int, int], size: tuple[int, int], group: int, device: torch.device
) -> Enlargement | None:
    """Read how torch enlarges logits; None where it is as well to let it enlarge whole masks.

    Parameters
    ----------
    shape
        ``(h, w)`` of the logits.
    size, group
        As for `enlarge`.
    device
        Where the logits are.
    """
    if device.type != "cpu" or size[0] < shape[0] or size[1] < shape[1]:
        return None
    return _enlargement(shape, size, group, torch.get_num_threads())


@lru_cache(maxsize=64)
def _enlargement(
    small: tuple[int, int], size: tuple[int, int], group: int, threads: int
) -> Enlargement:
    """Enlarge combs, with a tooth at every third logit: the weights of three neighbours.

    The first row and column of an image not smaller than the logits are those of the logits.
    """
    combs = np.zeros((3, *small), np.float32)
    for start, comb in enumerate(combs):
        comb[0, start::3] = comb[start::3, 0] = 1
    whole = enlarge(torch.from_numpy(combs), size, group).numpy()
    down, across = whole[:, :, 0].copy(), whole[:, 0].copy()
    others = [cv2.resize(comb, size[::-1], interpolation=cv2.INTER_LINEAR) for comb in combs]
    opencv = 0.0
    for side, line in (
        (down, [other[:, 0] for other in others]),
        (across, [other[0] for other in others]),
    ):
        opencv += float(np.abs(side - line).sum(0).max())
    return Enlargement(_axis(small[0], down), _axis(small[1], across), group, opencv)


def _axis(count: int, weights: Floats) -> Axis:
    """Place pixels among ``count`` logits by the weights, (3, m), of every third logit."""
    pixel = np.arange(weights.shape[1])
    place = (pixel + 0.5) * count / len(pixel) - 0.5
    first = np.clip(place, 0, count - 1).astype(np.intp)
    near, _, other = (weights[(first + step) % 3, pixel] for step in range(3))
    # Next to a logit, rounding decides between which two a pixel lies.
    first += np.where(other > 0, np.where(near > 0, -1, 1), 0)
    last = np.minimum(first + 1, count - 1)
    near, far = weights[first % 3, pixel], weights[(first + 1) % 3, pixel]
    blocks = []
    for start in range(0, len(pixel), BLOCK):
        some = slice(start, start + BLOCK)
        needed = slice(int(first[some][0]), int(last[some][-1]) + 1)
        block = np.zeros((len(first[some]), needed.stop - needed.start), np.float32)
        row = np.arange(len(block))
        block[row, first[some] - needed.start] = near[some]
        block[row, last[some] - needed.start] += far[some]
        blocks.append((needed, block))
    return Axis(first, last, near, far, tuple(blocks))
