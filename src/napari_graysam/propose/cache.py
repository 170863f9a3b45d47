"""Features and proposals of earlier runs, so that a run starts from what has changed."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from cachetools import LRUCache

from napari_graysam.errors import OutputError, ProposalsError
from napari_graysam.fingerprint import array_digest, digest_of, versions
from napari_graysam.model import LoadedModel
from napari_graysam.model.identity import identify, identity_of
from napari_graysam.propose.encode import Features
from napari_graysam.propose.proposals import Proposals
from napari_graysam.recipe import MODEL_STAGES, GeneratorOptions, ModelOptions, by_stage

BUDGET = 2 * 2**30
"""Bytes that a cache holds in memory unless told otherwise."""
FOLDER_BUDGET = 10 * 2**30
"""Bytes that a cache's folder holds unless told otherwise."""
_ABANDONED = 3600
"""Seconds after which a file that is not whole yet counts as left behind."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Cache:
    """Remembers features and proposals, the least recently used forgotten first.

    One cache may serve several threads, and its folder several processes.

    Parameters
    ----------
    budget
        Bytes in memory, at most.
    folder
        Where proposals are kept between sessions; None keeps them in memory only. Files there
        are written whole or not at all; damaged ones are made again. Candidates are kept there
        down to half the floors that are asked for, so that thresholds can be lowered later.
    folder_budget
        Bytes in the folder, at most: what was used longest ago is removed.
    evict
        Whether it is; if not, nothing more is kept. Where all is asked for in turn, what was
        used longest ago is what is asked for next.

    Raises
    ------
    OutputError
        If the folder cannot be made or written to, before any work is done.
    """

    def __init__(
        self,
        budget: int = BUDGET,
        folder: Path | None = None,
        folder_budget: int = FOLDER_BUDGET,
        *,
        evict: bool = True,
    ) -> None:
        self._evict = evict
        self.folder = folder
        self.folder_budget = folder_budget
        if folder is not None:
            _prepare(folder)
        self._entries: LRUCache[str, tuple[Any, int]] = LRUCache(budget, lambda entry: entry[1])
        self._lock = Lock()

    @property
    def used(self) -> int:
        """Bytes in memory now."""
        return int(self._entries.currsize)

    def clear(self) -> None:
        """Forget what is in memory."""
        with self._lock:
            self._entries.clear()

    def features(
        self,
        pixels: npt.NDArray[np.uint8],
        model: LoadedModel,
        compute: Callable[[npt.NDArray[np.uint8], LoadedModel], Features],
    ) -> Features:
        """Return a crop's features, computed where they are not at hand.

        Parameters
        ----------
        pixels
            uint8 (H, W, 3), the crop.
        model
            A SAM 2 model.
        compute
            Called with both.
        """
        key = digest_of("features", array_digest(pixels), identity_of(model), str(model.device))
        found: Features | None = self._get(key)
        if found is None:
            found = compute(pixels, model)
            self._put(key, found, _tensor_bytes(found))
        return found

    def floors(self, asked: tuple[float, float]) -> tuple[float, float]:
        """Return the scores down to which to keep candidates where some floors are asked for."""
        return asked if self.folder is None else (asked[0] / 2, asked[1] / 2)

    def proposals(
        self,
        key: str,
        options: GeneratorOptions,
        score_floors: tuple[float, float],
    ) -> Proposals | None:
        """Return proposals that hold all candidates above some floors, or None.

        Parameters
        ----------
        key
            Of `proposals_key`.
        options
            Uses what stability is measured with.
        score_floors
            Of predicted IoU and stability.
        """
        found: Proposals | None = self._get(key)
        if found is None and self.folder is not None:
            found = self._load(key)
        return found if found is not None and _covers(found, options, score_floors) else None

    def keep(self, key: str, proposals: Proposals) -> tuple[str, ...]:
        """Remember proposals under a key of `proposals_key`.

        Returns
        -------
        tuple of str
            Why the folder does not hold them, where it should.
        """
        self._put(key, proposals, proposals.nbytes)
        if self.folder is None:
            return ()
        lost = "the cache does not keep this image's candidates:"
        proposals = proposals.compact()
        size, most = proposals.nbytes, self.folder_budget
        if size > most:
            return (f"{lost} {size / 1e6:.0f} MB are more than its {most / 1e6:.0f} MB",)
        if not self._evict and _used(self.folder) + size > most:
            return (f"{lost} its {most / 1e9:.3g} GB are full",)
        try:
            proposals.save(self.folder / f"{key}.npz")
        except OutputError as error:
            return (f"{lost} {error}",)
        if self._evict:
            _trim(self.folder, most)
        return ()

    def _load(self, key: str) -> Proposals | None:
        path = self.folder / f"{key}.npz" if self.folder is not None else None
        if path is None or not path.exists():
            return None
        try:
            found = Proposals.load(path)
        except ProposalsError:
            return None
        with suppress(OSError):
            os.utime(path)  # The time of last use, by which the folder is trimmed.
        self._put(key, found, found.nbytes)
        return found

    def _get(self, key: str) -> Any:
        with self._lock:
            return self._entries.get(key, (None, 0))[0]

    def _put(self, key: str, value: Any, size: int) -> None:
        with self._lock:
            self._entries.pop(key, None)
            if size <= self._entries.maxsize:
                self._entries[key] = (value, size)


def proposals_key(
    view: npt.NDArray[np.uint8],
    model: LoadedModel | ModelOptions,
    options: GeneratorOptions,
    region: npt.NDArray[np.bool_] | None,
    place: str = "",
) -> str:
    """Name the candidates of a view: a hash of all that decides them.

    Parameters
    ----------
    view
        uint8 (H, W, 3).
    model
        A SAM 2 model on its device; or the options of one, which need not be loaded.
    options
        Uses the parameters that need the encoder or the decoder.
    region
        As in `propose`.
    place
        Of the source of the points.
    """
    values = by_stage(options)
    asked = [values[stage] for stage in MODEL_STAGES]
    where = None if region is None else array_digest(region)
    known = (
        {**identify(model), "asked": model.model_dump(mode="json", exclude={"device"})}
        if isinstance(model, ModelOptions)
        else identity_of(model)
    )
    parts = ["proposals", array_digest(view), known, asked, where, versions()]
    return digest_of(*parts, *([place] if place else []))


def _covers(found: Proposals, options: GeneratorOptions, score_floors: tuple[float, float]) -> bool:
    """Tell whether proposals hold all candidates above the floors."""
    record = found.record
    measured = ("mask_threshold", "stability_score_offset")
    same = all(record["generator"][name] == getattr(options, name) for name in measured)
    return bool(
        record["iou_floor"] <= score_floors[0]
        and record["stability_floor"] <= score_floors[1]
        and (same or (record["stability_floor"] == 0 and found.holds(options)))
    )


def _prepare(folder: Path) -> None:
    """Make the folder, so that a run does not end by finding that it cannot be written.

    A disk that is full may have room later; until then it costs no more than the cache.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if error.errno in _FULL:
            return
        raise OutputError(
            f"cannot write to the cache folder {folder}: {error.strerror or error}; choose a "
            "folder that can be made and written"
        ) from error


def _trim(folder: Path, budget: int) -> None:
    """Remove what was used longest ago; other processes may do the same at the same time."""
    found: list[tuple[float, int, Path]] = []
    for path in folder.glob("*.npz*"):
        with suppress(OSError):
            state = path.stat()
            found.append((state.st_mtime, state.st_size, path))
    found.sort(reverse=True)
    now, used = time.time(), 0
    for modified, size, path in found:
        used += size
        unfinished = path.name.startswith(".") and now - modified < _ABANDONED
        if used > budget and not unfinished:
            with suppress(OSError):
                path.unlink()


def _used(folder: Path) -> int:
    """Return how many bytes a folder holds."""
    used = 0
    for path in folder.glob("*.npz"):
        with suppress(OSError):
            used += path.stat().st_size
    return used


def _tensor_bytes(features: Features) -> int:
    tensors: list[torch.Tensor] = [
        features.embedding,
        features.contiguous,
        features.position,
        *features.high_resolution,
    ]
    return sum(tensor.nbytes for tensor in tensors)
