"""napari's table of a layer's objects, whose rows move the view to them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.placement import center_on
from napari_graysam._napari.compare.planes import placement_of

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer
    from qtpy.QtCore import QItemSelection

BOX = ("bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1")
TABLE = "Features table widget"


class ObjectsTable:
    """Opens the table, and selects and shows the object whose row is chosen.

    Parameters
    ----------
    viewer
        Where the table is docked.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._followed: Any = None

    def show(self, layer: Labels) -> None:
        """Open the table of a layer."""
        self._viewer.layers.selection.active = layer
        window: Any = self._viewer.window
        _, table = window.add_plugin_dock_widget("napari", TABLE)
        if table is not self._followed and hasattr(table, "table"):
            self.close()
            self._followed = table
            table.table.selectionModel().selectionChanged.connect(self._on_row)

    def close(self) -> None:
        """Answer the table no more."""
        followed, self._followed = self._followed, None
        if followed is None:
            return
        with suppress(RuntimeError, TypeError):  # Qt has deleted a table that was closed.
            followed.table.selectionModel().selectionChanged.disconnect(self._on_row)

    def _on_row(self, selected: QItemSelection, *_: object) -> None:
        """Go to the object of the row that was chosen last."""
        layer = self._viewer.layers.selection.active
        features = getattr(layer, "features", None)
        blocked = getattr(self._followed, "_selection_blocked", False)
        if blocked or features is None or not {"index", *BOX} <= {*features}:
            return
        model = self._followed.table.model()
        rows = [model.mapToSource(at).row() for at in selected.indexes()]
        if not rows or rows[-1] >= len(features):
            return
        row = features.iloc[rows[-1]]
        # napari takes the row's number for the label, and would choose another row for ours.
        block = getattr(self._followed, "_block_selection", nullcontext)
        quiet: AbstractContextManager[Any] = block()
        with quiet:
            layer.selected_label = int(row["index"])
        x0, y0, x1, y1 = (int(row[name]) for name in BOX)
        center_on(self._viewer, placement_of(layer, self._viewer.dims), (x0, y0, x1, y1))
