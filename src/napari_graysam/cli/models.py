"""``graysam models``: which there are, where they are, and bringing them here."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_graysam.cli.command import AsJson, Debug, command
from napari_graysam.cli.options import complete_model
from napari_graysam.cli.terminal import Terminal, table
from napari_graysam.errors import GraysamError, ModelError, UsageError

if TYPE_CHECKING:
    from napari_graysam.model import ModelEntry

app = typer.Typer(name="models", help="List, download, find and verify models.")

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME...", help="Models of the catalogue.", autocompletion=complete_model
    ),
]
SomeNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME...]",
        help="Models of the catalogue.",
        autocompletion=complete_model,
        show_default=False,
    ),
]


@app.callback(invoke_without_command=True)
def _default(context: typer.Context, as_json: AsJson = False, debug: Debug = False) -> None:
    """List, download, find and verify models."""
    if context.invoked_subcommand is None:
        list_models(as_json=as_json, debug=debug)
    elif as_json or debug:
        raise typer.BadParameter("put options after the subcommand", context)


@app.command("list")
@command
def list_models(terminal: Terminal) -> None:
    """List the models that are known by name, and which of them are on this machine."""
    with terminal:
        from napari_graysam.model import CATALOG, locate

        facts = [(entry, locate(entry)) for entry in CATALOG]
        rows = [
            (
                entry.name,
                _place(entry, path),
                _megabytes(entry, path),
                f"{entry.image_size}²",
                entry.licence,
                entry.description,
            )
            for entry, path in facts
        ]
        shown = table(
            "name", "place", "MB", "frame", "licence", "description", rows=rows, numbers=["MB"]
        )
        terminal.result([_facts(entry, path) for entry, path in facts], shown)


@app.command()
@command
def download(terminal: Terminal, names: Names) -> None:
    """Download models, resuming what an earlier attempt left, and verify them."""
    with terminal:
        from napari_graysam.model import fetch

        found = []
        for entry in _entries(names):
            try:
                with closing(fetch(entry)) as steps, terminal.bars() as bars:
                    path = yield_from(steps, bars, entry.name)
            except GraysamError as error:
                terminal.fail(str(error))
                found.append({"name": entry.name, "path": None, "error": str(error)})
                continue
            terminal.note(f"{entry.name}: {path}")
            found.append({"name": entry.name, "path": str(path), "error": None})
        terminal.result(found)


@app.command()
@command
def path(
    terminal: Terminal,
    name: Annotated[
        str | None,
        typer.Argument(
            help="A model of the catalogue; without it, the folders that are searched.",
            autocompletion=complete_model,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print where a model's file is, or the folders where models are looked for."""
    with terminal:
        from napari_graysam.model import locate, model_folders

        if name is None:
            folders = [str(folder) for folder in model_folders()]
            terminal.text({"folders": folders}, "".join(f"{folder}\n" for folder in folders))
            return
        (entry,) = _entries([name])
        found = locate(entry)
        if found is None:
            raise ModelError(
                f"{entry.name} is not on this machine: `graysam models download {entry.name}` "
                f"brings it, or put {entry.filename} from {entry.url} into {model_folders()[0]}"
            )
        terminal.text({"name": entry.name, "path": str(found)}, f"{found}\n")


@app.command()
@command
def verify(terminal: Terminal, names: SomeNames = None) -> None:
    """Compare the SHA-256 of models with the published ones; by default of all that are here."""
    with terminal:
        from napari_graysam.model import CATALOG, locate
        from napari_graysam.model import verify as verify_file

        results = []
        for entry in _entries(names) if names else CATALOG:
            found = locate(entry)
            if found is None and not names:
                continue
            result: dict[str, Any] = {"name": entry.name, "path": found and str(found)}
            try:
                if found is None:
                    raise ModelError(f"{entry.name} is not on this machine")
                result["sha256"] = verify_file(found, entry)
            except GraysamError as error:
                terminal.fail(str(error))
                result["error"] = str(error)
            results.append(result)
        rows = [
            (one["name"], "failed" if "error" in one else "ok", one.get("sha256", ""))
            for one in results
        ]
        terminal.result(results, table("name", "status", "SHA-256", rows=rows))


def yield_from(steps: Any, bars: Any, name: str) -> Path:
    """Exhaust a download and show its bytes."""
    from napari_graysam.progress import run

    found: Path = run(steps, lambda progress: bars.step(progress, f"{name}: "))
    return found


def _entries(names: list[str]) -> list[ModelEntry]:
    from napari_graysam.model import find_entry

    try:
        return [find_entry(name) for name in names]
    except ModelError as error:
        raise UsageError(str(error)) from None


def _place(entry: ModelEntry, path: Path | None) -> str:
    if path is None:
        return "missing" if entry.url is None else "not here"
    return "bundled" if entry.url is None else str(path)


def _megabytes(entry: ModelEntry, path: Path | None) -> str:
    count = entry.bytes if entry.bytes is not None or path is None else path.stat().st_size
    return "" if count is None else f"{count / 1e6:.0f}"


def _facts(entry: ModelEntry, path: Path | None) -> dict[str, Any]:
    return {
        "name": entry.name,
        "title": entry.title,
        "path": path and str(path),
        "bytes": entry.bytes,
        "sha256": entry.sha256,
        "url": entry.url,
        "licence": entry.licence,
        "image_size": entry.image_size,
        "description": entry.description,
    }
