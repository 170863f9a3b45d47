"""One image of a batch: an error is an outcome, unless no image could do better."""

from __future__ import annotations

import traceback
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from napari_graysam.batch.jobs import Job, Outcome
from napari_graysam.batch.naming import clash
from napari_graysam.errors import DeviceError, GraysamError, ModelError
from napari_graysam.model import load_steps
from napari_graysam.model.identity import identify
from napari_graysam.progress import Progress

Event = tuple[Path, Progress | Outcome | str]
"""A stage of an image, what became of it, or a note on the batch as a whole."""


def attempt(job: Job, path: Path, *, overwrite: bool = False) -> Generator[Progress, None, Outcome]:
    """Work on one image, unless its results are there; only a model not to be had raises.

    With a cache the model is loaded when it turns out to be needed.
    """
    start = perf_counter()
    yield Progress("read", 0, 1)
    try:
        image = job.read(path)
        name = job.naming.name(path, job.recipe.image)
        if not overwrite and job.complete(path, image):
            return job.skipped(path)
        if not overwrite and (other := job.occupied(path, image)):
            return Outcome(path, "failed", clash(job.folder / name, image.record, other))
    except (ModelError, DeviceError):
        raise
    except Exception as error:
        return failed(path, error)
    if job.cache is None:
        yield from load_steps(job.recipe.model)
    else:
        identify(job.recipe.model)
    try:
        outcome = yield from job.steps(path, image)
    except ModelError:
        raise
    except Exception as error:
        return failed(path, error)
    return replace(outcome, seconds=perf_counter() - start, name=name)


def done_before(job: Job, path: Path) -> Outcome | None:
    """Return the outcome of an image whose very results are there, without a model.

    None of every other, and of one that cannot be read here: whoever works on it says why.
    """
    if not job.begun(path):
        return None
    try:
        if not job.complete(path, job.read(path)):
            return None
        return job.skipped(path)
    except Exception:
        return None


def failed(path: Path, error: Exception) -> Outcome:
    """Return the outcome of an error: its message, and a traceback if nobody foresaw it."""
    if isinstance(error, GraysamError):
        message = str(error)
        named = message if str(path) in message else f"{path}: {message}"
        return Outcome(path, "failed", named)
    reason = f"{path}: unexpected {type(error).__name__}: {error}"
    return Outcome(path, "failed", reason, "".join(traceback.format_exception(error)))
