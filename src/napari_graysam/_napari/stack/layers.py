"""The Labels layer of a whole stack, and the tracks of a time series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.canvas.layers import KEY, same_selection
from napari_graysam._napari.canvas.placement import Placement, matrix_of
from napari_graysam._napari.results.colors import palette
from napari_graysam._napari.results.written import Entry
from napari_graysam.stack.volume import LabelVolume

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Labels, Tracks
    from napari.viewer import Viewer

    from napari_graysam._napari.canvas.source import Source
    from napari_graysam.results import Segmentation

UPDATING = " (updating…)"


class StackLayer:
    """One Labels layer over all planes of a stack, which shows a volume.

    Parameters
    ----------
    viewer
        Where it is added.
    name
        Of the layer; a number is added where it is taken.
    placement
        Of the whole stack.
    along
        The layer's axis of the planes.
    volume
        What is shown; the layer has no pixels of its own.
    about
        For the layer's metadata.

    Attributes
    ----------
    layer
        The layer.
    painted
        Whether somebody has painted in it.
    tracks
        The layer of its tracks.
    """

    def __init__(
        self,
        viewer: Viewer,
        name: str,
        placement: Placement,
        along: int,
        volume: LabelVolume,
        about: dict[str, Any],
    ) -> None:
        from napari.layers import Labels

        self._viewer = viewer
        self._placement, self._along, self._volume = placement, along, volume
        self.painted = False
        self.tracks: Tracks | None = None
        self.layer: Labels = Labels(
            self._arranged(volume.ids),
            name=free_name(viewer, name),
            colormap=mixed_colors(),
            metadata={KEY: about},
            **placement.options,
        )
        self._data = self.layer.data
        self.layer.events.paint.connect(self._on_paint)
        with same_selection(viewer.layers):
            viewer.add_layer(self.layer)

    def _on_paint(self, event: Any) -> None:
        """Leave the layer to whoever paints in it."""
        if not self.painted:
            self.painted = True
            self._volume.part()

    @property
    def present(self) -> bool:
        """Whether the layer is in the viewer."""
        return self.layer in self._viewer.layers

    @property
    def edited(self) -> bool:
        """Whether the layer shows something else than the volume."""
        return self.painted or self.layer.data is not self._data

    def show(self, volume: LabelVolume, about: dict[str, Any], placement: Placement) -> None:
        """Show another volume of the same stack."""
        self._placement, self._volume = placement, volume
        placement.apply_to(self.layer)
        self.layer.data = self._arranged(volume.ids)
        self._data = self.layer.data
        self.describe(about)

    def describe(self, about: dict[str, Any]) -> None:
        """Note how the layer was made."""
        self.layer.metadata = {**self.layer.metadata, KEY: about}

    def mark(self, updating: bool) -> None:
        """Say in the layer's name that some of its planes are not up to date, or that all are."""
        name = self.layer.name.replace(UPDATING, "")
        wanted = name + UPDATING * updating
        if self.layer.name != wanted:
            self.layer.name = wanted

    def set_objects(self, objects: pd.DataFrame | None) -> None:
        """Give the layer the table of its linked objects; None for those that are not linked."""
        if objects is None:
            if len(self.layer.features):
                self.layer.features = {}
            return
        self.layer.features = objects.rename(columns={"id": "index"})

    def _arranged(self, ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return planes (N, H, W) as the layer has them; nothing is copied."""
        y, x = self._placement.axes
        places = sorted((self._along, y, x))
        order = [{self._along: 0, y: 1, x: 2}[axis] for axis in places]
        return ids.transpose(order).reshape(self._placement.shape)


@dataclass(eq=False)
class PlaneEntry(Entry):
    """A plane of a stack's layer, and the result that was written to it."""

    stack: StackLayer | None = None
    volume: LabelVolume | None = None
    position: int = 0
    own = False

    @property
    def edited(self) -> bool:
        """Whether somebody has painted in the layer."""
        return self.stack is not None and self.stack.edited

    def put(self, labels: NDArray[np.uint32]) -> None:
        """Write the plane."""
        assert self.volume is not None
        self.volume.put(self.position, labels)
        self.layer.refresh()


def plane_entry(
    stack: StackLayer, volume: LabelVolume, position: int, source: Source, result: Segmentation
) -> PlaneEntry:
    """Return the entry of a plane's result."""
    return PlaneEntry(
        stack.layer, source, result.labels, ref(result),
        stack=stack, volume=volume, position=position,
    )  # fmt: skip


def tracks_layer(
    tracks: pd.DataFrame, lineage: tuple[tuple[int, int], ...], placement: Placement, along: int
) -> Tracks | None:
    """Return a Tracks layer of linked objects; None where napari has no such layer.

    Parameters
    ----------
    tracks
        As `napari_graysam.stack.tables.tracks_table` returns it.
    lineage
        Parent and child of every split and merge.
    placement, along
        Of the whole stack, and its axis of time. Axes before it are left out; napari's tracks
        have one or two axes between time and the rows at most.
    """
    from napari.layers import Tracks

    ndim = len(placement.shape) - along
    if ndim > 4 or tracks.empty:
        return None
    y, x = (axis - along for axis in placement.axes)
    ordered = tracks.sort_values(["ID", "t"])
    data = np.zeros((len(ordered), 1 + ndim))
    data[:, 0] = ordered["ID"]
    data[:, 1] = ordered["t"]
    data[:, 1 + y] = ordered["y"]
    data[:, 1 + x] = ordered["x"]
    graph: dict[int, list[int]] = {}
    for parent, child in lineage:
        graph.setdefault(child, []).append(parent)
    options: dict[str, Any] = {
        name: placement.options[name][along:] for name in ("units", "axis_labels")
    }
    return Tracks(
        data,
        graph=graph,
        affine=matrix_of(placement.options)[along:, along:],
        tail_length=max(1, placement.shape[along]),
        **options,
    )


def mixed_colors() -> Any:
    """Return colours by number that are all well seen, mixed so that neighbours differ."""
    from napari.utils.colormaps import CyclicLabelColormap

    colors = palette()
    order = np.random.default_rng(0).permutation(len(colors))
    background = np.zeros((1, 4), np.float32)
    return CyclicLabelColormap(
        colors=np.concatenate([background, colors[order]]), background_value=0
    )


def free_name(viewer: Viewer, name: str) -> str:
    """Return a layer's name with a number where it is taken."""
    taken = {layer.name.replace(UPDATING, "") for layer in viewer.layers}
    names = (name if number == 1 else f"{name} {number}" for number in range(1, len(taken) + 2))
    return next(some for some in names if some not in taken)
