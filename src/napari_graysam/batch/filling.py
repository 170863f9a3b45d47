"""What a stack's planes lack once they are linked, and what they get for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from napari_graysam.batch.asking import Asking
from napari_graysam.batch.candidates import DroppedCandidates
from napari_graysam.batch.jobs import Report
from napari_graysam.files import read_labels
from napari_graysam.progress import Progress
from napari_graysam.recipe import Recipe, for_image
from napari_graysam.source.stack import Stack
from napari_graysam.source.stack_axes import Axis
from napari_graysam.stack import Fill, Links, fill_gaps, link_planes
from napari_graysam.stack.gaps import paint_fill
from napari_graysam.stack.laptracking import check_laptrack, track_planes
from napari_graysam.stack.propagation import Extended, propagate_steps
from napari_graysam.stack.tables import fills_table, planes_table

if TYPE_CHECKING:
    import pandas as pd

    from napari_graysam.propose.cache import Cache


Result = TypeVar("Result")


class PlaneLabels(Sequence[NDArray[np.integer]]):
    """The label images of a stack's planes, read when they are asked for."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._paths = [folder / f"{name}.labels.tif" for name in names]

    def __len__(self) -> int:
        """Return the number of planes."""
        return len(self._paths)

    @overload
    def __getitem__(self, number: int) -> NDArray[np.integer]: ...
    @overload
    def __getitem__(self, number: slice) -> list[NDArray[np.integer]]: ...
    def __getitem__(self, number: int | slice) -> NDArray[np.integer] | list[NDArray[np.integer]]:
        """Read a plane, or some."""
        if isinstance(number, slice):
            return [read_labels(path) for path in self._paths[number]]
        return read_labels(self._paths[number])


@dataclass(frozen=True, eq=False)
class Completed:
    """Linked planes with what they lacked.

    Attributes
    ----------
    links
        The object of every label.
    fills
        Of every plane.
    """

    links: Links
    fills: tuple[tuple[Fill, ...], ...]

    @property
    def sources(self) -> dict[str, int]:
        """How many masks of each source there are besides those of the planes."""
        return dict(Counter(fill.source for fills in self.fills for fill in fills))

    def painted(self, planes: Iterable[NDArray[np.integer]]) -> Iterator[NDArray[np.uint32]]:
        """Yield the planes, uint32 (H, W), with the numbers of the objects."""
        for ids, plane, fills in zip(self.links.ids, planes, self.fills, strict=True):
            labels = ids[plane]
            for fill in fills:
                paint_fill(labels, fill.id, fill.source, fill.mask)
            yield labels

    def planes_table(
        self, stack: Stack, planes: Sequence[NDArray[np.integer]], tables: Sequence[pd.DataFrame]
    ) -> pd.DataFrame:
        """Return the table of objects and planes; planes that lacked something are read again."""
        filled = {}
        for number, (fills, labels) in enumerate(
            zip(self.fills, self.painted(planes), strict=True)
        ):
            if fills:
                raw = stack.plane(stack.positions[number]).raw
                filled[number] = fills_table(fills, labels, raw)
        return planes_table(
            stack.axis, stack.positions, tables, self.links, stack.pixel_size, filled
        )


def check_link(recipe: Recipe, axis: str) -> None:
    """Refuse a way of linking that is not possible along an axis, before any work is done."""
    if recipe.stack.link == "laptrack":
        check_laptrack(axis)


def complete_steps(
    stack: Stack,
    planes: Sequence[NDArray[np.integer]],
    recipe: Recipe,
    cache: Cache | None = None,
) -> Generator[Progress, None, Completed]:
    """Link the planes and fill the gaps as the recipe says, yielding `Progress`.

    ``cache`` may hold the candidates of the planes.
    """
    check_link(recipe, stack.axis)
    yield Progress("link", 0, 1)
    links = _links(planes, recipe, stack.axis)
    extended = Extended(planes, [()] * len(planes))
    if recipe.stack.link == "prompt":
        rules = recipe.stack.linking.along(stack.axis)
        sized = for_image(recipe, stack.shape)
        found = yield from propagate_steps(planes, links, rules, sized, Asking(stack))
        extended = Extended(planes, found)
        yield Progress("link", 0, 1)
        links = _links(extended, recipe, stack.axis)
    fills = [extended.fills(n, links) for n in range(len(planes))]
    if recipe.stack.linking.fill != "none" and links.bridges:
        own = recipe.stack.linking.fill == "candidates"
        dropped = DroppedCandidates(stack, cache) if own else None
        missed = {n for one in links.bridges for n in range(one.before + 1, one.after)}
        filled = fill_gaps(extended, links, dropped)
        for number in range(len(planes)):
            yield Progress("fill", number, len(planes))
            if dropped is not None and number in missed:
                yield from dropped.prepare(number)
            fills[number] += next(filled).fills
    return Completed(links, tuple(fills))


def _links(planes: Iterable[NDArray[np.integer]], recipe: Recipe, axis: Axis) -> Links:
    """Link the planes, or give every object of every plane a number of its own."""
    if recipe.stack.link in ("overlap", "prompt"):
        return link_planes(planes, recipe.stack.linking, axis)
    if recipe.stack.link == "laptrack":
        return track_planes(planes, recipe.stack.linking)
    ids, count = [], 0
    for plane in planes:
        labels = np.unique(plane[plane > 0])
        table = np.zeros(int(plane.max(initial=0)) + 1, np.uint32)
        table[labels] = np.arange(count + 1, count + 1 + labels.size)
        ids.append(table)
        count += labels.size
    return Links(tuple(ids))


def reported(
    steps: Generator[Progress, None, Result], count: tuple[int, int], path: Path
) -> Generator[Report, None, Result]:
    """Yield the steps of a stack as reports of the batch."""
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        yield Report(*count, path, step=step)
