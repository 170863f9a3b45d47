"""Which masks the labels' options want: by size, border, nesting level, filters and pins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Mask, at_level, nest, touches_border
from napari_graysam.masks.hierarchy import subset
from napari_graysam.recipe import LabelOptions
from napari_graysam.select.clean import has_wanted_area
from napari_graysam.select.measured import in_ranges
from napari_graysam.select.pins import edits_of, replaces


def of_size(masks: Sequence[Mask], labels: LabelOptions, size: tuple[int, int]) -> list[Mask]:
    """Return the masks in the range of sizes, and off the border where that is asked for."""
    areas = np.array([mask.area for mask in masks], np.int64)
    pinned = np.array([mask.pinned for mask in masks], bool)
    wanted = has_wanted_area(areas, pinned, labels)
    if labels.exclude_border:
        wanted &= np.array([mask.pinned or not touches_border(mask, size) for mask in masks], bool)
    return [masks[place] for place in np.flatnonzero(wanted).tolist()]


def in_filters(
    masks: tuple[Mask, ...], labels: LabelOptions, raw: NDArray[Any] | None
) -> tuple[Mask, ...]:
    """Return the masks in the range of every filter; errors as of `in_ranges`."""
    if not labels.filters:
        return masks
    return subset(masks, np.flatnonzero(in_ranges(masks, labels.filters, raw)).tolist())


def wanted_later(
    masks: Sequence[Mask],
    labels: LabelOptions,
    size: tuple[int, int],
    raw: NDArray[Any] | None,
    image: str | None,
) -> tuple[Mask, ...]:
    """Return those of masks that came after the selection that it would have left.

    Parameters
    ----------
    masks
        Without candidates, as a second look finds them.
    labels
        Uses ``pinned``, the range of sizes, ``exclude_border``, ``level`` and ``filters``.
    size
        (H, W) of the image.
    raw
        The original image (H, W), for filters on intensities.
    image
        Whose pins count, as for `edits_of`.

    Raises
    ------
    ProposalsError
        If a filter asks for intensities and ``raw`` is None.
    """
    edits = edits_of(labels, size, image)
    left = [mask for mask in masks if not any(replaces(edit, mask) for edit in edits)]
    chosen = at_level(nest(of_size(left, labels, size)), labels.level)
    plain = (mask.marked(parent=-1, depth=0) for mask in in_filters(chosen, labels, raw))
    return tuple(plain)
