"""Recipe files on disk: read whole or refused with a reason, written whole or not at all."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

from napari_graysam.atomic import write_text
from napari_graysam.documents import dump_json, dump_yaml, load_json, load_yaml
from napari_graysam.errors import OutputError, RecipeError

LARGEST = 16 * 2**20
"""Bytes beyond which a file is taken for something other than a recipe."""

SUFFIXES = {".yaml": "yaml", ".yml": "yaml", ".json": "json"}


def read_document(path: Path) -> Any:
    """Plain data of a YAML or JSON file, by its suffix.

    Raises
    ------
    RecipeError
        If the file is missing, unreadable, not text or not valid in its format.
    """
    load = load_json if _format(path, RecipeError) == "json" else load_yaml
    return load(_text(path), str(path))


def write_document(path: Path, data: Any) -> None:
    """Write plain data as YAML or JSON, by the suffix; replaces a file only when whole.

    Raises
    ------
    OutputError
        If the suffix is another, or the file cannot be written.
    """
    dump = dump_json if _format(path, OutputError) == "json" else dump_yaml
    write_text(path, dump(data), make_folder=False)


def _format(path: Path, error: type[RecipeError | OutputError]) -> str:
    found = SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise error(f"a recipe file ends in {', '.join(SUFFIXES)}; {str(path)!r} came")
    return found


def _text(path: Path) -> str:
    if path.is_dir():
        raise RecipeError(f"{path} is a folder; name a recipe file in it")
    if path.exists() and not path.is_file():
        raise RecipeError(f"{path} is no file, but a pipe or a device")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise RecipeError(
            f"there is no recipe file {path}; `graysam recipe new` writes one"
        ) from error
    except (OSError, ValueError) as error:
        raise RecipeError(f"cannot read the recipe file {path}: {error}") from error
    if len(content) > LARGEST:
        raise RecipeError(f"{path} is larger than {LARGEST >> 20} MB: it is no recipe")
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is no text file (UTF-8), so it is no recipe") from error
    if "\0" in text:
        raise RecipeError(f"{path} is a binary file, so it is no recipe")
    return text
