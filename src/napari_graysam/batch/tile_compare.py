"""Both arms of images in tiles: each is segmented, then they are compared block by block."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from napari_graysam.batch.arm_runs import Steps, arm_files, arm_job, counted, of_arm
from napari_graysam.batch.attempt import failed
from napari_graysam.batch.cluster import Cluster, cluster_of
from napari_graysam.batch.jobs import CompareJob, Outcome, Report
from napari_graysam.batch.naming import check_names
from napari_graysam.batch.run import check_folder
from napari_graysam.batch.tiled_image import TiledImage
from napari_graysam.batch.tiles import tiled_reports
from napari_graysam.comparison.blocks import BLOCK, LabelSums, compare_sums, sum_blocks
from napari_graysam.errors import (
    DeviceError,
    DiskFullError,
    ImageError,
    ModelError,
    OutputError,
    SchedulerError,
    TruthError,
    UsageError,
)
from napari_graysam.files.any_objects import kind_of
from napari_graysam.fingerprint import array_digest, digest_of
from napari_graysam.limits import reading
from napari_graysam.masks import ARMS, Arm
from napari_graysam.outputs.earlier import read_provenance, read_whole_comparison
from napari_graysam.outputs.kinds import KINDS
from napari_graysam.outputs.tiled_comparison import (
    tiled_comparison_files,
    write_tiled_comparison,
)
from napari_graysam.progress import Progress, run
from napari_graysam.recipe import GivenRecipe, recipe_of
from napari_graysam.results import notes_of_arms
from napari_graysam.source.places import path_of
from napari_graysam.source.plane import Plane
from napari_graysam.source.pyramid import Pyramid, open_pyramid

if TYPE_CHECKING:
    import pandas as pd


def compare_tiled(
    image: str | os.PathLike[str],
    recipe: GivenRecipe,
    folder: str | os.PathLike[str],
    *,
    truth: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    on_progress: Callable[[Report], None] | None = None,
) -> Outcome:
    """Segment an image of any size in tiles, raw and preprocessed, and compare both arms.

    Parameters
    ----------
    image
        The path of an image.
    recipe
        As of `segment_tiled`; the raw arm leaves its preprocessing out. Both arms have the same
        tiles; a halo by a trial is that of the raw arm.
    folder
        For the results of both arms, ``NAME.raw.zarr`` and so on, and of the comparison:
        ``NAME.comparison.csv`` (objects), ``.png`` and ``.json``. A call that was stopped goes on
        there.
    truth
        A label image, against which both arms are scored.
    workers, scheduler, overwrite, on_progress
        As of `segment_tiled`.

    Returns
    -------
    Outcome
        ``changes`` counts objects, matched by the pixels that are seen of them.

    Raises
    ------
    GraysamError
        As of `segment_tiled`; and if the truth cannot be read or is of another size.

    See Also
    --------
    compare_tiled_steps : Many images, to be cancelled.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe
    >>> from napari_graysam.batch import compare_tiled
    >>> np.save("eye.npy", np.eye(96))
    >>> values = {"tiles.size": 64, "tiles.halo": 16, "generator.points_per_side": 4}
    >>> recipe = Recipe.preset("low-contrast").with_values(values)
    >>> outcome = compare_tiled("eye.npy", recipe, "results")
    >>> sorted(outcome.changes), outcome.files["png"].name
    (['changed', 'gained', 'kept', 'lost', 'merged', 'split'], 'eye.comparison.png')
    """
    path = path_of(image)
    truths = {} if truth is None else {path.absolute(): path_of(truth).absolute()}
    job = CompareJob(recipe_of(recipe), Path(folder), truths).absolute()
    check_folder(job.folder)
    with cluster_of(workers, scheduler) as cluster:
        return run(_one(path, job, overwrite, cluster), on_progress)


def compare_tiled_steps(
    paths: Sequence[Path],
    job: CompareJob,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Generator[Report, None, list[Outcome]]:
    """Compare both arms of images in tiles; parameters, reports and errors as of `batch_steps`."""
    job = job.absolute()
    check_names(paths, job.naming, job.recipe.image)
    check_folder(job.folder)
    outcomes = []
    with cluster_of(workers, scheduler) as cluster:
        for number, path in enumerate(paths):
            name = job.naming.name(path, job.recipe.image)
            try:
                steps = _one(path, job, overwrite, cluster)
                outcome = yield from counted(steps, number, len(paths))
            except (ModelError, DeviceError, DiskFullError, SchedulerError, UsageError):
                raise
            except Exception as error:
                outcome = replace(failed(path, error), name=name)
            outcomes.append(outcome)
            yield Report(number + 1, len(paths), path, outcome=outcome)
    return outcomes


def _one(path: Path, job: CompareJob, overwrite: bool, cluster: Cluster | None) -> Steps:
    start = perf_counter()
    name = job.naming.name(path, job.recipe.image)
    pyramid = open_pyramid(path.absolute(), job.recipe.image.series)
    # Before both arms are segmented in vain.
    truth = _open_truth(job, path, pyramid)
    kinds = tuple(kind for kind in KINDS if kind in {*job.kinds, "objects"})
    arms: dict[Arm, TiledImage] = {}
    ended: dict[Arm, Outcome] = {}
    halo = None
    for arm in ARMS:
        arms[arm] = TiledImage(
            path, arm_job(job, arm, kinds), f"{name}.{arm}", pyramid, overwrite, cluster, halo
        )
        ended[arm] = yield from of_arm(tiled_reports(arms[arm], (0, 1)), arm)
        if ended[arm].status == "failed":
            return replace(ended[arm], name=name)
        halo = read_provenance(job.folder, f"{name}.{arm}")["tiles"]["halo"]
    about = {arm: read_provenance(job.folder, f"{name}.{arm}") for arm in ARMS}
    true = None if truth is None else _digest_of_plane(truth)
    digest = digest_of([_decides(about[arm]) for arm in ARMS], true)
    files = tiled_comparison_files(job.folder, name)
    before = None if overwrite else read_whole_comparison(files, digest)
    if before is not None and all(outcome.status == "skipped" for outcome in ended.values()):
        found = before.get("scores")
        return Outcome(path, "skipped", changes=before["counts"], scores=found, name=name)
    labels = {arm: open_pyramid(arms[arm].labels) for arm in ARMS}
    sums = yield from _sums(path, labels, truth)
    size = about["raw"]["image"]["pixel_size_um"]
    comparison = compare_sums(
        sums,
        (_table(arms["raw"]), _table(arms["preprocessed"])),
        pixel_size=None if size is None else (size[0], size[1]),
    )
    yield Report(0, 1, path, step=Progress("write", 0, 1))
    scores = sums.scores
    window = about["raw"]["image"]["window"]
    files = write_tiled_comparison(
        comparison,
        job.folder,
        name,
        labels,
        (pyramid, job.recipe, window["low"], window["high"]),
        {
            "digest": digest,
            "recipe": job.recipe.to_dict(),
            "provenance": about,
            "unmasked": {arm: about[arm]["unmasked"] for arm in ARMS},
            "truth": true,
        },
        scores,
    )
    return Outcome(
        path,
        "done",
        objects=about["preprocessed"]["objects"],
        unmasked=about["preprocessed"]["unmasked"],
        seconds=perf_counter() - start,
        files=arm_files(ended) | files,
        changes={str(change): count for change, count in comparison.counts.items()},
        scores=None if scores is None else {str(arm): s.to_dict() for arm, s in scores.items()},
        notes=notes_of_arms(*(about[arm]["selection"]["notes"] for arm in ARMS)),
        name=name,
    )


def _open_truth(job: CompareJob, path: Path, pyramid: Pyramid) -> Plane | None:
    """Open the truth of an image, of which nothing is read yet."""
    truth = job.truth.get(path.absolute())
    if truth is None:
        return None
    if kind_of(truth) is not None:
        raise TruthError(
            f"{truth} holds outlines or masks; expected, for an image in tiles, a label image: "
            "TIFF, NumPy or OME-Zarr labels"
        )
    try:
        plane = open_pyramid(truth).plane()
    except ImageError as error:
        raise TruthError(f"{truth}: {error}") from error
    shape = pyramid.plane(job.recipe.image, job.recipe.tiles.level).shape
    if plane.shape != shape or plane.dtype.kind not in "iu":
        raise TruthError(
            f"{truth} is {plane.dtype} {plane.shape}; expected a label image of whole numbers "
            f"with the shape {shape} of the image"
        )
    return plane


def _digest_of_plane(plane: Plane) -> str:
    rows, columns = plane.shape
    bands = (slice(top, min(top + BLOCK, rows)) for top in range(0, rows, BLOCK))
    return digest_of(*(array_digest(plane[band, slice(0, columns)]) for band in bands))


def _decides(about: Mapping[str, Any]) -> list[Any]:
    """Return what decides the labels of an arm, and what its table says in micrometres."""
    size = about["image"]["pixel_size_um"]
    return [about["fingerprint"]["stages"], about["tiles"]["digest"], size]


def _sums(
    path: Path, labels: Mapping[Arm, Pyramid], truth: Plane | None
) -> Generator[Report, None, LabelSums]:
    """Read the labels of both arms, and the truth, block by block."""
    steps = sum_blocks(labels["raw"].plane(), labels["preprocessed"].plane(), truth)
    while True:
        try:
            yield Report(0, 1, path, step=next(steps))
        except StopIteration as stop:
            sums: LabelSums = stop.value
            return sums
        except TruthError as error:
            raise TruthError(f"{path}, or its truth: {error}") from error


def _table(one: TiledImage) -> pd.DataFrame:
    import pandas as pd

    path = one.file("objects")
    advice = "Delete it and run the same command again."
    with reading(path, "the table of an arm", OutputError, advice):
        return pd.read_csv(path)
