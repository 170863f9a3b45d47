"""Loading PyTorch in a thread without stopping the window."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from napari_graysam._napari.threads.responsive import short_holds

_IN_ORDER = ("c10", "torch_cpu", "c10_cuda", "torch_cuda", "torch")
_RTLD_NOW = 2
_DRAWN = 0.2
"""Seconds in which the window has drawn that libraries are being loaded."""


def load_torch() -> None:
    """Import PyTorch and SAM 2; other threads go on meanwhile.

    Notes
    -----
    Python opens a library while it holds the interpreter's lock, and PyTorch's take up to
    seconds. Calling the system's ``dlopen`` as a foreign function releases the lock, and the
    import then finds the libraries open. On Windows PyTorch does the same by itself. Opening
    also holds the lock of the system's loader, for which OpenGL waits when it compiles shaders:
    what has just changed in the window is drawn first.
    """
    if "torch" in sys.modules:
        _import()
        return
    if os.name == "posix":
        time.sleep(_DRAWN)
        _open_libraries()
    with short_holds():
        _import()


def _import() -> None:
    for name in ("model", "propose", "select.selector"):
        import_module(f"napari_graysam.{name}")


def _open_libraries() -> None:
    """Open PyTorch's libraries; what fails here is reported by the import."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return
    folder = Path(spec.origin).parent / "lib"
    suffix = "dylib" if sys.platform == "darwin" else "so"
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.restype, dlopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
    for name in _IN_ORDER:
        path = folder / f"lib{name}.{suffix}"
        if path.is_file():
            dlopen(os.fsencode(path), _RTLD_NOW)
