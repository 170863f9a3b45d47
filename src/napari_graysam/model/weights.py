"""Find the file of a catalogued model, check it, or bring it here."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

from napari_graysam.errors import ModelError
from napari_graysam.model.catalog import ModelEntry, bundled_path, find_entry
from napari_graysam.model.checksum import sha256_of
from napari_graysam.model.download import download
from napari_graysam.progress import Progress

FOLDERS_VARIABLE = "GRAYSAM_MODELS"


def cache_folder() -> Path:
    """Return the folder that downloads go to; it need not exist."""
    from platformdirs import user_cache_path

    return user_cache_path("napari-graysam", appauthor=False) / "models"


def model_folders() -> tuple[Path, ...]:
    """Return the folders searched for checkpoints: ``$GRAYSAM_MODELS``, then the cache.

    The variable holds one folder, or several joined as in ``$PATH``.
    """
    named = os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)
    return (*(Path(folder).expanduser() for folder in named if folder), cache_folder())


def _entry(model: str | ModelEntry) -> ModelEntry:
    return model if isinstance(model, ModelEntry) else find_entry(model)


def locate(model: str | ModelEntry) -> Path | None:
    """Return the checkpoint of a catalogued model if it is on this machine.

    Parameters
    ----------
    model
        A catalogue name or entry.

    Raises
    ------
    ModelError
        If the catalogue has no such name.

    See Also
    --------
    fetch, verify, model_folders

    Examples
    --------
    >>> locate("graysam-small").name
    'graysam-small.safetensors'
    """
    entry = _entry(model)
    if entry.url is None:
        return path if (path := bundled_path()).is_file() else None
    candidates = (folder / entry.filename for folder in model_folders())
    return next((path for path in candidates if path.exists()), None)


def verify(path: Path, entry: ModelEntry) -> str:
    """Check that a file is the published checkpoint of an entry.

    Returns
    -------
    str
        The file's SHA-256.

    Raises
    ------
    ModelError
        If the file cannot be read, or its SHA-256 is not the published one.

    Examples
    --------
    >>> from napari_graysam.model import BUNDLED
    >>> len(verify(locate(BUNDLED), BUNDLED))
    64
    """
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise ModelError(f"The checkpoint {path} cannot be read: {error}.") from error
    if entry.sha256 is not None and digest != entry.sha256:
        raise ModelError(
            f"{path} is not the published {entry.name}: its SHA-256 is {digest}, expected "
            f"{entry.sha256}. Remove it and download it again, or, if these are weights of "
            "your own, give the file as model.checkpoint."
        )
    return digest


def fetch(model: str | ModelEntry) -> Generator[Progress, None, Path]:
    """Return the checkpoint of a catalogued model, downloading it if it is not here.

    Closing the generator cancels; what has come stays for the next attempt to resume.

    Parameters
    ----------
    model
        A catalogue name or entry.

    Yields
    ------
    Progress
        Stages ``download`` and ``verify``, in bytes; nothing if the file is here.

    Returns
    -------
    Path
        The file, in the folder where it was found, or in the cache folder.

    Raises
    ------
    ModelError
        If the catalogue has no such name, or the bundled weights are missing.
    DownloadError
        If the file cannot be had whole and right.

    See Also
    --------
    locate, verify

    Examples
    --------
    >>> from napari_graysam.progress import run
    >>> run(fetch("graysam-small")).name
    'graysam-small.safetensors'
    """
    entry = _entry(model)
    found = locate(entry)
    if found is not None:
        return found
    if entry.url is None:
        raise ModelError(
            f"The bundled model {entry.name} is missing from this installation "
            f"({bundled_path()}): install napari-graysam again."
        )
    target = cache_folder() / entry.filename
    if entry.sha256 is None:
        raise ModelError(
            f"{entry.name} has no published SHA-256, so it is not downloaded unseen: get "
            f"{entry.url} yourself and give the file as model.checkpoint."
        )
    yield from download(entry.url, target, sha256=entry.sha256, size=entry.bytes)
    return target
