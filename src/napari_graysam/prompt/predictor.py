"""Answers to prompts about one image, from features that are computed once."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_graysam.errors import UsageError
from napari_graysam.masks import Mask
from napari_graysam.model import LoadedModel
from napari_graysam.progress import Progress
from napari_graysam.prompt.answer import Answer
from napari_graysam.propose import Proposals
from napari_graysam.propose.cache import Cache
from napari_graysam.propose.encode import Features, autocast, encode
from napari_graysam.propose.grid import layer_boxes
from napari_graysam.propose.statistics import measure
from napari_graysam.recipe import GeneratorOptions, LabelOptions, Prompt
from napari_graysam.select.derived import Derived
from napari_graysam.select.filters import near_crop_edge

ON, OFF, FIRST_CORNER, LAST_CORNER = 1, 0, 2, 3
"""Labels of places, as SAM 2's prompt encoder takes them."""
_MASKS = 3
_BUDGET = 2**26

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
            found += self._masks(features, prompt, box, model)
        yield Progress("encode", len(boxes), len(boxes))
        found.sort(key=lambda mask: -mask.predicted_iou)
        return Answer(prompt, tuple(found), self.image, size)

    def _masks(
        self, features: Features, prompt: Prompt, box: Box, model: LoadedModel
    ) -> list[Mask]:
        """Return a crop's answers, cleaned as the recipe says."""
        logits, predicted_iou = predict(features, prompt, box, model)
        proposals = self._proposals(logits, predicted_iou, prompt, box, model)
        shapes = Derived(proposals, _BUDGET).cleaned(self.generator, self.labels)
        every = np.arange(len(proposals))
        shapes.ensure(every)
        cut = near_crop_edge(shapes.inclusive(every), proposals.crop_box, proposals.image_size)
        return [
            shapes.mask(index, float(proposals.stability[index]), self.source, False).replace(
                candidates=()
            )
            for index in np.flatnonzero(~cut & (shapes.area > 0)).tolist()
        ]

    def _proposals(
        self,
        logits: Tensor,
        predicted_iou: Tensor,
        prompt: Prompt,
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
        place = prompt.positive[0] if prompt.positive else np.mean(prompt.places, axis=0)
        return Proposals(
            predicted_iou=predicted_iou.float().cpu().numpy(),
            stability=measured.stability,
            area=measured.area,
            box=measured.box + np.array([x0, y0, x0, y0], np.int32),
            point=np.tile(np.array(place, np.float32), (count, 1)),
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


def predict(
    features: Features, prompt: Prompt, box: Box, model: LoadedModel
) -> tuple[Tensor, Tensor]:
    """Let the model's own decoder answer a prompt in one crop.

    Parameters
    ----------
    features
        Of the crop.
    prompt
        In pixels of the image.
    box
        ``(x0, y0, x1, y1)`` of the crop, half-open.
    model
        A SAM 2 model on its device.

    Returns
    -------
    logits
        (M, h, w) at a quarter of the frame's resolution; three masks for a single point, else
        one.
    predicted_iou
        (M,).
    """
    places, labels = _places(prompt)
    x0, y0, x1, y1 = box
    relative = (places - [x0, y0]) / [x1 - x0, y1 - y0]
    frame = torch.as_tensor(relative, dtype=torch.float32, device=model.device) * model.image_size
    kinds = torch.as_tensor(labels, dtype=torch.int, device=model.device)
    network = model.model
    with torch.no_grad(), autocast(model):
        sparse, dense = network.sam_prompt_encoder(
            points=(frame[None], kinds[None]), boxes=None, masks=None
        )
        logits, predicted_iou, _, _ = network.sam_mask_decoder(
            image_embeddings=features.embedding,
            image_pe=features.position,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=len(places) == 1,
            repeat_image=False,
            high_res_features=features.high_resolution,
        )
    return logits[0, :_MASKS], predicted_iou[0, :_MASKS]


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


def _places(prompt: Prompt) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Return the places (T, 2) and labels of a prompt: the box first, as SAM 2 has it."""
    places: list[tuple[float, float]] = []
    labels: list[int] = []
    if prompt.box is not None:
        places += [prompt.box[:2], prompt.box[2:]]
        labels += [FIRST_CORNER, LAST_CORNER]
    places += [*prompt.positive, *prompt.negative]
    labels += [ON] * len(prompt.positive) + [OFF] * len(prompt.negative)
    return np.array(places, np.float64), labels


def _check_inside(prompt: Prompt, size: tuple[int, int]) -> None:
    height, width = size
    outside = [(x, y) for x, y in prompt.places if not (0 <= x <= width and 0 <= y <= height)]
    if outside:
        x, y = outside[0]
        raise UsageError(
            f"the prompt's place x {x:g}, y {y:g} lies outside of the image of {width} × {height} "
            "pixels (width × height): give places inside"
        )
