"""``graysam segment`` and ``graysam compare``: many images, one recipe."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_graysam.cli.options import (
    AsJson,
    Debug,
    Images,
    ModelName,
    Out,
    Quiet,
    RecipeName,
    RegionFile,
    Settings,
    by_stem,
    expand,
    label_files,
    make_recipe,
    stem_of,
)
from napari_graysam.cli.terminal import Terminal, table
from napari_graysam.errors import UsageError
from napari_graysam.profile import Profile

if TYPE_CHECKING:
    from napari_graysam.batch import Outcome, Report


def segment(
    images: Images,
    out: Out,
    recipe: RecipeName = None,
    model: ModelName = None,
    settings: Settings = None,
    region: RegionFile = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Processes that share the images; each holds one model."
        ),
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Dask scheduler to use instead, such as tcp://host:8786. Its workers must see "
            "the images and DIR under the same paths.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Segment again where the very results are there already."),
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the candidate masks of every image: another run with other "
            "thresholds then needs no model. Takes some 10 to 800 MB an image.",
            show_default=False,
        ),
    ] = None,
    cache_size: Annotated[
        float,
        typer.Option(
            min=0, metavar="GB", help="Size of that folder; what was used longest ago is removed."
        ),
    ] = 10.0,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show time and peak memory by stage.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Segment images: labels, object tables, COCO, overlays and the recipe, for each.

    A run that was stopped goes on where it ended: images whose results are there, of the same
    pixels, recipe, model and versions, are skipped.
    """
    with Terminal(as_json, quiet, debug) as terminal:
        if scheduler is not None and workers != 1:
            raise UsageError("--workers and --scheduler exclude each other: the scheduler decides")
        if profile and (scheduler is not None or workers != 1):
            raise UsageError("--profile measures this process: leave --workers and --scheduler out")
        paths = expand(images)
        wanted = make_recipe(recipe, model, settings, region)
        from napari_graysam.batch import SegmentJob, batch_steps

        steps = batch_steps(
            paths,
            SegmentJob(wanted, out, cache, int(cache_size * 1e9)),
            overwrite=overwrite,
            workers=workers,
            scheduler=scheduler,
        )
        with Profile() as costs:
            outcomes = follow(terminal, steps, costs)
        stages = {"stages": [asdict(cost) for cost in costs.stages.values()]} if profile else {}
        shown = [costs_table(costs)] if profile and not quiet else []
        terminal.result(document(outcomes) | stages, *shown)


