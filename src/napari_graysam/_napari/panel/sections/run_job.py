"""What a run was started with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.layers import pixels_of

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_graysam._napari.canvas.source import Source
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Job:
    """The recipe, the image and its pixels, at the start."""

    recipe: Recipe
    source: Source
    layer: Layer
    pixels: Any

    def what_happened(self, state: PanelState) -> str:
        """Say if the image is not what it was at the start."""
        if self.layer not in state.viewer.layers:
            change = "was removed"
        elif pixels_of(self.layer) is not self.pixels:
            change = "has changed"
        else:
            return ""
        return (
            f"“{self.source.layer_name}” {change} during the run; the result is of the image as "
            "it was, and lies where that was."
        )
