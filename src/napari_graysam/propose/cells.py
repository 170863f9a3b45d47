"""Where enlarged logits exceed a threshold, decided cell by cell where that needs no pixels.

Between four neighbouring logits the bilinear enlargement lies between their smallest and their
largest. So a cell of pixels whose four logits are all above a threshold is inside, one whose
logits are all below is outside, and only cells at a mask's outline are enlarged. They are
computed in torch's own order of operations, so that every pixel is decided as by `enlarge`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# Bound, relative to the values involved, of what rounding changes in an enlarged logit.
_ROUNDING = 1e-6
# Pixels enlarged together: their values fit a processor's cache.
_AT_ONCE = 2**17
# What a trial enlarges: the image's longer strips, and pixels of them.
_STRIP = 128
_TRIALS = 8192


class Axis(NamedTuple):
    """How one axis is enlarged, from ``n`` logits to ``m`` pixels in ``n + 1`` cells.

    The first and the last cell lie outside the outermost logits.

    Attributes
    ----------
    cell
        int64 (m,), of each pixel: the number of the logit after it.
    size
        int64 (n + 1,), pixels of each cell, ``k`` at most.
    start
        int64 (n + 1,), the first of them.
    near, far
        float32 (k, n + 1), weights of the logit before and after each pixel of a cell; NaN
        where the cell has fewer than k.
    """

    cell: Tensor
    size: Tensor
    start: Tensor
    near: Tensor
    far: Tensor


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


class Cells:
    """Low-resolution logits where masks can be, and the range of values in each cell of four.

    Parameters
    ----------
    logits
        float32 (N, h, w) on the CPU.
    enlargement
        Of `enlargement_of`.
    lowest
        No lower threshold will be asked for.

    Attributes
    ----------
    enlargement
        Of the part of the crop that the cells fill.
    corner
        ``(x, y)``, the first pixel of that part.
    """

    def __init__(self, logits: Tensor, enlargement: Enlargement, lowest: float) -> None:
        ends = logits.amax((1, 2)), logits.amin((1, 2))
        largest = torch.maximum(ends[0].abs(), ends[1].abs())[:, None, None]
        self._margin = _ROUNDING * largest
        possible = ~(logits <= lowest - _ROUNDING * abs(lowest) - self._margin)
        down, top = _part(enlargement.down, possible.any(2).any(0))
        across, left = _part(enlargement.across, possible.any(1).any(0))
        self.enlargement = Enlargement(down, across, enlargement.at_once)
        self.corner = int(enlargement.across.start[left]), int(enlargement.down.start[top])
        self.padded = _padded(logits, (top, len(down.size)), (left, len(across.size)))
        rows = self.padded[:, :-1], self.padded[:, 1:]
        low, high = torch.minimum(*rows), torch.maximum(*rows)
        self.low = torch.minimum(low[..., :-1], low[..., 1:])
        self.high = torch.maximum(high[..., :-1], high[..., 1:])

    def __getitem__(self, chosen: Tensor) -> Cells:
        """Return some of the masks, by a bool (N,)."""
        if chosen.all():
            return self
        part = object.__new__(Cells)
        part.enlargement, part.corner = self.enlargement, self.corner
        for name in ("padded", "low", "high", "_margin"):
            setattr(part, name, getattr(self, name)[chosen])
        return part

    def split(self, threshold: float) -> tuple[Tensor, Tensor]:
        """Return which cells lie wholly above a threshold, and which need their pixels."""
        margin = self._margin + _ROUNDING * abs(threshold)
        above = self.low > threshold + margin
        # What is not a number, or not finite, is left to the pixels.
        return above, ~(self.high <= threshold - margin) & ~above

    def outline(self, cells: Tensor, threshold: float) -> Iterator[tuple[Tensor, ...]]:
        """Enlarge cells, and yield some of them at a time.

        Yields
        ------
        mask, y, x : int64 (K,)
        inside : bool (k, l, K), False beyond the cell's pixels
        """
        down, across, at_once = self.enlargement
        count = max(1, _AT_ONCE // (len(down.near) * len(across.near)))
        wide = self.padded.shape[2]
        flat = self.padded.flatten()
        for some in torch.split(torch.nonzero(cells), count):
            mask, y, x = some.unbind(1)
            first = (mask * self.padded.shape[1] + y) * wide + x
            corners = [flat[first + step] for step in (0, 1, wide, wide + 1)]
            rows = down.near[:, None, y], down.far[:, None, y]
            columns = across.near[:, x], across.far[:, x]
            pixels = (_at_once if at_once else _across_then_down)(corners, rows, columns)
            yield mask, y, x, pixels > threshold


def cut(
    logits: Tensor, size: tuple[int, int], group: int, threshold: float, box: tuple[int, ...]
) -> Tensor:
    """Return the pixels of one mask in a box, as `enlarge` gives them.

    Parameters
    ----------
    logits
        (1, h, w).
    size, group
        As for `enlarge`.
    threshold
        Pixels above it are inside.
    box
        ``(x0, y0, x1, y1)``, half-open, that holds all of them.

    Returns
    -------
    bool (y1 - y0, x1 - x0)
    """
    x0, y0, x1, y1 = box
    enlargement = enlargement_of(logits, size, group)
    if enlargement is None:
        return enlarge(logits, size, group)[0, y0:y1, x0:x1] > threshold
    cells = Cells(logits.float(), enlargement, threshold)
    down, across, _ = cells.enlargement
    above, outline = cells.split(threshold)
    part = above[0][down.cell][:, across.cell]
    for _, y, x, inside in cells.outline(outline, threshold):
        i, j, which = torch.nonzero(inside, as_tuple=True)
        part[down.start[y[which]] + i, across.start[x[which]] + j] = True
    left, top = cells.corner
    inside = torch.zeros((y1 - y0, x1 - x0), dtype=torch.bool)
    shared = part[max(y0 - top, 0) : y1 - top, max(x0 - left, 0) : x1 - left]
    first, start = max(top - y0, 0), max(left - x0, 0)
    inside[first : first + shared.shape[0], start : start + shared.shape[1]] = shared
    return inside


def _part(axis: Axis, reached: Tensor) -> tuple[Axis, int]:
    """Return the cells around the logits reached, and the first one's number."""
    places = torch.nonzero(reached)[:, 0]
    if len(places) == 0:
        places = torch.zeros(1, dtype=torch.int64)
    first, end = int(places[0]), int(places[-1]) + 2
    start, size = axis.start[first:end], axis.size[first:end]
    pixels = slice(int(start[0]), int(start[-1] + size[-1]))
    cell = axis.cell[pixels] - first
    near, far = axis.near[:, first:end], axis.far[:, first:end]
    return Axis(cell, size, start - start[0], near, far), first


