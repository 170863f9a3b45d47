"""The layers of all stacks of a panel: added, refreshed, marked, and their tracks."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_graysam._napari.canvas.layers import about, same_selection
from napari_graysam._napari.results.combined import SHOWN, of_arm
from napari_graysam._napari.results.layers import left_alone
from napari_graysam._napari.stack.layers import StackLayer, tracks_layer

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_graysam._napari.results.combined import Shown
    from napari_graysam._napari.stack.job import StackJob
    from napari_graysam._napari.stack.run import Linked
    from napari_graysam.recipe import Recipe

PAUSE = {2: 100, 3: 1000}
"""Milliseconds between two redraws of a layer that is being filled, by displayed dimensions."""


class StackLayers:
    """Shows volumes in the viewer, and redraws them no more often than is seen.

    Parameters
    ----------
    viewer
        Where layers are added.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._waiting: set[StackLayer] = set()
        self._timer = QTimer(singleShot=True)
        self._timer.timeout.connect(self._refresh)

    def close(self) -> None:
        """Draw nothing more."""
        with suppress(RuntimeError):  # Qt may have deleted the timer at the program's end.
            self._timer.stop()

    def layer(self, arm: Shown, job: StackJob) -> StackLayer | None:
        """Return an arm's layer; None where it was removed."""
        layer = job.layers.get(arm)
        return layer if layer is not None and layer.present else None

    def open(self, arm: Shown, job: StackJob, *, new: bool) -> None:
        """Show an arm's volume: in its own layer, or in a new one where that was edited."""
        known, volume = self.layer(arm, job), job.volume(arm)
        made = describe(arm, job, job.recipe)
        if known is not None and not known.edited and not new:
            known.show(volume, made, job.placement)
        else:
            name = f"{job.title} [{arm}]"
            job.layers[arm] = StackLayer(
                self._viewer, name, job.placement, job.scope.along, volume, made
            )
        self._reveal(arm, job)

    def renew(self, arm: Shown, job: StackJob) -> str:
        """Give an arm another layer if its own was edited or removed.

        Returns
        -------
        str
            What the user should know; else empty.
        """
        layer = job.layers[arm]
        if layer.present and not layer.edited:
            return ""
        self.open(arm, job, new=False)
        return left_alone(layer.layer) if layer.present else ""

    def _reveal(self, arm: Shown, job: StackJob) -> None:
        """Show a layer in place of those of the same image that would cover it or lie below."""
        from napari.layers import Labels

        shown = job.layers[arm].layer
        for layer in self._viewer.layers:
            said = about(layer)
            mine = said.get("arm") in SHOWN and said.get("source_layer") == job.source.layer_name
            if mine and isinstance(layer, Labels) and layer.unique_id != shown.unique_id:
                layer.visible = False
        shown.visible = True

    def refresh(self, arm: Shown, job: StackJob) -> None:
        """Draw a layer again soon, whose volume has changed."""
        layer = self.layer(arm, job)
        if layer is None:
            return
        self._waiting.add(layer)
        if not self._timer.isActive():
            self._timer.start(PAUSE[self._viewer.dims.ndisplay])

    def _refresh(self) -> None:
        for layer in self._waiting:
            if layer.present and layer.layer.visible:
                layer.layer.refresh()
        self._waiting.clear()

    def mark(self, arm: Shown, job: StackJob, updating: bool) -> None:
        """Say in a layer's name whether it is being updated."""
        layer = self.layer(arm, job)
        if layer is not None:
            layer.mark(updating)
            if updating:
                layer.set_objects(None)

    def show_linked(self, job: StackJob, event: Linked) -> None:
        """Show the numbers of linked objects, their table and, along t, their tracks."""
        arm, recipe = event.arm, event.recipe
        job.linked[arm], job.linked_by[arm] = event.tables, recipe.stack
        layer = self.layer(arm, job)
        if layer is None:
            return
        layer.mark(False)
        layer.describe(describe(arm, job, recipe))
        layer.set_objects(event.tables.objects)
        self.refresh(arm, job)
        self._show_tracks(arm, job, recipe)

    def _show_tracks(self, arm: Shown, job: StackJob, recipe: Recipe) -> None:
        layer, tables = job.layers[arm], job.linked[arm]
        old = layer.tracks
        if old is not None and old in self._viewer.layers:
            self._viewer.layers.remove(old)
        layer.tracks = None
        if tables.tracks is None or recipe.stack.link == "none":
            return
        tracks = tracks_layer(tables.tracks, tables.lineage, job.placement, job.scope.along)
        if tracks is None:
            return
        tracks.name = f"{job.title} [{arm} tracks]"
        tracks.visible = layer.layer.visible
        with same_selection(self._viewer.layers):
            self._viewer.add_layer(tracks)
        layer.tracks = tracks


def describe(arm: Shown, job: StackJob, recipe: Recipe) -> dict[str, Any]:
    """Return how a stack's layer was made, in JSON's types, as `results.layers` does for planes."""
    there = sorted(job.there(arm))
    return {
        "arm": arm,
        "source_layer": job.source.layer_name,
        "plane": f"all along {job.scope.axis}",
        "region": job.source.region_name,
        "recipe": of_arm(arm, recipe).to_dict(),
        "stack": {
            "axis": job.scope.axis,
            "planes": there,
            "without": {str(position): why for position, why in job.lacking.items()},
            "former_thresholds": sorted(job.lost),
            "pixel_size_um": job.stack.pixel_size,
            "spacing": job.stack.spacing,
        },
        "provenance": job.provenance(arm),
    }
