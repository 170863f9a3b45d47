"""Turn the model part of a recipe into a model that is ready to run."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from cachetools import LRUCache

from napari_graysam.errors import DeviceError, ModelError
from napari_graysam.model.architecture import describe, fill, recognise
from napari_graysam.model.build import MOST_WEIGHTS, build_image_model, read_config
from napari_graysam.model.catalog import BUNDLED, CATALOG, ModelEntry, config_path, find_entry
from napari_graysam.model.checkpoint import read_weights
from napari_graysam.model.checksum import sha256_of
from napari_graysam.model.device import choose_device, choose_dtype
from napari_graysam.model.weights import fetch, verify
from napari_graysam.progress import Progress, run

if TYPE_CHECKING:
    import torch
    from sam2.modeling.sam2_base import SAM2Base
    from torch import Tensor

    from napari_graysam.recipe import ModelOptions

_KEPT_MODELS = 2
_SMALLEST, _LARGEST = 512, 1024  # of the frames that `LoadedModel.fitted` chooses
_SPARE_WEIGHTS = 10_000_000


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in evaluation mode on its device.

    Attributes
    ----------
    model
        SAM 2's ``SAM2Base`` without its video parts. Parameters are float32 in either
        precision.
    name
        Catalogue name, or for a checkpoint of one's own the file's stem.
    device
        Where the parameters are.
    dtype
        What to compute in; ``bfloat16`` means under autocast.
    image_size
        Side in pixels of the square frame that the encoder takes.
    sha256
        Of the checkpoint file.
    parameters
        Number of parameters in memory.
    record
        The facts that make a result repeatable, ready for JSON.
    arithmetic
        "exact" or "fast", as in `ModelOptions`.
    free_frame
        Whether the frame may be chosen for each image.
    frame_scale
        How many times the image's size a chosen frame is.
    """

    model: SAM2Base
    name: str
    device: torch.device
    dtype: torch.dtype
    image_size: int
    sha256: str
    parameters: int
    record: dict[str, Any]
    arithmetic: str = "exact"
    free_frame: bool = False
    frame_scale: float = 1.0

    def with_arithmetic(self, arithmetic: str) -> LoadedModel:
        """Return the same model with another arithmetic; itself where that is its own."""
        if arithmetic == self.arithmetic:
            return self
        record = {**self.record, "arithmetic": arithmetic}
        return replace(self, arithmetic=arithmetic, record=record)

    def with_frame(self, frame: int | None) -> LoadedModel:
        """Return the same model with another frame; itself where that is its own or None.

        Raises
        ------
        ModelError
            If the model was made for one frame only.
        """
        if frame is None or (frame == self.image_size and not self.free_frame):
            return self
        if not getattr(self.model, "any_frame", False):
            raise ModelError(
                f"model.frame is {frame}, but {self.name} sees {self.image_size} pixels only: set "
                "model.frame to null."
            )
        record = {**self.record, "image_size": frame}
        return replace(self, image_size=frame, record=record, free_frame=False)

    def with_frame_scale(self, scale: float) -> LoadedModel:
        """Return the same model whose chosen frames are so many times the image's size.

        Raises
        ------
        ModelError
            If the model was made for one frame only.
        """
        if scale == self.frame_scale:
            return self
        if not getattr(self.model, "any_frame", False):
            raise ModelError(
                f"model.frame_scale is {scale:g}, but {self.name} sees {self.image_size} pixels "
                "only: set model.frame_scale to 1."
            )
        return replace(self, frame_scale=scale)

    def fitted(self, shape: tuple[int, int]) -> LoadedModel:
        """Return the model with a frame of about the size of a view (H, W), where it is free."""
        if not self.free_frame:
            return self
        side = 64 * round(self.frame_scale * (shape[0] * shape[1]) ** 0.5 / 64)
        return self.with_frame(min(max(side, _SMALLEST), _LARGEST))


class _Source(NamedTuple):
    """A checkpoint, what it should be (None: see by its shapes), and whether published."""

    path: Path
    config: str | None
    entry: ModelEntry | None
    published: bool


_loaded: LRUCache[tuple[object, ...], LoadedModel] = LRUCache(_KEPT_MODELS)
_lock = Lock()


def load_model(options: ModelOptions) -> LoadedModel:
    """Load a model, downloading its weights if they are not on this machine.

    See Also
    --------
    load_steps : The same in steps that can be shown and cancelled; parameters and errors.

    Examples
    --------
    >>> from napari_graysam.recipe import ModelOptions
    >>> model = load_model(ModelOptions(name="graysam-small", device="cpu"))
    >>> model.name, model.image_size, model.record["config"]
    ('graysam-small', 512, 'bundled/config.yaml')
    """
    return run(load_steps(options))


