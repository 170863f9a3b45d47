"""Open napari, do what the pages describe, and save pictures of the window.

Needs a display; without one, run it under ``xvfb-run -a -s "-screen 0 1920x1080x24"``.
``python docs/screenshots.py`` takes all scenes, ``python docs/screenshots.py panel undo`` some;
``--all`` saves every size and theme into ``--out``, to be looked at.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import window
from PIL import Image
from window import COMPARE, LARGE, PLUGIN, SMALL, TUNE, show, start, wait

IMAGES = Path(__file__).resolve().parent / "images"
SEEN = {"generator.pred_iou_thresh": 0.35, "labels.merging.merge": 0.5}
"""Of the scene with a merge: thresholds that leave objects in pieces, and what joins them."""
TILED = {
    "tiles.use": "always",
    "tiles.size": 512,
    "tiles.halo": 48,
    "generator.points_per_side": 16,
}
TILES_SEEN = 7
"""After which the picture of an image in tiles is taken."""


@dataclass(frozen=True)
class Camera:
    """Where pictures go, and in which sizes and themes."""

    out: Path
    variants: tuple[tuple[tuple[int, int], str], ...]

    def take(self, viewer: Any, name: str) -> None:
        """Save the window in every variant."""
        for size, theme in self.variants:
            show(viewer, size, theme)
            suffix = "" if len(self.variants) == 1 else f"-{size[0]}x{size[1]}-{theme}"
            window.save(viewer, self.out / f"{name}{suffix}.png")

    def close_up(self, widget: Any, name: str) -> None:
        """Save one part of the window."""
        window.save_widget(widget, self.out / f"{name}.png")


def panel(camera: Camera) -> None:
    """Photograph the five-minute start: menu, preview, both arms, comparison."""
    viewer, panel = start("faint")
    show(viewer, *camera.variants[0])
    camera.close_up(sample_menu(viewer), "menu")
    preprocessing = next(one for one in panel.sections.made if hasattr(one, "preview_box"))
    preprocessing.preview_box.setChecked(True)
    wait(seconds=3)
    camera.take(viewer, "preview")
    preprocessing.preview_box.setChecked(False)
    window.segment(panel)
    camera.take(viewer, "panel")
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, COMPARE)
    wait(lambda: dock.outcome is not None)
    dock.show_difference()
    camera.take(viewer, "compare")
    viewer.close()


def sample_menu(viewer: Any) -> Any:
    """Return the menu of this plugin's samples, laid out."""
    from qtpy.QtWidgets import QMenu

    for menu in viewer.window._qt_window.findChildren(QMenu):
        menu.aboutToShow.emit()
    menus = viewer.window._qt_window.findChildren(QMenu)
    found = next(menu for menu in menus if menu.title().replace("&", "") == "Graysam")
    found.resize(found.sizeHint())
    return found


def why(camera: Camera) -> None:
    """Photograph the answer to a click on a stone without a mask."""
    viewer, panel = start("gravel")
    show(viewer, *camera.variants[0])
    window.segment(panel)
    panel.why.click()
    labels = panel.state.results["preprocessed"].labels
    for y, x in ((y, x) for y in range(200, 320, 12) for x in range(200, 320, 12)):
        if labels[y, x]:
            continue
        panel.inspector.ask((y, x))
        wait(seconds=0.5)
        if 2 <= panel.inspector.table.rowCount() <= 5:
            break
    panel.inspector.table.selectRow(0)
    camera.take(viewer, "why")
    viewer.close()


def undo(camera: Camera) -> None:
    """Photograph a merge of fragments in the comparison, and the button that takes it back."""
    viewer, panel = start("gravel", **SEEN)
    show(viewer, *camera.variants[0])
    window.segment(panel)
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, COMPARE)
    wait(lambda: dock.outcome is not None)
    events = dock.view.table.events
    rows = [events.row(at) for at in range(events.rowCount())]
    dock.view.table.selectRow(next(at for at, row in enumerate(rows) if row.regrouped))
    wait(seconds=3)
    camera.take(viewer, "undo")
    viewer.close()


