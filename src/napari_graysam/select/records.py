"""Records of masks in the form of ``SAM2AutomaticMaskGenerator.generate``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_graysam.masks import Mask
from napari_graysam.masks.run_lengths import encode
from napari_graysam.recipe import GeneratorOptions, OutputMode

if TYPE_CHECKING:
    from napari_graysam.model import LoadedModel


def generate(
    view: npt.NDArray[np.uint8], model: LoadedModel, options: GeneratorOptions
) -> list[dict[str, Any]]:
    """Segment everything in a view, with upstream's parameters and upstream's records.

    Parameters
    ----------
    view
        uint8 (H, W, 3), RGB.
    model
        A SAM 2 model on its device.
    options
        The generator's parameters.

    Returns
    -------
    list of dict
        As `records`: the masks, scores and order of ``SAM2AutomaticMaskGenerator.generate``,
        except that ``min_mask_region_area`` counts image pixels, on every device.

    Raises
    ------
    ImageError
        If the view has another type or shape.
    DeviceError
        If the device's memory does not suffice.

    See Also
    --------
    napari_graysam.segment : The whole flow, from an image to a label image.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import generate, load_model
    >>> from napari_graysam.recipe import GeneratorOptions, ModelOptions
    >>> view = np.zeros((64, 64, 3), np.uint8)
    >>> view[20:40, 20:40] = 200
    >>> found = generate(view, load_model(ModelOptions()), GeneratorOptions(points_per_side=4))
    >>> all(one["segmentation"].shape == (64, 64) for one in found)
    True
    """
    from napari_graysam.progress import run
    from napari_graysam.propose import propose
    from napari_graysam.select.selector import Selector

    proposals = run(propose(view, model, options))
    masks = Selector(proposals).survivors(options)
    return records(masks, options.output_mode, proposals.image_size)


def records(
    masks: Sequence[Mask], output_mode: OutputMode, shape: tuple[int, int]
) -> list[dict[str, Any]]:
    """Describe masks as upstream does.

    Parameters
    ----------
    masks
        Masks of one image.
    output_mode
        What ``segmentation`` holds: ``"binary_mask"`` a bool array (H, W);
        ``"uncompressed_rle"`` run lengths, column by column, starting with the outside;
        ``"coco_rle"`` the same in COCO's compressed text.
    shape
        ``(H, W)`` of the image.

    Returns
    -------
    list of dict
        With ``segmentation``, ``area`` (pixels), ``bbox`` (``[x, y, w, h]``, where w and h
        are one less than the number of columns and rows, as upstream gives them),
        ``predicted_iou``, ``point_coords`` (``[[x, y]]``), ``stability_score`` and
        ``crop_box`` (``[x, y, w, h]``).

    See Also
    --------
    generate : Finds the masks, too.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> from napari_graysam.select.records import records
    >>> mask = Mask(np.ones((2, 3), bool), (1, 1, 4, 3))
    >>> (record,) = records([mask], "uncompressed_rle", (4, 5))
    >>> record["area"], record["bbox"], record["segmentation"]["counts"]
    (6, [1.0, 1.0, 2.0, 1.0], [5, 2, 2, 2, 2, 2, 5])
    """
    return [_record(mask, output_mode, shape) for mask in masks]


def _record(mask: Mask, output_mode: OutputMode, shape: tuple[int, int]) -> dict[str, Any]:
    """Describe one mask."""
    x0, y0, x1, y1 = mask.box
    left, top, right, bottom = mask.crop_box
    return {
        "segmentation": mask.full(shape)
        if output_mode == "binary_mask"
        else encode(mask, shape, compressed=output_mode == "coco_rle"),
        "area": mask.area,
        "bbox": [float(x0), float(y0), float(max(0, x1 - x0 - 1)), float(max(0, y1 - y0 - 1))],
        "predicted_iou": mask.predicted_iou,
        "point_coords": [list(mask.point)],
        "stability_score": mask.stability,
        "crop_box": [float(left), float(top), float(right - left), float(bottom - top)],
    }
