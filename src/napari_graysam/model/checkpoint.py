"""Read the weights out of a checkpoint file, without ever running code from it."""

from __future__ import annotations

import pickle
import pickletools
import re
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
_OTHER_OBJECTS = (
    "It could run code; it is not loaded. Save the weights alone: "
    "torch.save({'model': model.state_dict()}, …)."
)
_HARMLESS = re.compile(
    r"collections OrderedDict"
    r"|torch (\w+Storage|Size|device|bool|bfloat16|(float|u?int|complex)\d+)"
    r"|torch\._utils _rebuild_(tensor_v2|parameter)"
)

LARGEST_HEADER = 1 << 24
"""Bytes of a checkpoint's list of weights; that of SAM 2's largest model has 0.1 MB."""


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
        if path.is_dir():
            raise ModelError(f"The checkpoint {path} is a folder; give the file inside it.")
        size = path.stat().st_size
        if size == 0:  # pipes, which would be waited for, say so too
            raise ModelError(f"The checkpoint {path} is empty. {_AGAIN}")
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError as error:
        raise ModelError(
            f"There is no checkpoint {path}: it was moved or deleted. Choose a file that is there, "
            "or a named model."
        ) from error
    except OSError as error:
        raise ModelError(f"The checkpoint {path} cannot be read: {error}.") from error
    if looks_like_web_page(head):
        raise ModelError(f"{path} is a web page, not a checkpoint. {_AGAIN}")
    if head.startswith(b"version https://git-lfs"):
        raise ModelError(f"{path} is a Git LFS pointer, not the checkpoint: run `git lfs pull`.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path, size, head)
    return _read_torch(path, size, head)


def _read_safetensors(path: Path, size: int, head: bytes) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        # The length of the header comes first; the reader checks it and all others, but only
        # once the header is in memory.
        if int.from_bytes(head[:8], "little") > min(size, LARGEST_HEADER):
            raise SafetensorError("its header is said to be larger than that of any model")
        return _weights_of(load_file(path), path)
    except SafetensorError as error:
        raise ModelError(
            f"{path} ({readable_size(size)}) is truncated or no safetensors file ({error}). "
            f"{_AGAIN}"
        ) from error


def _read_torch(path: Path, size: int, head: bytes) -> dict[str, Tensor]:
    import torch

    if torch.__version__ < "2.10":
        raise ModelError(
            f"{path} is not loaded with torch {torch.__version__}, in which a file made for it can "
            "run code although weights alone are asked for (CVE-2025-32434, CVE-2026-24747): "
            "install torch 2.10 or newer, or take a .safetensors file."
        )
    if head.startswith(b"PK") and not zipfile.is_zipfile(path):
        raise ModelError(f"{path} is truncated: it ends after {readable_size(size)}. {_AGAIN}")
    if head.startswith(b"\x80"):
        raise ModelError(f"{path} is a bare pickle. {_OTHER_OBJECTS}")
    if not head.startswith(b"PK"):
        raise ModelError(f"{path} is not a PyTorch checkpoint. {_WANTED}")
    try:
        _refuse_other_objects(path, size)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} holds Python objects besides weights. {_OTHER_OBJECTS}"
        ) from error
    except Exception as error:  # torch fails in many ways on what it did not write
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{path} is damaged or no PyTorch checkpoint ({reason}). {_WANTED}"
        ) from error
    return _weights_of(content, path)


def _refuse_other_objects(path: Path, size: int) -> None:
    """Check the members of an archive, and that its pickles call nothing but `_HARMLESS`.

    What torch itself lets pass for weights includes ``bytearray(10**12)``.

    Raises
    ------
    pickle.UnpicklingError
        If another name is called.
    ValueError
        If a member is compressed, which torch's are not, or larger than the file.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(one.compress_type for one in members) or sum(m.file_size for m in members) > size:
            raise ValueError("its parts are compressed or overlap")
        for member in members:
            if not member.filename.endswith(".pkl"):
                continue
            if member.file_size > LARGEST_HEADER:
                raise ValueError("its list of weights is larger than that of any model")
            for code, argument, _ in pickletools.genops(archive.read(member)):
                named = code.name in ("GLOBAL", "INST", "STACK_GLOBAL")
                if named and not _HARMLESS.fullmatch(str(argument)):
                    raise pickle.UnpicklingError(f"it names {argument}")


def _weights_of(content: Any, path: Path) -> dict[str, Tensor]:
    import torch

    weights = content.get("model", content) if isinstance(content, dict) else content
    if (
        not isinstance(weights, dict)
        or not weights
        or not all(isinstance(value, torch.Tensor) for value in weights.values())
        or not all(isinstance(key, str) for key in weights)
    ):
        kind = (
            f"a dictionary of {', '.join(map(repr, list(content)[:4])) or 'nothing'}"
            if isinstance(content, dict)
            else type(content).__name__
        )
        raise ModelError(f"{path} holds {kind}; expected named weights, under 'model' or directly.")
    return weights
