"""What comes after a run: asking, comparing, tuning, looking at the table, saving."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_graysam._napari.canvas.layers import about
from napari_graysam._napari.canvas.listeners import Listeners
from napari_graysam._napari.io.chosen_path import complete_path
from napari_graysam._napari.large.saving import FILES as WHOLE_FILES
from napari_graysam._napari.panel.keys import with_key
from napari_graysam._napari.panel.objects_table import ObjectsTable
from napari_graysam.comparison import ARMS
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_graysam._napari.large.controller import WholeController
    from napari_graysam._napari.large.saving import WholeSaver
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.stack.saving import StackSaver
    from napari_graysam.comparison import Arm

FILES = {
    "Table of objects": ".csv",
    "Labels with recipe": ".labels.tif",
    "COCO JSON": ".coco.json",
    "GeoJSON for QuPath": ".geojson",
    "ImageJ ROIs": ".zip",
}
"""What can be saved; the endings choose the writer."""


class NextSteps(QWidget):
    """A row of buttons, in sight while what is shown has a result.

    Parameters
    ----------
    state
        Whose results are meant.
    layers
        Returns the layers of the shown results.
    stacks
        Saves the layers of whole stacks; None where there are none.
    whole
        Has the results of large images in tiles; None where there are none.

    Attributes
    ----------
    why
        Asks what became of the masks at a place; for the row of tools.
    """

    def __init__(
        self,
        state: PanelState,
        layers: Callable[[], list[Labels]],
        stacks: StackSaver | None = None,
        whole: WholeController | None = None,
    ) -> None:
        super().__init__()
        self._stacks = stacks
        self._whole = None if whole is None else whole.saver
        self._table = ObjectsTable(state.viewer)
        self._state = state
        self._layers = layers
        self.why = QPushButton("Why is this unmasked?", checkable=True)
        self.why.setToolTip(
            with_key("Click a place in the image to see what became of every mask there", "why")
        )
        self.compare = QPushButton("Compare…", toolTip="Open the comparison of both results")
        self.tune = QPushButton("Tune…", toolTip="Search the recipe that fits what you know")
        self.table = QPushButton("Table…", toolTip="Open the table of the objects")
        self.save = QPushButton(
            "Save…", toolTip="Save the objects: a table, labels, COCO, GeoJSON or ImageJ ROIs"
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for button in (self.compare, self.tune, self.table, self.save):
            row.addWidget(button)
        self.compare.clicked.connect(self._compare)
        self.tune.clicked.connect(lambda: self._open("napari-graysam", "Tune the recipe"))
        self.table.clicked.connect(self._show_table)
        self.save.clicked.connect(self._ask)
        # Not a lambda: the garbage collector may have emptied it when Qt destroys the widget.
        self._listeners = Listeners()
        self._listeners.add(state.result_changed, self._follow)
        self._listeners.add(state.extent.changed, self._follow)
        if whole is not None:
            self._listeners.add(whole.changed, self._follow)
        self.destroyed.connect(self._listeners.clear)
        self._follow()

    def _follow(self, *_: object) -> None:
        count = arms = len(self._state.results)
        if self._state.kind == "whole":
            count, arms = len(self._layers()), len(self._arms())
        self.setVisible(bool(count))
        self.why.setVisible(bool(count))
        self.compare.setEnabled(arms > 1)
        self.tune.setVisible(self._state.kind != "whole")

    def _chosen(self) -> Labels | None:
        """Return the layer of the result that is seen."""
        layers = self._layers()
        return next((layer for layer in layers if layer.visible), layers[0] if layers else None)

    def _arms(self) -> dict[Arm, Labels]:
        """Return the layers of both arms, of those whose results are whole."""
        finished = [one for one in self._layers() if not about(one).get("provisional")]
        return {arm: one for arm in ARMS for one in finished if about(one).get("arm") == arm}

    def step(self, by: int) -> None:
        """Go to the next change of a whole image (1) or the previous one (-1), in the dock."""
        if self.compare.isEnabled():
            self._compare().view.table.step(by)
        else:
            self._state.said.emit("Segment both first, then go through what differs.", False)

    def _compare(self, *_: object) -> Any:
        """Open the comparison of the shown results, and return it."""
        arms = self._arms()
        dock = self._open("napari-graysam", "Compare masks")
        if len(arms) == len(ARMS):
            dock.chosen.choose(arms)
        return dock

    def _open(self, plugin: str, name: str) -> Any:
        """Open a dock, or bring it to the front, and return its widget."""
        window: Any = self._state.viewer.window
        return window.add_plugin_dock_widget(plugin, name)[1]

    def _show_table(self) -> None:
        layer = self._chosen()
        if layer is None:
            return
        if not len(layer.features) and self._whole is not None and self._whole.holds(layer):
            file = self._whole.file_of(layer).with_suffix(".objects.csv")
            many = about(layer).get("provenance", {}).get("objects")
            text = f"There are too many objects for a table here: see {file}."
            self._state.said.emit(text if many else "There are no objects.", bool(many))
            return
        self._table.show(layer)

    def close_table(self) -> None:
        """Answer the table of objects no more: it is napari's, and stays."""
        self._table.close()

    def _ask(self) -> None:
        layer = self._chosen()
        if layer is None:
            self._state.said.emit("The result's layer was removed: run again to save it.", True)
            return
        if self._state.kind == "whole" and self._whole is not None:
            self._ask_whole(layer, self._whole)
            return
        if self._stacks is not None and self._stacks.holds(layer):
            self._ask_stack(layer, self._stacks)
            return
        filters = [f"{title} (*{ending})" for title, ending in FILES.items()]
        start = str(_folder_of(self._state) / f"{layer.name}.csv")
        path, chosen = QFileDialog.getSaveFileName(
            self, f"Save the objects of {layer.name}", start, ";;".join(filters)
        )
        if path:
            self.write(layer, path, next(iter(FILES.values())) if not chosen else _ending(chosen))

    def _ask_stack(self, layer: Labels, stacks: StackSaver) -> None:
        start = str(_folder_of(self._state) / f"{layer.name}.labels.tif")
        path, _ = QFileDialog.getSaveFileName(
            self,
            f"Save the label volume and the tables of {layer.name}",
            start,
            "Label volume, with tables beside it (*.labels.tif)",
        )
        if path:
            stacks.write(layer, path)

    def _ask_whole(self, layer: Labels, whole: WholeSaver) -> None:
        if why := whole.why_not(layer):
            self._state.said.emit(why, True)
            return
        there = whole.file_of(layer)
        filters = [f"{title} (*{ending})" for title, (ending, _) in WHOLE_FILES.items()]
        path, chosen = QFileDialog.getSaveFileName(
            self,
            f"Save results of {layer.name} (all are in {there.parent})",
            str(_folder_of(self._state) / there.name),
            ";;".join(filters),
        )
        if path:
            whole.write(layer, path, _ending(chosen) if chosen else there.suffix)

    def write(self, layer: Labels, path: str, ending: str = ".csv") -> None:
        """Save a layer's objects and say where; the name's ending chooses the format.

        Parameters
        ----------
        layer
            Whose labels, or table, are written.
        path
            Of the file.
        ending
            Used where the name has none of those that are known.
        """
        try:
            path = str(complete_path(path, ending, FILES.values()))
            layer.save(path, plugin="napari-graysam")
        except (GraysamError, OSError, ValueError) as error:
            self._state.said.emit(f"{path} was not written: {error}", True)
            return
        self._state.said.emit(f"Saved {path}.", False)


def _ending(chosen: str) -> str:
    return chosen.rsplit("(*", 1)[-1].rstrip(")")


def _folder_of(state: PanelState) -> Path:
    """Return the folder of the image's file; the user's where it has none."""
    path = None if state.layer is None else state.layer.source.path
    return Path(path).parent if path else Path.home()
