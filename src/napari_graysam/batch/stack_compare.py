"""Both arms of whole stacks: each is segmented and linked, then they are compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.batch.arm_runs import Steps, arm_files, arm_job, counted, of_arm
from napari_graysam.batch.attempt import failed
from napari_graysam.batch.cluster import Cluster, cluster_of
from napari_graysam.batch.jobs import CompareJob, Outcome, Report
from napari_graysam.batch.naming import check_names
from napari_graysam.batch.run import check_folder
from napari_graysam.batch.stack import check_place, stack_steps
from napari_graysam.comparison import (
    StackComparison,
    VolumeScores,
    compare_volumes,
    score_volume,
)
from napari_graysam.errors import DeviceError, ModelError, SchedulerError, TruthError, UsageError
from napari_graysam.files import LabelPlanes
from napari_graysam.fingerprint import array_digest, digest_of
from napari_graysam.masks import ARMS, Arm
from napari_graysam.outputs.earlier import read_provenance, read_whole_comparison
from napari_graysam.outputs.stack_comparison import (
    stack_comparison_files,
    write_stack_comparison,
)
from napari_graysam.pipeline import make_view
from napari_graysam.progress import Progress, run
from napari_graysam.recipe import GivenRecipe, Recipe, recipe_of
from napari_graysam.results import notes_of_arms
from napari_graysam.source.places import path_of
from napari_graysam.source.stack import Stack


def compare_stack(
    image: str | os.PathLike[str],
    recipe: GivenRecipe,
    folder: str | os.PathLike[str],
    *,
    truth: str | os.PathLike[str] | None = None,
    on_progress: Callable[[Report], None] | None = None,
) -> Outcome:
    """Segment every plane of a stack raw and preprocessed, link both, and compare them.

    Parameters
    ----------
    image
        The path of a file.
    recipe
        As of `segment_stack`; the raw arm leaves its preprocessing out.
    folder
        For the results of both arms, ``NAME.raw.labels.tif`` and so on, and of the comparison:
        ``NAME.comparison.csv`` (objects), ``.planes.csv``, ``.tif`` (what became of the objects),
        ``.png`` and ``.json``. A call that was stopped goes on plane by plane.
    truth
        A label volume, against which both arms are scored: of all planes of the image, or of
        those that are segmented.
    on_progress
        Called with every `Report`.

    Returns
    -------
    Outcome
        ``changes`` counts whole objects, matched by the voxels that they share.

    Raises
    ------
    GraysamError
        As of `segment_stack`.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.batch import compare_stack
    >>> np.save("eyes.npy", np.stack([np.eye(64)] * 2))
    >>> values = {"stack.axis": "z", "stack.link": "overlap", "generator.points_per_side": 4}
    >>> recipe = Recipe.preset("low-contrast").with_values(values)
    >>> outcome = compare_stack("eyes.npy", recipe, "results")
    >>> sorted(outcome.changes), outcome.files["png"].name
    (['changed', 'gained', 'kept', 'lost', 'merged', 'split'], 'eyes.comparison.png')

    See Also
    --------
    compare_stack_steps : Many stacks, with workers, to be cancelled.
    napari_graysam.comparison.compare_volumes : Of two label volumes.
    """
    path = path_of(image)
    truths = {} if truth is None else {path.absolute(): Path(truth).absolute()}
    job = CompareJob(recipe_of(recipe), Path(folder), truths).absolute()
    check_folder(job.folder)
    return run(_one(path, job, False, None), on_progress)


def compare_stack_steps(
    paths: Sequence[Path],
    job: CompareJob,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Generator[Report, None, list[Outcome]]:
    """Compare both arms of many stacks; parameters, reports and errors as of `batch_steps`."""
    job = job.absolute()
    check_names(paths, job.naming, job.recipe.image)
    check_folder(job.folder)
    outcomes = []
    with cluster_of(workers, scheduler) as cluster:
        for number, path in enumerate(paths):
            try:
                steps = _one(path, job, overwrite, cluster)
                outcome = yield from counted(steps, number, len(paths))
            except (ModelError, DeviceError, SchedulerError, UsageError):
                raise
            except Exception as error:
                outcome = failed(path, error)
            outcomes.append(outcome)
            yield Report(number + 1, len(paths), path, outcome=outcome)
    return outcomes


def _one(path: Path, job: CompareJob, overwrite: bool, cluster: Cluster | None) -> Steps:
    start = perf_counter()
    check_place(path)
    name = job.naming.name(path, job.recipe.image)
    truth = job.truth.get(path.absolute())
    if truth is not None:
        # Before both arms are segmented in vain.
        _check_truth(truth, Stack(path, job.recipe, pixel_size=job.pixel_size))
    arms: dict[Arm, Outcome] = {}
    for arm in ARMS:
        steps = stack_steps([path], arm_job(job, arm), overwrite=overwrite, cluster=cluster)
        (arms[arm],) = yield from of_arm(steps, arm)
        if arms[arm].status == "failed":
            return replace(arms[arm], name=name)
    digest = _digest(job, name, truth)
    files = stack_comparison_files(job.folder, name)
    before = None if overwrite else read_whole_comparison(files, digest)
    if before is not None and all(outcome.status == "skipped" for outcome in arms.values()):
        scores = before.get("scores")
        return Outcome(path, "skipped", changes=before["counts"], scores=scores, name=name)
    yield Report(0, 1, path, step=Progress("compare", 0, 1))
    both = open_both(path, job, name)
    comparison, scores = both.compare(truth)
    yield Report(0, 1, path, step=Progress("write", 0, 1))
    about = {
        "digest": digest,
        "recipe": job.recipe.to_dict(),
        "provenance": {arm: read_provenance(job.folder, f"{name}.{arm}") for arm in ARMS},
        "truth": None if truth is None else str(truth),
    }
    files = write_stack_comparison(
        comparison, both.stack, job.folder, name, both.labels, both.views, about, scores
    )
    found = arms["preprocessed"]
    return Outcome(
        path,
        "done",
        objects=sum(comparison.count_objects("preprocessed").values()),
        unmasked=found.unmasked,
        seconds=perf_counter() - start,
        files=arm_files(arms) | files,
        changes={str(change): count for change, count in comparison.counts.items()},
        scores=None if scores is None else {str(arm): s.to_dict() for arm, s in scores.items()},
        notes=notes_of_arms(arms["raw"].notes, found.notes),
        name=name,
    )


def _digest(job: CompareJob, name: str, truth: Path | None) -> str:
    """Return what decides a comparison: the results of both arms, and the truth."""
    arms = [read_provenance(job.folder, f"{name}.{arm}")["stack"]["digest"] for arm in ARMS]
    planes = None if truth is None else [array_digest(one) for one in LabelPlanes.of_file(truth)]
    return digest_of(arms, planes)


def _open_truth(truth: Path, stack: Stack) -> tuple[LabelPlanes, Sequence[int]]:
    """Return the planes of a truth, and which of them are those that are segmented."""
    planes, wanted = LabelPlanes.of_file(truth), stack.positions
    if len(planes) == len(wanted):
        return planes, range(len(planes))
    if len(planes) <= max(wanted):
        raise TruthError(
            f"{truth}: expected a label volume of the stack's planes, "
            f"{len(wanted)} that are segmented or all; got {len(planes)}"
        )
    return planes, wanted


def _check_truth(truth: Path, stack: Stack) -> None:
    """Refuse a truth of other planes than those of a stack."""
    planes, numbers = _open_truth(truth, stack)
    for number in numbers:
        shape = planes[number].shape
        if shape != stack.shape:
            raise TruthError(
                f"{truth}: plane {number} has shape {shape}, but the planes of the image have "
                f"{stack.shape}; expected labels of the same height and width"
            )


@dataclass(frozen=True, eq=False)
class BothArms:
    """A stack, and the label volumes of both arms."""

    stack: Stack
    recipes: Mapping[Arm, Recipe]
    labels: Mapping[Arm, LabelPlanes]

    def compare(self, truth: Path | None) -> tuple[StackComparison, dict[Arm, VolumeScores] | None]:
        """Compare the arms, and score them where there is a truth."""
        axis: Any = self.stack.axis
        comparison = compare_volumes(
            self.labels["raw"],
            self.labels["preprocessed"],
            axis=axis,
            positions=list(self.stack.positions),
        )
        if truth is None:
            return comparison, None
        return comparison, {
            arm: score_volume(self.labels[arm], self._true_planes(truth)) for arm in ARMS
        }

    def _true_planes(self, truth: Path) -> Generator[NDArray[np.integer], None, None]:
        """Read the planes of the truth that are segmented."""
        planes, numbers = _open_truth(truth, self.stack)
        yield from (planes[at] for at in numbers)

    def views(self, position: int) -> dict[Arm, NDArray[np.uint8]]:
        """Return what each arm's model saw of a plane."""
        self.stack.use(self.stack.statistics())
        gray = self.stack.plane(position)
        return {arm: make_view(gray, recipe) for arm, recipe in self.recipes.items()}


def open_both(path: Path, job: CompareJob, name: str) -> BothArms:
    """Open a stack, and the label volumes of both arms that a run left under a name."""
    stack = Stack(path, job.recipe, pixel_size=job.pixel_size)
    labels = {arm: LabelPlanes.of_file(job.folder / f"{name}.{arm}.labels.tif") for arm in ARMS}
    recipes = {arm: arm_job(job, arm).recipe for arm in ARMS}
    return BothArms(stack, recipes, labels)
