"""The label images of the best settings, for a worker thread."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.results.colors import Positions, object_colors
from napari_graysam._napari.tune.compute import Found, Step

if TYPE_CHECKING:
    from napari_graysam.progress import Progress
    from napari_graysam.tune import Rank

_LOOKED = 30
"""Scores that are looked through for each picture: many settings give the same one."""


class Picture(NamedTuple):
    """The label image (H, W) that a rank gives, and places of its objects in the palette."""

    rank: Rank
    labels: NDArray[np.uint32]
    colors: Positions


class Pictures(NamedTuple):
    """The best results that differ."""

    found: Found
    pictures: tuple[Picture, ...]


def draw(found: Found, count: int) -> Generator[Step | Pictures, None, None]:
    """Yield the best results whose label images differ, at most ``count`` of them."""
    from napari_graysam.pipeline import live_steps, retune
    from napari_graysam.tune import ranks

    tuning = found.tuning
    steps = live_steps(found.image, tuning.recipe, cache=found.request.memory.cache())
    live = yield from _passed_on(steps)
    pictures: list[Picture] = []
    for rank in ranks(tuning, _LOOKED * count):
        yield Step("grid", len(pictures), count)
        if len(pictures) == count:
            break
        result = retune(live, tuning.with_setting(rank.setting))
        if not any(np.array_equal(result.labels, one.labels) for one in pictures):
            colors = object_colors({"raw": result})["raw"]
            pictures.append(Picture(rank, result.labels, colors))
    yield Pictures(found, tuple(pictures))


def _passed_on(steps: Generator[Progress, None, Any]) -> Generator[Step, None, Any]:
    with closing(steps):
        while True:
            try:
                progress = next(steps)
            except StopIteration as stop:
                return stop.value
            yield Step(progress.stage, progress.done, progress.total)
