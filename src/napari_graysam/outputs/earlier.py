"""What an earlier run left under a name: the very result, or that of another image."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from napari_graysam.fingerprint import Fingerprint, array_digest
from napari_graysam.masks import Arm
from napari_graysam.outputs.kinds import (
    ALWAYS,
    COMPARISON,
    ENDINGS,
    FOLDERS,
    KINDS,
    USUAL,
    Kind,
)
from napari_graysam.outputs.zarr import labels_are_there
from napari_graysam.source.gray import GrayImage

Folder = str | os.PathLike[str]


def is_complete(
    folder: Folder,
    stem: str,
    fingerprint: Fingerprint,
    kinds: Collection[Kind] = USUAL,
    *,
    image: GrayImage | None = None,
) -> bool:
    """Tell whether `write_segmentation` has written everything of this very result.

    Parameters
    ----------
    folder, stem, kinds
        As for `write_segmentation`.
    fingerprint
        Of the result that is wanted.
    image
        Whose pixel size the result must have, which is in its files but decides no object; not
        looked at if omitted.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, segment, write_segmentation
    >>> recipe = Recipe().with_values({"generator.points_per_side": 4})
    >>> result = segment(np.eye(64), recipe)
    >>> paths = write_segmentation(result, "results", "eye")
    >>> is_complete("results", "eye", result.fingerprint)
    True
    >>> is_complete("results", "eye", result.fingerprint, ["labels", "geojson"])
    False
    >>> is_complete("results", "eye", segment(np.eye(48), recipe).fingerprint)
    False

    See Also
    --------
    napari_graysam.pipeline.fingerprint_of : The fingerprint that a run would give.
    """
    provenance = read_provenance(folder, stem)
    record = None if image is None else image.record
    if not same_result(provenance, fingerprint, record):
        return False
    if not set(kinds).issubset(written_kinds(provenance)):
        return False
    files = [kind for kind in kinds if kind not in FOLDERS]
    if not all((Path(folder) / f"{stem}.{ENDINGS[kind]}").is_file() for kind in (*files, *ALWAYS)):
        return False
    return labels_are_there(kinds, folder, stem, provenance["image"], fingerprint.digest)


def is_compared(
    folder: Folder,
    stem: str,
    fingerprints: Mapping[Arm, Fingerprint],
    kinds: Collection[Kind] = USUAL,
    *,
    truth: str | None = None,
    image: GrayImage | None = None,
) -> bool:
    """Tell whether `write_comparison` has written everything of these very results.

    Parameters
    ----------
    folder, stem, kinds, image
        As for `is_complete`.
    fingerprints
        Of both arms.
    truth
        `array_digest` of the ground truth that they are scored against; any or none if omitted.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, compare, write_comparison
    >>> recipe = Recipe.preset("low-contrast").with_values({"generator.points_per_side": 4})
    >>> arms = compare(np.eye(64), recipe)
    >>> paths = write_comparison(arms, "results", "eye")
    >>> wanted = {"raw": arms.raw.fingerprint, "preprocessed": arms.preprocessed.fingerprint}
    >>> is_compared("results", "eye", wanted)
    True
    >>> is_compared("results", "eye", wanted, truth="of another run")
    False
    """
    found = read_comparison(folder, stem)
    if not found or truth not in (None, found.get("truth")):
        return False
    return all(
        (Path(folder) / f"{stem}.comparison.{kind}").is_file() for kind in COMPARISON
    ) and all(
        is_complete(folder, f"{stem}.{arm}", fingerprint, kinds, image=image)
        for arm, fingerprint in fingerprints.items()
    )


def read_comparison(folder: Folder, stem: str) -> dict[str, Any]:
    """Return what `write_comparison` wrote about two arms; nothing where that is damaged."""
    try:
        found = json.loads((Path(folder) / f"{stem}.comparison.json").read_bytes())
        return {**found, "counts": dict(found["counts"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def read_whole_comparison(paths: Mapping[str, Path], digest: str) -> dict[str, Any] | None:
    """Return the JSON among a comparison's files if all are there, with this digest; else None."""
    try:
        found: dict[str, Any] = json.loads(paths["json"].read_bytes())
        same = found["digest"] == digest and isinstance(found["counts"], dict)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if same and all(path.is_file() for path in paths.values()) else None


def read_provenance(folder: Folder, stem: str) -> dict[str, Any]:
    """Return what `write_segmentation` wrote about a result; nothing where that is damaged."""
    try:
        found = json.loads((Path(folder) / f"{stem}.{ENDINGS['provenance']}").read_bytes())
        return {**found, "image": dict(found["image"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def written_kinds(provenance: Mapping[str, Any]) -> tuple[Kind, ...]:
    """Return the kinds of files that belong to a result, without those that always do."""
    if not provenance:
        return ()
    named = provenance.get("files", USUAL)
    return tuple(kind for kind in KINDS if kind in named)


def same_result(
    provenance: Mapping[str, Any], fingerprint: Fingerprint, image: Mapping[str, Any] | None
) -> bool:
    """Tell whether provenance is that of a result, of an image with the same size of a pixel."""
    try:
        written = Fingerprint.model_validate(provenance["fingerprint"])
    except (KeyError, TypeError, ValueError):
        return False
    size = ("pixel_size", "pixel_unit") if image is not None else ()
    same = all(provenance["image"].get(key) == (image or {}).get(key) for key in size)
    return same and written.digest == fingerprint.digest


def other_image(folder: Folder, stem: str, image: GrayImage) -> dict[str, Any] | None:
    """Return the record of the image whose results have a name, if that is another image.

    The same plane and channel of the same file is the same image, whatever it holds now; and so
    are the same pixels, wherever they lie.

    Parameters
    ----------
    folder, stem
        As for `write_segmentation`.
    image
        Of `napari_graysam.read_image`, whose results shall have that name.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, read_image, segment, write_segmentation
    >>> recipe = Recipe().with_values({"generator.points_per_side": 4})
    >>> for name, pixels in (("a", np.eye(64)), ("copy", np.eye(64)), ("b", np.eye(48))):
    ...     np.save(f"{name}.npy", pixels)
    >>> _ = write_segmentation(segment(read_image("a.npy"), recipe), "results", "eye")
    >>> other_image("results", "eye", read_image("copy.npy")) is None
    True
    >>> other_image("results", "eye", read_image("b.npy"))["path"]
    'a.npy'

    See Also
    --------
    is_complete : Whether the results are those of a certain run.
    """
    there = other_place(folder, stem, image.record)
    if there is None or there.get("digest") == array_digest(image.raw):
        return None
    return there


def other_place(folder: Folder, stem: str, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the record of the image whose results have a name, if it lies elsewhere.

    Parameters
    ----------
    folder, stem
        As for `write_segmentation`.
    record
        Path, series, channel and plane of the image whose results shall have that name.
    """
    there: dict[str, Any] = read_provenance(folder, stem).get("image", {})
    return None if not there or _place(there) == _place(record) else there


def _place(record: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what tells images of one file apart; the only plane is the first one."""
    path = record.get("path")
    where = os.path.abspath(path) if isinstance(path, str) else path
    return where, record.get("series") or 0, record.get("channel"), record.get("plane") or 0
