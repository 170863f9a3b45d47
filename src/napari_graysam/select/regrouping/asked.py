"""What the model drew when it was asked for two neighbours at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from napari_graysam.masks import Mask, shared_pixels
from napari_graysam.select.regrouping.objects import Identity, identity
from napari_graysam.select.regrouping.wholes import FOREIGN, INSIDE

Pair = frozenset[Identity]


@dataclass(frozen=True, eq=False)
class Answers:
    """The model's answers, one mask for each pair that it was asked for.

    Attributes
    ----------
    masks
        By pair; None where it drew nothing.
    """

    masks: Mapping[Pair, Mask | None] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of pairs that were asked for."""
        return len(self.masks)

    def __or__(self, other: Answers) -> Answers:
        """Return these answers and others."""
        return Answers({**self.masks, **other.masks})

    @property
    def nbytes(self) -> int:
        """Memory that the masks take."""
        return sum(mask.nbytes for mask in self.masks.values() if mask is not None)

    def knows(self, one: Mask, other: Mask) -> bool:
        """Tell whether the model was asked for two masks."""
        return _pair(one, other) in self.masks

    def between(self, ones: Sequence[Mask], others: Sequence[Mask]) -> Iterator[Mask]:
        """Yield what the model drew for a mask of one object and a mask of another."""
        for one in ones if self.masks else ():
            for other in others:
                mask = self.masks.get(_pair(one, other))
                if mask is not None:
                    yield mask

    def behind(self, count: int) -> Answers:
        """Return the same answers about candidates that have `count` others before them."""
        return Answers(
            {
                frozenset((one[0] + count,) if len(one) == 1 else one for one in pair): mask
                for pair, mask in self.masks.items()
            }
        )


def answered(asked: Sequence[tuple[Mask, Mask]], answers: Sequence[Mask | None]) -> Answers:
    """Return answers to questions for two masks each, in the same order."""
    return Answers({_pair(*pair): answer for pair, answer in zip(asked, answers, strict=True)})


def accepted(
    answers: Iterable[Mask], one: Mask, other: Mask, sure: float, around: Sequence[Mask]
) -> Mask | None:
    """Return the surest answer that shows two objects as one; None if none does.

    Parameters
    ----------
    answers
        Of the model.
    one, other
        The two objects.
    sure
        Their predicted IoU, which the answer's must not be below.
    around
        Other objects, which the answer must not take in.
    """
    good = (mask for mask in answers if mask.predicted_iou >= sure)
    right = [mask for mask in good if _shows(mask, one, other, around)]
    return max(right, key=lambda mask: mask.predicted_iou, default=None)


def _shows(answer: Mask, one: Mask, other: Mask, around: Sequence[Mask]) -> bool:
    if any(shared_pixels(answer, part) < INSIDE * part.area for part in (one, other)):
        return False
    common = [shared_pixels(answer, mask) for mask in around]
    # What the answer lies in holds it, and is not taken in by it.
    return sum(pixels for pixels in common if pixels < INSIDE * answer.area) <= (
        FOREIGN * answer.area
    )


def _pair(one: Mask, other: Mask) -> Pair:
    return frozenset((identity(one), identity(other)))
