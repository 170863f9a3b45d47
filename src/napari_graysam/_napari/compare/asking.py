"""What is asked of the worker: the chosen layers as they are now."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_graysam._napari.canvas.listeners import Listeners
from napari_graysam._napari.compare.compute import Outcome, Request, Written
from napari_graysam._napari.compare.levels import in_blocks, levels_between
from napari_graysam._napari.compare.planes import ShownPlane, shown_plane
from napari_graysam._napari.results.written import result_of
from napari_graysam.comparison import Arm, Rules
from napari_graysam.units import in_micrometres

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Labels

    from napari_graysam._napari.compare.chosen_layers import ChosenLayers

_OTHERS = ("features", "scale", "translate", "rotate", "shear", "affine", "units")


class LayerWatch:
    """Listens to the chosen layers and to no others.

    Parameters
    ----------
    on_change
        Called when something of a layer has changed.
    on_replaced
        Called before, where a layer has other data altogether.
    on_redraw
        Called when a layer is drawn again, which may be because it was edited.

    Attributes
    ----------
    version
        Grows with every change of pixels that a layer tells.
    """

    def __init__(
        self,
        on_change: Callable[..., None],
        on_replaced: Callable[[], None],
        on_redraw: Callable[..., None],
    ) -> None:
        self._on_change, self._on_redraw = on_change, on_redraw
        self._on_replaced = on_replaced
        self._listeners = Listeners()
        self.version = 0

    def watch(self, chosen: ChosenLayers, dims: Dims) -> None:
        """Listen to these layers from now on."""
        self.clear()
        self.version += 1
        truth = chosen.truth
        for layer in (*chosen.layers.values(), *([] if truth is None else [truth])):
            self._listeners.add(layer.events.data, self._on_data)
            self._listeners.add(layer.events.paint, self._on_pixels)
            for name in _OTHERS:
                self._listeners.add(getattr(layer.events, name), self._on_change)
            plane = shown_plane(layer, dims)
            # The only event of undo and redo; napari sends it with every other redraw, too, and
            # large layers cannot be looked through as often.
            if plane is None or not in_blocks([plane]):
                self._listeners.add(layer.events.set_data, self._on_redraw)

    def clear(self) -> None:
        """Listen to nothing."""
        self._listeners.clear()

    def _on_data(self, *_: object) -> None:
        self._on_replaced()
        self._on_pixels()

    def _on_pixels(self, *_: object) -> None:
        self.version += 1
        self._on_change()


def request_of(
    number: int,
    chosen: ChosenLayers,
    dims: Dims,
    rules: Rules,
    version: int,
    previous: Outcome | None,
) -> Request:
    """Return what is to be compared; nothing large is read.

    Parameters
    ----------
    number
        Of the request.
    chosen
        The layers, which fit each other.
    dims
        Of the viewer.
    rules
        The thresholds.
    version
        Of the layers' pixels.
    previous
        What is shown.
    """
    layers, truth = chosen.layers, chosen.truth
    planes = shown_planes(layers, dims)
    of_truth = None if truth is None else shown_plane(truth, dims)
    every = [*planes.values(), *([] if of_truth is None else [of_truth])]
    large = in_blocks(every)
    return Request(
        number=number,
        read={arm: one.read for arm, one in planes.items()},
        tables=(layers["raw"].features.copy(), layers["preprocessed"].features.copy()),
        rules=rules,
        pixel_size=in_micrometres(*planes["raw"].placement.pixel_size),
        results=_written(layers),
        read_truth=None if of_truth is None else of_truth.read,
        previous=previous,
        levels=levels_between(planes, of_truth, version) if large else None,
    )


def shown_planes(layers: dict[Arm, Labels], dims: Dims) -> dict[Arm, ShownPlane]:
    """Return the compared plane of each layer, of those that show one."""
    found = {arm: shown_plane(layer, dims) for arm, layer in layers.items()}
    return {arm: plane for arm, plane in found.items() if plane is not None}


def _written(layers: dict[Arm, Labels]) -> dict[Arm, Written]:
    """Return what the panel has written into layers, of those whose results are still there."""
    found = {arm: result_of(layer) for arm, layer in layers.items()}
    return {arm: Written(one.labels, one.masks) for arm, one in found.items() if one is not None}
