"""The recipe: everything that decides a segmentation, as one frozen, readable document."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError

from napari_graysam.documents import dump_yaml, load_yaml
from napari_graysam.errors import RecipeError
from napari_graysam.parameters import Part
from napari_graysam.preprocess.registry import Step
from napari_graysam.preprocess.rgb import Replicate, Rgb
from napari_graysam.recipe.arms import ArmsChoice, ArmsThresholds, BothArms
from napari_graysam.recipe.generator import GeneratorOptions
from napari_graysam.recipe.image import ImageOptions, with_region
from napari_graysam.recipe.options import LabelOptions, ModelOptions
from napari_graysam.recipe.plain import changes
from napari_graysam.recipe.problems import did_you_mean, recipe_error
from napari_graysam.recipe.second_look import SecondLookOptions
from napari_graysam.recipe.shipped import preset_data, preset_texts
from napari_graysam.recipe.stack import StackOptions
from napari_graysam.recipe.stages import Stage, changed_stage
from napari_graysam.recipe.storage import read_document, write_document
from napari_graysam.recipe.tiles import TileOptions
from napari_graysam.recipe.upgrade import SCHEMA_VERSION, upgraded
from napari_graysam.recipe.values import set_values

SCORES = ("pred_iou_thresh", "stability_score_thresh", "stability_score_offset")
CROPS = ("crop_n_layers", "crop_n_points_downscale_factor")
"""What a preset has for the small frame of the bundled model; others see more at once."""


class Recipe(Part):
    """Everything that decides a segmentation: image, preprocessing, model, masks and labels.

    Recipes are equal, and have the same hash, when all their values are equal.

    Examples
    --------
    >>> from napari_graysam import Recipe
    >>> recipe = Recipe.preset("low-contrast")
    >>> finer = recipe.with_values({"generator.points_per_side": 48})
    >>> finer.generator.points_per_side, recipe.changed_stage(finer)
    (48, 'decode')
    >>> Recipe.from_yaml(finer.to_yaml()) == finer
    True
    """

    schema_version: int = Field(
        SCHEMA_VERSION,
        ge=1,
        le=SCHEMA_VERSION,
        title="Format version",
        description="Version of the recipe format; a newer program reads older recipes.",
    )
    name: str = Field("", title="Name", description="What you call this recipe.")
    description: str = Field(
        "", title="Description", description="For which images the recipe is meant."
    )
    image: ImageOptions = Field(
        ImageOptions(),
        title="Image",
        description="How any image becomes one grayscale picture.",
    )
    preprocess: tuple[Step, ...] = Field(
        (),
        title="Preprocessing",
        description="Steps that enhance contrast and edges, applied in this order before the "
        "model sees the image. None: the raw image.",
        json_schema_extra={"stage": "view"},
    )
    rgb: Rgb = Field(
        Replicate(),
        title="Colours",
        description="How the gray image becomes the colour image that SAM 2 expects. Different "
        "processing in red, green and blue can separate what gray does not.",
        json_schema_extra={"stage": "view"},
    )
    arms: ArmsChoice = Field(
        "preprocessed",
        title="Arms",
        description="Which image the objects come from: the preprocessed one, the raw one (the "
        "preprocessing is left out), or both, for twice the time. union takes the candidates of "
        "both and removes duplicates among all of them: finds what either finds. consensus keeps "
        "only objects that both find (mask IoU of at least 0.5, one to one), in the better "
        "scored of the two masks: fewer false ones. Each mask names its arm.",
        json_schema_extra={
            "stage": "view",
            "effects": {
                "raw": {"view": "raw"},
                "preprocessed": {},
                "union": {"view": "both", "nms": "union"},
                "consensus": {"view": "both", "nms": "consensus"},
            },
        },
    )
    arms_thresholds: ArmsThresholds = Field(
        "same",
        title="Thresholds of the arms",
        description="For union and consensus: preprocessing shifts the predicted IoU, so that one "
        "threshold keeps more of one arm. matched gives the preprocessed arm the threshold that "
        "keeps as many of its stable candidates as the recipe's keeps of the raw arm's; the "
        "result's notes say which. same uses the recipe's for both.",
        json_schema_extra={"stage": "scores", "effects": {"same": {}}},
    )
    model: ModelOptions = Field(
        ModelOptions(),
        title="Model",
        description="Which SAM 2 model looks at the image, and where it runs.",
        json_schema_extra={"stage": "encode"},
    )
    generator: GeneratorOptions = Field(
        GeneratorOptions(),
        title="Mask generator",
        description="How densely the image is asked for objects, and which answers are kept.",
    )
    labels: LabelOptions = Field(
        LabelOptions(),
        title="Labels",
        description="How masks become objects of a label image.",
    )
    second_look: SecondLookOptions = Field(
        SecondLookOptions(),
        title="Second look",
        description="Whether the model is asked again where it found nothing.",
    )
    refine: bool = Field(
        False,
        title="Refine outlines",
        description="On: every object is asked for once more, with its box, its point and points "
        "in its neighbours, and drawn anew where the model is no less sure of the same object. "
        "Takes up to half the time of the run more, for outlines that are a little better. Off: "
        "objects stay as they were found.",
        json_schema_extra={"stage": "decode", "optional": True},
    )
    stack: StackOptions = Field(
        StackOptions(),
        title="Stack",
        description="Whether every plane of a z-stack or a time series is segmented, and how its "
        "objects are linked.",
    )
    tiles: TileOptions = Field(
        TileOptions(),
        title="Tiles",
        description="How images are segmented that are too large for one piece.",
    )

    @classmethod
    def from_dict(cls, data: Any, source: str = "the recipe") -> Self:
        """Recipe of plain data, as a YAML or JSON file holds it.

        Parameters
        ----------
        data
            Mappings, lists, texts and numbers. Types are strict: "16" is not 16, and true is
            not 1.
        source
            What the data is, for error messages.

        Returns
        -------
        Recipe
            In the present version of the format, whichever the data is of.

        Raises
        ------
        RecipeError
            With the path, the value and what is allowed for everything that is wrong.
        """
        if not isinstance(data, dict):
            what = "nothing" if data is None else f"a {type(data).__name__}"
            raise RecipeError(
                f"{source} holds {what}; a recipe is a mapping with keys among "
                f"{', '.join(cls.model_fields)}"
            )
        version = data.get("schema_version")
        if type(version) is int and version > SCHEMA_VERSION:
            raise RecipeError(
                f"{source} has schema_version {version}; this older napari-graysam reads up to "
                f"{SCHEMA_VERSION}: update napari-graysam to use it"
            )
        try:
            return cls.model_validate_json(json.dumps(upgraded(data), default=str), strict=True)
        except ValidationError as error:
            raise recipe_error(error, cls, source) from None
        except (TypeError, ValueError, RecursionError) as error:
            raise RecipeError(f"{source} is not a valid recipe: {error}") from error

    def to_dict(self, *, full: bool = False) -> dict[str, Any]:
        """Plain data: what differs from the defaults and the schema version, or everything."""
        if full:
            return self.model_dump(mode="json")
        return {"schema_version": self.schema_version, **changes(self)}

    @classmethod
    def from_yaml(cls, text: str, source: str = "the recipe") -> Self:
        """Recipe of a YAML text; errors as for `from_dict`."""
        return cls.from_dict(load_yaml(text, source), source)

    def to_yaml(self, *, full: bool = False) -> str:
        """YAML text of `to_dict`."""
        return dump_yaml(self.to_dict(full=full))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Recipe of a .yaml, .yml or .json file; the path of a region starts at its folder.

        Raises
        ------
        RecipeError
            If the file is missing, unreadable or not a valid recipe.
        """
        folder = Path(path).parent
        data = with_region(
            read_document(Path(path)), lambda region: folder / os.path.expanduser(region)
        )
        return cls.from_dict(data, str(path))

    def to_file(self, path: str | os.PathLike[str], *, full: bool = False) -> None:
        """Write a .yaml, .yml or .json file, whole or not at all.

        Raises
        ------
        OutputError
            If the suffix is another, or the file cannot be written.
        """
        folder = Path(path).parent
        write_document(
            Path(path),
            with_region(self.to_dict(full=full), lambda region: os.path.relpath(region, folder)),
        )

    @classmethod
    def preset(cls, name: str = "raw", model: str | None = None) -> Self:
        """Recipe that comes with the program; `presets` lists them.

        Parameters
        ----------
        name
            Of the preset; ``raw``, which preprocesses nothing, is the default everywhere.
        model
            Catalogue name of another model than the preset's. Its scores are on another scale,
            so the thresholds of scores are SAM 2's own defaults instead of the preset's, and
            its arithmetic is SAM 2's own too.

        Raises
        ------
        RecipeError
            If there is no preset of that name.
        """
        known = preset_texts()
        if name not in known:
            raise RecipeError(
                f"there is no preset {name!r}{did_you_mean(name, known)}; "
                f"presets are {', '.join(known)}"
            )
        source = f"the preset {name}"
        recipe = cls.from_dict(preset_data(known[name], source), source)
        if model is None or model == recipe.model.name:
            return recipe
        fields = GeneratorOptions.model_fields
        defaults = {field: fields[field].default for field in (*SCORES, *CROPS)}
        return recipe.replace(
            model=ModelOptions(name=model),
            generator=recipe.generator.replace(**defaults),
        )

    def with_model(self, name: str) -> Self:
        """Recipe for another model of the catalogue.

        Thresholds of scores, if all are those of the recipe's preset, and in the same way crops,
        the arithmetic and the frame, become those that this preset has for the other model; what
        was edited stays. Whether the catalogue has the name shows when the model is loaded.
        """
        before, after = self.own_preset(self.model.name), self.own_preset(name)
        model, generator = self.model.replace(name=name), self.generator
        for field in ("arithmetic", "frame", "frame_scale"):
            if getattr(model, field) == getattr(before.model, field):
                model = model.replace(**{field: getattr(after.model, field)})
        for names in (SCORES, CROPS):
            if _values(self, names) == _values(before, names):
                generator = generator.replace(**_values(after, names))
        return self.replace(model=model, generator=generator)

    def own_preset(self, model: str) -> Self:
        """Return for a model the preset that the recipe is named after, or ``raw``."""
        return type(self).preset(self.name if self.name in preset_texts() else "raw", model)

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """Recipe with some values changed, each by its dotted path.

        Parameters
        ----------
        values
            Such as ``{"generator.points_per_side": "16", "preprocess": "[{kind: clahe}]"}``.
            A text is read as YAML, except where the parameter is a text itself. Where a path
            ends in ``kind`` and the kind changes, its other values start from their defaults.

        Raises
        ------
        RecipeError
            If a path leads nowhere or the changed recipe is not valid.
        """
        return self.from_dict(set_values(self, values), "the recipe with the new values")

    def raw_arm(self) -> Self:
        """Return the same recipe without preprocessing: what the comparison starts from."""
        return self.preprocessed_arm().replace(preprocess=(), rgb=Replicate())

    def preprocessed_arm(self) -> Self:
        """Return the same recipe for the preprocessed image alone."""
        return self.replace(arms="preprocessed", arms_thresholds="same")

    @property
    def preprocesses(self) -> bool:
        """Whether the preprocessed image differs from the raw one."""
        return self.preprocessed_arm().changed_stage(self.raw_arm()) is not None

    @property
    def both_arms(self) -> BothArms | None:
        """How both arms make one selection; None where the recipe asks for one of them."""
        if self.arms in ("raw", "preprocessed"):
            return None
        return BothArms(self.arms == "consensus", self.arms_thresholds == "matched")

    def changed_stage(self, other: Recipe) -> Stage | None:
        """Stage from which a run with `other` must start again after a run with this recipe.

        Returns
        -------
        str or None
            One of `STAGES`, from "image" to "labels"; None where nothing that decides the
            result differs. From "logits" on, `retune` selects again without the model.

        Examples
        --------
        >>> recipe = Recipe.preset("low-contrast")
        >>> recipe.changed_stage(recipe.raw_arm())
        'view'
        >>> recipe.changed_stage(recipe.with_values({"labels.min_area": 50}))
        'labels'
        """
        return changed_stage(self, other)


def of_model(recipe: Recipe) -> dict[str, float]:
    """Parameters of the generator that suit one model only: thresholds of scores, and crops."""
    return _values(recipe, (*SCORES, *CROPS))


def _values(recipe: Recipe, names: tuple[str, ...]) -> dict[str, Any]:
    """Return some of the generator's parameters by name."""
    return {name: getattr(recipe.generator, name) for name in names}


def presets() -> dict[str, str]:
    """Return the recipes that come with the program: a line of description by name.

    Examples
    --------
    >>> from napari_graysam import presets
    >>> "membranes" in presets()
    True
    """
    return {name: " ".join(Recipe.preset(name).description.split()) for name in preset_texts()}
