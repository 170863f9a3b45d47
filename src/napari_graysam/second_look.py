"""Second look: new points where no mask is, on enlarged windows with their own contrast.

Dropped candidates of the first pass are not taken up again: what it missed was mostly never
proposed. New masks join only where nothing is: what is there stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Box, Mask
from napari_graysam.preprocess import apply
from napari_graysam.preprocess.denoise import Gaussian
from napari_graysam.preprocess.histogram import Clahe
from napari_graysam.preprocess.rgb import to_rgb
from napari_graysam.progress import Progress, renamed
from napari_graysam.recipe import GeneratorOptions, MergingOptions, Recipe, SecondLookOptions

if TYPE_CHECKING:
    from napari_graysam.model import LoadedModel
    from napari_graysam.propose import Proposals

STAGE = "second look"
OVERLAP = 0.25
"""Of neighbouring windows, in parts of their side."""
WINDOW = (0.5, 99.5)
"""Percentiles that a window is stretched between."""
LEAST_UNMASKED = 0.02
"""Windows with a smaller part of pixels without a mask are left out."""
SMALLER, LARGER = 0.7, 1.5
LEAST_SURE = 0.05
"""Share of the first pass's masks below whose predicted IoU new masks are dropped."""
_ENOUGH = 5

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class SecondLook:
    """What looking again found.

    Attributes
    ----------
    found
        New masks, surest first within each round, before they join.
    rounds
        Of each round: windows, points, masks that passed, and the part of the pixels without
        a mask that it filled.
    """

    found: tuple[Mask, ...] = ()
    rounds: list[dict[str, Any]] = field(default_factory=list)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, in sentences."""
        if not self.rounds:
            return ()
        masks = sum(one["masks"] for one in self.rounds)
        filled = 1 - float(np.prod([1 - one["filled"] for one in self.rounds]))
        count = len(self.rounds)
        return (
            f"second look: {masks} objects added in {count} round{'s' * (count > 1)}; "
            f"{filled:.1%} of what had no mask is filled",
        )


class _Window(NamedTuple):
    box: Box
    unmasked: int


def look_again(
    gray: NDArray[np.floating],
    masks: Sequence[Mask],
    recipe: Recipe,
    model: LoadedModel,
    region: Flags | None = None,
    wanted: Callable[[Sequence[Mask]], Sequence[Mask]] = tuple,
) -> Generator[Progress, None, SecondLook]:
    """Ask the model again where no mask is, yielding `Progress`; closing cancels.

    Parameters
    ----------
    gray
        float (H, W) in [0, 1].
    masks
        What the first pass found.
    recipe
        Uses ``second_look``, ``preprocess``, ``rgb``, ``generator`` and ``labels``.
    model
        To ask.
    region
        bool (H, W); points are set only where it is True.
    wanted
        Returns those of new masks that may join, such as those of a range of sizes.

    Returns
    -------
    SecondLook
    """
    options = recipe.second_look
    shape = (gray.shape[0], gray.shape[1])
    free = _unmasked(masks, shape)
    allowed = np.ones(shape, bool) if region is None else region
    points = options.points
    found: list[Mask] = []
    rounds: list[dict[str, Any]] = []
    present = list(masks)
    for number in range(1, options.rounds + 1):
        windows = _windows(free & allowed, number + 1)
        parts: list[Proposals] = []
        asked = 0
        for index, window in enumerate(windows):
            if points - asked <= 0:
                break
            yield Progress(STAGE, index, len(windows))
            steps = _propose(gray, free & allowed, window.box, index, recipe, model)
            part = yield from renamed(steps, f"{STAGE}, round {number}")
            asked += int(part.record["points"])
            parts.append(part)
        points -= asked
        new = _select(parts, recipe, f"{STAGE}, round {number}") if parts else ()
        joined = join(present, wanted(new), shape, options)
        added = joined[len(present) :]
        before = int(np.count_nonzero(free))
        free = _unmasked(joined, shape)
        rounds.append(
            {
                "windows": len(parts),
                "points": asked,
                "masks": len(added),
                "filled": 1 - int(np.count_nonzero(free)) / before if before else 0.0,
            }
        )
        found += new
        present = list(joined)
        if not added or points <= 0:
            break
    yield Progress(STAGE, 1, 1)
    return SecondLook(tuple(found), rounds)


def join(
    masks: Sequence[Mask], found: Sequence[Mask], shape: tuple[int, int], options: SecondLookOptions
) -> tuple[Mask, ...]:
    """Add new masks to those that are there, surest first.

    Parameters
    ----------
    masks
        What is there; stays as it is, first.
    found
        New masks.
    shape
        (H, W) of the image.
    options
        How far new masks may overlap and differ in size.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> from napari_graysam.recipe import SecondLookOptions
    >>> from napari_graysam.second_look import join
    >>> there = Mask(np.ones((4, 4), bool), (0, 0, 4, 4))
    >>> half, free = there.replace(box=(2, 0, 6, 4)), there.replace(box=(6, 0, 10, 4))
    >>> [mask.box[0] for mask in join([there], [half, free], (8, 16), SecondLookOptions())]
    [0, 6]
    """
    taken = ~_unmasked(masks, shape)
    smallest, largest, least = _usual(masks) if options.like_others else (0.0, np.inf, 0.0)
    joined = list(masks)
    for mask in found:
        if not smallest <= mask.area <= largest or not mask.area or mask.predicted_iou < least:
            continue
        below = taken[mask.slices]
        if np.count_nonzero(below & mask.bits) > options.max_overlap * mask.area:
            continue
        below |= mask.bits
        joined.append(mask)
    return tuple(joined)


def _usual(masks: Sequence[Mask]) -> tuple[float, float, float]:
    """Return the smallest and largest area and the least predicted IoU that new masks may have."""
    if len(masks) < _ENOUGH:
        return 0.0, np.inf, 0.0
    low, high = np.quantile([mask.area for mask in masks], (0.05, 0.95))
    least = np.quantile([mask.predicted_iou for mask in masks], LEAST_SURE)
    return SMALLER * float(low), LARGER * float(high), float(least)


def _unmasked(masks: Sequence[Mask], shape: tuple[int, int]) -> Flags:
    free = np.ones(shape, bool)
    for mask in masks:
        free[mask.slices] &= ~mask.bits
    return free


def _windows(free: Flags, across: int) -> list[_Window]:
    """Return overlapping windows of the image, those with most pixels without a mask first."""
    found = []
    for y0, y1 in _spans(free.shape[0], across):
        for x0, x1 in _spans(free.shape[1], across):
            count = int(np.count_nonzero(free[y0:y1, x0:x1]))
            if count > LEAST_UNMASKED * (y1 - y0) * (x1 - x0):
                found.append(_Window((x0, y0, x1, y1), count))
    return sorted(found, key=lambda window: -window.unmasked)


def _spans(length: int, across: int) -> Iterator[tuple[int, int]]:
    side = min(length, int(np.ceil(length / (across - (across - 1) * OVERLAP))))
    for index in range(across):
        start = round(index * (length - side) / (across - 1))
        yield start, start + side


def _propose(
    gray: NDArray[np.floating],
    free: Flags,
    box: Box,
    number: int,
    recipe: Recipe,
    model: LoadedModel,
) -> Generator[Progress, None, Proposals]:
    """Return what the model proposes in a window, placed in the image."""
    from napari_graysam.propose import propose

    options = recipe.second_look
    x0, y0, x1, y1 = box
    rows, columns = slice(y0, y1), slice(x0, x1)
    found = yield from propose(
        _view(gray[rows, columns], recipe),
        model,
        _generator(recipe),
        region=free[rows, columns],
        iou_floor=options.pred_iou_thresh,
        stability_floor=recipe.generator.stability_score_thresh,
    )
    count = len(found)
    corner = np.array([x0, y0])
    return replace(
        found,
        box=found.box + np.tile(corner, 2).astype(np.int32),
        point=found.point + corner.astype(np.float32),
        crop_box=np.tile(np.array(box, np.int32), (count, 1)),
        crop=np.full(count, number, np.int32),
        image_size=(gray.shape[0], gray.shape[1]),
    )


def _view(gray: NDArray[np.floating], recipe: Recipe) -> NDArray[np.uint8]:
    """Stretch a window to its own contrast, enhance it, and return it as the model sees it."""
    low, high = np.percentile(gray, WINDOW)
    if high <= low:
        low, high = float(gray.min()), max(float(gray.max()), float(gray.min()) + 1e-6)
    stretched = np.clip((gray - low) / (high - low), 0, 1).astype(np.float32)
    chains = {"none": (), "recipe": recipe.preprocess, "clahe": _CLAHE}
    return to_rgb(apply(stretched, chains[recipe.second_look.enhance]), recipe.rgb)


_CLAHE = (Gaussian(sigma=1.0), Clahe(clip_limit=3.0, tile_size=64))


def _generator(recipe: Recipe) -> GeneratorOptions:
    """Return the recipe's generator, as it asks in one window."""
    return recipe.generator.replace(
        points_per_side=recipe.second_look.points_per_side,
        point_grids=None,
        crop_n_layers=0,
        grid="full",
        pred_iou_thresh=recipe.second_look.pred_iou_thresh,
    )


def _select(parts: Sequence[Proposals], recipe: Recipe, source: str) -> tuple[Mask, ...]:
    """Select among the proposals of all windows, as among those of crops."""
    from napari_graysam.propose import Proposals
    from napari_graysam.select.selector import Selector

    # Windows are crops: what they cut off goes, and so do duplicates between them.
    generator = _generator(recipe).replace(crop_n_layers=1)
    joined = Proposals.concat(parts)
    joined = replace(
        joined, record={**joined.record, "generator": generator.model_dump(mode="json")}
    )
    # What decides which of them are shown is asked whenever they join.
    labels = recipe.labels.replace(
        keep=(),
        pinned=(),
        merging=MergingOptions(),
        min_area=0,
        max_area=None,
        exclude_border=False,
        level="all",
        overlap="smaller_on_top",
        filters=(),
    )
    masks = Selector(joined).select(generator, labels, source)
    # Candidates number those of the first pass.
    plain = [mask.replace(candidates=(), parent=-1, depth=0) for mask in masks]
    return tuple(sorted(plain, key=lambda mask: -mask.predicted_iou))
