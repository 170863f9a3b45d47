"""The objects of one change, outlined, on layers that show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from napari_graysam._napari.canvas.mark import MarkLayer
from napari_graysam._napari.canvas.placement import Placement
from napari_graysam.comparison import COLORS, Arm, Change
from napari_graysam.comparison.events import outlined

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_graysam.masks import Mask

NAME = "change"


class ChangeOutline(MarkLayer):
    """A temporary layer that outlines the objects of a change in the colour of its class.

    Parameters
    ----------
    viewer
        Where the layer comes and goes.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer, NAME, contour=1)

    def show(
        self, change: Change, masks: Mapping[Arm, Sequence[Mask]], placement: Placement
    ) -> None:
        """Outline the objects of both arms, on the image at `placement`."""
        labels, box = outlined(masks)
        self.draw(labels, placement.part(box), COLORS[change])


def reveal(masks: Mapping[Arm, Sequence[object]], layers: Mapping[Arm, Labels | None]) -> None:
    """Turn on the layers that hold objects of a change, unless one of them is on.

    Parameters
    ----------
    masks
        The objects, or their labels, by arm.
    layers
        Of the arms; None for one that has gone.
    """
    holding = [layer for arm in masks if masks[arm] and (layer := layers.get(arm)) is not None]
    if not any(layer.visible for layer in holding):
        for layer in holding:
            layer.visible = True
