"""``graysam tune``: the best thresholds, or preprocessing, for what is known of some images."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_graysam.cli.command import command
from napari_graysam.cli.inputs import expand, stem_of
from napari_graysam.cli.options import (
    Images,
    ModelName,
    Out,
    RecipeName,
    Settings,
    make_recipe,
)
from napari_graysam.cli.terminal import Terminal, table
from napari_graysam.errors import GraysamError, OutputError, UsageError

if TYPE_CHECKING:
    from napari_graysam.recipe import Recipe
    from napari_graysam.tune import Truth, Tuning


_NO_TRUTH = (
    "--truth is missing, and nothing is tuned without: what could stand in for it, agreement of "
    "the arms and stability under other contrast, picked worse thresholds than the presets have "
    "(docs/missed.md). Paint a few objects (--partial), or list clicks in a YAML file."
)


@command
def tune(
    terminal: Terminal,
    images: Images,
    out: Out,
    truth: Annotated[
        list[Path] | None,
        typer.Option(
            "--truth",
            "-t",
            metavar="LABELS|CLICKS",
            help="What is known of the images: a label image each, in their order, a folder of "
            "label images named like them, a COCO file of all, or clicks (YAML).",
            show_default=False,
        ),
    ] = None,
    recipe: RecipeName = None,
    model: ModelName = None,
    settings: Settings = None,
    metric: Annotated[
        str, typer.Option(help="ap50, ap (mean of IoU 0.5 to 0.95), f1, pq or found.")
    ] = "ap50",
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Not all objects are painted: others count neither way."),
    ] = False,
    chains: Annotated[
        bool,
        typer.Option(
            "--chains",
            help="Search preprocessing, window, frame and points, too (runs the model again and "
            "again).",
        ),
    ] = False,
    seconds: Annotated[
        float, typer.Option(metavar="S", help="With --chains: no trial begins after S seconds.")
    ] = 600,
    sheet: Annotated[
        int, typer.Option(min=0, help="Recipes on the contact sheet; 0 writes none.")
    ] = 6,
) -> None:
    """Search the recipe that fits what you know of one or a few images.

    Writes the best recipe, the ranking, plots of score against parameters and a contact sheet.
    The recipe stays as it is unless another is better on images left out of the choice.
    """
    with terminal:
        from napari_graysam.tune import METRICS

        if metric not in METRICS:
            raise UsageError(f"--metric is {metric}; expected one of {', '.join(METRICS)}")
        paths = expand(images)
        wanted = make_recipe(recipe, model, settings)
        if not truth:
            raise UsageError(_NO_TRUTH)
        truths = _truths(paths, truth, partial)
        _make(out)
        tuning = _search(terminal, paths, truths, wanted, metric, (chains, seconds, out))
        best, choice = tuning.best, tuning.choice
        written = _write(out, paths, tuning, best, sheet)
        terminal.result(
            {
                "choice": vars(choice),
                "recipe": best.to_dict(),
                "importances": tuning.importances,
                "files": [str(path) for path in written],
            },
            _shown(tuning),
        )
        stays = "the recipe stays as it is" if choice.kept else f"{written[0]} has the best recipe"
        terminal.note(
            f"{stays}: {metric} {choice.own_score:.3f} before, {choice.score:.3f} chosen; "
            f"{choice.reason}"
        )


def _make(folder: Path) -> None:
    """Make the folder before the search: a search that cannot be written would be lost."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error}. Choose another --out.") from error


def _truths(paths: Sequence[Path], given: Sequence[Path], partial: bool) -> list[Truth]:
    from napari_graysam.cli.inputs import by_stem, label_files
    from napari_graysam.files.any_objects import kind_of
    from napari_graysam.tune import read_truth

    if len(given) == 1 and given[0].is_dir():
        known = by_stem(label_files(given[0]))
        if missing := [path for path in paths if stem_of(path) not in known]:
            raise UsageError(
                f"{given[0]} has no labels for {missing[0].name}: name them alike, or give one "
                "file for each image"
            )
        given = [known[stem_of(path)] for path in paths]
    if len(given) == 1 and kind_of(given[0]) == "coco":
        given = [given[0]] * len(paths)
    if len(given) != len(paths):
        raise UsageError(
            f"{len(paths)} images and {len(given)} ground truths: give --truth once for each "
            "image, or a folder"
        )
    return [
        read_truth(path, partial, image=image.name)
        for image, path in zip(paths, given, strict=True)
    ]


def _search(
    terminal: Terminal,
    paths: Sequence[Path],
    truths: Sequence[Truth],
    recipe: Recipe,
    metric: Any,
    study: tuple[bool, float, Path],
) -> Tuning:
    """Search; Ctrl-C ends it with what was found so far."""
    from napari_graysam.tune import Study, study_steps, tune_steps

    chains, seconds, out = study
    begun: list[Tuning] = []
    try:
        with terminal.bars() as bars:
            if chains:
                tried: list[Study] = []
                journal = out / "tuning.journal"
                steps = study_steps(
                    paths,  # Not as read: a trial may ask for another window.
                    truths,
                    recipe,
                    metric=metric,
                    seconds=seconds,
                    journal=journal,
                    on_start=tried.append,
                )
                try:
                    with closing(steps):
                        for progress in steps:
                            bars.step(progress)
                except KeyboardInterrupt:
                    terminal.note("stopped: goes on with the best trial so far")
                recipe = tried[0].best[0] if tried else recipe
            last = tune_steps(paths, truths, recipe, metric=metric, on_start=begun.append)
            with closing(last):
                for progress in last:
                    bars.step(progress)
    except KeyboardInterrupt:
        if not begun:
            raise
        terminal.note("stopped: the best so far is kept")
    if not begun:
        raise GraysamError("nothing was searched")
    return begun[0]


def _write(
    out: Path, paths: Sequence[Path], tuning: Tuning, best: Recipe, sheet: int
) -> list[Path]:
    from napari_graysam import segment
    from napari_graysam.files import write_table
    from napari_graysam.source.reading import read_image
    from napari_graysam.tune.report import write_scores, write_sheet

    named = best if tuning.choice.kept else best.replace(name=f"{best.name or 'recipe'}, tuned")
    targets = [out / name for name in ("tuned.yaml", "tuning.csv", "tuning.png")]
    named.to_file(targets[0])
    write_table(targets[1], tuning.table(1000))
    write_scores(targets[2], tuning)
    if sheet:
        gray = read_image(paths[0], best.image)
        shown = []
        picks = dict.fromkeys([tuning.own, tuning.choice.index, *tuning.ranking.tolist()])
        for index in list(picks)[:sheet]:
            result = segment(gray, tuning.with_setting(index))
            mark = {tuning.own: "own ", tuning.choice.index: "chosen "}.get(index, "")
            caption = f"{mark}{tuning.scores[index].mean():.3f}, {len(result.masks)} objects"
            shown.append((caption, result.view, result.labels))
        targets.append(out / "tuning.sheet.png")
        write_sheet(targets[-1], shown)
    return targets


def _shown(tuning: Tuning) -> Any:
    frame = tuning.table(8)
    columns = [name.rpartition(".")[2] for name in frame.columns]
    rows = [
        [f"{cell:.3f}" if isinstance(cell, float) else cell for cell in row]
        for row in frame.itertuples(index=False)
    ]
    return table(*columns, rows=rows, numbers=[c for c in columns if c != "note"])
