"""Run lengths of masks, as COCO writes them: column by column, starting with the outside.

Format: ``maskApi.c`` of the COCO API (cocodataset.org).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks.mask import Box, Mask

LONGEST = 65
"""Bits of a run's length; damaged text goes on without end."""


def encode(mask: Mask, shape: tuple[int, int], *, compressed: bool) -> dict[str, Any]:
    """Encode a mask as run lengths, in the time and memory of its box.

    Parameters
    ----------
    mask
        The mask.
    shape
        (H, W) of its image.
    compressed
        Write the lengths as COCO's text, else as a list.

    Returns
    -------
    dict
        ``size`` ``[H, W]`` and ``counts``: lengths of the runs of pixels outside and inside the
        mask, by turns.

    See Also
    --------
    decode : The other direction.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> from napari_graysam.masks.run_lengths import encode
    >>> encode(Mask(np.ones((2, 1), bool), (1, 0, 2, 2)), (3, 3), compressed=False)
    {'size': [3, 3], 'counts': [3, 2, 4]}
    """
    rows, columns = (int(side) for side in shape)
    counts = _counts(mask, rows, columns)
    if not compressed:
        return {"size": [rows, columns], "counts": counts}
    from pycocotools import mask as coco

    rle = coco.frPyObjects({"counts": counts, "size": [rows, columns]}, rows, columns)
    return {"size": [rows, columns], "counts": rle["counts"].decode("ascii")}


def _counts(mask: Mask, rows: int, columns: int) -> list[int]:
    """Return the lengths of the runs outside and inside a mask, by turns."""
    x0, y0, _, _ = mask.box
    height, width = mask.bits.shape
    padded = np.zeros((width, height + 2), bool)
    padded[:, 1:-1] = mask.bits.T
    column, row = np.divmod(np.flatnonzero(padded[:, 1:] != padded[:, :-1]), height + 1)
    ends = (column + x0) * rows + row + y0
    # A run that fills a column to its end goes on in the next one.
    keep = np.ones(ends.size, bool)
    meets = np.flatnonzero(ends[1:-1:2] == ends[2::2]) * 2 + 1
    keep[meets] = keep[meets + 1] = False
    ends = ends[keep]
    bounds = np.array([0, *ends.tolist(), rows * columns])
    lengths = bounds[1:] - bounds[:-1]
    counts: list[int] = (lengths if lengths[-1] or lengths.size == 1 else lengths[:-1]).tolist()
    return counts


def decode(rle: Mapping[str, Any], shape: tuple[int, int], box: Box) -> NDArray[np.bool_]:
    """Decode the bits of a mask inside its box, in the time and memory of that.

    Parameters
    ----------
    rle
        As `encode` returns it, compressed or not.
    shape
        (H, W) that the image must have.
    box
        ``(x0, y0, x1, y1)``; what lies outside of it is left out.

    Returns
    -------
    ndarray
        bool, of the box's height and width.

    Raises
    ------
    ValueError
        If the size is another one, the box lies outside of the image, or the runs do not fill
        the image. pycocotools' own decoder reads and writes out of bounds where counts are
        damaged.

    See Also
    --------
    encode : The other direction.

    Examples
    --------
    >>> from napari_graysam.masks.run_lengths import decode
    >>> decode({"size": [3, 3], "counts": [3, 2, 4]}, (3, 3), (1, 0, 2, 2)).tolist()
    [[True], [True]]
    """
    if not isinstance(rle, Mapping) or tuple(rle["size"]) != tuple(shape):
        raise ValueError(f"segmentation must be run-length encoded for an image of {shape}")
    written: str | list[int] = rle["counts"]
    counts = _lengths(written) if isinstance(written, str) else written
    rows, columns = shape
    x0, y0, x1, y1 = box
    if not (0 <= x0 <= x1 <= columns and 0 <= y0 <= y1 <= rows):
        raise ValueError(f"box {tuple(box)} lies outside of the image of {shape}")
    if min(counts, default=0) < 0 or sum(counts) != rows * columns:
        raise ValueError(f"the runs of a segmentation do not fill the image of {shape}")
    ends = np.clip(np.cumsum(counts, dtype=np.int64) - x0 * rows, 0, (x1 - x0) * rows)
    values = np.arange(len(counts)) % 2 == 1
    bits = np.repeat(values, np.diff(ends, prepend=0)).reshape(x1 - x0, rows).T
    return np.ascontiguousarray(bits[y0:y1])


def decode_whole(counts: str | Sequence[int], shape: tuple[int, int]) -> Mask:
    """Decode run lengths to a mask with the smallest box.

    Parameters
    ----------
    counts
        As `encode` writes them, compressed or not.
    shape
        (H, W) of the image.

    Raises
    ------
    ValueError
        As `check_counts`.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> from napari_graysam.masks.run_lengths import decode_whole, encode
    >>> mask = Mask(np.ones((2, 1), bool), (1, 0, 2, 2))
    >>> decode_whole(encode(mask, (3, 3), compressed=True)["counts"], (3, 3)).box
    (1, 0, 2, 2)
    """
    check_counts(counts, shape)
    rows, _ = shape
    ends = np.cumsum(lengths_of(counts), dtype=np.int64)
    first, last = ends[:-1:2], ends[1::2]
    box = (int(first[0]) // rows, 0, (int(last[-1]) - 1) // rows + 1, rows)
    bits = decode({"size": shape, "counts": counts}, shape, box)
    return Mask(bits, box).with_bits(bits)


def check_counts(counts: str | Sequence[int], shape: tuple[int, int]) -> None:
    """Check run lengths: they fill an image of a shape (H, W) and hold a pixel.

    Raises
    ------
    ValueError
        If it does not, or is damaged.
    """
    rows, columns = shape
    lengths = lengths_of(counts)
    if rows < 1 or columns < 1 or min(lengths, default=0) < 0 or sum(lengths) != rows * columns:
        raise ValueError(f"the runs of a mask do not fill the image of {rows} × {columns} pixels")
    if not sum(lengths[1::2]):
        raise ValueError("a mask holds no pixel; expected at least one")


def lengths_of(counts: str | Sequence[int]) -> list[int]:
    """Return run lengths, written as COCO's text or as a list; none for a text of another kind."""
    if isinstance(counts, str):
        return _lengths(counts) if counts.isascii() else []
    return [int(count) for count in counts]


def _lengths(text: str) -> list[int]:
    """Read run lengths from COCO's text: groups of 5 bits, the third and later relative."""
    lengths: list[int] = []
    value = shift = 0
    for character in text.encode("ascii"):
        group = character - 48
        value |= (group & 31) << shift
        shift += 5
        if shift > LONGEST:
            raise ValueError("a run of a segmentation is longer than any image")
        if not group & 32:
            if group & 16:
                value -= 1 << shift
            lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
            value = shift = 0
    return lengths
