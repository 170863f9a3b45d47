"""Whole stacks: their planes are the images of a batch, then they are linked and put together."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from time import perf_counter, time
from typing import Any

import numpy as np

from napari_graysam import outputs
from napari_graysam.atomic import remove_abandoned
from napari_graysam.batch.attempt import failed
from napari_graysam.batch.cached import candidates_folder
from napari_graysam.batch.cluster import Cluster
from napari_graysam.batch.filling import PlaneLabels, check_link, complete_steps, reported
from napari_graysam.batch.jobs import Outcome, Report, SegmentJob, open_cache
from napari_graysam.batch.naming import check_names, clash
from napari_graysam.batch.planes import PlaneJob
from napari_graysam.batch.run import batch_steps, check_folder
from napari_graysam.errors import (
    DeviceError,
    ImageError,
    ModelError,
    SchedulerError,
    UsageError,
)
from napari_graysam.outputs.earlier import other_place
from napari_graysam.outputs.stack import (
    place_of,
    stack_digest,
    stack_is_complete,
    write_stack,
)
from napari_graysam.outputs.stack_zarr import (
    check_stack_labels,
    stack_labels_are_there,
    write_stack_labels,
)
from napari_graysam.progress import Progress, run
from napari_graysam.recipe import GivenRecipe, recipe_of
from napari_graysam.source.places import is_address, path_of
from napari_graysam.source.stack import Stack

NEEDED: tuple[outputs.Kind, ...] = ("labels", "objects")


def segment_stack(
    image: Any,
    recipe: GivenRecipe,
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    on_progress: Callable[[Report], None] | None = None,
) -> Outcome:
    """Segment every plane of a stack, link the objects and write the results.

    Parameters
    ----------
    image
        The path of a file, or an array; planes are read one by one. Of a list of planes, all
        must have one size.
    recipe
        Its part ``stack`` says along which axis and how objects are linked.
    folder
        For ``NAME.labels.tif``, ``NAME.planes.csv`` and so on, and a folder ``NAME.planes`` with
        the results of every plane and their candidates, of at most 10 GiB: so another call with
        other thresholds needs no model. A call that was stopped goes on plane by plane.
    name
        Beginning of the files' names: the file's stem if omitted, ``stack`` for an array.
    on_progress
        Called with every `Report`.

    Raises
    ------
    GraysamError
        If the image is no stack, or the model or the recipe does not allow it; a plane that
        fails does not stop the others, and makes the outcome's ``status`` ``failed``.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe
    >>> from napari_graysam.batch import segment_stack
    >>> values = {"stack.axis": "z", "stack.link": "overlap", "generator.points_per_side": 4}
    >>> stack = np.stack([np.eye(64)] * 2)
    >>> outcome = segment_stack(stack, Recipe().with_values(values), "results", name="eye")
    >>> outcome.status, outcome.files["labels"].as_posix()
    ('done', 'results/eye.labels.tif')

    See Also
    --------
    stack_steps : Many stacks, with workers, to be cancelled.
    """
    opened = None
    path = path_of(image) if isinstance(image, str | os.PathLike) else Path(name or "stack")
    wanted = recipe_of(recipe)
    if not isinstance(image, str | os.PathLike):
        opened = Stack(image, wanted)
    job = SegmentJob(wanted, Path(folder))
    steps = _one(path, job, name or path.stem, opened, False, None, (0, 1))
    return run(steps, on_progress)


def stack_steps(
    paths: Sequence[Path],
    job: SegmentJob,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    cluster: Cluster | None = None,
) -> Generator[Report, None, list[Outcome]]:
    """Segment all planes of many stacks; parameters, reports and errors as of `batch_steps`."""
    job = job.absolute()
    check_names(paths, job.naming, job.recipe.image)
    check_folder(job.folder)
    given = cluster is not None or (scheduler is None and (workers is None or workers == 1))
    outcomes = []
    with nullcontext(cluster) if given else Cluster(workers, scheduler) as shared:
        for number, path in enumerate(paths):
            name = job.naming.name(path, job.recipe.image)
            try:
                steps = _one(path, job, name, None, overwrite, shared, (number, len(paths)))
                outcome = yield from steps
            except (ModelError, DeviceError, SchedulerError, UsageError):
                raise
            except Exception as error:
                outcome = failed(path, error)
            outcomes.append(outcome)
            yield Report(number + 1, len(paths), path, outcome=outcome)
    return outcomes


def check_place(path: Path) -> None:
    """Refuse a stack at an address: its planes would be looked for on this machine.

    Raises
    ------
    ImageError
        The message says what to do.
    """
    if is_address(path):
        raise ImageError(
            f"{path}: all planes of a stack are read from this machine only: copy it, or choose "
            "one with image.plane, without stack.axis."
        )


def _one(
    path: Path,
    job: SegmentJob,
    name: str,
    opened: Stack | None,
    overwrite: bool,
    cluster: Cluster | None,
    count: tuple[int, int],
) -> Generator[Report, None, Outcome]:
    start, began = perf_counter(), time()
    if opened is None:
        check_place(path)
    stack = opened or Stack(path, job.recipe, pixel_size=job.pixel_size)
    check_link(job.recipe, stack.axis)
    there = other_place(job.folder, name, place_of(stack))
    if there is not None and not overwrite:
        error = UsageError(clash(job.folder / name, place_of(stack), there))
        return replace(failed(path, error), name=name)
    folder = job.folder / f"{name}.planes"
    outputs.check_own_store(job.kinds, job.folder, name)
    if not overwrite:
        check_stack_labels(job.kinds, stack, name, place_of(stack))
    of_planes_only = {*job.kinds, *NEEDED}.difference(outputs.FOLDERS)
    kinds = tuple(kind for kind in outputs.KINDS if kind in of_planes_only)
    planes = [path.absolute() / stack.name(position) for position in stack.positions]
    yield Report(*count, path, step=Progress("window", 0, 1))
    if job.cache is None and job.cache_size:
        job = replace(job, cache=candidates_folder(job.folder, name))
    of_planes = PlaneJob(
        job.recipe, folder, job.cache, job.cache_size, kinds=kinds, pixel_size=job.pixel_size,
        stack=opened, window=stack.statistics(),
    )  # fmt: skip
    steps = batch_steps(planes, of_planes, overwrite=overwrite, cluster=cluster)
    try:
        while True:
            report = next(steps)
            # One line and one bar for the stack; its planes count as steps.
            step = Progress("planes", report.done, report.total)
            if report.outcome is None and report.step is not None and report.path is not None:
                step = report.step._replace(stage=f"{report.path.name}: {report.step.stage}")
            yield replace(report, done=count[0], total=count[1], path=path, step=step, outcome=None)
    except StopIteration as stop:
        outcomes: list[Outcome] = stop.value
    finally:
        steps.close()
    broken = [outcome for outcome in outcomes if outcome.status == "failed"]
    if broken:
        text = f"{len(broken)} of {len(outcomes)} planes failed: {_errors_of(broken, path)}."
        if len(broken) < len(outcomes):
            text += " The others are kept; the same call goes on from there."
        trace = broken[0].trace
        notes = _notes(outcomes)
        return Outcome(path, "failed", f"{path}: {text}", trace, notes=notes, name=name)
    outcome = yield from _assemble(
        path, job, name, stack, folder, outcomes, count, overwrite, start
    )
    remove_abandoned(job.folder, began, f"{name}.")
    for place in (folder, folder / "candidates"):
        remove_abandoned(place, began)
    return outcome


def _assemble(
    path: Path,
    job: SegmentJob,
    name: str,
    stack: Stack,
    folder: Path,
    outcomes: list[Outcome],
    count: tuple[int, int],
    overwrite: bool,
    start: float,
) -> Generator[Report, None, Outcome]:
    recipe, names = job.recipe, [stack.name(position) for position in stack.positions]
    digest = stack_digest(folder, stack, recipe)
    place = place_of(stack)
    whole = stack_is_complete(
        job.folder, name, stack.axis, digest, job.kinds
    ) and stack_labels_are_there(job.kinds, job.folder, name, place, digest)
    if whole and not overwrite and all(outcome.status == "skipped" for outcome in outcomes):
        return Outcome(path, "skipped", name=name)
    import pandas as pd

    tables = [pd.read_csv(folder / f"{one}.objects.csv") for one in names]
    planes = PlaneLabels(folder, names)
    steps = complete_steps(stack, planes, recipe, open_cache(job.cache, job.cache_size))
    complete = yield from reported(steps, count, path)
    links = complete.links
    yield Report(*count, path, step=Progress("write", 0, 1))
    window = stack.statistics()
    about = {
        "digest": digest,
        "image": stack.path,
        "axis": stack.axis,
        "positions": list(stack.positions),
        "pixel_size_um": stack.pixel_size,
        "spacing": stack.spacing,
        "window": recipe.stack.window,
        "window_ends": None if window is None or window.ends is None else list(window.ends),
        "window_without": [] if window is None else stack.named(window.without),
        "objects": links.count,
        "max_distance_px": [] if links.max_distance is None else [links.max_distance],
        "bridges": [list(bridge) for bridge in links.bridges],
        "filled": complete.sources,
        "lineage": [list(pair) for pair in links.lineage],
        "planes": folder.name,
    }
    table = complete.planes_table(stack, planes, tables)
    files = write_stack(
        stack, recipe, links, complete.painted(planes), table, job.folder, name, about, job.kinds
    )
    files |= write_stack_labels(
        job.kinds, stack, lambda: complete.painted(planes), files["objects"], job.folder, name,
        place, digest, overwrite=overwrite,
    )  # fmt: skip
    return Outcome(
        path,
        "done",
        objects=links.count,
        unmasked=float(np.mean([np.mean(plane == 0) for plane in complete.painted(planes)])),
        seconds=perf_counter() - start,
        files=files,
        notes=_notes(outcomes),
        name=name,
    )


def _errors_of(planes: Sequence[Outcome], path: Path) -> str:
    """Return why planes failed: at most five reasons, each once, without the path of the stack."""
    reasons: dict[str, list[str]] = {}
    for plane in planes:
        text = plane.error.removeprefix(f"{plane.path}: ")
        for one in (path, path.absolute()):
            text = text.removeprefix(f"{one}: ")
        reasons.setdefault(text, []).append(plane.path.name)
    told = []
    for text, names in list(reasons.items())[:5]:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        told.append(text if text.startswith("plane ") else f"{names[0]}{more}: {text}")
    return "; ".join(told).removesuffix(".")


def _notes(outcomes: Iterable[Outcome]) -> tuple[str, ...]:
    """Return the notes on all planes, each once."""
    return tuple(dict.fromkeys(note for outcome in outcomes for note in outcome.notes))
