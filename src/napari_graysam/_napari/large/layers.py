"""The multiscale Labels layer of a whole image: provisional while tiles come, then as written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.layers import KEY, same_selection
from napari_graysam._napari.canvas.part import lazy
from napari_graysam._napari.results.features import show_table
from napari_graysam._napari.stack.layers import free_name, mixed_colors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam._napari.large.job import WholeJob
    from napari_graysam._napari.large.run import WholeDone
    from napari_graysam._napari.large.watch import TilesSeen
    from napari_graysam._napari.results.combined import Shown

OUTDATED = " (outdated)"


class WholeLayer:
    """One Labels layer over a whole image.

    Parameters
    ----------
    viewer
        Where it is added.
    job, arm
        What it shows.

    Attributes
    ----------
    layer
        The layer, while there is one.
    provisional
        Whether its labels are those of single tiles, cut at the seams.
    """

    def __init__(self, viewer: Viewer, job: WholeJob, arm: Shown) -> None:
        self._viewer, self._job, self._arm = viewer, job, arm
        self._name = f"{job.source.title} [{arm}]"
        self._levels: Any = None
        self.layer: Labels | None = None
        self.provisional = False

    @property
    def present(self) -> bool:
        """Whether the layer is in the viewer."""
        return self.layer is not None and self.layer in self._viewer.layers

    @property
    def whole(self) -> bool:
        """Whether the layer is there and shows finished labels."""
        return self.present and not self.provisional

    def shows(self, layer: Labels) -> bool:
        """Whether a layer is this one, and shows finished labels."""
        return self.whole and self.layer is not None and self.layer.unique_id == layer.unique_id

    def follow(self, job: WholeJob) -> None:
        """Show another run of the same image from now on."""
        self._job = job

    def show_tiles(self, seen: TilesSeen) -> None:
        """Show the tiles that are there; a layer that was removed stays away until the end."""
        if self.layer is not None and not self.present:
            return
        known, self.provisional = self._levels is seen.levels, True
        if not known:
            self._put(seen.levels)
            self._describe({"provisional": True})
        assert self.layer is not None
        self._rename(f"{self._name} ({seen.done} of {seen.total} tiles, provisional)")
        self.layer.refresh()

    def show_done(self, done: WholeDone) -> None:
        """Show the labels as they were written, with the table of their objects."""
        self.provisional = False
        self._put(done.levels)
        assert self.layer is not None
        self._rename(self._name)
        self._describe(
            {"recipe": done.recipe.to_dict(), "provenance": done.about, "labels": done.path}
        )
        if done.table is not None:
            show_table(self.layer, done.table, KEY)

    def mark(self, outdated: bool) -> None:
        """Say in the layer's name whether the recipe asks for something else by now."""
        if self.present and not self.provisional:
            self._rename(self._name + OUTDATED * outdated)

    def _put(self, levels: Sequence[Any]) -> None:
        from napari.layers import Labels

        self._levels = levels
        place = self._job.placement
        data = [_arranged(level, place) for level in levels]
        single = len(data) == 1
        if self.present and self.layer is not None and self.layer.multiscale != single:
            self.layer.features = {}
            self.layer.data = data[0] if single else data
            return
        if self.present:
            self._viewer.layers.remove(self.layer)
        self.layer = Labels(
            data[0] if single else data,
            multiscale=not single,
            name=free_name(self._viewer, self._name),
            colormap=mixed_colors(),
            cache=False,  # Tiles are painted under the same keys.
            **place.options,
        )
        self._name = self.layer.name
        with same_selection(self._viewer.layers):
            self._viewer.add_layer(self.layer)

    def _describe(self, about: dict[str, Any]) -> None:
        assert self.layer is not None
        source = self._job.source
        made = {
            "arm": self._arm,
            "source_layer": source.layer_name,
            "plane": source.plane,
            "region": source.region_name,
        }
        self.layer.metadata = {**self.layer.metadata, KEY: made | about}

    def _rename(self, name: str) -> None:
        if self.layer is not None and self.layer.name != name:
            self.layer.name = name


def _arranged(level: Any, place: Placement) -> Any:
    """Return a level (H, W) in the shape of the layer; nothing is read."""
    shape = (int(level.shape[0]), int(level.shape[1]))
    return place.at_level(shape).arrange(lazy(level))
