"""``graysam recipe``: presets, and files that are written, shown and checked."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_graysam.cli.command import AsJson, Debug, command
from napari_graysam.cli.options import (
    ModelName,
    RecipeName,
    Settings,
    complete_recipe,
    make_recipe,
    read_recipe,
)
from napari_graysam.cli.terminal import Terminal, table
from napari_graysam.errors import RecipeError, UsageError

if TYPE_CHECKING:
    from napari_graysam.recipe import Parameter

app = typer.Typer(name="recipe", help="List presets; write, show and check recipes.")

Full = Annotated[
    bool, typer.Option("--full", help="Write every value, not only what is not the default.")
]
WRAP = 96


@app.callback(invoke_without_command=True)
def _default(context: typer.Context, as_json: AsJson = False, debug: Debug = False) -> None:
    """List presets; write, show and check recipes."""
    if context.invoked_subcommand is None:
        with Terminal(as_json, False, debug) as terminal:
            from napari_graysam.recipe import presets

            found = presets()
            terminal.result(found, table("preset", "for", rows=found.items()))
    elif as_json or debug:
        raise typer.BadParameter("put options after the subcommand", context)


@app.command()
@command
def new(
    terminal: Terminal,
    file: Annotated[Path, typer.Argument(help="The .yaml or .json file to write.")],
    recipe: RecipeName = None,
    model: ModelName = None,
    settings: Settings = None,
    full: Full = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if there is one.")
    ] = False,
) -> None:
    """Write a recipe file: the default, or a preset or another recipe with changes."""
    with terminal:
        made = make_recipe(recipe, model, settings)
        if file.exists() and not overwrite:
            raise UsageError(f"{file} exists already; --overwrite replaces it")
        made.to_file(file, full=full)
        terminal.note(f"wrote {file}")
        terminal.result({"path": str(file), "recipe": made.to_dict(full=full)})


@app.command()
@command
def show(
    terminal: Terminal,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE|PRESET]",
            help="The default recipe if left out.",
            autocompletion=complete_recipe,
            show_default=False,
        ),
    ] = None,
    model: ModelName = None,
    settings: Settings = None,
    full: Full = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="List every parameter with its range and explanation; without a recipe, all "
            "that a recipe can hold.",
        ),
    ] = False,
) -> None:
    """Print a recipe as YAML, or explain its parameters."""
    with terminal:
        made = make_recipe(name, model, settings)
        if not explain:
            terminal.text(made.to_dict(full=full), made.to_yaml(full=full))
            return
        from napari_graysam.recipe import Recipe, parameters

        everything = name is None and model is None and not settings
        listed = list(parameters(Recipe if everything else made))
        text = "\n".join(_explanation(parameter) for parameter in listed)
        terminal.text([_facts(parameter) for parameter in listed], text)


@app.command()
@command
def check(
    terminal: Terminal,
    names: Annotated[
        list[str],
        typer.Argument(metavar="FILE|PRESET...", help="Recipes.", autocompletion=complete_recipe),
    ],
) -> None:
    """Check recipes; everything that is wrong is named, and the exit status is 2."""
    with terminal:
        errors: dict[str, str | None] = {}
        for name in names:
            try:
                read_recipe(name)
            except RecipeError as error:
                errors[name] = str(error)
                terminal.problem(str(error))
            else:
                errors[name] = None
                terminal.note(f"{name}: valid")
        terminal.result(errors)
        if any(errors.values()):
            raise typer.Exit(2)


def _explanation(parameter: Parameter) -> str:
    from textwrap import fill

    unit = f" {parameter.unit}" if parameter.unit else ""
    head = f"{parameter.path} = {parameter.value}{unit}"
    described = f"{parameter.title}: {parameter.description}".strip()
    ranges = f"Allowed: {parameter.allowed}. Default: {parameter.default}."
    indented = {"width": WRAP, "initial_indent": "    ", "subsequent_indent": "    "}
    return f"{head}\n{fill(described, **indented)}\n{fill(ranges, **indented)}\n"  # type: ignore[arg-type]


def _facts(parameter: Parameter) -> dict[str, Any]:
    """Plain values; default and value as JSON has them, not as text."""
    facts = asdict(parameter)
    for key in ("default", "value"):
        facts[key] = None if facts[key] == "required" else _plain(facts[key])
    return {**facts, "required": parameter.default == "required"}


def _plain(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
