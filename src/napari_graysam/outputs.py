"""What a run leaves in a folder: every file whole, the recipe last."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from napari_graysam.atomic import atomic_path, write_text
from napari_graysam.comparison import comparison_csv, comparison_figure, comparison_json
from napari_graysam.documents import dump_json
from napari_graysam.files import write_coco, write_labels, write_overlay, write_table
from napari_graysam.fingerprint import Fingerprint, array_digest
from napari_graysam.results import Arms, Segmentation
from napari_graysam.source.gray import GrayImage

Folder = str | os.PathLike[str]
Write = Callable[[Path], None]
_KINDS = {
    "labels": "labels.tif",
    "objects": "objects.csv",
    "coco": "coco.json",
    "overlay": "overlay.png",
    "provenance": "provenance.json",
    "recipe": "recipe.yaml",
}


def write_segmentation(segmentation: Segmentation, folder: Folder, stem: str) -> dict[str, Path]:
    """Write labels, table, COCO masks, overlay, provenance and recipe of one result.

    Parameters
    ----------
    segmentation
        The result.
    folder
        Created where it is missing.
    stem
        Beginning of every file's name. COCO's ``file_name`` is that of the image's own file; the
        stem for an image that came as an array.

    Returns
    -------
    dict
        Paths of ``labels``, ``objects``, ``coco``, ``overlay``, ``provenance`` and ``recipe``.
        The recipe is written last: where it is, the others are whole (see `is_complete`).

    Raises
    ------
    OutputError
        If a file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, read_labels, segment, write_segmentation
    >>> result = segment(np.eye(64), Recipe().with_values({"generator.points_per_side": 4}))
    >>> paths = write_segmentation(result, "results", "eye")
    >>> paths["labels"].as_posix(), len(paths)
    ('results/eye.labels.tif', 6)
    >>> bool((read_labels(paths["labels"]) == result.labels).all())
    True

    See Also
    --------
    is_complete : Whether everything of a result is there.
    """
    return _write(segmentation, folder, stem, stem)


def _write(
    segmentation: Segmentation, folder: Folder, stem: str, image_name: str
) -> dict[str, Path]:
    """Do as `write_segmentation`; ``image_name`` is that of an image without a file."""
    recipe = segmentation.recipe
    image = segmentation.provenance["image"]
    name = Path(image.get("path") or image_name).name
    size = image.get("pixel_size")
    shape = (segmentation.labels.shape[0], segmentation.labels.shape[1])
    writers: dict[str, Write] = {
        "labels": lambda path: write_labels(
            path,
            segmentation.labels,
            recipe=recipe.to_yaml(),
            pixel_size=(size[0], size[1]) if size else None,
            unit=image.get("pixel_unit"),
            table=segmentation.table,
        ),
        "objects": lambda path: write_table(path, segmentation.table),
        "coco": lambda path: write_coco(path, segmentation.masks, name, shape, recipe.to_dict()),
        "overlay": lambda path: write_overlay(path, segmentation.view, segmentation.labels),
        "provenance": lambda path: write_text(path, dump_json(segmentation.provenance)),
        "recipe": recipe.to_file,
    }
    paths = {kind: Path(folder) / f"{stem}.{_KINDS[kind]}" for kind in writers}
    paths["recipe"].unlink(missing_ok=True)
    for kind, write in writers.items():
        write(paths[kind])
    return paths


def write_comparison(arms: Arms, folder: Folder, stem: str) -> dict[str, Path]:
    """Write both arms and their comparison as JSON, CSV and picture.

    Parameters
    ----------
    arms
        The result of both arms.
    folder, stem
        As for `write_segmentation`; the arms' files are named ``STEM.raw.…`` and
        ``STEM.preprocessed.…``. Each arm has a COCO file of its own, with the same image.

    Returns
    -------
    dict
        Paths by kind, those of the arms as ``raw.labels`` and so on.

    Raises
    ------
    OutputError
        If a file cannot be written.

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
    for arm, result in (("raw", arms.raw), ("preprocessed", arms.preprocessed)):
        written = _write(result, folder, f"{stem}.{arm}", stem)
        paths |= {f"{arm}.{kind}": path for kind, path in written.items()}
    extra = {
        "recipe": arms.preprocessed.recipe.to_dict(),
        "provenance": {
            "raw": arms.raw.provenance,
            "preprocessed": arms.preprocessed.provenance,
        },
        "unmasked": {"raw": arms.raw.unmasked, "preprocessed": arms.preprocessed.unmasked},
    }
    texts = {
        "json": comparison_json(arms.changes, arms.scores, **extra),
        "csv": comparison_csv(arms.changes),
    }
    for kind, text in texts.items():
        paths[kind] = Path(folder) / f"{stem}.comparison.{kind}"
        write_text(paths[kind], text)
    paths["png"] = Path(folder) / f"{stem}.comparison.png"
    figure = comparison_figure(
        arms.changes,
        {"raw": arms.raw.labels, "preprocessed": arms.preprocessed.labels},
        {"raw": arms.raw.view, "preprocessed": arms.preprocessed.view},
        title=stem,
        scores=arms.scores,
    )
    with atomic_path(paths["png"]) as temporary:
        figure.savefig(temporary)
    return paths


def is_complete(folder: Folder, stem: str, fingerprint: Fingerprint) -> bool:
    """Tell whether `write_segmentation` has written everything of this very result.

    Parameters
    ----------
    folder, stem
        As for `write_segmentation`.
    fingerprint
        Of the result that is wanted.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, segment, write_segmentation
    >>> recipe = Recipe().with_values({"generator.points_per_side": 4})
    >>> result = segment(np.eye(64), recipe)
    >>> paths = write_segmentation(result, "results", "eye")
    >>> is_complete("results", "eye", result.fingerprint)
    True
    >>> is_complete("results", "eye", segment(np.eye(48), recipe).fingerprint)
    False

    See Also
    --------
    napari_graysam.pipeline.fingerprint_of : The fingerprint that a run would give.
    """
    paths = {kind: Path(folder) / f"{stem}.{suffix}" for kind, suffix in _KINDS.items()}
    if not all(path.is_file() for path in paths.values()):
        return False
    try:
        written = json.loads(paths["provenance"].read_bytes())["fingerprint"]
        return Fingerprint.model_validate(written).digest == fingerprint.digest
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


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
    try:
        provenance = json.loads((Path(folder) / f"{stem}.{_KINDS['provenance']}").read_bytes())
        there: dict[str, Any] = dict(provenance["image"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if _place(there) == _place(image.record) or there.get("digest") == array_digest(image.raw):
        return None
    return there


def _place(record: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what tells images of one file apart; the only plane is the first one."""
    path = record.get("path")
    where = os.path.abspath(path) if isinstance(path, str) else path
    return where, record.get("series") or 0, record.get("channel"), record.get("plane") or 0
