"""Recipes: every parameter of a segmentation, its range, explanation and file format."""

from napari_graysam.recipe.arms import BothArms
from napari_graysam.recipe.document import Recipe, presets
from napari_graysam.recipe.filters import ColumnFilter
from napari_graysam.recipe.generator import GeneratorOptions, OutputMode
from napari_graysam.recipe.given import GivenRecipe, recipe_of
from napari_graysam.recipe.image import (
    ContrastLimits,
    DtypeRange,
    Explicit,
    ImageOptions,
    Percentiles,
    Window,
)
from napari_graysam.recipe.linking import LinkOptions
from napari_graysam.recipe.merging import MergingOptions
from napari_graysam.recipe.objects import for_image, for_objects, objects_notes
from napari_graysam.recipe.options import LabelOptions, ModelOptions, PinnedMask, Suppression
from napari_graysam.recipe.pins import (
    AddedObject,
    MergedObjects,
    Pin,
    Prompt,
    RemovedObject,
    SeparateObjects,
    SplitObject,
    WholeObject,
)
from napari_graysam.recipe.problems import recipe_error
from napari_graysam.recipe.reference import Parameter, parameters
from napari_graysam.recipe.second_look import SecondLookOptions
from napari_graysam.recipe.stack import StackOptions
from napari_graysam.recipe.stages import MODEL_STAGES, STAGES, Stage, by_stage
from napari_graysam.recipe.tiles import TileOptions
from napari_graysam.recipe.upgrade import SCHEMA_VERSION

__all__ = [
    "MODEL_STAGES",
    "SCHEMA_VERSION",
    "STAGES",
    "AddedObject",
    "BothArms",
    "ColumnFilter",
    "ContrastLimits",
    "DtypeRange",
    "Explicit",
    "GeneratorOptions",
    "GivenRecipe",
    "ImageOptions",
    "LabelOptions",
    "LinkOptions",
    "MergedObjects",
    "MergingOptions",
    "ModelOptions",
    "OutputMode",
    "Parameter",
    "Percentiles",
    "Pin",
    "PinnedMask",
    "Prompt",
    "Recipe",
    "RemovedObject",
    "SecondLookOptions",
    "SeparateObjects",
    "SplitObject",
    "StackOptions",
    "Stage",
    "Suppression",
    "TileOptions",
    "WholeObject",
    "Window",
    "by_stage",
    "for_image",
    "for_objects",
    "objects_notes",
    "parameters",
    "presets",
    "recipe_error",
    "recipe_of",
]
