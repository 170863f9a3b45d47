"""PyTorch and what needs it, imported once in the background while the window answers."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, Thread

from napari_graysam._napari.threads.collection import full_collections_put_off

HEAVY = (
    "torch",
    "napari_graysam.propose.cache",
    "napari_graysam.propose.generator",
    "napari_graysam.select.selector",
    "napari_graysam.select.table",
    "sam2.modeling.sam2_base",
    "sam2.modeling.backbones.image_encoder",
    "napari_graysam.model.encoder",
    "napari_graysam.model.bundled.model",
    "napari_graysam.prompt.predictor",
)
"""Modules that a first run needs, in the order of their imports.

None may lead to ``torch._dynamo``: it loads Triton, whose LLVM crashes beside that of Mesa's
software OpenGL.
"""
DELAY = 200
"""Milliseconds between a panel that is shown and the imports."""
_lock = Lock()
_background: Thread | None = None


def start() -> Thread:
    """Begin to import in the background, the first time in the process; return the thread."""
    global _background
    if _background is None:
        _background = Thread(target=_try, name="graysam imports")
        _background.start()
    return _background


def load() -> None:
    """Import what is heavy, or wait until another thread has; for worker threads only.

    One thread imports, the others wait: modules that import each other are then complete for
    everyone.

    Raises
    ------
    ImportError
        If PyTorch or SAM 2 cannot be imported.
    """
    with _lock:
        if HEAVY[-1] in sys.modules:
            return
        with full_collections_put_off():
            _load_library()
            for name in HEAVY:
                import_module(name)


def _try() -> None:
    """Import; what fails is said by the run that needs it."""
    with suppress(Exception):
        load()


def _load_library() -> None:
    """Load PyTorch's largest library without the interpreter lock, which its import holds.

    Reading it from disk can take seconds, in which no Python code runs, that of the window
    neither. Windows needs none of this: there PyTorch itself loads its libraries so.
    """
    spec = find_spec("torch")
    if os.name != "posix" or "torch" in sys.modules or spec is None or spec.origin is None:
        return
    suffix = "dylib" if sys.platform == "darwin" else "so"
    path = Path(spec.origin).parent / "lib" / f"libtorch_cpu.{suffix}"
    if path.is_file():
        dlopen = ctypes.CDLL(None).dlopen
        dlopen.argtypes, dlopen.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
        dlopen(os.fsencode(path), os.RTLD_NOW | os.RTLD_LOCAL)
