"""The examples of README and pages: which of them the tests run."""

from __future__ import annotations

import re
from pathlib import Path

NEEDS_MORE = ("models download", "--scheduler", "dask_jobqueue")
"""Examples that need a network or a cluster, which the tests leave out."""


def blocks(page: Path, kind: str) -> list[str]:
    """Return the code of one kind on a page, those within lists too."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```{kind}\n(.*?)^\1```", text, re.M | re.S)
    return [
        "\n".join(line.removeprefix(indent) for line in code.splitlines()) for indent, code in found
    ]


def commands(page: Path) -> list[str]:
    """Return the lines of a page's shell examples that call this program."""
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("graysam ") and tested(line)]


def python(page: Path) -> list[str]:
    """Return a page's Python examples."""
    return [code for code in blocks(page, "python") if tested(code)]


def tested(example: str) -> bool:
    """Return whether the tests run it."""
    return not any(words in example for words in NEEDS_MORE)
