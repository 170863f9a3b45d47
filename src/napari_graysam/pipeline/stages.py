"""The four stages of the flow, each from plain data to plain data.

image → `read_gray` → gray → `make_view` → view → `propose` → proposals → `select` → labels
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.masks import Mask
from napari_graysam.progress import Progress
from napari_graysam.recipe import PinnedMask, Recipe
from napari_graysam.results import Arm
from napari_graysam.source.gray import GrayImage, to_gray
from napari_graysam.source.reading import read_image

if TYPE_CHECKING:
    from napari_graysam.model import LoadedModel
    from napari_graysam.propose import Proposals
    from napari_graysam.propose.cache import Cache
    from napari_graysam.propose.points import PointSource
    from napari_graysam.select.regrouping.objects import Regrouping
    from napari_graysam.select.selector import Selector


class ScoreFloors(NamedTuple):
    """Scores down to which candidates are kept, so that thresholds can be lowered later."""

    predicted_iou: float = 0.0
    stability: float = 0.0


class Selected(NamedTuple):
    """What `select` gives.

    Attributes
    ----------
    masks
        Best first.
    labels
        uint32 (H, W); label ``i`` is ``masks[i - 1]``, 0 is background.
    notes
        What the user should know, in sentences.
    regroupings
        Merges and splits, with what spoke for them.
    """

    masks: tuple[Mask, ...]
    labels: NDArray[np.uint32]
    notes: tuple[str, ...]
    regroupings: tuple[Regrouping, ...] = ()


def read_gray(
    image: Any, recipe: Recipe, *, contrast_limits: tuple[float, float] | None = None
) -> GrayImage:
    """Take one plane of an image as gray values in [0, 1].

    Parameters
    ----------
    image
        Any array that holds one image, as ``recipe.image`` says; the path of an image file; or
        a `GrayImage`, which is returned as it is.
    recipe
        Uses ``image``.
    contrast_limits
        ``(low, high)`` for a recipe whose window is ``limits``.

    Raises
    ------
    ImageError
        If the file cannot be read, or it is no image of real numbers, ambiguous or too large.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe
    >>> from napari_graysam.pipeline import read_gray
    >>> gray = read_gray(np.array([[100, 150], [200, 300]], np.uint16), Recipe())
    >>> gray.pixels.tolist(), gray.raw.dtype.name
    ([[0.0, 0.25], [0.5, 1.0]], 'uint16')

    See Also
    --------
    make_view : The next stage.
    """
    if isinstance(image, GrayImage):
        return image
    if isinstance(image, str | os.PathLike):
        return read_image(image, recipe.image, contrast_limits=contrast_limits)
    return to_gray(image, recipe.image, contrast_limits=contrast_limits)


def propose(
    view: NDArray[np.uint8],
    recipe: Recipe,
    *,
    model: LoadedModel | None = None,
    region: NDArray[np.bool_] | None = None,
    score_floors: ScoreFloors | None = None,
    cache: Cache | None = None,
    points: PointSource | None = None,
) -> Generator[Progress, None, Proposals]:
    """Ask the model for candidate masks, yielding `Progress`; closing the generator cancels.

    Parameters
    ----------
    view
        Of `make_view`.
    recipe
        Uses ``generator``, ``model``, ``image.region``, and whether ``labels`` keeps masks by
        name, merges or splits, which needs more candidates.
    model
        Loaded from ``recipe.model`` if omitted, unless the cache has the answer.
    region
        bool (H, W); points are set only where it is True.
    score_floors
        Keep candidates above these scores even where the recipe's thresholds are higher.
    cache
        Features and proposals of earlier runs, so that this one starts from what has changed.
    points
        Where to ask; the recipe's grid if omitted.

    Raises
    ------
    GraysamError
        If the view, the region, the model or the device does not allow it.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, run
    >>> from napari_graysam.pipeline import propose
    >>> recipe = Recipe().with_values({"generator.points_per_side": 4})
    >>> proposals = run(propose(np.zeros((64, 64, 3), np.uint8), recipe))
    >>> proposals.image_size, proposals.record["points"]
    ((64, 64), 16)

    See Also
    --------
    select : The next stage.
    """
    from napari_graysam.propose import propose as propose_with

    region = find_region(recipe, view.shape[:2], region)
    floors = _floors(recipe, score_floors)
    return (
        yield from propose_with(
            view,
            recipe.model if model is None else model,
            recipe.generator,
            region=region,
            iou_floor=floors.predicted_iou,
            stability_floor=floors.stability,
            cache=cache,
            points=points,
        )
    )


def select(
    candidates: Proposals | Selector,
    recipe: Recipe,
    *,
    source: str | None = None,
    image: str | None = None,
    raw: NDArray[Any] | None = None,
    views: Sequence[NDArray[np.uint8]] = (),
) -> Selected:
    """Choose the masks that a recipe wants and paint them.

    Parameters
    ----------
    candidates
        Of `propose`; or a selector over them, which remembers what the next selection needs.
    recipe
        Uses ``generator`` and ``labels``, and of candidates of both arms ``arms`` and
        ``arms_thresholds``.
    source
        The arm that the masks name, `arm_of` the recipe if omitted; candidates of both arms
        name their own.
    image
        Whose pinned objects count, as for `Selector`; not used where a selector is given.
    raw, views
        The original image (H, W), for filters on intensities and for merging, and what the model
        saw, uint8 (H, W, 3) each, for merging; not used with a selector either.

    Raises
    ------
    ProposalsError
        If the recipe asks for candidates that are not there.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, run
    >>> from napari_graysam.pipeline import propose, select
    >>> recipe = Recipe().with_values({"generator.points_per_side": 4})
    >>> proposals = run(propose(np.zeros((64, 64, 3), np.uint8), recipe))
    >>> selected = select(proposals, recipe)
    >>> selected.labels.shape, len(selected.masks) <= len(proposals)
    ((64, 64), True)

    See Also
    --------
    napari_graysam.pipeline.retune : Selects again from a run that kept its candidates.
    """
    from napari_graysam.masks import paint
    from napari_graysam.propose import Proposals
    from napari_graysam.select.arms_notes import arms_notes
    from napari_graysam.select.regrouping.objects import summary
    from napari_graysam.select.selector import Selector

    selector = (
        Selector(candidates, image=image, raw=raw, views=views)
        if isinstance(candidates, Proposals)
        else candidates
    )
    both = recipe.both_arms
    source = source or arm_of(recipe)
    selection = selector.selection(recipe.generator, recipe.labels, source, both)
    masks = selection.masks
    labels = paint(masks, selector.proposals.image_size, recipe.labels.overlap)
    notes = () if both is None else arms_notes(selection, both)
    notes += tuple(map(missing_note, selector.missing_pinned(recipe.labels)))
    foreign = len(selector.foreign_pins(recipe.labels))
    if foreign:
        notes += (
            f"{foreign} of the {len(recipe.labels.pinned)} entries in labels.pinned were made on "
            "another image or plane, or on other gray values, and do nothing here",
        )
    notes += summary(selection.regroupings)
    if recipe.stack.axis != "none":
        notes += (
            f"stack.axis is {recipe.stack.axis}, but this is one plane: whole stacks are for "
            "the panel, graysam segment and napari_graysam.batch.segment_stack",
        )
    return Selected(masks, labels, notes, selection.regroupings)


def missing_note(kept: PinnedMask) -> str:
    """Say that an entry of ``labels.keep`` names no mask of a run."""
    return (
        f"labels.keep names mask {kept.mask} of the point {kept.point[0]:g}, {kept.point[1]:g} "
        f"in crop {kept.crop}, but this run has no such mask: it was kept in another image, "
        "with another grid or by another model"
    )


def selection_record(selected: Selected, notes: Sequence[str] = ()) -> dict[str, Any]:
    """Return what the provenance says of a selection, further notes included."""
    record: dict[str, Any] = {"notes": [*selected.notes, *notes]}
    if selected.regroupings:
        record["regroupings"] = [one.to_dict(selected.masks) for one in selected.regroupings]
    return record


def arm_of(recipe: Recipe) -> Arm:
    """Return the arm that a run of a recipe alone is: raw where it preprocesses nothing."""
    return "raw" if recipe.arms == "raw" or not recipe.preprocesses else "preprocessed"


def find_region(
    recipe: Recipe, shape: tuple[int, ...], region: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_] | None:
    """Return the pixels where points may be set.

    Parameters
    ----------
    recipe
        Uses ``image.region``, unless `region` is given.
    shape
        (H, W) of the image.
    region
        bool (H, W), used in place of the recipe's.

    Returns
    -------
    bool (H, W) or None
        None for everywhere.

    Raises
    ------
    ImageError
        If the region has another shape than the image or no pixel, or its file is not readable.
    """
    if region is None:
        if recipe.image.region is None:
            return None
        from napari_graysam.files.region import region_mask

        return region_mask(recipe.image.region, (shape[0], shape[1]))
    if region.shape != shape:
        raise ImageError(
            f"the region has shape {region.shape}, the image {shape}: "
            "give a region of the same height and width"
        )
    if not region.any():
        raise ImageError("the region is empty: no point could be set; mark at least one pixel")
    return region


def _floors(recipe: Recipe, asked: ScoreFloors | None) -> ScoreFloors:
    """Return the recipe's own thresholds, or lower ones where more candidates are needed."""
    if recipe.labels.keep:
        return ScoreFloors()
    generator = recipe.generator
    own = ScoreFloors(generator.pred_iou_thresh, generator.stability_score_thresh)
    if recipe.labels.merging.enabled:
        from napari_graysam.select.regrouping.regroup import LEAST_SCORE

        own = ScoreFloors(min(own.predicted_iou, LEAST_SCORE), 0.0)
    if asked is None:
        return own
    return ScoreFloors(*(min(pair) for pair in zip(own, asked, strict=True)))
