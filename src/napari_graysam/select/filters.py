"""Which candidates pass on their own: quality thresholds and crop edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_graysam.errors import ProposalsError
from napari_graysam.recipe import GeneratorOptions

if TYPE_CHECKING:
    from napari_graysam.propose import Proposals

# How close to a crop's edge a box may come, in pixels; fixed in upstream.
EDGE_TOLERANCE = 20

# Parameters that only a new run of the model can change.
_OF_THE_RUN = (
    "points_per_side",
    "grid",
    "point_grids",
    "crop_n_layers",
    "crop_overlap_ratio",
    "crop_n_points_downscale_factor",
    "use_m2m",
    "multimask_output",
)


def check_covers(proposals: Proposals, generator: GeneratorOptions) -> None:
    """Check that proposals hold every candidate that a selection may ask for.

    Raises
    ------
    ProposalsError
        If they come from another grid, or a threshold lies below the floor of what was kept.
    """
    wanted = generator.model_dump(mode="json")
    made_with = proposals.record["generator"]
    for name in _OF_THE_RUN:
        made = made_with.get(name, GeneratorOptions.model_fields[name].default)
        if wanted[name] != made:
            raise ProposalsError(
                f"generator.{name} is {wanted[name]} but these proposals were made with "
                f"{made}: run the model again"
            )
    for name, floor in (
        ("pred_iou_thresh", proposals.record["iou_floor"]),
        ("stability_score_thresh", proposals.record["stability_floor"]),
    ):
        if wanted[name] < floor:
            raise ProposalsError(
                f"generator.{name} is {wanted[name]} but these proposals hold only what passed "
                f"{floor}: run the model again, with a lower floor"
            )


def check_floor(proposals: Proposals, lowest: float, asked_by: str) -> None:
    """Check that proposals hold every candidate above a predicted IoU, whatever its stability.

    Raises
    ------
    ProposalsError
        If their floors are higher.
    """
    floors = proposals.record["iou_floor"], proposals.record["stability_floor"]
    if floors[0] > lowest or floors[1] > 0:
        raise ProposalsError(
            f"{asked_by} looks at candidates down to a predicted IoU of {lowest}, but these "
            f"proposals hold only what passed {floors[0]} and a stability of {floors[1]}: run "
            "the model again with it switched on, or with floors of 0"
        )


def passes_iou(proposals: Proposals, generator: GeneratorOptions) -> npt.NDArray[np.bool_]:
    """Tell which candidates exceed the threshold of the predicted IoU, bool (N,)."""
    if generator.pred_iou_thresh <= 0:
        return np.ones(len(proposals), bool)
    return exceeds(
        proposals.predicted_iou, generator.pred_iou_thresh, proposals.record["precision"]
    )


def exceeds(
    values: npt.NDArray[np.float32], threshold: float, precision: str
) -> npt.NDArray[np.bool_]:
    """Compare scores with a threshold at the precision that they were computed at."""
    import torch

    scores = torch.tensor(values).to(getattr(torch, precision))
    above: npt.NDArray[np.bool_] = (scores > threshold).numpy()
    return above


def passes_stability(proposals: Proposals, generator: GeneratorOptions) -> npt.NDArray[np.bool_]:
    """Tell which candidates reach the threshold of the stability, bool (N,)."""
    if generator.stability_score_thresh <= 0:
        return np.ones(len(proposals), bool)
    import torch

    stability = torch.tensor(proposals.stability)
    passed: npt.NDArray[np.bool_] = (stability >= generator.stability_score_thresh).numpy()
    return passed


def near_crop_edge(
    box: npt.NDArray[np.integer],
    crop_box: npt.NDArray[np.integer],
    image_size: tuple[int, int],
    tolerance: float = EDGE_TOLERANCE,
) -> npt.NDArray[np.bool_]:
    """Tell which boxes touch an edge of their crop that is no edge of the image.

    Parameters
    ----------
    box
        (N, 4), ``(x0, y0, x1, y1)`` in image pixels, inclusive.
    crop_box
        (N, 4), of the crop that each mask was found in, half-open.
    image_size
        ``(H, W)``.
    tolerance
        Distance in pixels up to which a box touches.

    Returns
    -------
    bool (N,): such masks are probably cut off by the crop.
    """
    height, width = image_size
    at_crop = np.abs(box - crop_box) <= tolerance
    at_image = np.abs(box - np.array([0, 0, width, height])) <= tolerance
    cut: npt.NDArray[np.bool_] = (at_crop & ~at_image).any(axis=1)
    return cut
