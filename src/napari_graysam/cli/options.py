"""Options that several commands share, and what they mean."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_graysam.errors import ImageError, ModelError, UsageError

if TYPE_CHECKING:
    from napari_graysam.outputs import Kind
    from napari_graysam.recipe import Recipe


def complete_recipe(incomplete: str) -> list[str]:
    """Presets that begin so; the shell completes files itself."""
    from napari_graysam.recipe import presets

    return [name for name in presets() if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """Models of the catalogue that begin so."""
    from napari_graysam.model import CATALOG

    return [entry.name for entry in CATALOG if entry.name.startswith(incomplete)]


Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE...",
        help="TIFF, PNG, JPEG, BMP, GIF, WebP, JPEG 2000, PGM or NPY files, OME-Zarr images, or "
        "folders of them; "
        "patterns such as 'data/*.tif' are understood.",
        show_default=False,
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", help="Look into the folders within a folder as well.")
]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results, made if needed.")
]
OutUnlessPlan = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Folder for the results, made if needed. Required, but for --plan.",
        show_default=False,
    ),
]
NamePattern = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="PATTERN",
        help="How results are named, such as '{parent}_{stem}_z{plane}'. Fields: {stem} and "
        "{suffix} of the image's file name; {parent}, the folder that it lies in; {folder}, the "
        "subfolders below a folder or pattern that was given; {plane}, {channel} and {series} of "
        "the recipe. Default: {folder}/{stem}.",
        show_default=False,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Write again where the very results are there already, and over those of another "
        "image.",
    ),
]
Outputs = Annotated[
    str | None,
    typer.Option(
        "--write",
        "-w",
        metavar="KINDS",
        help="Which files to write, with commas between: labels, table, coco, geojson (QuPath), "
        "rois (ImageJ), overlay, zarr (labels in OME-Zarr), into-image (labels in the OME-Zarr "
        "image itself); recipe and provenance always. Default: "
        "labels,table,coco,overlay.",
        show_default=False,
    ),
]
PixelSize = Annotated[
    str | None,
    typer.Option(
        "--pixel-size",
        metavar="µM",
        help="Size of a pixel in micrometres, such as 0.325, or HEIGHT,WIDTH, where the file has "
        "none or a wrong one: tables then have areas in µm² and lengths in µm.",
        show_default=False,
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        "-r",
        metavar="FILE|PRESET",
        help="A recipe file, or a preset that `graysam recipe` lists. Default: raw.",
        autocompletion=complete_recipe,
        show_default=False,
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="A model that `graysam models` lists, instead of the recipe's.",
        autocompletion=complete_model,
        show_default=False,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help="Change a parameter, such as generator.points_per_side=16; may be repeated. "
        "`graysam recipe show --explain` lists all.",
        show_default=False,
    ),
]
RegionFile = Annotated[
    Path | None,
    typer.Option(
        "--region",
        metavar="FILE",
        help="Set points only inside: an image of the same size that is not 0 there, or GeoJSON. "
        "The same as --set image.region=FILE.",
        show_default=False,
    ),
]


def version() -> str:
    """Return the installed version."""
    try:
        return installed_version("napari-graysam")
    except PackageNotFoundError:
        return "(runs from its source, not installed)"


def chosen_kinds(text: str | None) -> tuple[Kind, ...]:
    """Return the files that ``--write`` asks for.

    Raises
    ------
    UsageError
        If there is no such kind.
    """
    from napari_graysam.outputs import USUAL, choose_kinds

    try:
        return USUAL if text is None else choose_kinds(name.strip() for name in text.split(","))
    except UsageError as error:
        raise UsageError(f"--write {text}: {error}") from None


def pixel_size_of(text: str | None) -> tuple[float, float] | None:
    """Return (height, width) of a pixel, as ``--pixel-size`` gives it.

    Raises
    ------
    UsageError
        If it is no positive number, or two.
    """
    from napari_graysam.source.physical import checked_size

    if text is None:
        return None
    try:
        sides = [float(side) for side in text.split(",")]
        return checked_size(sides[0] if len(sides) == 1 else sides)
    except (ValueError, ImageError):
        raise UsageError(
            f"--pixel-size {text}: expected positive micrometres, such as 0.325, or HEIGHT,WIDTH, "
            "such as 0.325,0.65"
        ) from None


def make_recipe(
    name: str | None,
    model: str | None = None,
    settings: list[str] | None = None,
    region: Path | None = None,
) -> Recipe:
    """Return the recipe that ``--recipe``, ``--model``, ``--set`` and ``--region`` ask for.

    Raises
    ------
    RecipeError
        If there is no such recipe, or a key or value is wrong.
    UsageError
        If the catalogue has no such model, or a setting is not ``key=value``.
    """
    recipe = read_recipe("raw" if name is None else name, _model(model))
    values = dict(_setting(text) for text in settings or ())
    recipe = recipe.with_values(values) if values else recipe
    if region is None:
        return recipe
    return recipe.replace(image=recipe.image.replace(region=str(region)))


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(
            f"--set {text!r} came; expected KEY=VALUE, such as --set generator.points_per_side=16"
        )
    return key.strip(), value


def _model(name: str | None) -> str | None:
    from napari_graysam.model import find_entry

    try:
        return None if name is None else find_entry(name).name
    except ModelError as error:
        raise UsageError(f"--model {name}: {error}") from None


def read_recipe(name: str, model: str | None = None) -> Recipe:
    """Return the recipe of a file, or the preset of that name, for a model of the catalogue.

    A file keeps its thresholds with any model; a preset's are made for its own model.

    Raises
    ------
    RecipeError
        If there is neither, or the file is not a valid recipe.
    """
    from napari_graysam.recipe import ModelOptions, recipe_of
    from napari_graysam.recipe.given import is_file

    recipe = recipe_of(name, model)
    if model is None or not is_file(name):
        return recipe
    options = ModelOptions(name=model, device=recipe.model.device, precision=recipe.model.precision)
    return recipe.replace(model=options)
