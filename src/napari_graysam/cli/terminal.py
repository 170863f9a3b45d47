"""What a command shows: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer

from napari_graysam.errors import GraysamError, RecipeError, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import TaskID
    from rich.table import Table

    from napari_graysam.progress import Progress

PIPE_WIDTH = 200
PARAMETER = re.compile(r"\b[a-z_]+(?:\.[a-z_0-9]+)+(?==)")
BYTES = ("download", "verify")


class Terminal:
    """Context of one command: shows progress and results, and turns errors into exit status.

    Parameters
    ----------
    as_json
        One JSON document on standard output, and nothing else there, whatever libraries print.
    quiet
        No progress, notes or summaries; results that were asked for, and errors, stay.
    debug
        Show tracebacks.
    """

    def __init__(self, as_json: bool, quiet: bool, debug: bool) -> None:
        from rich.console import Console

        self.as_json, self.quiet, self.debug = as_json, quiet, debug
        self.failed = False
        self._stdout = sys.stdout
        self._out = Console(file=sys.stdout, highlight=False)
        self._err = Console(file=sys.stderr, highlight=False)
        if not self._out.is_terminal:
            self._out.width = PIPE_WIDTH

    def __enter__(self) -> Self:
        """Send what libraries print to standard error where standard output is for JSON."""
        if self.as_json:
            sys.stdout = sys.stderr
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Report an error in one message and leave with its exit status."""
        sys.stdout = self._stdout
        if error is None:
            if self.failed:
                raise typer.Exit(1)
            return
        if isinstance(error, KeyboardInterrupt):
            self.problem("stopped; what was finished stays")
            raise typer.Exit(130) from None
        if not isinstance(error, Exception) or isinstance(error, typer.Exit | BrokenPipeError):
            return
        message = str(error)
        if not isinstance(error, GraysamError):
            message = f"unexpected {type(error).__name__}: {error}"
            if not self.debug:
                message += " (--debug shows where; please report it)"
        if self.debug:
            self._err.print_exception()
        self.problem(message)
        if self.as_json:
            self._write_json({"error": message, "kind": type(error).__name__})
        raise typer.Exit(exit_status(error)) from None

    def note(self, text: str) -> None:
        """Tell something on standard error, unless quiet."""
        if not self.quiet:
            self._err.print(text, markup=False, soft_wrap=True)

    def problem(self, text: str, trace: str = "") -> None:
        """Tell what went wrong on standard error; with its traceback when debugging."""
        from rich.text import Text

        if trace and self.debug:
            self._err.print(trace, markup=False, soft_wrap=True)
        told = f"{text}{how_to_set(text)}"
        self._err.print(Text.assemble(("error: ", "bold red"), told), soft_wrap=True)

    def fail(self, text: str, trace: str = "") -> None:
        """Tell what went wrong with one input, and leave with status 1 in the end."""
        self.problem(text, trace)
        self.failed = True

    def result(self, document: Any, *shown: RenderableType) -> None:
        """Give the command's result: the document as JSON, or what people read."""
        if self.as_json:
            self._write_json(document)
            return
        for renderable in shown:
            self._out.print(renderable, markup=False)

    def text(self, document: Any, text: str) -> None:
        """Give a result that is a text, character by character as it is."""
        if self.as_json:
            self._write_json(document)
        else:
            self._stdout.write(text)

    def _write_json(self, document: Any) -> None:
        content = json.dumps(document, indent=2, allow_nan=False, default=str)
        self._stdout.write(content + "\n")

    @contextmanager
    def bars(self) -> Generator[Bars, None, None]:
        """Show progress bars while the block runs; none when quiet or not at a terminal."""
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        with RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            console=self._err,
            transient=True,
            disable=self.quiet or not self._err.is_terminal,
            redirect_stdout=False,
        ) as progress:
            yield Bars(progress)


class Bars:
    """One bar for each thing that is under way, named by a key."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def show(self, key: str, text: str, done: int, total: int, count: str | None = None) -> None:
        """Set a bar's text and position; a `total` of 0 is unknown."""
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(text, count="")
        self._progress.update(
            self._tasks[key],
            description=text,
            completed=done,
            total=total or None,
            count=f"{done}/{total}" if count is None else count,
        )

    def step(self, progress: Progress, prefix: str = "") -> None:
        """Show a stage of a pipeline."""
        in_bytes = progress.stage.rpartition(" ")[2] in BYTES
        count = f"{progress.done / 1e6:.0f}/{progress.total / 1e6:.0f} MB" if in_bytes else None
        text = f"{prefix}{progress.stage}"
        self.show("stage", text, progress.done, progress.total, count)


def how_to_set(message: str) -> str:
    """Return how to set the first parameter that a message gives as ``part.name=value``."""
    from napari_graysam.recipe import Recipe

    keys = (match[0] for match in PARAMETER.finditer(message))
    key = next((key for key in keys if key.partition(".")[0] in Recipe.model_fields), None)
    return "" if key is None or "--set" in message else f" (on the command line: --set {key}=…)"


def exit_status(error: BaseException) -> int:
    """Return 2 for wrong usage and bad recipes, 1 for everything else."""
    return 2 if isinstance(error, RecipeError | UsageError) else 1


def table(*columns: str, rows: Iterable[Iterable[object]], numbers: Iterable[str] = ()) -> Table:
    """Return a table for people; columns in `numbers` are aligned to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    right = set(numbers)
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))
    return made
