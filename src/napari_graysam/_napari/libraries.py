"""Loading PyTorch in a thread without stopping the window."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

_IN_ORDER = ("c10", "torch_cpu", "c10_cuda", "torch_cuda", "torch")
_RTLD_NOW = 2


def load_torch() -> None:
    """Import PyTorch and SAM 2; other threads go on meanwhile.

    Notes
    -----
    Python opens a library while it holds the interpreter's lock, and PyTorch's take up to
    seconds. Calling the system's ``dlopen`` as a foreign function releases the lock, and the
    import then finds the libraries open. On Windows PyTorch does the same by itself. A
    garbage collection of all objects, of which an import makes many, also stops everything.
    """
    if "torch" in sys.modules:
        _import()
        return
    if os.name == "posix":
        _open_libraries()
    with _no_collection():
        _import()


def _import() -> None:
    for name in ("model", "propose", "select.tuner"):
        import_module(f"napari_graysam.{name}")


@contextmanager
def _no_collection() -> Iterator[None]:
    """Collect no garbage meanwhile; afterwards what is there counts as collected before."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()
        if enabled:
            gc.enable()


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
