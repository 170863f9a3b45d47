"""What decides a model's answers, known without loading it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_graysam.errors import ModelError
from napari_graysam.model.catalog import BUNDLED, bundled_path, config_path, find_entry
from napari_graysam.model.checksum import sha256_of
from napari_graysam.model.device import choose_device

if TYPE_CHECKING:
    from napari_graysam.model.load import LoadedModel
    from napari_graysam.recipe import ModelOptions


def identify(options: ModelOptions) -> dict[str, str]:
    """Name what decides the answers of the model that the options choose.

    Nothing is downloaded or loaded: a published model is known by its published SHA-256, which
    `load_model` enforces, and other files are hashed (once, while they do not change).

    Returns
    -------
    dict
        ``weights`` and ``config``, SHA-256 of their files, the config's empty where the weights
        tell it; ``device``, its kind such as "cuda"; ``precision`` and ``arithmetic``.

    Raises
    ------
    DeviceError
        If the device is not to be had.
    ModelError
        If there is no such model, checkpoint or config.

    Examples
    --------
    >>> from napari_graysam.recipe import ModelOptions
    >>> found = identify(ModelOptions(device="cpu"))
    >>> found["device"], found["precision"], len(found["weights"])
    ('cpu', 'float32', 64)
    """
    entry = find_entry(options.name)
    config: str | None = entry.config if options.config is None else options.config
    if options.checkpoint is not None:
        weights = _hashed(Path(options.checkpoint).expanduser())
        if entry is BUNDLED and options.config is None:
            config = None
    else:
        weights = entry.sha256 or _hashed(bundled_path())
    return {
        "weights": weights,
        "config": "" if config is None else _hashed(config_path(config)),
        "device": choose_device(options.device).type,
        "precision": options.precision,
        "arithmetic": options.arithmetic,
    }


def identity_of(model: LoadedModel) -> dict[str, str]:
    """Name what decides the answers of a loaded model; weights of no file by their object."""
    return {
        "weights": model.sha256 or f"object {id(model.model)}",
        "config": str(model.record.get("config_sha256", "")),
        "image_size": str(model.image_size),
        "device": model.device.type,
        "precision": str(model.dtype).removeprefix("torch."),
        "arithmetic": model.arithmetic,
    }


def _hashed(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise ModelError(f"The model file {path} cannot be read: {error}.") from error
