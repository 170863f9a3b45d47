"""Answers to prompts about one image, from features that are computed once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from napari_graysam.errors import UsageError
from napari_graysam.masks import Mask
from napari_graysam.model import LoadedModel
from napari_graysam.progress import Progress
from napari_graysam.prompt.answer import Answer
from napari_graysam.prompt.decode import predict
from napari_graysam.propose import Proposals
from napari_graysam.propose.cache import Cache
from napari_graysam.propose.decode import batch_size
from napari_graysam.propose.encode import Features, encode
from napari_graysam.propose.grid import layer_boxes
from napari_graysam.propose.statistics import measure
from napari_graysam.recipe import GeneratorOptions, LabelOptions, Prompt
from napari_graysam.select.derived import Derived
from napari_graysam.select.filters import near_crop_edge

_BUDGET = 2**26
_TOGETHER = 64
"""Prompts of several places that are asked at once, at most."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Predictor:
    """Asks a model for single objects of one view, as ``SAM2ImagePredictor`` of sam2 does.

    Attributes
    ----------
    view
        uint8 (H, W, 3), RGB.
    model
        A SAM 2 model on its device.
    generator
        Uses ``crop_n_layers``, ``crop_overlap_ratio``, ``mask_threshold``,
        ``stability_score_offset`` and ``min_mask_region_area``.
    labels
        Uses ``fill_holes`` and ``min_island``.
    image
        `napari_graysam.fingerprint.array_digest` of the image's gray values.
    source
        Written to each mask: ``"raw"`` or ``"preprocessed"``.
    cache
        Looked into for features of earlier runs, and added to.
    """

    view: npt.NDArray[np.uint8]
    model: LoadedModel
    generator: GeneratorOptions
    labels: LabelOptions
    image: str
    source: str
    cache: Cache

    def ask(self, prompt: Prompt) -> Generator[Progress, None, Answer]:
        """Ask for the object of a prompt.

        Parameters
        ----------
        prompt
            All of it within the image.

        Yields
        ------
        Progress
            "encode" before each crop; one whose features are at hand takes no time.

        Returns
        -------
        Answer
            Without masks where the model finds none.

        Raises
        ------
        UsageError
            If a place of the prompt lies outside of the image.

        Notes
        -----
        Every crop that holds the whole prompt is asked, as the automatic generator asks every
        crop, and masks that one of its edges cuts off are left out. A single point, which may
        mean a part, an object or a group, has three answers a crop, any other prompt one, as
        the authors of SAM advise; all are ordered by predicted IoU.
        """
        size = (self.view.shape[0], self.view.shape[1])
        _check_inside(prompt, size)
        model = self.model.fitted(size)
        boxes = crops_around(prompt, size, self.generator)
        found: list[Mask] = []
        for number, box in enumerate(boxes):
            yield Progress("encode", number, len(boxes))
            x0, y0, x1, y1 = box
            features = self.cache.features(self.view[y0:y1, x0:x1], model, encode)
            found += (mask for mask in self._masks(features, [prompt], box, model) if mask)
        yield Progress("encode", len(boxes), len(boxes))
        found.sort(key=lambda mask: -mask.predicted_iou)
        return Answer(prompt, tuple(found), self.image, size)

    def ask_each(
        self, prompts: Sequence[Prompt], box: Box, masks: Sequence[Mask] | None = None
    ) -> Generator[Progress, None, list[Mask | None]]:
        """Ask for the one mask of each of many prompts, in one crop.

        Parameters
        ----------
        prompts
            All of each within the crop; of more than one place, or of a box.
        box
            ``(x0, y0, x1, y1)`` of the crop, half-open.
        masks
            What each of the objects may look like, within the crop.

        Yields
        ------
        Progress
            "encode" before the crop, then "decode" after each batch of prompts.

        Returns
        -------
        list of Mask or None
            The best mask of each prompt; None where the model draws none, or where an edge of
            the crop cuts it off.
        """
        model = self.model.fitted((self.view.shape[0], self.view.shape[1]))
        x0, y0, x1, y1 = box
        yield Progress("encode", 0, 1)
        features = self.cache.features(self.view[y0:y1, x0:x1], model, encode)
        found: list[Mask | None] = []
        size = min(_TOGETHER, batch_size(model))
        for start in range(0, len(prompts), size):
            some = slice(start, start + size)
            drawn = None if masks is None else masks[some]
            found += self._masks(features, prompts[some], box, model, drawn)
            yield Progress("decode", len(found), len(prompts))
        return found

    def _masks(
        self,
        features: Features,
        prompts: Sequence[Prompt],
        box: Box,
        model: LoadedModel,
        masks: Sequence[Mask] | None = None,
    ) -> list[Mask | None]:
        """Return a crop's answers, cleaned as the recipe says; None for what is cut or empty."""
        logits, predicted_iou = predict(features, prompts, box, model, masks)
        answers = logits.shape[1]
        of_each = [prompt for prompt in prompts for _ in range(answers)]
        proposals = self._proposals(
            logits.flatten(0, 1), predicted_iou.flatten(), of_each, box, model
        )
        shapes = Derived(proposals, _BUDGET).cleaned(self.generator, self.labels)
        every = np.arange(len(proposals))
        shapes.ensure(every)
        cut = near_crop_edge(shapes.inclusive(every), proposals.crop_box, proposals.image_size)
        stability = proposals.stability.tolist()
        return [
            shapes.mask(index, stability[index], self.source, False).replace(candidates=())
            if good
            else None
            for index, good in enumerate(~cut & (shapes.area > 0))
        ]

    def _proposals(
        self,
        logits: Tensor,
        predicted_iou: Tensor,
        prompts: Sequence[Prompt],
        box: Box,
        model: LoadedModel,
    ) -> Proposals:
        """Measure a crop's answers as the generator measures its candidates."""
        x0, y0, x1, y1 = box
        count, options = len(logits), self.generator
        measured = measure(
            logits,
            (y1 - y0, x1 - x0),
            group=count,
            mask_threshold=options.mask_threshold,
            offset=options.stability_score_offset,
        )
        points = [
            prompt.positive[0] if prompt.positive else np.mean(prompt.places, axis=0)
            for prompt in prompts
        ]
        return Proposals(
            predicted_iou=predicted_iou.float().cpu().numpy(),
            stability=measured.stability,
            area=measured.area,
            box=measured.box + np.array([x0, y0, x0, y0], np.int32),
            point=np.array(points, np.float32).reshape(-1, 2),
            crop_box=np.tile(np.array(box, np.int32), (count, 1)),
            crop=np.zeros(count, np.int32),
            logits=logits.float().cpu().numpy(),
            image_size=(self.view.shape[0], self.view.shape[1]),
            record={
                "device": str(model.device),
                "generator": options.model_dump(mode="json"),
                "iou_floor": 0.0,
                "stability_floor": 0.0,
                "masks_together": count,
            },
        )


def crops_around(
    prompt: Prompt, image_size: tuple[int, int], options: GeneratorOptions
) -> list[Box]:
    """Return the boxes of the generator's crops that hold all of a prompt, the image first."""
    places = np.array(prompt.places)
    boxes = [
        box
        for layer in range(options.crop_n_layers + 1)
        for box in layer_boxes(image_size, layer, options.crop_overlap_ratio)
    ]
    return [
        box
        for number, box in enumerate(boxes)
        if number == 0 or ((places >= box[:2]).all() and (places <= np.array(box[2:]) - 1).all())
    ]


def _check_inside(prompt: Prompt, size: tuple[int, int]) -> None:
    height, width = size
    outside = [(x, y) for x, y in prompt.places if not (0 <= x <= width and 0 <= y <= height)]
    if outside:
        x, y = outside[0]
        raise UsageError(
            f"the prompt's place x {x:g}, y {y:g} lies outside of the image of {width} × {height} "
            "pixels (width × height): give places inside"
        )
