"""What a run leaves in a folder: every file whole, the recipe last."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from napari_graysam.atomic import atomic_path, write_text
from napari_graysam.comparison import comparison_csv, comparison_figure, comparison_json
from napari_graysam.documents import dump_json
from napari_graysam.files import (
    write_coco,
    write_geojson,
    write_labels,
    write_overlay,
    write_rois,
    write_table,
)
from napari_graysam.outputs.earlier import read_provenance, same_result, written_kinds
from napari_graysam.outputs.kinds import (
    ALWAYS,
    COMPARISON,
    ENDINGS,
    FOLDERS,
    INTO_IMAGE,
    KINDS,
    OF_STACKS,
    USUAL,
    Kind,
    choose_kinds,
)
from napari_graysam.outputs.zarr import check_free, check_own_store, remove_store, write_labels_zarr
from napari_graysam.results import Arms, Segmentation

Folder = str | os.PathLike[str]
Write = Callable[[Path], None]


def write_segmentation(
    segmentation: Segmentation,
    folder: Folder,
    stem: str,
    kinds: Iterable[str] = USUAL,
    *,
    overwrite: bool = False,
) -> dict[str, Path]:
    """Write what is wanted of one result, and always its provenance and recipe.

    Files of another result that an earlier call wrote under this name, and this one does not,
    are removed.

    Parameters
    ----------
    segmentation
        The result.
    folder
        Created where it is missing.
    stem
        Beginning of every file's name. The image's name in COCO, GeoJSON and ROI files is that
        of its own file; the stem for an image that came as an array.
    kinds
        ``labels`` (label image), ``objects`` or ``table`` (CSV), ``coco`` (masks with their
        overlaps), ``geojson`` (outlines for QuPath), ``rois`` (for ImageJ), ``overlay`` (picture),
        ``zarr`` (OME-Zarr labels, ``STEM.zarr/labels/STEM``), ``into-image`` (the same in
        the OME-Zarr image itself).
    overwrite
        Whether ``into-image`` replaces labels of that name, which the image has already.

    Returns
    -------
    dict
        Paths of the kinds, of ``provenance`` and of ``recipe``. The recipe is written last:
        where it is, the others are whole (see `is_complete`).

    Raises
    ------
    OutputError
        If a file cannot be written.
    UsageError
        If there is no such kind.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, read_labels, segment, write_segmentation
    >>> result = segment(np.eye(64), Recipe().with_values({"generator.points_per_side": 4}))
    >>> paths = write_segmentation(result, "results", "eye", ["labels", "geojson"])
    >>> paths["labels"].as_posix(), list(paths)
    ('results/eye.labels.tif', ['labels', 'geojson', 'provenance', 'recipe'])
    >>> bool((read_labels(paths["labels"]) == result.labels).all())
    True

    See Also
    --------
    is_complete : Whether everything of a result is there.
    """
    return _write(segmentation, folder, stem, stem, choose_kinds(kinds), overwrite)


def _write(
    segmentation: Segmentation,
    folder: Folder,
    stem: str,
    image_name: str,
    kinds: tuple[Kind, ...],
    overwrite: bool,
) -> dict[str, Path]:
    """Do as `write_segmentation`; ``image_name`` is that of an image without a file."""
    earlier = read_provenance(folder, stem)
    belonging = set(written_kinds(earlier))
    if INTO_IMAGE in kinds and not overwrite:
        check_free(stem, segmentation.provenance["image"], segmentation.fingerprint.digest)
    check_own_store(kinds, folder, stem)
    files = [kind for kind in kinds if kind not in FOLDERS]
    paths = {kind: Path(folder) / f"{stem}.{ENDINGS[kind]}" for kind in (*files, *ALWAYS)}
    paths["recipe"].unlink(missing_ok=True)
    if not same_result(earlier, segmentation.fingerprint, segmentation.provenance["image"]):
        if "zarr" in belonging.difference(kinds):
            remove_store(folder, stem)
        for outdated in belonging.difference(kinds, FOLDERS):
            (Path(folder) / f"{stem}.{ENDINGS[outdated]}").unlink(missing_ok=True)
        for ending in OF_STACKS if "stack" in earlier else ():
            (Path(folder) / f"{stem}.{ending}").unlink(missing_ok=True)
        belonging.clear()
    belonging.update(kinds)
    provenance = {
        "files": [kind for kind in KINDS if kind in belonging],
        **segmentation.provenance,
    }
    writers = _writers(segmentation, image_name) | {
        "provenance": lambda path: write_text(path, dump_json(provenance))
    }
    recipe = paths.pop("recipe")
    for kind, path in paths.items():
        writers[kind](path)
    for folder_kind in (kind for kind in FOLDERS if kind in kinds):
        place = write_labels_zarr(segmentation, folder_kind, folder, stem, overwrite=overwrite)
        paths[folder_kind] = place
    writers["recipe"](recipe)
    return paths | {"recipe": recipe}


def _writers(segmentation: Segmentation, image_name: str) -> dict[str, Write]:
    """Return what writes each kind of file."""
    masks, recipe, labels = segmentation.masks, segmentation.recipe, segmentation.labels
    image = segmentation.provenance["image"]
    name = Path(image.get("path") or image_name).name
    size, plane = image.get("pixel_size"), image.get("plane")
    shape = (labels.shape[0], labels.shape[1])
    plain = recipe.to_dict()
    return {
        "labels": lambda path: write_labels(
            path,
            labels,
            recipe=recipe.to_yaml(),
            pixel_size=(size[0], size[1]) if size else None,
            unit=image.get("pixel_unit"),
            table=segmentation.table,
        ),
        "objects": lambda path: write_table(
            path, segmentation.table, pixel_size=segmentation.pixel_size
        ),
        "coco": lambda path: write_coco(path, masks, name, shape, plain),
        "geojson": lambda path: write_geojson(
            path, masks, shape, plain, table=segmentation.table, image_name=name
        ),
        "rois": lambda path: write_rois(
            path,
            masks,
            shape,
            plain,
            table=segmentation.table,
            image_name=name,
            position=0 if plane is None else plane + 1,
        ),
        "overlay": lambda path: write_overlay(path, segmentation.view, labels),
        "recipe": recipe.to_file,
    }


def write_comparison(
    arms: Arms,
    folder: Folder,
    stem: str,
    kinds: Iterable[str] = USUAL,
    *,
    overwrite: bool = False,
) -> dict[str, Path]:
    """Write both arms and their comparison as JSON, CSV and picture.

    Parameters
    ----------
    arms
        The result of both arms.
    folder, stem, kinds, overwrite
        As for `write_segmentation`; the arms' files are named ``STEM.raw.…`` and
        ``STEM.preprocessed.…``. Each arm has a COCO file of its own, with the same image.

    Returns
    -------
    dict
        Paths by kind, those of the arms as ``raw.labels`` and so on. The JSON is written last:
        where it is, the others are whole (see `is_compared`).

    Raises
    ------
    OutputError
        If a file cannot be written.
    UsageError
        If there is no such kind.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, compare, write_comparison
    >>> recipe = Recipe.preset("low-contrast").with_values({"generator.points_per_side": 4})
    >>> paths = write_comparison(compare(np.eye(64), recipe), "results", "eye")
    >>> paths["png"].as_posix(), paths["raw.labels"].as_posix()
    ('results/eye.comparison.png', 'results/eye.raw.labels.tif')

    See Also
    --------
    write_segmentation : One result.
    """
    paths: dict[str, Path] = {}
    chosen = choose_kinds(kinds)
    if INTO_IMAGE in chosen and not overwrite:
        for arm, result in (("raw", arms.raw), ("preprocessed", arms.preprocessed)):
            check_free(f"{stem}.{arm}", result.provenance["image"], result.fingerprint.digest)
    comparison = {kind: Path(folder) / f"{stem}.comparison.{kind}" for kind in COMPARISON}
    comparison["json"].unlink(missing_ok=True)
    for arm, result in (("raw", arms.raw), ("preprocessed", arms.preprocessed)):
        written = _write(result, folder, f"{stem}.{arm}", stem, chosen, overwrite)
        paths |= {f"{arm}.{kind}": path for kind, path in written.items()}
    extra = {
        "recipe": arms.preprocessed.recipe.to_dict(),
        "provenance": {
            "raw": arms.raw.provenance,
            "preprocessed": arms.preprocessed.provenance,
        },
        "unmasked": {"raw": arms.raw.unmasked, "preprocessed": arms.preprocessed.unmasked},
        "truth": arms.truth,
    }
    write_text(comparison["csv"], comparison_csv(arms.changes))
    figure = comparison_figure(
        arms.changes,
        {"raw": arms.raw.labels, "preprocessed": arms.preprocessed.labels},
        {"raw": arms.raw.view, "preprocessed": arms.preprocessed.view},
        title=stem,
        scores=arms.scores,
    )
    with atomic_path(comparison["png"]) as temporary:
        figure.savefig(temporary)
    write_text(comparison["json"], comparison_json(arms.changes, arms.scores, **extra))
    return paths | comparison
