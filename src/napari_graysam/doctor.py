"""Examine an installation: what is there, what is missing, and what to do about it.

No graphical library is imported here; what could break an import is tried in a process of
its own.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from napari_graysam.errors import GraysamError
from napari_graysam.model.catalog import BUNDLED, CATALOG
from napari_graysam.model.weights import (
    FOLDERS_VARIABLE,
    cache_folder,
    locate,
    model_folders,
    verify,
)

Status = Literal["ok", "warn", "fail"]

_IMPORT_TIMEOUT_S = 120
_QT = ("PyQt6", "PySide6", "PyQt5", "PySide2")
_OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_TORCHVISION = "import torchvision; print(torchvision.__version__)"
_OPENCV_IMPORT = "import cv2; print(cv2.__version__)"
_LOW_MEMORY_BYTES = 2_000_000_000
_LOW_DISK_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Check:
    """What one look at the installation found.

    Attributes
    ----------
    name
        What was looked at.
    status
        ``ok``; ``warn`` for what works but with a limit; ``fail`` for what does not work.
    detail
        What was found.
    advice
        What to do; empty if there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    advice: str = ""


def diagnose() -> list[Check]:
    """Examine this installation; takes some seconds, and reads every checkpoint it finds.

    Returns
    -------
    list of Check
        One per thing looked at, always all of them; a failure is never an exception.
    """
    examinations: tuple[Callable[[], Iterator[Check]], ...] = (
        _python,
        _package,
        _torch,
        _torchvision,
        _sam2,
        _opencv,
        _qt,
        _napari,
        _devices,
        _bundled,
        _models,
        _folders,
        _memory,
    )
    return [check for examination in examinations for check in _guarded(examination)]


