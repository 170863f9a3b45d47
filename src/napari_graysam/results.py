"""What runs give: one arm's objects, or both arms and how they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.fingerprint import Fingerprint
from napari_graysam.masks import Arm as Arm
from napari_graysam.masks import Mask
from napari_graysam.recipe import OutputMode, Recipe
from napari_graysam.units import in_micrometres

if TYPE_CHECKING:
    import pandas as pd

    from napari_graysam.comparison import Comparison, Scores
    from napari_graysam.select.regrouping.objects import Regrouping
    from napari_graysam.select.selector import Selector


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The objects of one image, as one recipe finds them.

    Attributes
    ----------
    labels
        uint32 (H, W); 0 is background, label ``i`` is ``masks[i - 1]``.
    masks
        Best first, bits inside boxes; where they overlap only one is seen in `labels`.
    recipe
        What was asked for.
    provenance
        What was done, in JSON's types: fingerprint, versions, model, device, image record,
        proposals and seconds by stage.
    unmasked
        Fraction of the pixels without a label: of the region's, if there was one.
    view
        uint8 (H, W, 3): what the model saw.
    raw
        (H, W), the original gray values, for measurements.
    regroupings
        Which masks were merged and split, with what spoke for it.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, segment
    >>> result = segment(np.eye(64), Recipe().with_values({"generator.points_per_side": 4}))
    >>> result.table["index"].tolist() == list(range(1, len(result.masks) + 1))
    True
    """

    labels: NDArray[np.uint32]
    masks: tuple[Mask, ...]
    recipe: Recipe
    provenance: dict[str, Any]
    unmasked: float
    view: NDArray[np.uint8]
    raw: NDArray[Any]
    regroupings: tuple[Regrouping, ...] = ()

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a mask, measured when first asked for; its column ``index`` is the label.

        Areas in µm² and lengths in µm come beside those in pixels where `pixel_size` is known.
        """
        from napari_graysam.select import object_table

        return object_table(self.masks, self.labels, self.raw, self.pixel_size)

    @property
    def pixel_size(self) -> tuple[float, float] | None:
        """(Height, width) of a pixel in micrometres; None where the image does not tell it."""
        image = self.provenance.get("image", {})
        size = image.get("pixel_size")
        return in_micrometres(None if size is None else (size[0], size[1]), image.get("pixel_unit"))

    @property
    def fingerprint(self) -> Fingerprint:
        """What decides this result, stage by stage."""
        return Fingerprint.model_validate(self.provenance["fingerprint"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about how the result was made."""
        parts = (self.provenance.get(name, {}) for name in ("image", "proposals", "selection"))
        return tuple(note for part in parts for note in part.get("notes", ()))

    def records(self, output_mode: OutputMode | None = None) -> list[dict[str, Any]]:
        """Return the masks in the shape of SAM 2's generator.

        Parameters
        ----------
        output_mode
            What ``segmentation`` holds; the recipe's mode if omitted.
        """
        from napari_graysam.select.records import records

        mode = self.recipe.generator.output_mode if output_mode is None else output_mode
        shape = (self.labels.shape[0], self.labels.shape[1])
        return records(self.masks, mode, shape)


@dataclass(frozen=True, eq=False)
class LiveSegmentation:
    """A segmentation and all its candidates, to select again without the model.

    Attributes
    ----------
    result
        As the run's recipe selects.
    selector
        Holds the candidates, and what selections from them have in common.
    again
        Masks of the second look, before they join.
    redrawn
        Masks that were refined, by their candidates.
    region
        bool (H, W), where points were asked; None for everywhere.
    """

    result: Segmentation
    selector: Selector
    again: tuple[Mask, ...] = ()
    redrawn: Mapping[tuple[int, ...], Mask] = field(default_factory=dict)
    region: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Arms:
    """The same image without and with preprocessing, and what differs.

    Attributes
    ----------
    raw, preprocessed
        Both results; the window, the model, the generator and the labels are the same.
    changes
        Objects kept, changed, gained, lost, split and merged.
    scores
        Each arm against the ground truth, by arm; None without one.
    truth
        `array_digest` of the ground truth; None without one.

    Raises
    ------
    ImageError
        If the two are not of the same pixels, window and region.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, compare
    >>> recipe = Recipe.preset("low-contrast").with_values({"generator.points_per_side": 4})
    >>> arms = compare(np.eye(64), recipe)
    >>> arms.raw.recipe.preprocess, arms.preprocessed.recipe.preprocess == recipe.preprocess
    ((), True)
    """

    raw: Segmentation
    preprocessed: Segmentation
    changes: Comparison
    scores: dict[Arm, Scores] | None
    truth: str | None = None

    def __post_init__(self) -> None:
        """Refuse results of different images: what differs would not be the preprocessing."""
        raw, preprocessed = self.raw.fingerprint, self.preprocessed.fingerprint
        same = raw.inputs.region == preprocessed.inputs.region
        if raw["image"] != preprocessed["image"] or not same:
            raise ImageError(
                "the raw and the preprocessed result are of different images, windows or regions "
                "and cannot be compared: segment the same image both times"
            )

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about how both were made."""
        return notes_of_arms(self.raw.notes, self.preprocessed.notes)


def notes_of_arms(raw: Iterable[str], preprocessed: Iterable[str]) -> tuple[str, ...]:
    """Return the notes on both arms: each once, and what is said of one arm alone names it.

    Examples
    --------
    >>> notes_of_arms(["8 bits", "no objects"], ["8 bits"])
    ('8 bits', 'raw: no objects')
    """
    one, other = dict.fromkeys(raw), dict.fromkeys(preprocessed)
    return (
        *(note for note in one if note in other),
        *(f"raw: {note}" for note in one if note not in other),
        *(f"preprocessed: {note}" for note in other if note not in one),
    )
