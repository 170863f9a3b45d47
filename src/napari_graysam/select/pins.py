"""Pinned objects: which candidates they replace, and what they put in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from napari_graysam.masks import Mask, mask_iou, shared_pixels
from napari_graysam.masks.hierarchy import CONTAINED
from napari_graysam.masks.overlap import shared_box_pixels
from napari_graysam.masks.regions import covers
from napari_graysam.masks.run_lengths import decode_whole
from napari_graysam.recipe import (
    AddedObject,
    LabelOptions,
    MergedObjects,
    Pin,
    RemovedObject,
    SeparateObjects,
    WholeObject,
)
from napari_graysam.select.derived import Derived
from napari_graysam.select.overlaps import box_iou
from napari_graysam.select.regrouping.objects import Held
from napari_graysam.select.shapes import Indices, Shapes, recall, remember

SAME = 0.5
"""Mask IoU from which two masks are the same object."""
_REMEMBERED = 1024

Shares = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Edit:
    """What a pin does.

    Attributes
    ----------
    number
        Of the pin in the recipe, from 0.
    added
        Masks that become objects.
    gone
        Masks that are none: what is the same object goes.
    whole
        Whether what lies within an added mask goes too.
    places
        ``(x, y)``; what lies on one of them and within an added mask goes too.
    apart
        Masks that are never merged with each other.
    unsplit
        A mask that is never split.
    """

    number: int
    added: tuple[Mask, ...]
    gone: tuple[Mask, ...] = ()
    whole: bool = False
    places: tuple[tuple[float, float], ...] = ()
    apart: tuple[Mask, ...] = ()
    unsplit: Mask | None = None


def edits_of(
    labels: LabelOptions, image_size: tuple[int, int], image: str | None
) -> tuple[Edit, ...]:
    """Return what the pins of an image do, in their order.

    Parameters
    ----------
    labels
        Uses ``pinned``.
    image_size
        (H, W) of the image.
    image
        `napari_graysam.fingerprint.array_digest` of its gray values; None takes the pins of
        every image of this size.
    """
    return tuple(
        _edit(number, pin)
        for number, pin in enumerate(labels.pinned)
        if is_of(pin, image_size, image)
    )


def is_of(pin: Pin, image_size: tuple[int, int], image: str | None) -> bool:
    """Tell whether a pin belongs to an image."""
    return pin.size == tuple(image_size) and (image is None or pin.image == image)


def pin_masks(edits: Sequence[Edit], source: str) -> list[Mask]:
    """Return the masks that pins add and later pins leave.

    Parameters
    ----------
    edits
        Of `edits_of`.
    source
        Written to each mask.
    """
    kept: list[Mask] = []
    for edit in edits:
        kept = [mask for mask in kept if not replaces(edit, mask)]
        kept += [mask.marked(source=source, pin=edit.number) for mask in edit.added]
    return kept


def without_removed(masks: Sequence[Mask], edits: Sequence[Edit]) -> list[Mask]:
    """Return masks without those that merging or splitting made of a removed object.

    Parameters
    ----------
    masks
        Whose fragments may each be another object than the removed one.
    edits
        Of `edits_of`.
    """
    gone = [mask for edit in edits for mask in edit.gone]
    return [
        mask
        for mask in masks
        if not (mask.regrouped and any(mask_iou(mask, other) >= SAME for other in gone))
    ]


def held_of(edits: Sequence[Edit]) -> Held:
    """Return what the pins of an image say about merging and splitting."""
    return Held(
        apart=tuple(edit.apart for edit in edits if edit.apart),
        whole=tuple(edit.unsplit for edit in edits if edit.unsplit is not None),
    )


def pins_holding(
    mask: Mask, labels: LabelOptions, image_size: tuple[int, int], image: str | None
) -> tuple[Pin, ...]:
    """Return the pins that keep an object from being merged or split.

    Parameters
    ----------
    mask
        The object.
    labels, image_size, image
        As for `edits_of`.
    """
    edits = edits_of(labels, image_size, image)
    return tuple(labels.pinned[one.number] for one in edits if held_of([one]).kinds(mask))


def displaced_by(
    edits: Sequence[Edit],
    chosen: Indices,
    derived: Derived,
    shapes: Shapes,
    labels: LabelOptions,
    threshold: float,
) -> Indices:
    """Tell which candidates pins replace.

    Parameters
    ----------
    edits
        Of `edits_of`.
    chosen
        intp (K,), candidates that passed the filters before.
    derived
        Remembers how many pixels they share with pins.
    shapes
        Of the candidates, all known.
    labels
        Uses ``suppression``.
    threshold
        Overlap beyond which candidates are duplicates of an added mask.

    Returns
    -------
    intp (N,)
        Of all candidates, the number of the first pin that replaces each; -1 for none.

    Notes
    -----
    A candidate goes if it is the same object as a mask that a pin adds or removes (`SAME`), if it
    is a duplicate of an added one by the recipe's own rule, or if it lies within (`CONTAINED`)
    an added one and on one of its points; of a box or a merge, also elsewhere within. So a point
    on a cell leaves the nucleus inside, and a point on a fragment replaces it.
    """
    found = np.full(len(shapes.area), -1, np.intp)
    for edit in edits:
        left = chosen[found[chosen] < 0]
        goes = np.zeros(len(left), bool)
        for mask in edit.gone:
            goes |= _iou(mask, left, shapes, _shares(mask, left, derived, shapes)) >= SAME
        for mask in edit.added:
            shared = _shares(mask, left, derived, shapes)
            goes |= _iou(mask, left, shapes, shared) >= SAME
            goes |= _overlap(mask, left, shapes, shared, labels) > threshold
            within = shared >= CONTAINED * shapes.area[left]
            within &= shapes.area[left] > 0
            if not edit.whole:
                for place in np.flatnonzero(within & ~goes).tolist():
                    index = int(left[place])
                    within[place] = any(
                        shapes.covers(index, round(x), round(y)) for x, y in edit.places
                    )
            goes |= within
        found[left[goes]] = edit.number
    return found


def _shares(mask: Mask, chosen: Indices, derived: Derived, shapes: Shapes) -> Shares:
    """Count the pixels that a pin's mask shares with some candidates, int64 (K,)."""
    key = ("pin", shapes.key, id(mask))
    held = recall(derived.cache, key)
    # The mask is held too, so that no other one can get its id.
    known: Shares = held.shares if held is not None else np.full(len(shapes.area), -1, np.int64)
    possible = shared_box_pixels(np.array(mask.box), shapes.box[chosen]) > 0
    known[chosen[~possible]] = 0
    for index in chosen[possible & (known[chosen] < 0)].tolist():
        known[index] = shared_pixels(mask, shapes.mask_alone(index))
    remember(derived.cache, key, _Held(mask, known))
    return known[chosen]


