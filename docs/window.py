"""A real napari window to be photographed: start it, let it work, save pictures of it."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

PLUGIN = "napari-graysam"
PANEL = "Segment everything (SAM 2)"
COMPARE = "Compare masks"
TUNE = "Tune the recipe"
SMALL, LARGE = (1366, 768), (1920, 1080)
BYTES = 300_000


@contextmanager
def fresh_settings() -> Iterator[None]:
    """Let napari and the panel start as on the first day, and leave no trace."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        os.environ["GRAYSAM_CONFIG"] = folder
        yield


def wait(until: Callable[[], bool] | None = None, seconds: float = 600) -> None:
    """Let the window work until something is true, or for a while.

    Raises
    ------
    TimeoutError
        If it never becomes true.
    """
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while until is None or not until():
        if time.monotonic() > end:
            if until is None:
                return
            raise TimeoutError(f"waited {seconds} s")
        QApplication.processEvents()
        time.sleep(0.01)


def start(sample: str, preset: str | None = None, **values: Any) -> tuple[Any, Any]:
    """Return a viewer with a sample and the panel, set to a preset (its own) and some values."""
    import napari

    from napari_graysam import Recipe
    from napari_graysam.samples import samples

    viewer = napari.Viewer()
    viewer.open_sample(PLUGIN, sample)
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    recipe = Recipe.preset(preset) if preset else samples()[sample].recipe()
    panel.state.recipe = recipe.with_values(values)
    return viewer, panel


def show(viewer: Any, size: tuple[int, int], theme: str) -> None:
    """Resize and recolour the window, and fit the image into it."""
    viewer.theme = theme
    viewer.window.resize(*size)
    wait(seconds=0.5)
    viewer.reset_view()


def segment(panel: Any) -> None:
    """Run both arms to the end."""

    def finished() -> bool:
        return not panel.state.running and set(panel.state.results) == {"raw", "preprocessed"}

    panel.run.run()
    wait(finished)


def save(viewer: Any, path: Path) -> None:
    """Write a picture of the window."""
    wait(seconds=1)
    viewer.window.screenshot(str(path), canvas_only=False, flash=False)
    write(Image.open(path).convert("RGB"), path)


def save_widget(widget: Any, path: Path) -> None:
    """Write a picture of one part of the window, or of a menu."""
    wait(seconds=1)
    widget.grab().save(str(path))
    write(Image.open(path).convert("RGB"), path)


def write(picture: Image.Image, path: Path) -> None:
    """Write a PNG with few enough colours to be small."""
    for colours in (None, 256, 128, 64):
        content = io.BytesIO()
        reduced = (
            picture if colours is None else picture.quantize(colours, dither=Image.Dither.NONE)
        )
        reduced.save(content, "PNG", optimize=True)
        if len(content.getvalue()) <= BYTES:
            break
    path.write_bytes(content.getvalue())
    print(f"{path}: {picture.width} × {picture.height}, {len(content.getvalue()) / 1000:.0f} kB")
