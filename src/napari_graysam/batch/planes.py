"""Planes of a stack as images of a batch: ``stack.tif/z0003`` is plane 3 of ``stack.tif``."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from napari_graysam.batch.jobs import Outcome, SegmentJob
from napari_graysam.progress import Progress
from napari_graysam.source.gray import GrayImage
from napari_graysam.source.stack import Stack
from napari_graysam.source.stack_window import StackWindow


@dataclass(frozen=True)
class PlaneJob(SegmentJob):
    """Segment every plane of a stack, as an image of its own in the window of the stack.

    ``stack`` is one that is no file; ``window`` was measured over it.
    """

    stack: Stack | None = None
    window: StackWindow | None = None

    def read(self, path: Path) -> GrayImage:
        """Read a plane."""
        return self._of(path).plane(_position(path))

    def complete(self, path: Path, image: GrayImage) -> bool:
        """Tell whether the results of a plane are there already."""
        return self._alone(path).complete(path, image)

    def steps(self, path: Path, image: GrayImage) -> Generator[Progress, None, Outcome]:
        """Segment one plane and write the results."""
        return (yield from self._alone(path).steps(path, image))

    def _of(self, path: Path) -> Stack:
        stack = self.stack or _opened(
            path.parent, path.parent.stat().st_mtime_ns, self.recipe.to_yaml(), self.pixel_size
        )
        if self.window is not None:
            stack.use(self.window)
        return stack

    def _alone(self, path: Path) -> SegmentJob:
        recipe = self._of(path).plane_recipe(_position(path))
        more = (self.cache, self.cache_size, self.naming, self.kinds, self.pixel_size)
        return SegmentJob(recipe, self.folder, *more)


def _position(path: Path) -> int:
    return int(path.name[1:])


@lru_cache(maxsize=1)
def _opened(path: Path, changed: int, recipe: str, size: Any) -> Stack:
    """Open a file once for all its planes."""
    from napari_graysam.recipe import Recipe

    return Stack(path, Recipe.from_yaml(recipe), pixel_size=size)
