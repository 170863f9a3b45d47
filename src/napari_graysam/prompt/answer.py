"""What the model answers to a prompt, and how a recipe remembers it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_graysam.errors import UsageError
from napari_graysam.masks import Mask
from napari_graysam.masks.run_lengths import encode
from napari_graysam.recipe import (
    AddedObject,
    Pin,
    Prompt,
    RemovedObject,
    SeparateObjects,
    WholeObject,
)
from napari_graysam.select.regrouping.objects import Regrouping


@dataclass(frozen=True, eq=False)
class Answer:
    """The masks that a model draws for one prompt.

    Attributes
    ----------
    prompt
        What was asked.
    masks
        By predicted IoU, the best first; none of them empty. A single point has up to three
        masks in each crop that shows it (often a part, an object and a group), any other prompt
        one.
    image
        `napari_graysam.fingerprint.array_digest` of the image's gray values.
    size
        (H, W) of the image.
    """

    prompt: Prompt
    masks: tuple[Mask, ...]
    image: str
    size: tuple[int, int]

    def within(self, origin: tuple[int, int], image: str, size: tuple[int, int]) -> Answer:
        """Return the same answer for an image that the one that was asked is a part of.

        Parameters
        ----------
        origin
            ``(x, y)`` of the part's first pixel in the image.
        image, size
            Of the image, as of the attributes.

        Examples
        --------
        >>> import numpy as np
        >>> from napari_graysam.masks import Mask
        >>> from napari_graysam.recipe import Prompt
        >>> mask = Mask(np.ones((2, 1), bool), (1, 0, 2, 2))
        >>> answer = Answer(Prompt(positive=((1, 1),)), (mask,), "part", (3, 3))
        >>> moved = answer.within((10, 20), "whole", (100, 100))
        >>> moved.masks[0].box, moved.prompt.positive, moved.size
        ((11, 20, 12, 22), ((11.0, 21.0),), (100, 100))
        """
        left, top = origin
        prompt, box = self.prompt, self.prompt.box
        moved = prompt.replace(
            positive=tuple((x + left, y + top) for x, y in prompt.positive),
            negative=tuple((x + left, y + top) for x, y in prompt.negative),
            box=box and (box[0] + left, box[1] + top, box[2] + left, box[3] + top),
        )
        masks = tuple(_moved(mask, left, top) for mask in self.masks)
        return replace(self, prompt=moved, masks=masks, image=image, size=size)

    def pin(self, index: int = 0) -> AddedObject:
        """Return the entry of ``labels.pinned`` that makes a mask an object.

        Parameters
        ----------
        index
            Of the mask.

        Raises
        ------
        UsageError
            If there is no such mask.
        """
        if not 0 <= index < len(self.masks):
            raise UsageError(
                f"mask {index} of the answer was asked for, but it has {len(self.masks)}: give an "
                "index from 0, or prompt another place"
            )
        mask = self.masks[index]
        return AddedObject(
            image=self.image,
            size=self.size,
            prompt=self.prompt,
            mask=_counts(mask, self.size),
            predicted_iou=round(mask.predicted_iou, 4),
            stability=round(mask.stability, 4),
        )


def removal(mask: Mask, image: str, size: tuple[int, int]) -> RemovedObject:
    """Return the entry of ``labels.pinned`` that says that there is no such object.

    Parameters
    ----------
    mask
        The object as it is, not empty.
    image
        `napari_graysam.fingerprint.array_digest` of the image's gray values.
    size
        (H, W) of the image.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> from napari_graysam.prompt import removal
    >>> removal(Mask(np.ones((2, 1), bool), (1, 0, 2, 2)), "1f", (3, 3)).mask
    '324'
    """
    return RemovedObject(image=image, size=size, mask=_counts(mask, size))


def taking_back(one: Regrouping, image: str, size: tuple[int, int]) -> Pin:
    """Return the entry of ``labels.pinned`` that takes back one merge or split.

    Parameters
    ----------
    one
        What was merged or split, of a result's ``regroupings``.
    image
        `napari_graysam.fingerprint.array_digest` of the image's gray values.
    size
        (H, W) of the image.

    Returns
    -------
    SeparateObjects or WholeObject
        The masks as they were before: never merged with each other again, or never split.
    """
    counts = tuple(_counts(mask, size) for mask in one.before)
    if one.kind == "merged":
        return SeparateObjects(image=image, size=size, parts=counts)
    return WholeObject(image=image, size=size, mask=counts[0])


def _moved(mask: Mask, left: int, top: int) -> Mask:
    (x0, y0, x1, y1), (cx0, cy0, cx1, cy1), (x, y) = mask.box, mask.crop_box, mask.point
    return mask.replace(
        box=(x0 + left, y0 + top, x1 + left, y1 + top),
        crop_box=(cx0 + left, cy0 + top, cx1 + left, cy1 + top),
        point=(x + left, y + top),
    )


def _counts(mask: Mask, size: tuple[int, int]) -> str:
    counts: str = encode(mask, size, compressed=True)["counts"]
    return counts
