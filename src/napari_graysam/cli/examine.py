"""``graysam demo``, ``bench`` and ``doctor``: what this installation can do."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_graysam.cli.command import command
from napari_graysam.cli.options import (
    ModelName,
    RecipeName,
    Settings,
    make_recipe,
)
from napari_graysam.cli.terminal import Terminal, table

STATUS_STYLE = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@command
def demo(
    terminal: Terminal,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results.")
    ] = Path("graysam-demo"),
) -> None:
    """Segment sample images raw and preprocessed with the bundled model, and compare.

    Needs no network and takes a few minutes on a laptop.
    """
    with terminal:
        from napari_graysam.demo import demo_steps
        from napari_graysam.progress import Progress, run

        with terminal.bars() as bars, closing(demo_steps(out)) as steps:

            def on_progress(progress: Progress) -> None:
                if progress.stage == "samples":
                    bars.show("samples", "samples", progress.done, progress.total)
                    terminal.note(f"sample {progress.done} of {progress.total} done")
                else:
                    bars.step(progress)

            result = run(steps, on_progress)
        for error in result.errors:
            terminal.fail(error)
        columns = ("sample", "AP50 raw", "AP50 preprocessed", "objects", "gained", "lost",
                   "split", "merged")  # fmt: skip
        rows = [
            (
                row.title,
                _fraction(row.ap50_raw),
                _fraction(row.ap50_preprocessed),
                f"{row.objects_raw} → {row.objects_preprocessed}",
                row.gained,
                row.lost,
                row.split,
                row.merged,
            )
            for row in result.rows
        ]
        document: dict[str, Any] = {
            "samples": [asdict(row) for row in result.rows],
            "errors": list(result.errors),
            "files": {kind: str(path) for kind, path in result.files.items()},
        }
        shown = [] if terminal.quiet else [table(*columns, rows=rows, numbers=columns[1:])]
        terminal.result(document, *shown)
        if "picture" in result.files:
            terminal.note(f"Look at {result.files['picture']}; everything else is in {out}.")


def _fraction(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


@command
def bench(
    terminal: Terminal,
    image: Annotated[Path, typer.Argument(help="The image to measure on.", show_default=False)],
    recipe: RecipeName = None,
    model: ModelName = None,
    settings: Settings = None,
) -> None:
    """Compare speed, memory and masks with SAM 2's own generator, on this machine.

    SAM 2's own generator needs torchvision; without it only ours is measured.
    """
    with terminal:
        wanted = make_recipe(recipe, model, settings)
        from napari_graysam.bench import bench_steps, measurable
        from napari_graysam.pipeline import make_view
        from napari_graysam.progress import run
        from napari_graysam.source.reading import read_image

        view = make_view(read_image(image, wanted.image), wanted)
        ways = measurable()
        if "upstream" not in ways:
            terminal.note("torchvision is not installed: SAM 2's own generator is left out.")
        measured = run(
            bench_steps(view, wanted, ways),
            lambda step: terminal.note(f"measuring {step.stage} …"),
        )
        base = measured[0]
        rows = [
            [
                one.way,
                f"{one.seconds:.2f}",
                f"{base.seconds / one.seconds:.1f}",
                f"{one.bytes / 1e6:.0f}",
                str(one.masks),
                "" if one.same is None else str(one.same),
            ]
            for one in measured
        ]
        columns = ("generator", "seconds", "times faster", "peak MB", "masks", "same masks")
        shown = [] if terminal.quiet else [table(*columns, rows=rows, numbers=columns[1:])]
        terminal.result({"measured": [asdict(one) for one in measured]}, *shown)


@command
def doctor(terminal: Terminal) -> None:
    """Examine the installation: libraries, devices, models and folders."""
    with terminal:
        from rich.text import Text

        from napari_graysam.doctor import diagnose

        checks = diagnose()
        shown = Text("\n").join(
            Text.assemble(
                (f"{check.status:4}  ", STATUS_STYLE[check.status]),
                (check.name, "bold"),
                f": {check.detail}",
                f"\n        {check.advice}" if check.advice else "",
            )
            for check in checks
        )
        terminal.result([asdict(check) for check in checks], shown)
        if any(check.status == "fail" for check in checks):
            raise typer.Exit(1)
