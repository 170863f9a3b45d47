"""The runs of both arms, one after the other, of what is compared by its files."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias, TypeVar

from napari_graysam.batch.jobs import CompareJob, Outcome, Report, SegmentJob
from napari_graysam.masks import Arm
from napari_graysam.outputs.kinds import Kind

Value = TypeVar("Value")
Steps: TypeAlias = Generator[Report, None, Outcome]


def arm_job(job: CompareJob, arm: Arm, kinds: tuple[Kind, ...] | None = None) -> SegmentJob:
    """Return the job of one arm, whose results are called ``NAME.raw.…`` and so on."""
    recipe = job.recipe.raw_arm() if arm == "raw" else job.recipe.preprocessed_arm()
    naming = replace(job.naming, pattern=f"{job.naming.pattern}.{arm}")
    wanted = job.kinds if kinds is None else kinds
    return SegmentJob(recipe, job.folder, job.cache, job.cache_size, naming, wanted, job.pixel_size)


def of_arm(steps: Generator[Report, None, Value], arm: Arm) -> Generator[Report, None, Value]:
    """Pass on the reports of an arm without its outcome."""
    try:
        while True:
            report = next(steps)
            step = report.step and report.step._replace(stage=f"{arm}: {report.step.stage}")
            if report.outcome is None:
                yield replace(report, step=step)
    except StopIteration as stop:
        value: Value = stop.value
        return value
    finally:
        steps.close()


def counted(steps: Steps, done: int, total: int) -> Steps:
    """Pass on reports of one image as those of the whole batch."""
    try:
        while True:
            yield replace(next(steps), done=done, total=total)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome
    finally:
        steps.close()


def arm_files(arms: Mapping[Arm, Outcome]) -> dict[str, Path]:
    """Return the files of both arms by kind, such as ``raw.labels``."""
    return {
        f"{arm}.{kind}": path
        for arm, outcome in arms.items()
        for kind, path in outcome.files.items()
    }
