"""What the site takes from the program itself: parameters, presets and the model card."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_graysam.recipe.reference import Parameter

ROOT = Path(__file__).resolve().parents[1]
PICTURES = Path(__file__).parent / "images"
SINGLE = re.compile(r"labels\.(keep|pinned|filters)\b")
"""Parameters that name single objects, which the page on recipes explains."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace lines such as ``<!-- parameters: generator -->`` by what they name."""
    for name, make in MAKERS.items():
        pattern = rf"^<!-- {name}(?:: (\S+))? -->$"
        markdown = re.sub(
            pattern, lambda found, make=make: make(found[1] or ""), markdown, flags=re.M
        )
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Let a click on a picture show it in full size."""
    picture = r'(<a [^>]*>)?<img [^>]*?src="([^"]+)"[^>]*>'

    def link(found: re.Match[str]) -> str:
        return found[0] if found[1] else f'<a href="{found[2]}">{found[0]}</a>'

    return re.sub(picture, link, html)


def _parameters(part: str) -> str:
    """Return a section for every parameter of a part, with its picture where there is one."""
    from napari_graysam import Recipe
    from napari_graysam.recipe.reference import parameters

    sections = []
    for one in parameters(Recipe):
        if not one.path.startswith(f"{part}.") or SINGLE.match(one.path):
            continue
        default = re.sub(r"(\.\d{3})\d{6,}", r"\1…", one.default)
        facts = f"`{one.path}`: {one.allowed}{_unit(one)}; default {default}."
        picture = PICTURES / "parameters" / f"{one.path.split('.', 1)[1]}.jpg"
        shown = ""
        if picture.is_file():
            shown = f"\n\n![{one.title}: low, default, high](images/parameters/{picture.name})"
        sections.append(f"### {one.title}\n\n{facts}\n\n{one.description}{shown}")
    if not sections:
        raise ValueError(f"No parameter begins with {part!r}.")
    return "\n\n".join(sections)


def _unit(parameter: Parameter) -> str:
    return f", {parameter.unit}" if parameter.unit else ""


def _steps(_: str) -> str:
    """Return a section for every kind of preprocessing step."""
    from napari_graysam import Recipe
    from napari_graysam.recipe.reference import parameters

    every = list(parameters(Recipe))
    sections = []
    for step in every:
        found = re.fullmatch(r"preprocess\[(\w+)\]", step.path)
        if not found:
            continue
        kind = found[1]
        lines = [f"### {step.title}", f"`kind: {kind}`. {step.description}"]
        picture = PICTURES / "steps" / f"{kind}.jpg"
        if picture.is_file():
            about = f"{step.title}: before, and with three values, the default among them"
            lines.append(f"![{about}](images/steps/{picture.name})")
        rows = [
            f"- **`{name}`** ({one.allowed}{_unit(one)}; default {one.default}): {one.description}"
            for one in every
            if one.path.startswith(f"{step.path}.")
            and (name := one.path.rsplit(".", 1)[1]) != "enabled"
        ]
        if rows:
            lines.append("\n".join(rows))
        sections.append("\n\n".join(lines))
    return "\n\n".join(sections)


def _presets(_: str) -> str:
    """Return the table of presets."""
    from napari_graysam import presets

    rows = [f"| `{name}` | {about} |" for name, about in presets().items()]
    return "| preset | for |\n| --- | --- |\n" + "\n".join(rows)


def _samples(_: str) -> str:
    """Return a row for every sample image, with its picture."""
    from napari_graysam.samples import samples

    rows = ["| | image |", "| --- | --- |"]
    for one in samples().values():
        picture = f"![{one.title}](images/samples/{one.name}.jpg)"
        truth = " With ground truth." if one.labels else ""
        about = f"**{one.title}**, `{one.name}`. {one.description}{truth} Preset `{one.preset}`."
        rows.append(f"| {picture} | {about} |")
    return "\n".join(rows)


def _help(command: str) -> str:
    """Return what ``graysam COMMAND --help`` prints."""
    arguments = [] if command == "graysam" else command.split("/")
    shown = subprocess.run(
        [sys.executable, "-m", "napari_graysam.cli", *arguments, "--help"],
        capture_output=True, text=True, check=True,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"},
    )  # fmt: skip
    text = shown.stdout.strip().replace("python -m napari_graysam.cli", "graysam")
    return f"```text\n{text}\n```"


def _commands(_: str) -> str:
    """Return the examples that the tests run, page by page."""
    sys.path.append(str(Path(__file__).parent))
    from examples import commands, python

    parts = []
    for page in [ROOT / "README.md", *sorted(Path(__file__).parent.rglob("*.md"))]:
        lines, codes = commands(page), len(python(page))
        if codes:
            lines.append(f"# and {codes} Python example{'' if codes == 1 else 's'}")
        if lines:
            shown = "\n".join(lines)
            parts.append(f"**{page.relative_to(ROOT)}**\n\n```text\n{shown}\n```")
    return "\n\n".join(parts)


def _card(_: str) -> str:
    """Return the bundled model's card."""
    return (ROOT / "src/napari_graysam/model/bundled/MODEL_CARD.md").read_text(encoding="utf-8")


def _contributing(_: str) -> str:
    """Return CONTRIBUTING.md."""
    return (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


MAKERS = {
    "parameters": _parameters,
    "steps": _steps,
    "presets": _presets,
    "samples": _samples,
    "help": _help,
    "model card": _card,
    "contributing": _contributing,
    "commands": _commands,
}
