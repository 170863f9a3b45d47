"""Features and proposals of earlier runs, so that a run starts from what has changed."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_graysam.errors import OutputError, ProposalsError
from napari_graysam.model import LoadedModel
from napari_graysam.propose.encode import Features
from napari_graysam.propose.proposals import Proposals
from napari_graysam.recipe import GeneratorOptions
from napari_graysam.recipe.reference import extra

_OF_ANSWERS = (
    "pred_iou_thresh",
    "stability_score_thresh",
    "stability_score_offset",
    "mask_threshold",
)

BUDGET = 2 * 2**30
"""Bytes that a cache holds in memory unless told otherwise."""


class Cache:
    """Remembers features and proposals, the least recently used forgotten first.

    One cache may serve several threads, and its folder several processes.

    Parameters
    ----------
    budget
        Bytes in memory, at most.
    folder
        Where proposals are kept between sessions; None keeps them in memory only. Files there
        are written whole or not at all; damaged ones are made again.

    Raises
    ------
    OutputError
        If the folder cannot be made or written to, before any work is done.
    """

    def __init__(self, budget: int = BUDGET, folder: Path | None = None) -> None:
        self.budget = budget
        self.folder = folder
        if folder is not None:
            _prepare(folder)
        self._entries: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._lock = Lock()

    @property
    def used(self) -> int:
        """Bytes in memory now."""
        return sum(size for _, size in self._entries.values())

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
        key = _key("features", _digest(pixels), _identity(model))
        found: Features | None = self._get(key)
        if found is None:
            found = compute(pixels, model)
            self._put(key, found, _tensor_bytes(found))
        return found

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

    def keep(self, key: str, proposals: Proposals) -> None:
        """Remember proposals under a key of `proposals_key`.

        Raises
        ------
        OutputError
            If they cannot be written to the folder.
        """
        self._put(key, proposals, proposals.nbytes)
        if self.folder is not None:
            proposals.save(self.folder / f"{key}.npz")

    def _load(self, key: str) -> Proposals | None:
        path = self.folder / f"{key}.npz" if self.folder is not None else None
        if path is None or not path.exists():
            return None
        try:
            found = Proposals.load(path)
        except ProposalsError:
            return None
        self._put(key, found, found.nbytes)
        return found

    def _get(self, key: str) -> Any:
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def _put(self, key: str, value: Any, size: int) -> None:
        with self._lock:
            self._entries.pop(key, None)
            if size > self.budget:
                return
            self._entries[key] = (value, size)
            while self.used > self.budget:
                self._entries.popitem(last=False)


def proposals_key(
    view: npt.NDArray[np.uint8],
    model: LoadedModel,
    options: GeneratorOptions,
    region: npt.NDArray[np.bool_] | None,
) -> str:
    """Name the candidates of a view: a hash of all that decides them.

    Parameters
    ----------
    view
        uint8 (H, W, 3).
    model
        A SAM 2 model on its device.
    options
        Uses the parameters that need the encoder or the decoder.
    region
        As in `propose`.
    """
    fields = type(options).model_fields
    values = options.model_dump(mode="json")
    run = {
        name: values[name]
        for name, field in fields.items()
        if extra(field, "stage") in ("encode", "decode")
    }
    if options.grid == "adaptive":
        # What was sure enough decided where else to ask.
        run |= {name: values[name] for name in _OF_ANSWERS}
    where = None if region is None else _digest(region)
    return _key("proposals 2", _digest(view), _identity(model), run, where)


def _covers(found: Proposals, options: GeneratorOptions, score_floors: tuple[float, float]) -> bool:
    """Tell whether proposals hold all candidates above the floors."""
    record = found.record
    measured = ("mask_threshold", "stability_score_offset")
    same = all(record["generator"][name] == getattr(options, name) for name in measured)
    return bool(
        record["iou_floor"] <= score_floors[0]
        and record["stability_floor"] <= score_floors[1]
        and (same or record["stability_floor"] == 0)
    )


def _identity(model: LoadedModel) -> list[str]:
    """Name the weights and how they are computed with; weights of no file by their object."""
    weights = model.sha256 or f"object {id(model.model)}"
    return [weights, str(model.device), str(model.dtype), model.arithmetic]


def _prepare(folder: Path) -> None:
    """Make the folder, so that a run does not end by finding that it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot write to the cache folder {folder}: {error.strerror or error}; choose a "
            "folder that can be made and written"
        ) from error


def _digest(array: npt.NDArray[Any]) -> list[Any]:
    data = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return [data, list(array.shape)]


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _tensor_bytes(features: Features) -> int:
    tensors: list[torch.Tensor] = [
        features.embedding,
        features.contiguous,
        features.position,
        *features.high_resolution,
    ]
    return sum(tensor.nbytes for tensor in tensors)
