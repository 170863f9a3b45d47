"""Many images, where one failure stops none of the others."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from napari_graysam.batch.attempt import Event, attempt, done_before
from napari_graysam.batch.cluster import Cluster
from napari_graysam.batch.jobs import Job, Outcome, Report
from napari_graysam.batch.naming import check_names
from napari_graysam.batch.shared import on_dask
from napari_graysam.errors import OutputError
from napari_graysam.progress import Progress


def batch_steps(
    paths: Sequence[Path],
    job: Job,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    cluster: Cluster | None = None,
) -> Generator[Report, None, list[Outcome]]:
    """Work on many images; closing the generator cancels and leaves nothing half-written.

    Parameters
    ----------
    paths
        Image files. The names of their results, by ``job.naming``, must differ.
    job
        What to do with each.
    overwrite
        Whether to work on images again whose very results are there.
    workers
        Processes of a local Dask cluster, one thread and one model each; the processor's cores
        are shared among them. None or 1: in this process, one image after the other.
    scheduler
        Address of a Dask scheduler to use instead. Its workers must have napari-graysam and
        see the images and the output folder under the same paths.
    cluster
        Used, and left open, in place of ``workers`` and ``scheduler``.

    Yields
    ------
    Report
        Stages of the current image (in this process only), and every outcome as it comes.

    Returns
    -------
    list of Outcome
        In the order of `paths`. An image that fails does not stop the others.

    Raises
    ------
    UsageError
        If the results of two images would have the same name, or the scheduler's address cannot
        be one.
    OutputError
        If the output folder cannot be one.
    ModelError, DeviceError, DownloadError
        If the model cannot be loaded: then no image can be done.
    SchedulerError
        If the scheduler cannot be reached, has no workers, or goes while it works.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe
    >>> from napari_graysam.batch import SegmentJob
    >>> for name in ("one", "two"):
    ...     np.save(f"{name}.npy", np.eye(64))
    >>> recipe = Recipe().with_values({"generator.points_per_side": 4})
    >>> job = SegmentJob(recipe, Path("results"))
    >>> paths = [Path("one.npy"), Path("two.npy")]
    >>> [report.outcome.status for report in batch_steps(paths[:1], job) if report.outcome]
    ['done']
    >>> [report.outcome.status for report in batch_steps(paths, job) if report.outcome]
    ['skipped', 'done']

    See Also
    --------
    napari_graysam.segment : One image.
    """
    job = job.absolute()
    check_names(paths, job.naming, job.recipe.image)
    check_folder(job.folder)
    total = len(paths)
    ended: dict[Path, Outcome] = {}
    if cluster is not None:
        events = _shared(paths, job, cluster, overwrite)
    elif scheduler is None and (workers is None or workers == 1):
        events = _in_turn(paths, job, overwrite)
    else:
        events = _on_own_cluster(paths, job, Cluster(workers, scheduler), overwrite)
    for path, event in events:
        if isinstance(event, Progress):
            yield Report(len(ended), total, path, step=event)
        elif isinstance(event, str):
            yield Report(len(ended), total, note=event)
        else:
            ended[path] = event
            yield Report(len(ended), total, path, outcome=event)
    return [ended[path] for path in paths]


def check_folder(folder: Path) -> None:
    """Refuse an output folder that cannot be made or written, without making it.

    Raises
    ------
    OutputError
        If it, or what it should lie in, is a file or may not be written.
    """
    place = next((place for place in (folder, *folder.absolute().parents) if place.exists()), None)
    if place is not None and not place.is_dir():
        raise OutputError(f"cannot write to {folder}: {place} is a file; choose another folder")
    try:
        # Rights alone do not tell: /proc and shares of a network grant what they then refuse.
        with TemporaryDirectory(prefix=".graysam-", dir=place):
            pass
    except OSError as error:
        why = error.strerror or error
        raise OutputError(
            f"cannot write to {folder}: in {place}, no folder can be made ({why}); choose another"
        ) from error


def _on_own_cluster(
    paths: Sequence[Path], job: Job, cluster: Cluster, overwrite: bool
) -> Generator[Event, None, None]:
    with cluster:
        yield from _shared(paths, job, cluster, overwrite)


def _shared(
    paths: Sequence[Path], job: Job, cluster: Cluster, overwrite: bool
) -> Generator[Event, None, None]:
    """Share images among processes; none is started for what is done already."""
    left: list[Path] = []
    for path in paths:
        outcome = None if overwrite else done_before(job, path)
        if outcome is None:
            left.append(path)
        else:
            yield path, outcome
    if cluster.scheduler is None and len(left) < 2:
        yield from _in_turn(left, job, overwrite)
    elif left:
        yield from on_dask(left, job, cluster, overwrite=overwrite)


def _in_turn(paths: Sequence[Path], job: Job, overwrite: bool) -> Generator[Event, None, None]:
    for path in paths:
        steps = attempt(job, path, overwrite=overwrite)
        try:
            while True:
                yield path, next(steps)
        except StopIteration as stop:
            yield path, stop.value
        finally:
            steps.close()