def compare(
    images: Images,
    out: Out,
    recipe: RecipeName,
    model: ModelName = None,
    settings: Settings = None,
    region: RegionFile = None,
    truth: Annotated[
        list[str] | None,
        typer.Option(
            "--truth",
            "-t",
            metavar="LABELS",
            help="Ground truth: a label image, a pattern, or a folder, matched to the images by "
            "their names; may be repeated.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Segment images raw and preprocessed, and show what the preprocessing changed."""
    with Terminal(as_json, quiet, debug) as terminal:
        paths = expand(images)
        wanted = make_recipe(recipe, model, settings, region)
        truths = match_truth(paths, truth or [])
        if wanted == wanted.raw_arm():
            terminal.note("The recipe preprocesses nothing: both arms will be the same.")
        from napari_graysam.batch import CompareJob, batch_steps

        outcomes = follow(terminal, batch_steps(paths, CompareJob(wanted, out, truths)))
        shown = [] if quiet else [changes_table(outcomes)]
        terminal.result(document(outcomes), *shown)


def match_truth(images: list[Path], truth: list[str]) -> dict[Path, Path]:
    """Find each image's ground truth by its name; one image takes one file of any name.

    Raises
    ------
    UsageError
        If an image has none although some was given.
    """
    files: list[Path] = []
    for path in expand(truth):
        files += label_files(path) if path.is_dir() else [path]
    if len(images) == len(files) == 1:
        return {images[0]: files[0]}
    labels = by_stem(files)
    missing = [str(image) for image in images if image.stem not in labels]
    if truth and missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise UsageError(
            f"--truth has no labels for {', '.join(missing[:5])}{more}; a label image is named "
            f"like its image, such as {Path(missing[0]).stem}.tif"
        )
    return {image: labels[image.stem] for image in images} if truth else {}


def follow(
    terminal: Terminal, steps: Generator[Report, None, list[Outcome]], costs: Profile | None = None
) -> list[Outcome]:
    """Run a batch, show where it is, and tell of every image that ended."""
    with closing(steps), terminal.bars() as bars:
        while True:
            try:
                report = next(steps)
            except StopIteration as stop:
                outcomes: list[Outcome] = stop.value
                return outcomes
            if report.total > 1:
                bars.show("images", "images", report.done, report.total)
            if report.step is not None and costs is not None:
                costs.report(report.step)
            if report.step is not None:
                bars.step(report.step, f"{report.path.name}: " if report.path else "")
            if report.outcome is not None:
                tell(terminal, report.outcome)


def costs_table(costs: Profile) -> Any:
    """Return the time and memory of every stage."""
    total = sum(cost.seconds for cost in costs.stages.values()) or 1.0
    rows = [
        [
            cost.stage,
            f"{cost.seconds:.2f}",
            f"{cost.seconds / total:.0%}",
            f"{cost.peak / 1e6:.0f}" if cost.peak else "",
        ]
        for cost in costs.stages.values()
    ]
    columns = ("stage", "seconds", "share", "peak MB")
    return table(*columns, rows=rows, numbers=columns[1:])


def tell(terminal: Terminal, outcome: Outcome) -> None:
    """Say in one line what became of an image."""
    if outcome.status == "failed":
        terminal.fail(outcome.error, outcome.trace)
        return
    if outcome.status == "skipped":
        terminal.note(f"{outcome.path}: skipped, its results are complete (--overwrite repeats)")
        return
    count = "1 object" if outcome.objects == 1 else f"{outcome.objects} objects"
    for note in outcome.notes:
        terminal.note(f"{outcome.path}: note: {note}")
    terminal.note(
        f"{outcome.path}: {count}, {outcome.unmasked or 0:.0%} unmasked, {outcome.seconds:.1f} s"
    )


def document(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return outcomes as plain values."""
    images = [
        {
            "path": str(outcome.path),
            "status": outcome.status,
            "error": outcome.error or None,
            "objects": outcome.objects,
            "unmasked": outcome.unmasked,
            "seconds": round(outcome.seconds, 3),
            "files": {kind: str(path) for kind, path in outcome.files.items()},
            "notes": list(outcome.notes),
            **({} if outcome.changes is None else {"changes": dict(outcome.changes)}),
            **({} if outcome.scores is None else {"scores": dict(outcome.scores)}),
        }
        for outcome in outcomes
    ]
    counts = {
        status: sum(image["status"] == status for image in images)
        for status in ("done", "skipped", "failed")
    }
    return {**counts, "images": images}


def changes_table(outcomes: Iterable[Outcome]) -> Any:
    """Return the changes of every compared image, and its scores where there is a truth."""
    done = [outcome for outcome in outcomes if outcome.changes is not None]
    scored = any(outcome.scores for outcome in done)
    changes = list(done[0].changes or ()) if done else []
    ap = ["AP50 raw", "AP50 preprocessed"] if scored else []
    rows = [
        [
            stem_of(outcome.path),
            *(_ap50(outcome, arm) for arm in ("raw", "preprocessed") if scored),
            *(outcome.changes or {}).values(),
        ]
        for outcome in done
    ]
    return table("image", *ap, *changes, rows=rows, numbers=[*ap, *changes])


def _ap50(outcome: Outcome, arm: str) -> str:
    if not outcome.scores:
        return ""
    return f"{outcome.scores[arm]['average_precision']['0.50']:.3f}"
