"""Open napari, segment a sample in both ways, compare, and save pictures of the window.

Needs a display; without one, run it under ``xvfb-run -a -s "-screen 0 1920x1080x24"``.
``python docs/screenshots.py`` writes the pictures that the README shows, ``--stacks`` those of
``stacks.md``; ``--all`` writes every size and theme into ``--out``, to be looked at.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

HERE = Path(__file__).parent
PLUGIN = "napari-graysam"
PANEL = "Segment everything (SAM 2)"
COMPARE = "Compare masks"
SMALL, LARGE = (1366, 768), (1920, 1080)
BYTES = 400_000


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


def save(viewer: Any, path: Path) -> None:
    """Write the window as a PNG, with few enough colours to be small."""
    wait(seconds=1)
    viewer.window.screenshot(str(path), canvas_only=False, flash=False)
    picture = Image.open(path).convert("RGB")
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


def start(sample: str, points: int) -> tuple[Any, Any]:
    """Return a viewer with a sample and the panel, set to the sample's preset."""
    import napari

    from napari_graysam.samples import samples

    viewer = napari.Viewer()
    viewer.open_sample(PLUGIN, sample)
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    recipe = samples()[sample].recipe()
    panel.state.recipe = recipe.with_values({"generator.points_per_side": points})
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


def segment_stack(panel: Any, planes: int) -> None:
    """Run the preprocessed arm of a whole stack until some planes are there."""
    panel.run.run(("preprocessed",))
    stacks = panel.run.stacks
    wait(lambda: stacks.job is not None and len(stacks.job.there("preprocessed")) >= planes)


def photograph_stacks(
    variants: list[tuple[tuple[int, int], str]], arguments: argparse.Namespace
) -> None:
    """Save a z-stack while it is segmented, in 3-D, and a time series with its tracks."""
    for sample in ("nuclei_stack", "dividing_cells"):
        viewer, panel = start(sample, min(arguments.points, 16))
        count = viewer.layers[0].data.shape[0]
        viewer.dims.set_current_step(0, count // 2)
        show(viewer, *variants[0])
        segment_stack(panel, count // 3)
        if sample == "nuclei_stack":
            photograph(viewer, "stack", variants[:1], arguments)
        wait(lambda panel=panel: not (panel.state.running or panel.run.stacks.busy))
        if sample == "nuclei_stack":
            viewer.dims.ndisplay = 3
            show(viewer, *variants[0])
            viewer.scene.camera.angles = (10, 30, 60)
            save(viewer, arguments.out / "stack-3d.png")
        else:
            photograph(viewer, "tracks", variants, arguments)
        viewer.close()


def main() -> None:
    """Read the options and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", default="faint")
    parser.add_argument("--points", type=int, default=32, help="points per side")
    parser.add_argument("--out", type=Path, default=HERE / "images")
    parser.add_argument("--stacks", action="store_true", help="pictures of whole stacks")
    parser.add_argument("--all", action="store_true", help="every size and theme")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    variants = [(SMALL, "dark")]
    if arguments.all:
        variants = [(size, theme) for size in (SMALL, LARGE) for theme in ("dark", "light")]
    with fresh_settings():
        if arguments.stacks:
            photograph_stacks(variants, arguments)
            return
        viewer, panel = start(arguments.sample, arguments.points)
        show(viewer, *variants[0])
        segment(panel)
        photograph(viewer, "panel", variants, arguments)
        _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, COMPARE)
        wait(lambda: dock.outcome is not None)
        dock.show_difference()
        photograph(viewer, "compare", variants, arguments)
        viewer.close()


def photograph(
    viewer: Any,
    name: str,
    variants: list[tuple[tuple[int, int], str]],
    arguments: argparse.Namespace,
) -> None:
    """Save the window in every variant."""
    for size, theme in variants:
        show(viewer, size, theme)
        suffix = f"-{size[0]}x{size[1]}-{theme}" if arguments.all else ""
        save(viewer, arguments.out / f"{name}{suffix}.png")


if __name__ == "__main__":
    main()
