"""What the user knows of the image, read from Labels and Points layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.canvas.layers import pixels_of
from napari_graysam._napari.canvas.placement import matrix_of, transform_of
from napari_graysam._napari.canvas.region import labels_under, to_image
from napari_graysam.errors import TruthError

if TYPE_CHECKING:
    from napari.layers import Labels, Points

    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam._napari.canvas.source import Source
    from napari_graysam.tune import Truth

Click = tuple[float, float]
NOTHING = (
    "Choose what you know of the image: a Labels layer with objects, or a Points layer with clicks."
)


@dataclass(frozen=True, eq=False)
class Known:
    """Objects and clicks in pixels of the image; it holds no layer.

    Attributes
    ----------
    labels
        Reads the objects, integer (H, W); this belongs in a worker thread. None without.
    partial
        Only some objects are painted.
    objects, nothing
        Clicks ``(x, y)`` on objects and on none.
    same
        Pairs of clicks on one object.
    """

    labels: Callable[[], NDArray[np.integer]] | None = None
    partial: bool = False
    objects: tuple[Click, ...] = ()
    nothing: tuple[Click, ...] = ()
    same: tuple[tuple[Click, Click], ...] = ()

    @property
    def clicks(self) -> int:
        """Number of statements that clicks make."""
        return len(self.objects) + len(self.nothing) + len(self.same)

    def truth(self, shape: tuple[int, int], region: NDArray[np.bool_] | None) -> Truth:
        """Return it as the search takes it; this belongs in a worker thread.

        Parameters
        ----------
        shape
            Rows and columns of the image.
        region
            bool (H, W), where points are set; objects with no pixel inside do not count, for
            nothing can find them. None for everywhere.

        Raises
        ------
        TruthError
            If nothing is known, or what is known does not fit the image or contradicts itself.
        """
        from napari_graysam.tune import Truth

        labels = None if self.labels is None else self.labels()
        if labels is not None and region is not None:
            labels = np.where(np.isin(labels, labels[region]), labels, 0)
        truth = Truth(labels, self.partial, self.objects, self.nothing, self.same)
        truth.fits(shape)
        return truth


def read_known(
    labels: Labels | None, some: bool, clicks: Mapping[str, Points | None], source: Source
) -> Known:
    """Read what layers say about an image, wherever they lie in the world.

    Parameters
    ----------
    labels
        With the objects.
    some
        Whether these are only some of the objects.
    clicks
        The Points layers by what they say: ``objects``, ``nothing``, ``same``.
    source
        The image; of a layer with more dimensions only what lies at its plane counts.

    Raises
    ------
    TruthError
        If there are no layers, the labels have another size or lie elsewhere, or a point of a
        pair has no partner.
    """
    if labels is None and not any(layer is not None for layer in clicks.values()):
        raise TruthError(NOTHING)
    read = None if labels is None else _reader(labels, source)
    pairs = clicks.get("same")
    if pairs is not None and len(pairs.data) % 2:
        raise TruthError(
            f"“{pairs.name}” has {len(pairs.data)} points, an odd number: two points that follow "
            "each other lie on one object. Add the missing one, or remove one."
        )
    placement = source.placement
    objects, nothing = (
        tuple(click for click in _clicks(clicks.get(kind), placement) if click is not None)
        for kind in ("objects", "nothing")
    )
    ends = _clicks(pairs, placement)
    same = tuple(
        (one, other)
        for one, other in zip(ends[::2], ends[1::2], strict=True)
        if one is not None and other is not None
    )
    return Known(read, some, objects, nothing, same)


def _reader(layer: Labels, source: Source) -> Callable[[], NDArray[np.integer]]:
    """Check the size of a Labels layer, and return what reads the image's plane of it."""
    placement, data = source.placement, pixels_of(layer)
    rows, columns = (axis - len(placement.shape) + data.ndim for axis in placement.axes)
    size = tuple(data.shape[axis] if axis >= 0 else 0 for axis in (rows, columns))
    if size != placement.plane_shape:
        raise TruthError(
            f"“{layer.name}” has {size[0]} × {size[1]} pixels, “{source.layer_name}” has "
            f"{placement.plane_shape[0]} × {placement.plane_shape[1]} (height × width). Choose "
            "labels of the same image, uncropped and unscaled."
        )
    matrix, names = matrix_of(transform_of(layer)), (layer.name, source.layer_name)
    return partial(_read, data, matrix, placement, names)


def _read(
    data: Any, matrix: NDArray[np.floating], placement: Placement, names: tuple[str, str]
) -> NDArray[np.integer]:
    labels, inside = labels_under(data, matrix, placement)
    if not inside.all():
        raise TruthError(
            f"“{names[0]}” does not lie on “{names[1]}”: give both layers the same scale, units "
            "and position, and for a stack a label image of the plane that is shown."
        )
    return labels


def _clicks(layer: Points | None, placement: Placement) -> list[Click | None]:
    """Return points in pixels from the image's upper left corner; None at other planes."""
    if layer is None or not len(layer.data):
        return []
    pixels = to_image(matrix_of(transform_of(layer)), placement, np.asarray(layer.data, float))
    elsewhere = np.any(np.abs(np.delete(pixels, placement.axes, axis=1)) > 0.5, axis=1)
    corners = pixels[:, placement.axes[::-1]] + 0.5
    return [
        None if away else (float(x), float(y))
        for away, (x, y) in zip(elsewhere.tolist(), corners, strict=True)
    ]
