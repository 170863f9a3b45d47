"""``graysam segment`` and ``graysam compare``: many images, one recipe."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_graysam.cli.command import command
from napari_graysam.cli.inputs import expand_images, match_truth, search_roots, split_results
from napari_graysam.cli.options import (
    Images,
    ModelName,
    NamePattern,
    Out,
    Outputs,
    OutUnlessPlan,
    Overwrite,
    PixelSize,
    RecipeName,
    Recursive,
    RegionFile,
    Settings,
    chosen_kinds,
    make_recipe,
    pixel_size_of,
)
from napari_graysam.cli.plans import show_plans
from napari_graysam.cli.report import changes_table, costs_table, document, tell
from napari_graysam.cli.sharing import (
    GB,
    CacheFolder,
    CacheSize,
    Scheduler,
    Workers,
    check_one_piece,
    check_sharing,
)
from napari_graysam.cli.terminal import Terminal
from napari_graysam.errors import UsageError
from napari_graysam.profile import Profile

if TYPE_CHECKING:
    from napari_graysam.batch import Naming, Outcome, Report


NUMBER = re.compile(r" \d+/\d+(?=: )")
"""Which of how many tiles a stage belongs to."""


@command
def segment(
    terminal: Terminal,
    images: Images,
    out: OutUnlessPlan = None,
    recursive: Recursive = False,
    recipe: RecipeName = None,
    model: ModelName = None,
    settings: Settings = None,
    region: RegionFile = None,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    name: NamePattern = None,
    write: Outputs = None,
    pixel_size: PixelSize = None,
    overwrite: Overwrite = False,
    cache: CacheFolder = None,
    cache_size: CacheSize = 10.0,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show time and peak memory by stage.")
    ] = False,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Of images in tiles, print tiles, points, time, memory and disk, from one timed "
            "tile, without running.",
        ),
    ] = False,
) -> None:
    """Segment images: labels, object tables, COCO, overlays and the recipe, for each.

    A run that was stopped goes on where it ended: images whose results are there, of the same
    pixels, recipe, model and versions, are skipped. Images too large for one piece are segmented
    in tiles (tiles.use), with labels in DIR/NAME.zarr, and go on tile by tile.
    """
    with terminal:
        check_sharing(workers, scheduler)
        if profile and (scheduler is not None or workers != 1):
            raise UsageError("--profile measures this process: leave --workers and --scheduler out")
        paths = images_of(terminal, images, recursive)
        wanted = make_recipe(recipe, model, settings, region)
        if wanted.stack.axis != "none":
            check_one_piece(wanted, "planes of stacks are segmented")
        if plan:
            show_plans(terminal, paths, wanted, workers, int(cache_size * GB))
            return
        if out is None:
            raise UsageError("give --out DIR, a folder for the results; only --plan needs none")
        from napari_graysam.batch import SegmentJob, image_steps, stack_steps

        naming = naming_of(name, images, recursive)
        kinds, size = chosen_kinds(write), pixel_size_of(pixel_size)
        steps = (image_steps if wanted.stack.axis == "none" else stack_steps)(
            paths,
            SegmentJob(wanted, out, cache, int(cache_size * GB), naming, kinds, size, overwrite),
            overwrite=overwrite,
            workers=workers,
            scheduler=scheduler,
        )
        with Profile() as costs:
            outcomes = follow(terminal, steps, costs)
        stages = {"stages": [asdict(cost) for cost in costs.stages.values()]} if profile else {}
        shown = [costs_table(costs)] if profile and not terminal.quiet else []
        summarize(terminal, outcomes)
        terminal.result(document(outcomes) | stages, *shown)


@command
def compare(
    terminal: Terminal,
    images: Images,
    out: Out,
    recipe: RecipeName,
    recursive: Recursive = False,
    model: ModelName = None,
    settings: Settings = None,
    region: RegionFile = None,
    truth: Annotated[
        list[str] | None,
        typer.Option(
            "--truth",
            "-t",
            metavar="LABELS",
            help="Ground truth: a label image, COCO, GeoJSON or ROI file, a pattern, or a folder, "
            "matched to the images by their names; of a stack also the folder of its planes; may "
            "be repeated.",
            show_default=False,
        ),
    ] = None,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    name: NamePattern = None,
    write: Outputs = None,
    pixel_size: PixelSize = None,
    overwrite: Overwrite = False,
    cache: CacheFolder = None,
    cache_size: CacheSize = 10.0,
) -> None:
    """Segment images raw and preprocessed, and show what the preprocessing changed.

    A run that was stopped goes on where it ended, as with segment; images that are skipped are in
    the table too. Images too large for one piece are compared in tiles.
    """
    with terminal:
        check_sharing(workers, scheduler)
        paths = images_of(terminal, images, recursive)
        wanted = make_recipe(recipe, model, settings, region)
        if wanted.stack.axis != "none":
            check_one_piece(wanted, "stacks are compared")
        truths = match_truth(paths, truth or [], stacks=wanted.stack.axis != "none")
        if not wanted.preprocesses:
            terminal.note("The recipe preprocesses nothing: both arms will be the same.")
        from napari_graysam.batch import CompareJob, compare_image_steps, compare_stack_steps

        naming = naming_of(name, images, recursive)
        kinds, size = chosen_kinds(write), pixel_size_of(pixel_size)
        budget = int(cache_size * GB)
        job = CompareJob(wanted, out, truths, naming, kinds, size, cache, budget, overwrite)
        work = compare_image_steps if wanted.stack.axis == "none" else compare_stack_steps
        steps = work(paths, job, overwrite=overwrite, workers=workers, scheduler=scheduler)
        outcomes = follow(terminal, steps)
        compared = any(outcome.changes is not None for outcome in outcomes)
        shown = [changes_table(outcomes)] if compared and not terminal.quiet else []
        summarize(terminal, outcomes)
        terminal.result(document(outcomes), *shown)


def images_of(terminal: Terminal, patterns: list[str], recursive: bool) -> list[Path]:
    """Return the images that are meant, without the results of earlier runs among them.

    Raises
    ------
    UsageError
        If nothing else is left.
    """
    paths, results = split_results(expand_images(patterns, recursive=recursive))
    if results and not paths:
        raise UsageError(
            f"{results[0]} is a result of graysam, as is all else that was given; give the images"
        )
    if results:
        more = f" and {len(results) - 1} more" if len(results) > 1 else ""
        terminal.note(f"Left out, results of an earlier run: {results[0]}{more}")
    return paths


def naming_of(pattern: str | None, images: list[str], recursive: bool) -> Naming:
    """Return how results are named: by ``--name``, with the subfolders below what was given."""
    from napari_graysam.batch import Naming

    roots = search_roots(images, recursive=recursive)
    return Naming(roots=roots) if pattern is None else Naming(pattern, roots)


def summarize(terminal: Terminal, outcomes: list[Outcome]) -> None:
    """Say in one line how a batch of several images ended."""
    if len(outcomes) < 2:
        return
    counts = {
        status: sum(outcome.status == status for outcome in outcomes)
        for status in ("done", "skipped", "failed")
    }
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    terminal.note(f"{len(outcomes)} images: {told}")


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
                # Of an image in tiles, the same stage of all tiles counts as one.
                costs.report(report.step._replace(stage=NUMBER.sub("", report.step.stage)))
            if report.step is not None:
                bars.step(report.step, f"{report.path.name}: " if report.path else "")
            if report.note:
                terminal.note(report.note)
            if report.outcome is not None:
                tell(terminal, report.outcome)
