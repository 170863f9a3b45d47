"""Write labels in OME-Zarr: whole or not at all, by one process, and never over others'."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import writing
from napari_graysam.files.zarr_labels.blocks import LabelBlocks
from napari_graysam.files.zarr_labels.describe import image_label
from napari_graysam.files.zarr_labels.plan import LabelPlan
from napari_graysam.files.zarr_labels.store import (
    add_name,
    make_group,
    read_attributes,
    remove_group,
    set_attributes,
)
from napari_graysam.locks import Lock

if TYPE_CHECKING:
    import pandas as pd

OWN = "napari-graysam"
"""Key of the attributes that only this program reads."""


class LabelsWriter:
    """Labels that are being written, by this process and whom it gives `blocks`.

    Until `finish` they lie in a hidden group, ``labels/.NAME.unfinished``, which no viewer
    takes for labels; then they appear under their name at once.

    Attributes
    ----------
    path
        Where the finished labels are.
    blocks
        What writes them; can be sent to other processes.
    continued
        Whether an earlier run of the same token had begun them.
    """

    def __init__(
        self, root: Path, name: str, plan: LabelPlan, lock: Lock, zarr_format: int, token: str
    ) -> None:
        self.path = root / "labels" / name
        self._root, self._name, self._lock, self._token = root, name, lock, token
        self._zarr_format = zarr_format
        hidden = self.path.with_name(f".{name}.unfinished")
        self.blocks = LabelBlocks(str(hidden), plan, zarr_format)
        self.continued = self._begin(hidden)

    def _begin(self, hidden: Path) -> bool:
        """Make the hidden group, unless an earlier run of the same token left it."""
        if hidden.exists():
            state = read_attributes(hidden).get(OWN)
            mine = {"token": self._token, "shapes": _lists(self.blocks.plan.shapes)}
            if self._token and isinstance(state, dict) and mine.items() <= state.items():
                return True
            remove_group(hidden)
        make_group(hidden.parent, self._zarr_format)
        make_group(hidden, self._zarr_format)
        self.blocks.create()
        # What has no token and shapes was not begun as a whole.
        about = {"token": self._token, "shapes": _lists(self.blocks.plan.shapes)}
        set_attributes(hidden, {OWN: about}, self._zarr_format)
        return False

    def write_block(
        self, y0: int, x0: int, array: NDArray[np.integer], *, at: Sequence[int] = ()
    ) -> None:
        """Write one block of the finest level; see `LabelBlocks.write_block`."""
        self.blocks.write_block(y0, x0, array, at=at)

    def levels(self) -> Iterator[tuple[int, int, int]]:
        """Make the lower levels, block by block; yield level, blocks that are done, and all."""
        blocks = self.blocks
        for level in range(1, len(blocks.plan.shapes)):
            leading = list(np.ndindex(*blocks.plan.shapes[level][:-2]))
            places = list(blocks.places(level))
            done = 0
            for at in leading:
                for place in places:
                    blocks.build_block(level, place, at)
                    done += 1
                    yield level, done, len(leading) * len(places)

    def finish(
        self,
        labels: int | Sequence[int],
        table: pd.DataFrame | None = None,
        *,
        source: str | os.PathLike[str] | None = None,
        about: Mapping[str, Any] | None = None,
        build: bool = True,
    ) -> Path:
        """Make the lower levels and the metadata, and let the labels appear under their name.

        Parameters
        ----------
        labels
            How many there are, numbered from 1, or which.
        table
            Measurements of objects; its column ``index`` is the label.
        source
            The image, where the labels are not written into its store.
        about
            Further attributes, in JSON's types: provenance.
        build
            Whether to make the lower levels; False where that has been done.

        Returns
        -------
        Path
            Of the labels.

        Raises
        ------
        OutputError
            The disk refuses.
        """
        if build:
            for _ in self.levels():
                pass
        values = range(1, labels + 1) if isinstance(labels, int) else sorted(labels)
        hidden = Path(self.blocks.path)
        old = self._zarr_format == 2
        described = image_label(values, self._source(source), table, version="0.4" if old else None)
        multiscales = self.blocks.plan.multiscales(self._name)
        ome = {"multiscales": [multiscales | ({"version": "0.4"} if old else {})],
               "image-label": described}  # fmt: skip
        attributes = ome if old else {"ome": {"version": "0.5", **ome}}
        attributes = attributes | {OWN: dict(about or {})}
        set_attributes(hidden, attributes, self._zarr_format)
        # Not called .NAME.lock, which is the lock of labels called NAME.
        lock = self._root / "labels" / ".list-of-names"
        with Lock(lock, "The names of the labels", wait=30):
            self._appear(hidden)
            add_name(self._root, self._name, self._zarr_format)
        self.close()
        return self.path

    def _appear(self, hidden: Path) -> None:
        with writing(self.path):
            # A process that was killed may have left a block that is cut off beside the whole one.
            for rest in hidden.rglob("*.partial"):
                rest.unlink()
            if self.path.exists():
                outdated = hidden.with_suffix(".outdated")
                if outdated.exists():
                    shutil.rmtree(outdated)
                os.replace(self.path, outdated)
                os.replace(hidden, self.path)
                shutil.rmtree(outdated)
            else:
                os.replace(hidden, self.path)

    def _source(self, source: str | os.PathLike[str] | None) -> str:
        if source is None:
            return "../../"
        text = os.fspath(source)
        if "://" in text:
            return text
        try:
            return Path(os.path.relpath(text, self.path)).as_posix()
        except ValueError:  # another drive of Windows
            return Path(os.path.abspath(text)).as_posix()

    def close(self) -> None:
        """Release the lock; what is not finished stays, and can be continued."""
        self._lock.release()

    def __enter__(self) -> Self:
        """Return itself; leaving closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the lock."""
        self.close()


def _lists(shapes: Sequence[Sequence[int]]) -> list[list[int]]:
    return [list(shape) for shape in shapes]
