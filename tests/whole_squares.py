"""A small image of squares that the panel segments as a whole image in tiles."""

import numpy as np

from napari_graysam._napari.panel.widget import SegmentPanel
from napari_graysam.recipe import Recipe

RECIPE = Recipe().with_values({
    "tiles.use": "always", "tiles.size": 128, "tiles.halo": 24, "generator.points_per_side": 8,
    "generator.pred_iou_thresh": 0.5, "generator.stability_score_thresh": 0.5, "arms": "raw",
})  # fmt: skip
SCALE = (0.5, 0.25)


def squares():
    random = np.random.default_rng(1)
    image = random.normal(30, 4, (200, 210))
    for y in range(10, 190, 34):
        for x in range(10, 190, 34):
            image[y : y + 16, x : x + 16] += 120
    return np.clip(image, 0, 255).astype(np.uint8)


def open_panel(viewer, folder):
    """Return a panel that would segment the whole image, with its results in a folder."""
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel, name="panel", area="right")
    panel.state.recipe = RECIPE
    viewer.add_image(squares(), name="slide", scale=SCALE)  # The panel chooses it.
    panel.state.extent.choose("whole")
    panel.run.whole.output.line.setText(str(folder))
    panel.run.whole.output.line.editingFinished.emit()
    return panel
