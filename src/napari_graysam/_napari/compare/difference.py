"""The layer that shows what became of every object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.layers import KEY, about
from napari_graysam._napari.compare.compute import Outcome
from napari_graysam._napari.compare.levels import painted
from napari_graysam._napari.compare.pairing import arm_of, base_name
from napari_graysam._napari.compare.planes import placement_of
from napari_graysam._napari.compare.whole_image import WholeOutcome
from napari_graysam.comparison import CODES, COLORS, Arm

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.utils.colormaps import DirectLabelColormap
    from napari.viewer import Viewer

    from napari_graysam._napari.canvas.placement import Placement


def difference_colormap() -> DirectLabelColormap:
    """Return the colours of the classes; everything else is transparent."""
    from napari.utils.colormaps import DirectLabelColormap

    colors: dict[int | None, str] = {CODES[change]: color for change, color in COLORS.items()}
    return DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", **colors})


def difference_name(layers: dict[Arm, Labels]) -> str:
    """Name the difference of two layers after the image that both come from, or after both."""
    raw, preprocessed = layers["raw"], layers["preprocessed"]
    base = base_name(raw)
    if arm_of(raw) and arm_of(preprocessed) and base == base_name(preprocessed):
        return f"{base} [difference]"
    return f"{raw.name} vs {preprocessed.name} [difference]"


class DifferenceLayer:
    """Adds the difference of two layers to the viewer, and keeps it up to date.

    Parameters
    ----------
    viewer
        Where the layer is added.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Labels | None = None
        self._of: dict[Arm, Labels] = {}
        self._reads = self._hidden = False

    @property
    def layer(self) -> Labels | None:
        """The layer, as long as it is in the viewer."""
        if self._layer is not None and self._layer not in self._viewer.layers:
            self._layer = None
        return self._layer

    def find(self, layers: dict[Arm, Labels]) -> None:
        """Take over the layer that shows the difference of these two, if there is one."""
        wanted = self._about(layers)
        self._layer = next(
            (one for one in self._viewer.layers if about(one).items() >= wanted.items()), None
        )

    def outdate(self, layers: dict[Arm, Labels] | None = None) -> None:
        """Hide the layer until it is shown anew, if it reads labels that may be others by now.

        Parameters
        ----------
        layers
            Those that are followed from now on; a difference of these stays.
        """
        layer = self.layer
        if layer is None or not self._reads or not layer.visible or layers == self._of:
            return
        layer.visible, self._hidden = False, True

    def close(self) -> None:
        """Remove a layer that reads labels, which nobody would hide when they are replaced."""
        if self._reads and self.layer is not None:
            self._viewer.layers.remove(self.layer)

    def show(self, layers: dict[Arm, Labels], outcome: Outcome) -> Labels:
        """Add the layer above both others, or update it."""
        self._of, self._reads = dict(layers), isinstance(outcome, WholeOutcome)
        hidden, self._hidden = self._hidden, False
        placement = placement_of(layers["raw"], self._viewer.dims)
        data, several = _pixels(placement, outcome)
        counts = dict(outcome.comparison.counts)
        metadata = {KEY: {**self._about(layers), "counts": counts}}
        layer = self.layer
        if layer is not None and layer.multiscale != several:
            self._viewer.layers.remove(layer)
            layer = None
        if layer is None:
            self._layer = layer = self._viewer.add_labels(
                data,
                name=difference_name(layers),
                colormap=difference_colormap(),
                metadata=metadata,
                opacity=0.9,
                multiscale=several,
                cache=False,  # Another comparison paints other pixels.
                **placement.options,
            )
            layer.editable = False
            return layer
        layer.data = data
        layer.metadata = metadata
        placement.apply_to(layer)
        if hidden:
            layer.visible = True
        return layer

    @staticmethod
    def _about(layers: dict[Arm, Labels]) -> dict[str, object]:
        return {"kind": "difference", "layers": {arm: one.name for arm, one in layers.items()}}


def _pixels(placement: Placement, outcome: Outcome) -> tuple[Any, bool]:
    """Return what a layer shows of the difference, and whether it has several levels."""
    if not isinstance(outcome, WholeOutcome):
        return placement.arrange(outcome.comparison.difference), False
    levels = [
        placement.at_level(plane.shape).arrange(plane)
        for plane in (painted(arms, outcome.painter) for arms in outcome.levels.arms)
    ]
    return (levels, True) if len(levels) > 1 else (levels[0], False)
