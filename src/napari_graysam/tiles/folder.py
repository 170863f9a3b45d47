"""What a run keeps on disk, so that it can be stopped at any time and go on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_graysam.atomic import write_text, writing
from napari_graysam.errors import OutputError
from napari_graysam.limits import reading
from napari_graysam.tiles.grid import Tile
from napari_graysam.tiles.pieces import Pieces

PLAN = "plan.json"
FOUND, FINAL, CANDIDATES = "found", "final", "candidates"
ADVICE = "Delete it and run the same command again."


@dataclass(frozen=True)
class TileFolder:
    """The folder ``NAME.tiles`` of a run; can be sent to another process.

    It holds ``plan.json``, what each tile found in ``found``, in ``final`` what the image has of
    it once the seams are resolved, and in ``candidates`` what its objects were selected from.
    """

    path: Path

    def begin(self, digest: str, plan: Mapping[str, Any]) -> bool:
        """Make the folder for a run, or go on with it.

        Parameters
        ----------
        digest
            Of all that decides the result; tiles of another run are removed.
        plan
            Written into the folder; where its ``asked`` is that of the earlier run, candidates
            stay. ``decided`` has a digest for each tile that has something of its own: tiles
            where it differs from the earlier run's are removed as well.

        Returns
        -------
        bool
            Whether there are tiles of the same run.
        """
        before = self.plan()
        same = before.get("digest") == digest
        if same:
            earlier, wanted = before.get("decided", {}), plan.get("decided", {})
            changed = [
                name for name in {*earlier, *wanted} if earlier.get(name) != wanted.get(name)
            ]
            for name in changed:
                with writing(self.path):
                    (self.path / FOUND / f"{name}.npz").unlink(missing_ok=True)
        else:
            changed = []
            outdated = [FOUND, FINAL]
            if before.get("asked") != plan.get("asked"):
                outdated.append(CANDIDATES)
            for part in outdated:
                with writing(self.path):
                    if (self.path / part).is_dir():
                        shutil.rmtree(self.path / part)
        if changed or not same:
            write_text(self.path / PLAN, json.dumps({"digest": digest, **plan}, indent=2))
        return same

    def take_from(self, other: TileFolder) -> None:
        """Take over what another run found, and leave it that; nothing where there is something.

        Files are linked where the disk can: none of them is ever changed, only replaced.
        """
        if self.plan() or not other.plan():
            return
        for part in (FOUND, CANDIDATES):
            with writing(self.path):
                (self.path / part).mkdir(parents=True, exist_ok=True)
                there = other.path / part
                for name in os.listdir(there) if there.is_dir() else ():
                    if name.endswith(".npz") and not name.startswith("."):
                        _link(there / name, self.path / part / name)
        write_text(self.path / PLAN, (other.path / PLAN).read_text())

    def of_another(self, digest: str) -> int:
        """Return how many tiles there are of another run."""
        found = self.path / FOUND
        if not found.is_dir() or self.plan().get("digest") == digest:
            return 0
        return sum(name.endswith(".npz") for name in os.listdir(found))

    def plan(self) -> dict[str, Any]:
        """Return the plan of the run that the folder belongs to; empty where there is none."""
        try:
            found = json.loads((self.path / PLAN).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def missing(self, tiles: Iterable[Tile]) -> list[Tile]:
        """Return the tiles that are not done."""
        with suppress(FileNotFoundError):
            there = set(os.listdir(self.path / FOUND))
            return [tile for tile in tiles if f"{tile.name}.npz" not in there]
        return list(tiles)

    def save(self, tile: Tile, pieces: Pieces, part: str = FOUND) -> None:
        """Keep what a tile found, or what the image has of it."""
        pieces.save(self._file(tile, part))

    def load(self, tile: Tile, part: str = FOUND) -> Pieces:
        """Return what `save` kept.

        Raises
        ------
        OutputError
            The file is missing or damaged.
        """
        path = self._file(tile, part)
        with reading(path, "a tile of a run", OutputError, ADVICE):
            return Pieces.load(path)

    def about(self, tile: Tile) -> dict[str, Any]:
        """Return what is known of a tile besides its objects, as ``about`` of `Pieces`."""
        path = self._file(tile, FOUND)
        with reading(path, "a tile of a run", OutputError, ADVICE):
            return Pieces.load_about(path)

    def _file(self, tile: Tile, part: str) -> Path:
        return self.path / part / f"{tile.name}.npz"


def _link(path: Path, new: Path) -> None:
    new.unlink(missing_ok=True)
    try:
        os.link(path, new)
    except OSError:
        shutil.copyfile(path, new)