def _guarded(examination: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """Report what an examination raises; broken installations raise anything on import."""
    try:
        yield from examination()
    except Exception as error:
        name = examination.__name__.strip("_")
        reason = f"{type(error).__name__}: {error}"
        yield Check(name, "fail", reason, "Install napari-graysam into a new environment.")


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _try(code: str) -> tuple[bool, str]:
    """Run a line of Python in its own process; return whether it worked, and its last line."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=_IMPORT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {_IMPORT_TIMEOUT_S} s"
    worked = done.returncode == 0
    lines = (done.stdout if worked else done.stderr).strip().splitlines()
    return worked, lines[-1] if lines else f"ended with status {done.returncode}"


def _python() -> Iterator[Check]:
    detail = f"{platform.python_version()} on {platform.platform()}"
    yield Check("python", "ok", detail)


def _package() -> Iterator[Check]:
    found = _installed("napari-graysam")
    if found is None:
        advice = "Install it (`pip install napari-graysam`), so that napari finds it."
        yield Check("napari-graysam", "warn", "runs from its source, not installed", advice)
    else:
        yield Check("napari-graysam", "ok", found)


def _torch() -> Iterator[Check]:
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    yield Check("torch", "ok", f"{torch.__version__} ({build})")


def _torchvision() -> Iterator[Check]:
    if _installed("torchvision") is None:
        yield Check("torchvision", "ok", "not installed, not needed")
        return
    worked, line = _try(_TORCHVISION)
    if worked:
        yield Check("torchvision", "ok", f"{line}, not needed")
    else:
        yield Check(
            "torchvision",
            "warn",
            f"does not load: {line}",
            "napari-graysam does not need it; other software may: install the build that "
            "matches torch's.",
        )


def _sam2() -> Iterator[Check]:
    import sam2.modeling.sam2_base  # noqa: F401

    yield Check("sam2", "ok", _installed("sam2") or "a copy that is not installed")


def _opencv() -> Iterator[Check]:
    present = [name for name in _OPENCV if _installed(name) is not None]
    worked, line = _try(_OPENCV_IMPORT)
    if not worked:
        advice = "Run `pip install --force-reinstall opencv-python-headless`."
        yield Check("OpenCV", "fail", f"does not load: {line}", advice)
    elif len(present) > 1:
        yield Check(
            "OpenCV",
            "warn",
            f"{line}, from several distributions: {', '.join(present)}",
            "They overwrite each other's files, and those that are not headless bring a Qt of "
            f"their own. Run `pip uninstall {' '.join(present)}`, then `pip install "
            "opencv-python-headless`.",
        )
    elif present and "headless" not in present[0]:
        yield Check(
            "OpenCV",
            "warn",
            f"{line}, from {present[0]}",
            "It brings a Qt of its own, which can keep napari's window from opening: replace it "
            "with opencv-python-headless if that happens.",
        )
    else:
        yield Check("OpenCV", "ok", line)


def _qt() -> Iterator[Check]:
    present = [f"{name} {found}" for name in _QT if (found := _installed(name)) is not None]
    if present:
        yield Check("Qt", "ok", ", ".join(present))
    else:
        advice = "Only napari's window needs one: `pip install 'napari-graysam[all]'`."
        yield Check("Qt", "warn", "no binding is installed", advice)


def _napari() -> Iterator[Check]:
    found = _installed("napari")
    if found is None:
        yield Check(
            "napari", "warn", "not installed", "Only the panel needs it: pip install napari."
        )
    else:
        yield Check("napari", "ok", found)


def _devices() -> Iterator[Check]:
    import torch

    from napari_graysam.model.device import choose_device, cuda_advice, device_names

    for name in device_names():
        try:
            choose_device(name)
        except GraysamError as error:
            yield Check("device", "fail", name, str(error))
            continue
        if name.startswith("cuda"):
            free, total = torch.cuda.mem_get_info(name)
            title = torch.cuda.get_device_name(name)
            detail = f"{name}: {title}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
            advice = "Close what else uses it." if free < _LOW_MEMORY_BYTES else ""
            yield Check("device", "warn" if advice else "ok", detail, advice)
        elif name == "mps":
            yield Check("device", "ok", "mps: Apple GPU")
        else:
            alone = device_names() == ("cpu",)
            detail = f"cpu: {torch.get_num_threads()} threads" + (", no GPU" if alone else "")
            yield Check("device", "ok", detail, f"For a GPU: {cuda_advice()}." if alone else "")


def _bundled() -> Iterator[Check]:
    from napari_graysam.model.load import load_model
    from napari_graysam.recipe import ModelOptions

    try:
        model = load_model(ModelOptions(device="cpu"))
    except GraysamError as error:
        yield Check("bundled model", "fail", str(error), "Install napari-graysam again.")
        return
    detail = f"{model.name}, {model.parameters / 1e6:.1f} million parameters, loads"
    yield Check("bundled model", "ok", detail)


def _models() -> Iterator[Check]:
    found = False
    for entry in CATALOG:
        if entry is BUNDLED or (path := locate(entry)) is None:
            continue
        found = True
        try:
            verify(path, entry)
        except GraysamError as error:
            yield Check(entry.name, "fail", str(error), "See `graysam models`.")
        else:
            yield Check(entry.name, "ok", f"{path}, SHA-256 as published")
    if not found:
        advice = "`graysam models download sam2.1_hiera_tiny` brings the smallest."
        yield Check("official models", "ok", "none on this machine", advice)


def _folders() -> Iterator[Check]:
    cache = cache_folder()
    for folder in model_folders():
        if folder != cache and not folder.is_dir():
            advice = f"Make it, or correct ${FOLDERS_VARIABLE}."
            yield Check("model folder", "warn", f"{folder} does not exist", advice)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError as error:
        yield Check(
            "cache folder",
            "warn",
            f"{cache} cannot be written: {error}",
            f"Models cannot be downloaded; put them into a folder that ${FOLDERS_VARIABLE} names.",
        )
        cache = next((parent for parent in cache.parents if parent.is_dir()), Path.cwd())
    else:
        yield Check("cache folder", "ok", str(cache))
    free = shutil.disk_usage(cache).free
    advice = "The largest model takes 0.9 GB: free some space." if free < _LOW_DISK_BYTES else ""
    yield Check("disk space", "warn" if advice else "ok", f"{free / 1e9:.1f} GB free", advice)


def _memory() -> Iterator[Check]:
    import psutil

    memory = psutil.virtual_memory()
    low = memory.available < _LOW_MEMORY_BYTES
    yield Check(
        "memory",
        "warn" if low else "ok",
        f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free, {os.cpu_count()} cores",
        "Close other programs before segmenting large images." if low else "",
    )
