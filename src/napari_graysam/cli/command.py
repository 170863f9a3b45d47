"""What every command has: ``--json``, ``--quiet`` and ``--debug``, and the terminal they make."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated

import typer

from napari_graysam.cli.terminal import Terminal

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress, notes or summaries; errors only.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
FLAGS = {"as_json": AsJson, "quiet": Quiet, "debug": Debug}


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the three flags; it takes their terminal as its first argument.

    Examples
    --------
    >>> @command
    ... def greet(terminal: Terminal, name: str) -> None:
    ...     with terminal:
    ...         terminal.text({"hello": name}, f"hello {name}")
    >>> list(signature(greet).parameters)
    ['name', 'as_json', 'quiet', 'debug']
    >>> greet(name="cells")
    hello cells
    """
    own = list(signature(function, eval_str=True).parameters.values())[1:]
    flags = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in FLAGS.items()
    ]

    @wraps(function)
    def with_flags(
        *, as_json: bool = False, quiet: bool = False, debug: bool = False, **values: object
    ) -> None:
        function(Terminal(as_json, quiet, debug), **values)

    parameters = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in own] + flags
    with_flags.__annotations__ = {one.name: one.annotation for one in parameters}
    with_flags.__signature__ = signature(function).replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation=None
    )
    return with_flags
