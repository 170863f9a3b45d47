"""Read the weights out of a checkpoint file, without ever running code from it."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_graysam.errors import ModelError
from napari_graysam.model.download import looks_like_web_page, readable_size

if TYPE_CHECKING:
    from torch import Tensor

_AGAIN = "Remove it and download it again."
_WANTED = "Choose the weights of a SAM 2 model, a .pt or .safetensors file."


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights of a checkpoint by name, mapped from the file where possible.

    Parameters
    ----------
    path
        A ``.safetensors`` file, or a PyTorch file that holds the weights under ``model``
        (as SAM 2's do) or directly.

    Raises
    ------
    ModelError
        If the file is missing, unreadable, empty, truncated, a folder, a web page, holds
        Python code, or holds anything but weights.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise ModelError(f"The checkpoint {path} is a folder; give the file inside it.")
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError as error:
        raise ModelError(
            f"There is no checkpoint {path}: it was moved or deleted. Choose a file that is there, "
            "or a named model."
        ) from error
    except OSError as error:
        raise ModelError(f"The checkpoint {path} cannot be read: {error}.") from error
    if size == 0:
        raise ModelError(f"The checkpoint {path} is empty. {_AGAIN}")
    if looks_like_web_page(head):
        raise ModelError(f"{path} is a web page, not a checkpoint. {_AGAIN}")
    if head.startswith(b"version https://git-lfs"):
        raise ModelError(f"{path} is a Git LFS pointer, not the checkpoint: run `git lfs pull`.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path, size)
    return _read_torch(path, size, head)


def _read_safetensors(path: Path, size: int) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ModelError(
            f"{path} ({readable_size(size)}) is truncated or no safetensors file ({error}). "
            f"{_AGAIN}"
        ) from error


def _read_torch(path: Path, size: int, head: bytes) -> dict[str, Tensor]:
    import torch

    zipped = zipfile.is_zipfile(path)
    if head.startswith(b"PK") and not zipped:
        raise ModelError(f"{path} is truncated: it ends after {readable_size(size)}. {_AGAIN}")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        if head.startswith((b"PK", b"\x80")):
            raise ModelError(
                f"{path} holds Python objects besides weights, which could run code; it is not "
                "loaded. Save the weights alone: torch.save({'model': model.state_dict()}, …)."
            ) from error
        raise ModelError(f"{path} is not a PyTorch checkpoint. {_WANTED}") from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{path} is damaged or no PyTorch checkpoint ({reason}). {_WANTED}"
        ) from error
    return _weights_of(content, path)


def _weights_of(content: Any, path: Path) -> dict[str, Tensor]:
    import torch

    weights = content.get("model", content) if isinstance(content, dict) else content
    if (
        not isinstance(weights, dict)
        or not weights
        or not all(isinstance(value, torch.Tensor) for value in weights.values())
    ):
        kind = (
            f"a dictionary of {', '.join(map(repr, list(content)[:4])) or 'nothing'}"
            if isinstance(content, dict)
            else type(content).__name__
        )
        raise ModelError(f"{path} holds {kind}; expected named weights, under 'model' or directly.")
    return weights
