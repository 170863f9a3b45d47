"""What the results of an image are called, and whose results have that name already."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter
from typing import Any

from napari_graysam.errors import UsageError
from napari_graysam.recipe import ImageOptions
from napari_graysam.source.places import everywhere, is_address, path_of

FIELDS = ("stem", "suffix", "parent", "folder", "plane", "channel", "series")
"""What a pattern may name, in braces."""


@dataclass(frozen=True)
class Naming:
    """How results are named after their image.

    Parameters
    ----------
    pattern
        Text with fields in braces: ``stem`` and ``suffix`` (``tif``) of the image's file name,
        ``parent`` (the folder that it lies in), ``folder`` (the way there from one of `roots`,
        empty without one), and ``plane``, ``channel`` and ``series`` of the recipe, to which
        formats such as ``{plane:03}`` apply. A ``/`` begins a subfolder.
        What lies in a Zarr store is named after the store and its place in it: ``cells_0`` of
        ``cells.zarr/0``.
    roots
        Folders that were searched; what lies below them keeps its subfolders.

    Examples
    --------
    >>> image = ImageOptions(plane=3)
    >>> Naming(roots=(Path("data"),)).name(Path("data/day 1/cells.tif"), image)
    'day 1/cells'
    >>> Naming("{parent}_{stem}_z{plane:02}").name(Path("data/day 1/cells.tif"), image)
    'day 1_cells_z03'
    """

    pattern: str = "{folder}/{stem}"
    roots: tuple[Path, ...] = ()

    def absolute(self) -> Naming:
        """Return the same with paths that mean the same in every process."""
        return replace(self, roots=tuple(Path(os.path.abspath(root)) for root in self.roots))

    def name(self, path: Path, image: ImageOptions) -> str:
        """Return the beginning of the names of an image's results, below their folder.

        Raises
        ------
        UsageError
            If the pattern names an unknown field or a channel that is not set, leads out of the
            folder, or gives no name.
        """
        whole = _outside(path_of(everywhere(os.fspath(path))))
        values: dict[str, str | int] = {
            "stem": whole.stem,
            "suffix": whole.suffix[1:],
            "parent": whole.parent.name,
            "folder": self._folder(whole),
            "plane": image.plane or 0,
            "series": image.series or 0,
        }
        if image.channel is not None:
            values["channel"] = image.channel
        self._check(values)
        try:
            text = self.pattern.format_map(values)
        except (ValueError, IndexError, KeyError) as error:
            raise UsageError(f"--name {self.pattern!r} is no pattern: {error}") from None
        parts = [part for part in text.split("/") if part]
        if not parts or text.endswith("/"):
            raise UsageError(f"--name {self.pattern!r} gives {path} no name")
        return "/".join(parts)

    def _check(self, values: Mapping[str, object]) -> None:
        pattern = self.pattern
        try:
            fields = [field for _, field, _, _ in Formatter().parse(pattern) if field is not None]
        except ValueError as error:
            raise UsageError(f"--name {pattern!r} is no pattern: {error}") from None
        for field in fields:
            if field not in FIELDS:
                known = ", ".join(f"{{{name}}}" for name in FIELDS)
                raise UsageError(f"--name {pattern!r}: there is no {{{field}}}; there are {known}")
            if field not in values:
                raise UsageError(
                    f"--name {pattern!r}: no {field} is chosen; give --set image.{field}=N, or "
                    f"leave {{{field}}} out"
                )
        if pattern.startswith("/") or "\\" in pattern or ".." in pattern.split("/"):
            raise UsageError(
                f"--name {pattern!r} leads out of --out; expected a name such as "
                "'{parent}_{stem}', with / between subfolders"
            )

    def _folder(self, path: Path) -> str:
        """Return the subfolders between the nearest of the roots and a file."""
        roots = [Path(os.path.abspath(root)) for root in self.roots]
        around = [root for root in roots if path.is_relative_to(root)]
        if not around:
            return ""
        nearest = max(around, key=lambda root: len(root.parts))
        folder = path.parent.relative_to(nearest).as_posix()
        return "" if folder == "." else folder


def _outside(path: Path) -> Path:
    """Return a path beside the Zarr store that holds an image, with a name that tells both."""
    stores = [one for one in path.parents if one.suffix.lower() == ".zarr"]
    if not stores or not (is_address(path) or path.exists()):
        return path
    store = stores[-1]
    inside = "_".join(path.relative_to(store).parts)
    return store.with_name(f"{store.stem}_{inside}{store.suffix}")


def check_names(paths: Sequence[Path], naming: Naming, image: ImageOptions) -> None:
    """Refuse images whose results would have the same name, on any file system.

    Raises
    ------
    UsageError
        Naming the first such pair; or if the pattern does not fit.
    """
    seen: dict[str, Path] = {}
    for path in paths:
        name = naming.name(path, image)
        other = seen.setdefault(name.casefold(), path)
        if other is not path:
            pattern = "{stem}_{suffix}" if path.parent == other.parent else "{parent}_{stem}"
            raise UsageError(
                f"{other} and {path} would write results of the same name ({name}.…): give a "
                f"pattern of names, such as --name '{pattern}', or two calls with different "
                "output folders"
            )


def clash(target: Path, mine: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """Say that results of another image would be overwritten, and what to do.

    Parameters
    ----------
    target
        Beginning of the names of both.
    mine, there
        Records of the two images, as `read_image` makes them.
    """
    same_file = str(mine.get("path")) == str(there.get("path"))
    signs = {"plane": "z", "channel": "c", "series": "s"}
    differing = [key for key in signs if mine.get(key) != there.get(key)] if same_file else []
    differing = [key for key in differing if mine.get(key) is not None or key != "channel"]
    fields = "".join(f"_{signs[key]}{{{key}}}" for key in differing)
    pattern = f"{{stem}}{fields}" if fields else "{parent}_{stem}"
    if same_file and isinstance(mine.get("plane"), str):
        pattern = "{stem}_stack"  # No field of a name tells a whole stack from its planes.
    return (
        f"{_described(mine)} would overwrite the results of {_described(there)}, {target}.…: give "
        f"other names, such as --name '{pattern}', another --out, or --overwrite"
    )


def _described(record: Mapping[str, Any]) -> str:
    details = [
        f"{title} {record[key]}"
        for key, title in (("series", "image"), ("channel", "channel"), ("plane", "plane"))
        if record.get(key) is not None
    ]
    return ", ".join([str(record.get("path") or "an image without a file"), *details])