def tune(camera: Camera) -> None:
    """Photograph the dock that searches a recipe, with a truth."""
    viewer, panel = start("phase_cells", "raw", **{"generator.points_per_side": 16})
    show(viewer, *camera.variants[0])
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, TUNE)
    dock.search()
    wait(lambda: dock.found is not None and not dock.busy)
    dock.toggle_grid()
    wait(lambda: not dock.busy)
    camera.take(viewer, "tune")
    panel.close()
    viewer.close()


def stacks(camera: Camera) -> None:
    """Photograph a z-stack while it is segmented, in 3-D, and a time series with its tracks."""
    for sample in ("nuclei_stack", "dividing_cells"):
        viewer, panel = start(sample, **{"generator.points_per_side": 16})
        count = viewer.layers[0].data.shape[0]
        viewer.dims.set_current_step(0, count // 2)
        show(viewer, *camera.variants[0])
        panel.run.run(("preprocessed",))
        wait(lambda at=panel.run.stacks, n=count // 3: _planes(at) >= n)
        if sample == "nuclei_stack":
            camera.take(viewer, "stack")
        wait(lambda panel=panel: not (panel.state.running or panel.run.stacks.busy))
        if sample == "nuclei_stack":
            viewer.dims.ndisplay = 3
            show(viewer, *camera.variants[0])
            viewer.scene.camera.angles = (10, 30, 60)
            window.save(viewer, camera.out / "stack-3d.png")
        else:
            camera.take(viewer, "tracks")
        viewer.close()


def _planes(stacks: Any) -> int:
    """Return how many planes of the preprocessed arm are there."""
    return 0 if stacks.job is None else len(stacks.job.there("preprocessed"))


def large(camera: Camera) -> None:
    """Photograph a mosaic of many fields while it is segmented in tiles, and when it is done."""
    import numpy as np

    viewer, panel = start("nuclei_uneven", **TILED)
    field = np.asarray(viewer.layers[0].data)
    row = np.hstack([field, field[:, ::-1], field, field[:, ::-1]])
    mosaic = np.vstack([row, row[::-1], row])
    viewer.layers.clear()
    levels = [mosaic, mosaic[::2, ::2], mosaic[::4, ::4]]
    viewer.add_image(levels, name="slide", multiscale=True, contrast_limits=(0, mosaic.max()))
    panel.state.extent.choose("whole")
    show(viewer, *camera.variants[0])
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        whole = panel.run.whole
        whole.output.line.setText("slide_graysam")
        panel.run.run(("preprocessed",))
        seen: list[int] = []
        whole.changed.connect(lambda: seen.append(_tiles(whole)))
        wait(lambda: bool(seen) and seen[-1] >= TILES_SEEN)
        camera.take(viewer, "large")
        wait(lambda: not (panel.state.running or whole.busy))
        if len(camera.variants) > 1:
            camera.take(viewer, "large-done")
        canvas = viewer.screenshot(canvas_only=True, flash=False)
        picture = Image.fromarray(canvas[..., :3])
        window.write(picture.crop(picture.getbbox()), camera.out / "mosaic.png")
        (report,) = Path("slide_graysam").glob("*.seams.png")
        with Image.open(report) as drawn:
            window.write(drawn.convert("RGB"), camera.out / "seams.png")
        viewer.close()


def _tiles(whole: Any) -> int:
    """Return how many tiles are painted, as the layer's name says."""
    layer = whole.jobs.layer("preprocessed")
    return int(layer.name.rpartition("(")[2].split()[0]) if layer and " tiles" in layer.name else 0


SCENES: Mapping[str, Callable[[Camera], None]] = {
    "panel": panel,
    "why": why,
    "undo": undo,
    "tune": tune,
    "stacks": stacks,
    "large": large,
}


def main() -> None:
    """Read the options and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=", ".join(SCENES))
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--all", action="store_true", help="every size and theme")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenes) - set(SCENES):
        parser.error(f"no scene {', '.join(unknown)}; there are {', '.join(SCENES)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    variants = [(SMALL, "dark")]
    if arguments.all:
        variants = [(size, theme) for size in (SMALL, LARGE) for theme in ("dark", "light")]
    camera = Camera(arguments.out, tuple(variants))
    with window.fresh_settings():
        for name in arguments.scenes or SCENES:
            SCENES[name](camera)


if __name__ == "__main__":
    main()