@dataclass(frozen=True, eq=False)
class _Held:
    mask: Mask
    shares: Shares

    @property
    def nbytes(self) -> int:
        return self.shares.nbytes + self.mask.nbytes


def _iou(mask: Mask, chosen: Indices, shapes: Shapes, shared: Shares) -> npt.NDArray[np.float64]:
    union = np.maximum(mask.area + shapes.area[chosen] - shared, 1)
    iou: npt.NDArray[np.float64] = shared / union
    return iou


def _overlap(
    mask: Mask, chosen: Indices, shapes: Shapes, shared: Shares, labels: LabelOptions
) -> npt.NDArray[np.float64]:
    """Return the overlaps as the recipe's rule for duplicates measures them."""
    if labels.suppression == "mask_iou":
        return _iou(mask, chosen, shapes, shared)
    if labels.suppression == "containment":
        share: npt.NDArray[np.float64] = shared / np.maximum(
            np.minimum(shapes.area[chosen], mask.area), 1
        )
        return share
    x0, y0, x1, y1 = mask.box
    boxes = np.vstack([[x0, y0, x1 - 1, y1 - 1], shapes.inclusive(chosen)])
    return np.nan_to_num(box_iou(boxes)(0, slice(1, None)))


def replaces(edit: Edit, mask: Mask) -> bool:
    """Tell whether a pin replaces a mask that an earlier one added."""
    if any(mask_iou(mask, other) >= SAME for other in (*edit.gone, *edit.added)):
        return True
    within = any(shared_pixels(mask, one) >= CONTAINED * mask.area for one in edit.added)
    return within and (edit.whole or any(covers(mask, round(x), round(y)) for x, y in edit.places))


@lru_cache(_REMEMBERED)
def _edit(number: int, pin: Pin) -> Edit:
    size = pin.size
    if isinstance(pin, WholeObject):
        return Edit(number, (), unsplit=decode_whole(pin.mask, size))
    if isinstance(pin, SeparateObjects):
        return Edit(number, (), apart=tuple(decode_whole(one, size) for one in pin.parts))
    if isinstance(pin, RemovedObject):
        return Edit(number, (), (decode_whole(pin.mask, size),))
    if isinstance(pin, AddedObject):
        prompt = pin.prompt
        mask = _added(pin.mask, size).replace(
            predicted_iou=pin.predicted_iou,
            stability=pin.stability,
            point=_place(prompt.positive, prompt.box),
        )
        return Edit(number, (mask,), (), prompt.box is not None, prompt.positive)
    parts = tuple(_added(one, size) for one in pin.parts)
    if isinstance(pin, MergedObjects):
        whole = _union(parts, size) if pin.mask is None else _added(pin.mask, size)
        return Edit(number, (whole,), parts, whole=True)
    return Edit(number, parts, (decode_whole(pin.mask, size),))


def _added(counts: str, size: tuple[int, int]) -> Mask:
    mask = decode_whole(counts, size)
    y, x = np.nonzero(mask.bits)
    # The pixel of the mask in the middle of its list: a place that surely is inside.
    middle = (float(x[len(x) // 2] + mask.box[0]), float(y[len(y) // 2] + mask.box[1]))
    return mask.replace(pinned=True, point=middle, crop_box=(0, 0, size[1], size[0]))


def _place(
    positive: tuple[tuple[float, float], ...], box: tuple[float, float, float, float] | None
) -> tuple[float, float]:
    """Return the first point, or the middle of the box."""
    if positive or box is None:
        return positive[0]
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _union(parts: Sequence[Mask], size: tuple[int, int]) -> Mask:
    x0, y0 = (min(part.box[axis] for part in parts) for axis in (0, 1))
    x1, y1 = (max(part.box[axis] for part in parts) for axis in (2, 3))
    bits = np.zeros((y1 - y0, x1 - x0), bool)
    for part in parts:
        left, top, right, bottom = part.box
        bits[top - y0 : bottom - y0, left - x0 : right - x0] |= part.bits
    return parts[0].replace(bits=bits, box=(x0, y0, x1, y1))
