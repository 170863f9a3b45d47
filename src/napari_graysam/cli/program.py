"""All commands put together, and the entry point."""

from __future__ import annotations

import io
import sys
import warnings
from typing import Annotated

import typer

from napari_graysam.cli import examine, models, recipes, score, segment, tune
from napari_graysam.cli.options import version

app = typer.Typer(
    name="graysam",
    help="Segment everything in grayscale images with SAM 2, and see what preprocessing changed.",
    epilog="First steps: `graysam demo`, then `graysam recipe` for the presets, then "
    "`graysam segment IMAGE --recipe PRESET --out DIR`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(examine.demo)
app.command()(segment.segment)
app.command()(segment.compare)
app.command()(score.score)
app.command()(tune.tune)
app.add_typer(models.app)
app.add_typer(recipes.app)
app.command()(examine.bench)
app.command()(examine.doctor)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"graysam {version()}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and stop."
        ),
    ] = False,
) -> None:
    """Segment everything in grayscale images with SAM 2, and see what preprocessing changed."""


def main() -> None:
    """Run the command line; the entry point ``graysam``."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app(windows_expand_args=False)
