"""One candidate mask, drawn over the image for as long as somebody looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_graysam._napari.canvas.mark import MarkLayer
from napari_graysam._napari.canvas.placement import Placement

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_graysam.masks import Mask

COLOUR = (1.0, 0.85, 0.1, 1.0)
NAME = "candidate"


class CandidateLayer(MarkLayer):
    """A temporary layer that shows one mask.

    Parameters
    ----------
    viewer
        Where the layer comes and goes.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer, NAME, opacity=0.6)

    def show(self, mask: Mask, placement: Placement) -> None:
        """Draw a mask of the image at `placement`."""
        self.draw(mask.bits, placement.part(mask.box), COLOUR)
