"""Every candidate mask of one view with its scores: what a run of the model leaves behind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from napari_graysam.errors import ProposalsError
from napari_graysam.limits import reading
from napari_graysam.propose.compact import (
    LogitWindows,
    join_logits,
    packed_arrays,
    unpacked_logits,
    unpacked_masks,
)
from napari_graysam.propose.enlarge import enlarge, enlargement_of
from napari_graysam.propose.packed import PackedMasks, half_open, join_masks
from napari_graysam.propose.pixels import Bits, Box, Pixels
from napari_graysam.propose.storage import read_arrays, write_arrays
from napari_graysam.recipe import GeneratorOptions

_ADVICE = "Delete it and run the model again."
_LONGEST = 2**31


@dataclass(frozen=True, eq=False)
class Proposals:
    """Candidate masks in the generator's order: by crop, then point, then mask.

    Arrays are made read-only. Boxes and points are in pixels of the whole image.

    Parameters
    ----------
    predicted_iou
        float32 (N,).
    stability
        float32 (N,), in [0, 1].
    area
        int64 (N,), pixels.
    box
        int32 (N, 4), ``(x0, y0, x1, y1)``, *inclusive*; an empty mask has the crop's first
        pixel.
    point
        float32 (N, 2), the prompt's ``(x, y)``.
    crop_box
        int32 (N, 4), ``(x0, y0, x1, y1)``, half-open.
    crop
        int32 (N,), number of the crop.
    logits
        float32 (N, h, w), covering the crop; of `compact` candidates, indexed in the same way.
    image_size
        ``(H, W)`` of the view.
    record
        How they were made, JSON-able: model, device, precision, generator options, floors.
    masks
        The masks at one threshold, where they are at hand.
    """

    predicted_iou: npt.NDArray[np.float32]
    stability: npt.NDArray[np.float32]
    area: npt.NDArray[np.int64]
    box: npt.NDArray[np.int32]
    point: npt.NDArray[np.float32]
    crop_box: npt.NDArray[np.int32]
    crop: npt.NDArray[np.int32]
    logits: npt.NDArray[np.float32] | LogitWindows
    image_size: tuple[int, int]
    record: dict[str, Any] = field(default_factory=dict)
    masks: PackedMasks | None = None

    def __post_init__(self) -> None:
        """Check that all arrays describe the same candidates, and freeze them."""
        count = len(self.predicted_iou)
        for name, dtype, shape in _ARRAYS:
            array = getattr(self, name)
            # The logits' size is the model's.
            expected = (count, *(shape if name != "logits" else array.shape[-2:]))
            if array.dtype != dtype or array.shape != expected:
                raise ProposalsError(
                    f"proposals.{name} must be {np.dtype(dtype)} {expected}, "
                    f"got {array.dtype} {array.shape}"
                )
            if isinstance(array, LogitWindows):
                continue
            view = array.view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.predicted_iou)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        masks = 0 if self.masks is None else self.masks.nbytes
        return masks + sum(int(getattr(self, name).nbytes) for name, _, _ in _ARRAYS)

    def holds(self, generator: GeneratorOptions) -> bool:
        """Tell whether masks and stabilities can be measured at the cuts of some options."""
        if not isinstance(self.logits, LogitWindows):
            return True
        lowest = generator.mask_threshold - generator.stability_score_offset
        return lowest >= self.logits.level + _SLACK / 2

    @cached_property
    def device(self) -> torch.device:
        """The device that measured the masks, so that rounding stays the same; else the CPU."""
        name = torch.device(self.record.get("device", "cpu"))
        present = {
            "cuda": torch.cuda.is_available(),
            "mps": torch.backends.mps.is_available(),
        }
        return name if present.get(name.type, False) else torch.device("cpu")

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Join the candidates that several point sources found in one view.

        Parameters
        ----------
        parts
            Of the same view, model and generator options, in the order to keep.

        Returns
        -------
        Proposals
            Its record is the first one's, with the highest floors, all notes, and in ``parts``
            each one's point source and number of candidates.

        Raises
        ------
        ProposalsError
            If there are no parts, or they are not of the same view and model.
        """
        about = [
            (one.image_size, one.record.get("sha256"), one.record["generator"]) for one in parts
        ]
        if not parts or any(one != about[0] for one in about):
            raise ProposalsError(
                f"{len(parts)} proposals cannot be joined: they must be of the same view, model "
                "and generator options"
            )
        records = [one.record for one in parts]
        record = {
            **records[0],
            **{key: max(one[key] for one in records) for key in ("iou_floor", "stability_floor")},
            "notes": [note for one in records for note in one.get("notes", ())],
            "parts": [
                {"point_source": one.record.get("point_source"), "candidates": len(one)}
                for one in parts
            ],
        }
        # The logits of no candidates have no size.
        held = [one for one in parts if len(one)] or parts[:1]
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(one, name) for one in held]) for name in _SMALL
        }
        logits = [one.logits for one in held]
        return cls(
            **arrays,
            logits=join_logits(logits),
            image_size=parts[0].image_size,
            record=record,
            masks=join_masks([one.masks for one in held]),
        )

    def compact(self) -> Self:
        """Return the same candidates in little room; what they hold is the same where it counts.

        Masks, stabilities, areas and boxes are the same as long as ``mask_threshold`` falls by
        no more than `SPARE` and ``stability_score_offset`` does not rise, or the other way round.

        Examples
        --------
        >>> from napari_graysam import Recipe, run
        >>> from napari_graysam.pipeline import propose
        >>> recipe = Recipe().with_values({"generator.points_per_side": 4})
        >>> found = run(propose(np.zeros((64, 64, 3), np.uint8), recipe))
        >>> found.compact().nbytes < found.nbytes or len(found) == 0
        True
        """
        logits = self.logits
        if isinstance(logits, LogitWindows) and self.masks is not None:
            return self
        made = self.record["generator"]
        threshold = made["mask_threshold"]
        box = half_open(self.box, self.area)
        places = [(x0, y0, x1, y1) for x0, y0, x1, y1 in box.tolist()]
        bits = (self.bits(index, threshold, place) for index, place in enumerate(places))
        masks = PackedMasks.of(threshold, box, bits)
        if not isinstance(logits, LogitWindows):
            level = compact_level(threshold, made["stability_score_offset"])
            logits = LogitWindows.of(logits, level)
        return replace(self, logits=logits, masks=masks)

    def half_open(self, index: int) -> Box:
        """Return a candidate's box with the ends after its last pixels; equal where it is empty."""
        x0, y0, x1, y1 = self.box[index].tolist()
        return (x0, y0, x1 + 1, y1 + 1) if self.area[index] else (x0, y0, x0, y0)

    def bits(self, index: int, mask_threshold: float, box: Box) -> Bits:
        """Return a candidate's pixels inside a box.

        Parameters
        ----------
        index
            Of the candidate.
        mask_threshold
            Pixels above it are inside.
        box
            ``(x0, y0, x1, y1)`` in pixels of the image, half-open, within the crop.

        Returns
        -------
        bool (y1 - y0, x1 - x0)
        """
        known = self.masks
        if known is not None and known.mask_threshold == mask_threshold and known.is_of(index, box):
            return known.bits(index)
        left, top, right, bottom = self.crop_box[index].tolist()
        x0, y0, x1, y1 = box[0] - left, box[1] - top, box[2] - left, box[3] - top
        size, group = (bottom - top, right - left), self.record["masks_together"]
        logits = self.logits[index]
        enlargement = enlargement_of(logits.shape, size, group, self.device)
        if enlargement is not None and np.isfinite(logits).all():
            return Pixels(logits, enlargement, (x0, y0, x1, y1)).above(mask_threshold)
        whole = enlarge(torch.tensor(logits[None], device=self.device), size, group)[0]
        inside: Bits = (whole[y0:y1, x0:x1] > mask_threshold).cpu().numpy()
        return inside

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to an ``.npz`` file, whole or not at all.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        arrays = {name: getattr(self, name) for name in _SMALL}
        about = {"image_size": self.image_size, "record": self.record}
        more, more_about = packed_arrays(self.logits, self.masks)
        write_arrays(path, arrays | more, about | more_about)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ProposalsError
            If the file is missing, truncated, or was not written by `save`.

        See Also
        --------
        save : Writes such a file.
        """
        with reading(path, "proposals of napari-graysam", ProposalsError, _ADVICE):
            arrays, about = read_arrays(path)
            height, width = (int(side) for side in about["image_size"])
            small: dict[str, Any] = {name: arrays[name] for name in _SMALL}
            logits = unpacked_logits(arrays, about)
            found = cls(**small, logits=logits, image_size=(height, width), record=about["record"])
            box = half_open(found.box, found.area)
            found = replace(found, masks=unpacked_masks(arrays, about, box))
            _check_places(found)
            return found


def _check_places(found: Proposals) -> None:
    """Check that candidates lie in their crops, these in the image, and that it is known how."""
    height, width = found.image_size
    if not (0 < height < _LONGEST and 0 < width < _LONGEST):
        raise ProposalsError(f"its image size {height} × {width} is damaged.")
    ends = np.array([width, height] * 2)
    x0, y0, x1, y1 = found.crop_box.T
    left, top, right, bottom = found.box.T
    placed = (
        (found.crop_box >= 0).all()
        and (found.crop_box <= ends).all()
        and ((x0 <= left) & (left <= right) & (right < x1)).all()
        and ((y0 <= top) & (top <= bottom) & (bottom < y1)).all()
    )
    if not placed:
        raise ProposalsError("its candidates lie outside of their crops: it is damaged.")
    record, _ = found.record, found.device
    if record.get("masks_together", 3) not in (1, 3):
        raise ProposalsError(f"masks_together is 1 or 3, not {record['masks_together']!r}.")
    if not isinstance(record.get("generator", {}), dict):
        raise ProposalsError("its record of the generator's parameters is damaged.")


# Name, dtype and shape after the first axis.
_ARRAYS: tuple[tuple[str, type[np.generic], tuple[int, ...]], ...] = (
    ("predicted_iou", np.float32, ()),
    ("stability", np.float32, ()),
    ("area", np.int64, ()),
    ("box", np.int32, (4,)),
    ("point", np.float32, (2,)),
    ("crop_box", np.int32, (4,)),
    ("crop", np.int32, ()),
    ("logits", np.float32, ()),
)


_SMALL = tuple(name for name, _, _ in _ARRAYS if name != "logits")
SPARE = 2.0
"""How far the cut of masks can fall below what candidates were measured at, once compact."""
_SLACK = 0.01
"""Room for the rounding of pixels between logits that are no higher than the level."""


def compact_level(mask_threshold: float, stability_score_offset: float) -> float:
    """Return down to which compact candidates keep their logits."""
    return mask_threshold - stability_score_offset - SPARE - _SLACK


def masks_together(options: GeneratorOptions) -> int:
    """Return how many masks the decoder gives for a prompt, in the last step of a run."""
    return 3 if options.multimask_output and not options.use_m2m else 1
