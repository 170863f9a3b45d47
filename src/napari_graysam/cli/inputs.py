"""The files that a command works on: images, their ground truth, and no results among them."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from napari_graysam.errors import GraysamError, ImageError, UsageError
from napari_graysam.source.kinds import is_zarr
from napari_graysam.source.places import is_address, path_of

LABEL_ENDING = re.compile(r"[._ -](cp_)?(masks?|labels?|gt|truth|seg|segmentation)$", re.I)
"""How the names of label images go on after the name of their image."""


def expand(patterns: list[str]) -> list[Path]:
    """Return the files that names and patterns mean, each once, in the order given.

    Shells of Windows pass patterns on as they are. A name that is a file is never read as a
    pattern; what is neither stays in the list, so that it is reported as missing.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        for path in _expand_one(pattern):
            found.setdefault(os.path.abspath(path), path)
    return list(found.values())


def search_roots(patterns: list[str], *, recursive: bool = False) -> tuple[Path, ...]:
    """Return the folders whose subfolders are searched: those of patterns and, if so, given ones.

    Examples
    --------
    >>> [root.as_posix() for root in search_roots(["data/*/cells_?.tif", "cells.tif", "*.tif"])]
    ['data', '.']
    """
    roots = []
    for pattern in patterns:
        if os.path.lexists(pattern):
            roots += [Path(pattern)] if recursive and os.path.isdir(pattern) else []
        elif glob.has_magic(pattern) and not is_address(pattern):
            parts = Path(pattern).parts
            fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
            roots.append(Path(*parts[:fixed]))
    return tuple(roots)


def expand_images(patterns: list[str], *, recursive: bool = False) -> list[Path]:
    """Return the images that names, patterns and folders mean, each once.

    A folder without any stays in the list, so that it is reported and the others are done.
    """
    from napari_graysam.source.folder import image_files

    found: list[Path] = []
    for path in expand(patterns):
        try:
            inside = image_files(path, recursive=recursive) if path.is_dir() else [path]
        except ImageError:
            inside = [path]
        found += inside
    return list({os.path.abspath(path): path for path in found}.values())


def _expand_one(pattern: str) -> list[Path]:
    if os.path.lexists(pattern) or is_address(pattern) or not glob.has_magic(pattern):
        return [path_of(pattern)]
    matches = sorted(
        path
        for path in glob.glob(pattern, recursive=True)
        if os.path.isfile(path) or (os.path.isdir(path) and is_zarr(path))
    )
    return [Path(match) for match in matches] or [Path(pattern)]


def split_results(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Separate images from those that an earlier run wrote: the recipe lies beside these."""
    results = [path for path in paths if _is_result(path)]
    return [path for path in paths if path not in results], results


def _is_result(path: Path) -> bool:
    beside = {
        ".labels.tif": ".recipe.yaml",
        ".overlay.png": ".recipe.yaml",
        ".comparison.png": ".comparison.json",
        ".comparison.tif": ".comparison.json",
    }
    for suffix, witness in beside.items():
        if path.name.endswith(suffix):
            return path.with_name(path.name.removesuffix(suffix) + witness).is_file()
    if not path.with_suffix(".recipe.yaml").is_file():
        return False
    from napari_graysam.source.label_store import holds_labels_only

    # An image may well be called as its results are: what is in the store tells them apart.
    return is_zarr(path) and holds_labels_only(path)


def stem_of(path: Path) -> str:
    """Return what an image, a result and its ground truth share: ``cell`` of ``cell_mask.tif``."""
    stem = path.stem.removesuffix(".labels").removesuffix(".coco").removesuffix(".rois")
    return LABEL_ENDING.sub("", stem) or stem


def by_stem(paths: list[Path]) -> dict[str, Path]:
    """Index label images by their stems.

    Raises
    ------
    UsageError
        If two have the same.
    """
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(stem_of(path), path)
        if other is not path:
            raise UsageError(f"{other} and {path} are both labels of {stem_of(path)!r}: give one")
    return found


def label_files(folder: Path) -> list[Path]:
    """Return a folder's label images: ``*.labels.tif``, else ``*_mask.*``, else all images.

    A Zarr folder is one itself.

    Raises
    ------
    GraysamError
        If there are none.
    """
    if is_zarr(folder):
        return [folder]
    suffixes = (".tif", ".tiff", ".png", ".bmp", ".npy")
    images = sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix.lower() in suffixes and not path.name.startswith(".")
    )
    named = [path for path in images if path.stem.endswith(".labels")]
    if not images:
        raise GraysamError(f"{folder} holds no label images ({', '.join(suffixes)})")
    return named or [path for path in images if LABEL_ENDING.search(path.stem)] or images


def match_truth(images: list[Path], truth: list[str], *, stacks: bool = False) -> dict[Path, Path]:
    """Find each image's ground truth by its name; one image takes one file of any name.

    Parameters
    ----------
    images
        Whose truth it is.
    truth
        Files, patterns and folders.
    stacks
        Whether all planes of the images are meant: a folder that holds no file of an image's name
        is then a label volume, one file a plane.

    Raises
    ------
    UsageError
        If an image has none although some was given.
    """
    from napari_graysam.files.any_objects import kind_of

    stems = {stem_of(image) for image in images}
    files: list[Path] = []
    for path in expand(truth):
        inside = label_files(path) if path.is_dir() else [path]
        volume = stacks and path.is_dir() and not any(stem_of(one) in stems for one in inside)
        files += [path] if volume else inside
    if len(images) == len(files) == 1:
        return {images[0]: files[0]}
    names: dict[str, Path] = {}
    for image in images if truth else ():
        other = names.setdefault(stem_of(image), image)
        if other is not image:
            raise UsageError(
                f"{other} and {image} have the same name, by which --truth is found; compare them "
                "in two calls"
            )
    if len(files) == 1 and kind_of(files[0]) == "coco":
        return dict.fromkeys(images, files[0])
    labels = by_stem(files)
    missing = [str(image) for image in images if stem_of(image) not in labels]
    if truth and missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        example = Path(missing[0]).stem
        kinds = (
            f"{example}.tif, or {example} for a folder of its planes"
            if stacks
            else f"{example}.tif"
        )
        raise UsageError(
            f"--truth has no labels for {', '.join(missing[:5])}{more}; labels are named like "
            f"their image, such as {kinds}"
        )
    return {image: labels[stem_of(image)] for image in images} if truth else {}
