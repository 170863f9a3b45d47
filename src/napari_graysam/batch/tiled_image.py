"""One image in tiles on its way: its places, and work on all of its tiles or blocks."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar, cast

from napari_graysam.batch.cluster import Cluster
from napari_graysam.batch.jobs import SegmentJob
from napari_graysam.batch.tasks import Again, Ended, Waiting, Work, share
from napari_graysam.batch.tile_work import Candidates
from napari_graysam.errors import OutputError, UsageError
from napari_graysam.outputs.kinds import INTO_IMAGE, Kind
from napari_graysam.progress import Progress
from napari_graysam.source.places import is_address
from napari_graysam.source.pyramid import Pyramid
from napari_graysam.tiles.folder import CANDIDATES, TileFolder
from napari_graysam.tiles.plan import Prepared
from napari_graysam.tiles.write import ENDINGS, FILES, no_rois

Item = TypeVar("Item")
Value = TypeVar("Value")
Steps: TypeAlias = Generator[Progress | str, None, Value]
"""Yields progress and notes."""


@dataclass(frozen=True)
class TiledImage:
    """One image on its way: where it comes from, where it goes, and who works.

    Attributes
    ----------
    path, pyramid
        The image.
    job, name
        Recipe, folder and kinds of results, and what their names begin with.
    overwrite
        Whether results that are there may be replaced.
    cluster
        Whose workers do it; None for this process.
    halo
        Of another run with the same tiles, in place of a trial.
    """

    path: Path
    job: SegmentJob
    name: str
    pyramid: Pyramid
    overwrite: bool
    cluster: Cluster | None
    halo: int | None = None

    @property
    def folder(self) -> TileFolder:
        """Where what is found is kept."""
        return TileFolder(self.job.folder / f"{self.name}.tiles")

    def file(self, kind: str) -> Path:
        """Return the path of a kind of results."""
        return self.job.folder / f"{self.name}.{ENDINGS[kind]}"

    @property
    def candidates(self) -> Candidates:
        """Where candidates are kept: in a cache that was given, or else beside the tiles."""
        job = self.job
        if job.cache is not None:
            return Candidates(job.cache, job.cache_size, True)
        own = self.folder.path / CANDIDATES if job.cache_size else None
        return Candidates(own, job.cache_size, False)

    def halo_of(self, base: str, asked: str) -> int | None:
        """Return the halo of an earlier run whose tiles or candidates can be used again."""
        if self.halo is not None:
            return self.halo
        plan = self.folder.plan()
        same = plan.get("base") == base
        if self.candidates.folder is not None:
            same = same or plan.get("asked") == asked
        return plan.get("halo") if same else None

    @property
    def files(self) -> tuple[Kind, ...]:
        """Kinds of files that are wanted besides the labels."""
        return tuple(kind for kind in FILES if kind in self.job.kinds)

    def written(self, objects: int, shape: tuple[int, int]) -> tuple[Kind, ...]:
        """Return the kinds of files that are written of so many objects of an image (H, W)."""
        rois = not no_rois(objects, shape)
        return tuple(kind for kind in self.files if rois or kind != "rois")

    @property
    def into_image(self) -> bool:
        """Whether the labels go into the image itself."""
        return INTO_IMAGE in self.job.kinds

    @property
    def store(self) -> Path:
        """The store of the labels.

        Raises
        ------
        UsageError
            They shall go into the image, which is no OME-Zarr image of this machine, or has no
            level for them.
        """
        if not self.into_image:
            return self.file("labels")
        group, level = self.pyramid.group, self.job.recipe.tiles.level
        if group is None or is_address(group):
            raise UsageError(
                f"--write {INTO_IMAGE} adds labels to an OME-Zarr image on this machine; "
                f"{self.path} is none: leave it out, and the labels get a store of their own"
            )
        if level > 0:
            raise UsageError(
                f"labels in the image have its finest level, but tiles.level is {level}: set it "
                f"to 0, or leave out --write {INTO_IMAGE}"
            )
        return Path(group)

    @property
    def labels(self) -> Path:
        """Where the finished labels are."""
        return self.store / "labels" / Path(self.name).name


def work_on_all(
    one: TiledImage,
    stage: str,
    work: Work[Item, Value],
    items: Iterable[Item],
    name: Callable[[Item], str],
    values: dict[str, Value],
    done: int = 0,
) -> Steps[dict[str, str]]:
    """Do a piece of work for all items, put the values by name, and return who failed twice."""
    waiting = list(items)
    total = done + len(waiting)
    broken: dict[str, str] = {}
    cluster = one.cluster if len(waiting) > 1 else None
    yield Progress(stage, done, total)
    events = share(work, waiting, cluster)
    try:
        for event in events:
            if isinstance(event, Ended):
                done += 1
                if event.error:
                    broken[name(event.item)] = event.error
                else:
                    values[name(event.item)] = cast(Value, event.value)
                yield Progress(stage, done, total)
            elif isinstance(event, Waiting):
                yield Progress(stage, done, total)
            elif isinstance(event, Again):
                yield f"{stage} {name(event.item)} failed, tried again later: {event.error}"
            elif isinstance(event, Progress):
                yield event._replace(stage=f"{stage} {done + 1}/{total}: {event.stage}")
            else:
                yield event
    finally:
        events.close()
    return broken


def or_fail(broken: dict[str, str], what: str) -> None:
    """Raise `OutputError` if some of the work failed twice."""
    if broken:
        name, error = next(iter(broken.items()))
        raise OutputError(f"{len(broken)} {what} failed, {name} first: {error}")


def is_complete(one: TiledImage, prepared: Prepared) -> bool:
    """Tell whether the very results are there."""
    try:
        found = json.loads(one.file("provenance").read_bytes())
        same = (
            found["tiles"]["digest"] == prepared.digest
            and found["fingerprint"]["stages"] == prepared.fingerprint.model_dump()["stages"]
            and found["image"]["pixel_size"] == prepared.image.record["pixel_size"]
            and found["image"]["pixel_unit"] == prepared.image.record["pixel_unit"]
        )
        written = set(found["files"])
        wanted = one.written(found["objects"], prepared.grid.shape)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    files = [one.file(kind) for kind in (*wanted, "seams", "recipe")]
    return same and set(wanted) <= written and one.labels.is_dir() and all(map(Path.exists, files))
