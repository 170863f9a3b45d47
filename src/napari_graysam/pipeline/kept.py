"""Results of many planes with their candidates: in memory up to a limit, the others on disk."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np

from napari_graysam.errors import OutputError, ProposalsError
from napari_graysam.fingerprint import array_digest
from napari_graysam.pipeline.retuning import retune
from napari_graysam.pipeline.view import model_views
from napari_graysam.results import Arm, LiveSegmentation, Segmentation
from napari_graysam.source.gray import GrayImage

if TYPE_CHECKING:
    import pandas as pd

    from napari_graysam.recipe import Recipe
    from napari_graysam.select.regrouping.asked import Answers

BUDGET = 2 * 2**30
"""Bytes in memory unless told otherwise."""
FOLDER_BUDGET = 20 * 2**30
"""Bytes on disk unless told otherwise."""

Key = tuple[int, Arm]
"""A plane's position and an arm."""


@dataclass(eq=False)
class _Away:
    """A result without what is large."""

    live: LiveSegmentation
    table: pd.DataFrame
    answers: Answers


class KeptPlanes:
    """Keeps the results of planes, so that thresholds re-tune all of them without the model.

    What was used longest ago goes to disk: only its candidates are written, the rest is made
    again from the image. Threads may share it.

    Parameters
    ----------
    read
        Reads a plane by its position.
    folder
        For the candidates that memory does not hold; None lets go of them.
    budget, folder_budget
        Bytes in memory and on disk, at most.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, run
    >>> from napari_graysam.pipeline import live_steps
    >>> from napari_graysam.pipeline.kept import KeptPlanes
    >>> from napari_graysam.source.gray import to_gray
    >>> recipe = Recipe().with_values({"generator.points_per_side": 4})
    >>> kept = KeptPlanes(lambda position: to_gray(np.eye(64)))
    >>> kept.put((0, "raw"), run(live_steps(np.eye(64), recipe)))
    >>> strict = recipe.with_values({"generator.pred_iou_thresh": 1})
    >>> len(kept.retune((0, "raw"), strict).masks)
    0
    """

    def __init__(
        self,
        read: Callable[[int], GrayImage],
        folder: Path | None = None,
        *,
        budget: int = BUDGET,
        folder_budget: int = FOLDER_BUDGET,
    ) -> None:
        self._read, self._folder = read, folder
        self._budget, self._folder_budget = budget, folder_budget
        self._here: OrderedDict[Key, LiveSegmentation] = OrderedDict()
        self._away: dict[Key, _Away] = {}
        self._files: dict[Key, int] = {}
        # Tells a result from an earlier one of the same plane and arm.
        self._runs: dict[Key, object] = {}
        self._lock = RLock()

    def __contains__(self, key: object) -> bool:
        """Whether there is a result, with or without candidates."""
        return key in self._here or key in self._away

    @property
    def in_memory(self) -> tuple[Key, ...]:
        """What is in memory as a whole, that used longest ago first."""
        with self._lock:
            return tuple(self._here)

    def put(self, key: Key, live: LiveSegmentation) -> None:
        """Keep a result; what memory has no room for is put away, but never this one."""
        with self._lock:
            self._forget_file(key)
            self._runs[key] = object()
            self._hold(key, live)

    def _hold(self, key: Key, live: LiveSegmentation) -> None:
        self._away.pop(key, None)
        self._here[key] = live
        self._here.move_to_end(key)
        while len(self._here) > 1 and self._used > self._budget:
            other = next(iter(self._here))
            self._put_away(other, self._here.pop(other))

    def discard(self, key: Key) -> None:
        """Forget a result and its candidates."""
        with self._lock:
            self._here.pop(key, None)
            self._runs.pop(key, None)
            self._forget_file(key)

    def get(self, key: Key) -> LiveSegmentation:
        """Return a result with its candidates; what is on disk comes back to memory.

        Raises
        ------
        KeyError
            There is none.
        ProposalsError
            Its candidates were let go of, or cannot be read: the plane must be run again.
        """
        with self._lock:
            if key in self._here:
                self._here.move_to_end(key)
                return self._here[key]
            live = self._restored(key)
            live = replace(live, result=retune(live, live.result.recipe))
            self._hold(key, live)
            return live

    def retune(self, key: Key, recipe: Recipe) -> Segmentation:
        """Select again, and keep that; errors as of `get` and `napari_graysam.pipeline.retune`.

        What comes from disk goes back there unless there is room for it, so that a pass over all
        planes leaves those in memory that are there.

        Parameters
        ----------
        key
            Of the result.
        recipe
            Of its arm; what it says of the image's axes and planes does not count.
        """
        with self._lock:
            here, of = key in self._here, self._runs.get(key)
            live = self._here[key] if here else self._restored(key)
        before = live.result.recipe
        image = before.image.replace(object_diameter=recipe.image.object_diameter)
        asked = recipe.replace(image=image, stack=before.stack)
        live = replace(live, result=retune(live, asked))
        with self._lock:
            if self._runs.get(key) is not of:
                # Meanwhile it was discarded, or run again.
                return live.result
            if here or self._used + size_of(live) <= self._budget:
                self._hold(key, live)
            else:
                self._put_away(key, live)
        return live.result

    def table(self, key: Key) -> pd.DataFrame:
        """Return the object table of a result, measured when first asked for."""
        with self._lock:
            live = self._here.get(key)
            return self._away[key].table if live is None else live.result.table

    def result(self, key: Key) -> Segmentation:
        """Return a result; one that is on disk has no labels, masks, view and gray values."""
        with self._lock:
            live = self._here.get(key)
            return self._away[key].live.result if live is None else live.result

    @property
    def _used(self) -> int:
        return sum(map(size_of, self._here.values()))

    def _put_away(self, key: Key, live: LiveSegmentation) -> None:
        """Write the candidates, if they are not on disk, and forget what is large."""
        if key not in self._files and (path := self._path(key)) is not None:
            size = live.selector.proposals.nbytes
            if sum(self._files.values()) + size <= self._folder_budget:
                # A full disk costs no more than the candidates.
                with suppress(OutputError):
                    live.selector.proposals.save(path)
                    self._files[key] = size
        self._away[key] = _Away(_bare(live), live.result.table, live.selector.answers)

    def _path(self, key: Key) -> Path | None:
        return None if self._folder is None else self._folder / f"{key[0]}-{key[1]}.npz"

    def _forget_file(self, key: Key) -> None:
        self._away.pop(key, None)
        path = self._path(key)
        if self._files.pop(key, None) is not None and path is not None:
            path.unlink(missing_ok=True)

    def _restored(self, key: Key) -> LiveSegmentation:
        """Return what is on disk, without labels and masks."""
        from napari_graysam.propose import Proposals
        from napari_graysam.select.selector import Selector

        away, path = self._away[key], self._path(key)
        if key not in self._files or path is None:
            raise ProposalsError(
                "The candidates of this plane were let go of for want of room: segment it again."
            )
        proposals = Proposals.load(path)
        before = away.live.result
        gray = self._read(key[0])
        views = model_views(gray, before.recipe)
        selector = Selector(proposals, image=array_digest(gray.raw), raw=gray.raw, views=views)
        selector.learn(away.answers)
        bare = replace(before, view=views[-1], raw=gray.raw)
        return replace(away.live, result=bare, selector=selector)


def size_of(live: LiveSegmentation) -> int:
    """Return the bytes that a result holds in memory, with its candidates."""
    result = live.result
    arrays = (result.labels, result.view, result.raw)
    held = sum(array.nbytes for array in arrays) + sum(mask.bits.nbytes for mask in result.masks)
    return int(held + live.selector.proposals.nbytes + live.selector.nbytes)


def _bare(live: LiveSegmentation) -> LiveSegmentation:
    """Return a result without what is large; of its labels the shape stays."""
    result = live.result
    nothing = np.broadcast_to(np.uint32(0), result.labels.shape)
    light = replace(
        result,
        labels=nothing,
        masks=(),
        view=np.empty((0, 0, 3), np.uint8),
        raw=np.empty((0, 0), result.raw.dtype),
    )
    return replace(live, result=light, selector=None)  # type: ignore[arg-type]