def _padded(logits: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """Cut out the logits around cells, from a first in a number, with the outermost repeated."""
    missing = []
    for dimension, (first, count) in ((1, rows), (2, columns)):
        start, end = max(first - 1, 0), min(first + count, logits.shape[dimension])
        missing.append((start - first + 1, first + count - end))
        logits = logits.narrow(dimension, start, end - start)
    return functional.pad(logits, (*missing[1], *missing[0]), mode="replicate")


def _fused(one: Tensor, other: Tensor, more: Tensor) -> Tensor:
    """Multiply and add with a single rounding."""
    return torch.addcmul(more.double(), one.double(), other.double()).float()


def _across_then_down(
    corners: list[Tensor], rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]
) -> Tensor:
    """Follow torch's general kernel: corners (K,), rows (k, 1, K), columns (l, K)."""
    (top, bottom), (left, right) = rows, columns
    above = _fused(left, corners[0], right * corners[1])
    below = _fused(left, corners[2], right * corners[3])
    return _fused(top, above, bottom * below)


def _at_once(
    corners: list[Tensor], rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]
) -> Tensor:
    """Follow torch's kernel for small images and, on one thread, for several channels."""
    (top, bottom), (left, right) = rows, columns
    value = _fused(top * left, corners[0], top * right * corners[1])
    value = _fused(bottom * left, corners[2], value)
    return _fused(bottom * right, corners[3], value)


def enlargement_of(logits: Tensor, size: tuple[int, int], group: int) -> Enlargement | None:
    """Find out how torch enlarges logits here; None where it does in an unknown way.

    Parameters
    ----------
    logits, size, group
        As for `enlarge`.
    """
    if logits.device.type != "cpu":
        return None
    height, width = logits.shape[1:]
    return _enlargement((height, width), size, group, torch.get_num_threads())


@lru_cache(maxsize=64)
def _enlargement(
    small: tuple[int, int], size: tuple[int, int], group: int, threads: int
) -> Enlargement | None:
    """Try both ways in strips of the image, whose numbers of threads and channels are the same."""
    strips = (min(size[0], _STRIP), size[1]), (size[0], min(size[1], _STRIP))
    for at_once in (False, True):
        if all(_is_so(small, strip, group, at_once) for strip in strips):
            down, across = _axes(small, size, at_once)
            return Enlargement(down, across, at_once)
    return None


def _is_so(small: tuple[int, int], size: tuple[int, int], group: int, at_once: bool) -> bool:
    """Try whether one way gives torch's very values."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(1, *small, generator=random)
    y, x = (torch.randint(side, (_TRIALS,), generator=random) for side in size)
    # Borders are computed in other ways than the middle.
    for position, side, quarter in ((y, size[0], slice(2048)), (x, size[1], slice(2048, 4096))):
        end = position[quarter] % min(16, side)
        position[quarter] = torch.where(end % 2 == 0, end, side - 1 - end)
    down, across = _axes(small, size, at_once)
    row, column = down.cell[y], across.cell[x]
    padded = _padded(logits, (0, small[0] + 1), (0, small[1] + 1))[0]
    corners = [padded[row + i, column + j] for i in (0, 1) for j in (0, 1)]
    i, j = y - down.start[row], x - across.start[column]
    rows = down.near[i, row], down.far[i, row]
    columns = across.near[j, column], across.far[j, column]
    ours = (_at_once if at_once else _across_then_down)(corners, rows, columns)
    return torch.equal(ours, enlarge(logits, size, group)[0, y, x])


def _axes(small: tuple[int, int], size: tuple[int, int], fused: bool) -> tuple[Axis, Axis]:
    down, across = (_axis(*sides, fused=fused) for sides in zip(small, size, strict=True))
    return down, across


def _axis(small: int, large: int, *, fused: bool) -> Axis:
    """Place pixels among logits, in the order of operations of one of torch's kernels."""
    scale = torch.tensor(small) / large
    centre = torch.arange(large) + 0.5
    half = torch.tensor(-0.5)
    source = _fused(scale, centre, half) if fused else scale * centre + half
    cell = (source.floor().long() + 1).clamp(0, small)
    before = source.clamp(min=0).long().clamp(max=small - 1)
    far = (source.clamp(min=0) - before).clamp(0, 1)
    size = torch.bincount(cell, minlength=small + 1)
    start = size.cumsum(0) - size
    within = torch.arange(large) - start[cell]
    near_table = torch.full((int(size.max()), small + 1), torch.nan)
    far_table = near_table.clone()
    near_table[within, cell], far_table[within, cell] = 1 - far, far
    return Axis(cell, size, start, near_table, far_table)