def load_steps(options: ModelOptions) -> Generator[Progress, None, LoadedModel]:
    """Load a model in steps that can be shown and cancelled.

    The last two models are kept: the same options give the same object while its files do
    not change.

    Parameters
    ----------
    options
        Of ``name``, ``checkpoint`` and ``config``: without a checkpoint, `name` says it
        all. With one, `config` names its architecture, else a `name` other than the
        default does, else the weights themselves must tell.

    Yields
    ------
    Progress
        Stages ``download`` and ``verify`` in bytes, if there is something to download, then
        ``load``.

    Raises
    ------
    DeviceError
        If the device or the precision is not to be had, or its memory does not suffice.
    ModelError
        If the checkpoint or the config is missing, damaged, unsafe or of another model.
    DownloadError
        If the weights cannot be downloaded.
    """
    device = choose_device(options.device)
    dtype = choose_dtype(options.precision, device)
    source = yield from _find(options)
    yield Progress("load", 0, 1)
    with _lock:
        key = (*source, *_state(source), str(device), dtype)
        if key not in _loaded:
            _loaded[key] = _load(source, device, dtype)
        model = _loaded[key]
    yield Progress("load", 1, 1)
    model = model.with_arithmetic(options.arithmetic).with_frame_scale(options.frame_scale)
    return model.with_frame(options.frame)


def _find(options: ModelOptions) -> Generator[Progress, None, _Source]:
    if options.checkpoint is None:
        entry = find_entry(options.name)
        if options.config is not None:
            raise ModelError(
                f"model.config is {options.config!r}, but there is no model.checkpoint to use "
                f"it for; {entry.name} has its own config."
            )
        path = yield from fetch(entry)
        return _Source(path, entry.config, entry, published=True)
    path = Path(options.checkpoint).expanduser()
    if options.config is not None:
        entries = (entry for entry in CATALOG if entry.config == options.config)
        return _Source(path, options.config, next(entries, None), published=False)
    entry = find_entry(options.name)
    if entry is BUNDLED:
        return _Source(path, None, None, published=False)
    return _Source(path, entry.config, entry, published=False)


def _state(source: _Source) -> tuple[int, ...]:
    """Return what changes when the checkpoint or the config does."""
    files = [source.path] if source.config is None else [source.path, config_path(source.config)]
    facts = [file.stat() for file in files if file.exists()]
    return tuple(value for fact in facts for value in (fact.st_mtime_ns, fact.st_size))


def _load(source: _Source, device: torch.device, dtype: torch.dtype) -> LoadedModel:
    weights = read_weights(source.path)
    name, expected = _architecture(source, weights)
    config = read_config(name)
    held = sum(value.numel() for value in weights.values())
    model = build_image_model(config, min(2 * held + _SPARE_WEIGHTS, MOST_WEIGHTS))
    fill(model, weights, path=source.path, expected=expected)
    if source.published and source.entry is not None:
        digest = verify(source.path, source.entry)
    else:
        digest = sha256_of(source.path)
    name = expected if source.published else source.path.stem
    parameters = sum(value.numel() for value in model.parameters())
    return LoadedModel(
        model=_move(model, device),
        name=name,
        device=device,
        dtype=dtype,
        image_size=int(model.image_size),
        sha256=digest,
        parameters=parameters,
        record={
            "name": name,
            "architecture": expected,
            "config": config.name,
            "config_sha256": config.sha256,
            "file": source.path.name,
            "sha256": digest,
            "parameters": parameters,
            "image_size": int(model.image_size),
            "device": str(device),
            "precision": str(dtype).removeprefix("torch."),
            "arithmetic": "exact",
            "licence": source.entry.licence if source.published and source.entry else None,
        },
        free_frame=getattr(model, "any_frame", False),
    )


def _architecture(source: _Source, weights: dict[str, Tensor]) -> tuple[str, str]:
    """Return the config to build, and the name of the architecture."""
    known = recognise(weights)
    if source.config is None:
        if not known:
            raise ModelError(f"{source.path} {describe(weights)}.")
        return known[0].config, known[0].name
    if source.entry is None:
        return source.config, Path(source.config).stem
    if known and source.entry not in known:
        raise ModelError(f"{source.path} is not {source.entry.name}: it {describe(weights)}.")
    return source.config, source.entry.name


def _move(model: SAM2Base, device: torch.device) -> SAM2Base:
    import torch

    try:
        moved: SAM2Base = model.to(device)
        return moved
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"The model does not fit into the free memory of {device}: choose a smaller one, "
            "close what else uses the device, or set model.device=cpu."
        ) from error
