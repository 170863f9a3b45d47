"""The preview's layer: made, filled, moved and removed without disturbing the user's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_graysam._napari.results.layers import MARK

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_graysam._napari.canvas.source import Placement
    from napari_graysam._napari.preview.compute import Box, View

TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


def is_preview(layer: Layer | None) -> bool:
    """Whether a layer is a preview that this program made."""
    about = {} if layer is None else layer.metadata.get(MARK, {})
    return isinstance(about, dict) and bool(about.get("preview"))


class PreviewLayer:
    """The image layer "NAME [preview]" of one viewer, while there is one.

    Parameters
    ----------
    viewer
        Where the layer is added.

    Attributes
    ----------
    shown_again
        Emitted when the user makes the hidden layer visible.
    """

    shown_again = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.layer: Image | None = None
        self.editing = False
        """Whether a change of the layer list is our own."""

    def draw(self, view: View, source: Layer) -> None:
        """Put pixels into the layer; make it above the source where there is none of their kind.

        A new layer takes the place of one that a closed panel has left behind.

        Parameters
        ----------
        view
            What to show.
        source
            The layer that the pixels come from.
        """
        placement = boxed(view.request.source.placement, view.request.box)
        pixels = placement.arrange(view.pixels)
        colour = view.pixels.ndim == 3
        old = self.layer
        if old is None or (old.rgb, old.ndim) != (colour, len(placement.shape)):
            self.remove()
            self._add(pixels, colour, placement, source, visible=old is None or old.visible)
            return
        for name in TRANSFORM:
            if not _same(getattr(old, name), placement.options[name]):
                setattr(old, name, placement.options[name])
        old.data = pixels

    def remove(self) -> None:
        """Remove the layer, if there is one."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._viewer.layers:
            layer.events.visible.disconnect(self._tell)
            with self._keep_selection():
                self._viewer.layers.remove(layer)

    def _add(
        self, pixels: Any, colour: bool, placement: Placement, source: Layer, *, visible: bool
    ) -> None:
        from napari.layers import Image

        limits = {} if colour else {"contrast_limits": (0, 1)}
        self.layer = layer = Image(
            pixels,
            rgb=colour,
            name=f"{source.name} [preview]",
            metadata={MARK: {"preview": True, "source": source.name}},
            interpolation2d=source.interpolation2d,
            visible=visible,
            **limits,
            **placement.options,
        )
        layer.events.visible.connect(self._tell)
        layers = self._viewer.layers
        with self._keep_selection():
            for left in [other for other in layers if is_preview(other)]:
                layers.remove(left)
            layers.insert(layers.index(source) + 1, layer)

    def _tell(self) -> None:
        if self.layer is not None and self.layer.visible:
            self.shown_again.emit()

    @contextmanager
    def _keep_selection(self) -> Iterator[None]:
        """Leave the user's selected layers selected while ours comes or goes."""
        layers = self._viewer.layers
        selected, active = set(layers.selection), layers.selection.active
        self.editing = True
        try:
            yield
        finally:
            self.editing = False
        layers.selection = selected & set(layers)
        if active in layers:
            layers.selection.active = active


def boxed(placement: Placement, box: Box | None) -> Placement:
    """Return where a part of a plane lies.

    Parameters
    ----------
    placement
        Of the plane.
    box
        Rows and columns; None for all.
    """
    if box is None:
        return placement
    from napari.utils.transforms import CompositeAffine

    shape, offset = list(placement.shape), [0] * len(placement.shape)
    for axis, part in zip(placement.axes, box, strict=True):
        shape[axis], offset[axis] = part.stop - part.start, part.start
    names = ("scale", "translate", "rotate", "shear")
    to_physical = CompositeAffine(**{name: placement.options[name] for name in names})
    options = {**placement.options, "translate": np.asarray(to_physical(offset))}
    return replace(placement, shape=tuple(shape), options=options)


def _same(one: Any, other: Any) -> bool:
    """Whether two values of a layer's transform are the same."""
    if isinstance(one, tuple):
        return one == tuple(other)
    return np.array_equal(getattr(one, "affine_matrix", one), other)
