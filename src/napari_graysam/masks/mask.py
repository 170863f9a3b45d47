"""One mask: its bits inside a box, its scores and its place among the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

Arm = Literal["raw", "preprocessed"]
ARMS: tuple[Arm, Arm] = ("raw", "preprocessed")
Box = tuple[int, int, int, int]
"""``(x0, y0, x1, y1)`` in image pixels, half-open."""


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask of one object, stored only inside its bounding box.

    Parameters
    ----------
    bits
        bool (h, w); True inside the object. Made read-only.
    box
        ``(x0, y0, x1, y1)`` in image pixels, half-open: ``h == y1 - y0``, ``w == x1 - x0``.
        Both are 0 where the mask is empty.
    predicted_iou
        The model's own estimate of the mask's quality.
    stability
        Intersection over union of the mask cut a little higher and a little lower.
    point
        ``(x, y)`` of the prompt, in image pixels.
    crop_box
        ``(x0, y0, x1, y1)``, half-open, of the crop that the model saw.
    parent
        Index of the smallest mask that contains this one, in the same list; -1 for none.
    depth
        Number of masks that contain this one.
    source
        The arm it comes from: ``"raw"`` or ``"preprocessed"``.
    pinned
        The recipe asks for this very mask (``labels.keep`` or ``labels.pinned``): no filter
        drops it.
    pin
        Number in ``labels.pinned`` of the entry that added it; -1 for none.
    candidates
        Indices of the candidates that it is made of, among the proposals of its source; empty
        where it comes from a label image or a file.
    regrouped
        ``"merged"`` if fragments were merged to it, ``"split"`` if it is a part of a mask that
        was split; ``"apart"`` or ``"whole"`` if a pin of that kind keeps it from either; else
        empty.
    evidence
        For that merge or split, in [0, 1]; NaN without one.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> mask = Mask(np.array([[True, False], [True, True]]), (10, 20, 12, 22))
    >>> mask.area, mask.full((30, 40))[20].nonzero()[0].tolist()
    (3, [10])
    """

    bits: npt.NDArray[np.bool_]
    box: Box
    predicted_iou: float = 1.0
    stability: float = 1.0
    point: tuple[float, float] = (0.0, 0.0)
    crop_box: Box = (0, 0, 0, 0)
    parent: int = -1
    depth: int = 0
    source: str = "raw"
    pinned: bool = False
    pin: int = -1
    candidates: tuple[int, ...] = ()
    regrouped: str = ""
    evidence: float = float("nan")

    def __post_init__(self) -> None:
        """Check that bits and box agree, and freeze the bits."""
        x0, y0, x1, y1 = self.box
        if self.bits.dtype != np.bool_ or self.bits.shape != (y1 - y0, x1 - x0):
            raise ValueError(
                f"bits of a mask with box {self.box} must be bool {(y1 - y0, x1 - x0)}, "
                f"got {self.bits.dtype} {self.bits.shape}"
            )
        bits = self.bits.view()
        bits.flags.writeable = False
        object.__setattr__(self, "bits", bits)

    @cached_property
    def area(self) -> int:
        """Number of pixels inside the object."""
        return int(np.count_nonzero(self.bits))

    @property
    def nbytes(self) -> int:
        """Memory that the bits take, in bytes."""
        return self.bits.nbytes

    @property
    def slices(self) -> tuple[slice, slice]:
        """The box as (rows, columns) of the image."""
        x0, y0, x1, y1 = self.box
        return slice(y0, y1), slice(x0, x1)

    def full(self, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return the mask as a bool array of the image's ``shape`` (H, W)."""
        image = np.zeros(shape, bool)
        image[self.slices] = self.bits
        return image

    def replace(self, **changes: Any) -> Self:
        """Return a copy with the given fields changed."""
        return replace(self, **changes)

    def marked(self, **changes: Any) -> Self:
        """Return a copy with fields changed that say nothing about bits and box, unchecked."""
        copy = object.__new__(type(self))
        object.__setattr__(copy, "__dict__", self.__dict__ | changes)
        return copy

    def with_bits(self, bits: npt.NDArray[np.bool_]) -> Self:
        """Return a copy with other bits in the same box, shrunk to what is left of them."""
        rows = np.flatnonzero(bits.any(axis=1))
        columns = np.flatnonzero(bits.any(axis=0))
        x0, y0, _, _ = self.box
        if rows.size == 0:
            return self.replace(bits=np.zeros((0, 0), bool), box=(x0, y0, x0, y0))
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        left, right = int(columns[0]), int(columns[-1]) + 1
        return self.replace(
            bits=bits[top:bottom, left:right].copy(),
            box=(x0 + left, y0 + top, x0 + right, y0 + bottom),
        )
