"""The demo: every sample raw and preprocessed, scored, tabled and drawn."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from time import perf_counter
from typing import Any

from numpy.typing import NDArray

from napari_graysam import pipeline
from napari_graysam.atomic import atomic_path, write_text
from napari_graysam.batch import CompareJob, Outcome, Report, check_folder, compare_stack_steps
from napari_graysam.batch.stack_compare import open_both
from napari_graysam.comparison import compare_labels
from napari_graysam.demo.pictures import Picture, Row, Strip, overview, strip_of
from napari_graysam.errors import GraysamError, UsageError
from napari_graysam.masks import ARMS, Arm
from napari_graysam.model import load_steps
from napari_graysam.outputs import write_comparison
from napari_graysam.outputs.stack_comparison import busiest_plane, stack_comparison_files
from napari_graysam.progress import Progress, renamed
from napari_graysam.recipe import Recipe
from napari_graysam.samples import Sample, samples


@dataclass(frozen=True)
class DemoResult:
    """Rows of the samples that worked, errors of the others, and the overall files by kind.

    ``files`` holds ``picture`` (demo.png), ``csv`` and ``json``.
    """

    rows: tuple[Row, ...]
    errors: tuple[str, ...]
    files: dict[str, Path]


def demo_steps(
    out: Path, names: Sequence[str] | None = None
) -> Generator[Progress, None, DemoResult]:
    """Compare every sample raw and preprocessed with the bundled model.

    Parameters
    ----------
    out
        Folder for the results; it gets ``demo.png``, ``summary.csv``, ``summary.json`` and every
        sample's files as `napari_graysam.outputs.write_comparison` and, of stacks,
        `napari_graysam.batch.compare_stack` write them.
    names
        Samples to use; all if omitted.

    Yields
    ------
    Progress
        Stages of each sample, which begin with its name; ``samples`` after each.

    Raises
    ------
    UsageError
        If there is no sample of a name.
    OutputError
        If the folder cannot be written.
    ModelError, DeviceError
        If the bundled model cannot be loaded.
    """
    check_folder(out)
    chosen = _choose(names)
    yield from load_steps(Recipe.preset().model)
    strips: list[Strip] = []
    errors: list[str] = []
    for number, sample in enumerate(chosen, start=1):
        try:
            compare = compare_sample if sample.axis is None else _compare_stack
            strips.append((yield from renamed(compare(sample, out), sample.name)))
        except GraysamError as error:
            errors.append(f"sample {sample.name}: {error}")
        yield Progress("samples", number, len(chosen))
    yield Progress("write", 0, 1)
    files = _write_summary(out, [strip.row for strip in strips], errors)
    if strips:
        files["picture"] = out / "demo.png"
        figure = overview(strips)
        with atomic_path(files["picture"]) as temporary:
            figure.savefig(temporary)
    yield Progress("write", 1, 1)
    return DemoResult(tuple(strip.row for strip in strips), tuple(errors), files)


def _choose(names: Sequence[str] | None) -> list[Sample]:
    known = samples()
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise UsageError(f"there is no sample {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in (known if names is None else names)]


def compare_sample(sample: Sample, out: Path) -> Generator[Progress, None, Strip]:
    """Compare one image in both ways, write its files, and return its row and pictures."""
    start = perf_counter()
    recipe = Recipe.preset(sample.preset)
    arms = yield from pipeline.compare_steps(sample.load(), recipe, truth=sample.truth())
    write_comparison(arms, out, sample.name)
    raw_scores = None if arms.scores is None else arms.scores["raw"]
    scores = None if arms.scores is None else arms.scores["preprocessed"]
    row = Row(
        sample=sample.name,
        title=sample.title,
        preset=sample.preset,
        ap50_raw=None if raw_scores is None else raw_scores.average_precision[0],
        ap50_preprocessed=None if scores is None else scores.average_precision[0],
        objects_true=None if scores is None else scores.n_true,
        objects_raw=len(arms.raw.masks),
        objects_preprocessed=len(arms.preprocessed.masks),
        seconds=round(perf_counter() - start, 2),
        **arms.changes.counts,
    )
    views: dict[Arm, Picture] = {"raw": arms.raw.view, "preprocessed": arms.preprocessed.view}
    labels: dict[Arm, NDArray[Any]] = {
        "raw": arms.raw.labels,
        "preprocessed": arms.preprocessed.labels,
    }
    return strip_of(row, arms.changes, views, labels)


def _compare_stack(sample: Sample, out: Path) -> Generator[Progress, None, Strip]:
    """Compare all planes of a sample stack; the pictures are of the plane with most changes."""
    start = perf_counter()
    with sample.path() as image, sample.path("labels") as truth:
        job = CompareJob(sample.recipe(), out, {image.absolute(): truth.absolute()})
        (outcome,) = yield from _progress(compare_stack_steps([image], job))
        if outcome.status == "failed":
            raise GraysamError(outcome.error)
        text = stack_comparison_files(out, outcome.name)["json"].read_text(encoding="utf-8")
        both, compared = open_both(image, job, outcome.name), json.loads(text)
        number = busiest_plane(compared["planes"])
        axis, position = compared["axis"], both.stack.positions[number]
        views = both.views(position)
    found = {arm: both.labels[arm][number] for arm in ARMS}
    objects = {arm: sum(compared["objects"][arm].values()) for arm in ARMS}
    raw, preprocessed = (compared["scores"][arm] for arm in ARMS)
    row = Row(
        sample=sample.name,
        title=f"{sample.title}, {axis} {position}",
        preset=sample.preset,
        ap50_raw=raw["average_precision"]["0.50"],
        ap50_preprocessed=preprocessed["average_precision"]["0.50"],
        objects_true=preprocessed["n_true"],
        objects_raw=objects["raw"],
        objects_preprocessed=objects["preprocessed"],
        seconds=round(perf_counter() - start, 2),
        **compared["counts"],
    )
    return strip_of(row, compare_labels(found["raw"], found["preprocessed"]), views, found)


def _progress(
    steps: Generator[Report, None, list[Outcome]],
) -> Generator[Progress, None, list[Outcome]]:
    while True:
        try:
            report = next(steps)
        except StopIteration as stop:
            outcomes: list[Outcome] = stop.value
            return outcomes
        if report.step is not None:
            yield report.step


def _write_summary(out: Path, rows: Sequence[Row], errors: Sequence[str]) -> dict[str, Path]:
    content = io.StringIO()
    writer = csv.DictWriter(content, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    document = {"samples": [asdict(row) for row in rows], "errors": list(errors)}
    texts = {
        "csv": content.getvalue(),
        "json": json.dumps(document, indent=2, allow_nan=False) + "\n",
    }
    files = {kind: out / f"summary.{kind}" for kind in texts}
    for kind, text in texts.items():
        write_text(files[kind], text)
    return files
