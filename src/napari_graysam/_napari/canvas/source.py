"""What a chosen image layer hands to the pipeline, and where the result belongs."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_graysam._napari.canvas.layers import kind_of, pixels_of
from napari_graysam._napari.canvas.placement import Placement, transform_of
from napari_graysam._napari.canvas.subject import Subject
from napari_graysam.errors import ImageError
from napari_graysam.recipe import ImageOptions, Percentiles

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_graysam._napari.canvas.part import Part
    from napari_graysam._napari.canvas.whole import WholeImage
    from napari_graysam.source.gray import GrayImage, ImageSource


@dataclass(frozen=True, eq=False)
class Source:
    """An image to segment, read from a layer; it holds on to nothing of the viewer.

    Attributes
    ----------
    layer_name
        Of the layer.
    plane
        Which part of the layer it is, in words; empty for an image of one plane.
    array
        The layer's pixels of all planes, of which windows take their percentiles; lazy where
        the layer's are.
    options
        The recipe's, with axes, plane and channel filled in.
    contrast_limits
        Of the layer; None for colours.
    placement
        Where the plane lies.
    layer_id
        Unique id of the layer.
    region_id, region_name
        Of the layer that limits the points; None and empty for the whole plane.
    letters, index
        What each axis of the layer is, blank where that is not known, and where the plane lies
        along it: 0 along rows and columns.
    alone
        Whether percentiles are taken of this plane alone, as recipes for stacks may ask.
    part
        Which rectangle of the plane it is; None for all of it.
    whole
        Of which image windows take their percentiles; None for `array`.
    """

    layer_name: str
    plane: str
    array: Any
    options: ImageOptions
    contrast_limits: tuple[float, float] | None
    placement: Placement
    layer_id: Hashable = None
    region_id: Hashable | None = None
    region_name: str = ""
    letters: str = ""
    index: tuple[int, ...] = ()
    alone: bool = False
    part: Part | None = None
    whole: WholeImage | None = None

    def images(self) -> ImageSource:
        """Return all planes with their window, to be measured and read in a worker thread.

        Raises
        ------
        ImageError
            As of `napari_graysam.source.gray.ImageSource`.
        """
        from napari_graysam.source.gray import ImageSource

        source = ImageSource(self.array, self.options, contrast_limits=self.contrast_limits)
        if self.whole is not None and isinstance(self.options.window, Percentiles):
            source.measured = self.whole.statistics(self.options.window)
        return source

    def gray(self) -> GrayImage:
        """Read the plane; this belongs in a worker thread.

        Raises
        ------
        ImageError
            As of `napari_graysam.source.gray.to_gray`.
        """
        source, plane = self.images(), self.options.plane
        return source.alone(plane or 0) if self.alone else source.plane(plane)

    @property
    def title(self) -> str:
        """The layer's name, with the plane where there are several, and the region."""
        within = f" in {self.region_name}" if self.region_name else ""
        return f"{self.layer_name} {short_plane(self.plane)}".strip() + within

    @property
    def subject(self) -> Subject:
        """What a result of it belongs to."""
        return Subject(self.layer_id, self.plane, self.region_id, self.title)

    def within(self, region: Layer | None) -> Self:
        """Return the source with the layer that limits its points."""
        if region is None:
            return self
        return replace(self, region_id=region.unique_id, region_name=region.name)


def short_plane(plane: str) -> str:
    """Return which plane it is without how many there are: ``z 3`` of ``z 3 of 0–4``."""
    return ", ".join(part.split(" of ")[0] for part in plane.split(", "))


def read_subject(
    viewer: Viewer,
    layer: Layer | None,
    region: Layer | None,
    options: ImageOptions,
    part: Part | None = None,
) -> Subject | None:
    """Return what a run would segment now, or a part of it; None where nothing can be."""
    from napari_graysam._napari.canvas.part import named

    try:
        source = read_source(viewer, layer, options.replace(window=ImageOptions().window))
    except ImageError:
        return None
    source = source if part is None else named(source, part)
    return source.within(region).subject


def read_source(viewer: Viewer, layer: Layer | None, options: ImageOptions) -> Source:
    """Read the plane that the viewer shows, or the one that the options name.

    Nothing is computed: a lazy layer stays lazy.

    Parameters
    ----------
    viewer
        Its sliders choose the plane where ``options.plane`` is None, and the channel along an
        axis labelled ``c`` where ``options.channel`` is None.
    layer
        The chosen layer.
    options
        The recipe's.

    Raises
    ------
    ImageError
        If no image is chosen, the layer is no image or has left the viewer, or the display
        shows no single plane of it.
    """
    image = _image(viewer, layer)
    array = pixels_of(image)
    rows, columns = _shown_axes(viewer, image, options)
    axes = options.axes or _letters(image, rows, columns)
    if len(axes) != image.ndim + image.rgb:
        raise ImageError(
            f"The recipe names the axes {axes}, but “{image.name}” has {image.ndim + image.rgb}: "
            f"its shape is {tuple(array.shape)}. Leave the axes empty to take what is shown."
        )
    index = _position(viewer, image, axes, options)
    fixed = [axis for axis, letter in enumerate(axes) if letter == " "]
    if fixed:
        chosen = tuple(index[axis] if axis in fixed else slice(None) for axis in range(len(axes)))
        array = array[chosen]
    if image.rgb and options.window.kind == "limits":
        raise ImageError(
            f"“{image.name}” is a colour image and has no contrast limits: choose another window, "
            "such as percentiles."
        )
    return Source(
        layer_name=image.name,
        plane=_in_words(image, axes, index),
        array=array,
        options=_filled_in(options, axes, image, index),
        contrast_limits=limits_of(image),
        placement=_placement(image, (rows, columns), index),
        layer_id=image.unique_id,
        letters=axes,
        index=index,
    )


def limits_of(image: Image) -> tuple[float, float] | None:
    """Return the contrast limits of an image layer; None for colours."""
    if image.rgb:
        return None
    low, high = image.contrast_limits
    return float(low), float(high)


def _image(viewer: Viewer, layer: Layer | None) -> Image:
    from napari.layers import Image

    if layer is None:
        raise ImageError(
            "No image is chosen: open one with File ▸ Open File(s) or File ▸ Open Sample, and "
            "choose it as the image."
        )
    if layer not in viewer.layers:
        raise ImageError(f"“{layer.name}” is no longer in the viewer: choose another image.")
    if not isinstance(layer, Image):
        raise ImageError(
            f"“{layer.name}” is a {kind_of(layer)} layer; an Image layer is needed. Choose "
            "one, or convert it: right-click the layer ▸ Convert to Image."
        )
    shape = tuple(pixels_of(layer).shape)
    if 0 in shape:
        raise ImageError(f"“{layer.name}” has no pixels: its shape is {shape}. Choose another.")
    if viewer.dims.ndisplay == 3 and layer.ndim > 2:
        raise ImageError(
            f"“{layer.name}” is shown in 3D, and single planes are segmented: switch to 2D "
            "display with the cube button below the layer list, and choose a plane."
        )
    return layer


def _shown_axes(viewer: Viewer, image: Image, options: ImageOptions) -> tuple[int, int]:
    """Return the layer's axes of rows and columns."""
    if options.axes is not None:
        return options.axes.index("Y"), options.axes.index("X")
    if image.ndim == 2:
        return 0, 1
    first, last = sorted(
        axis - viewer.dims.ndim + image.ndim for axis in viewer.dims.displayed[-2:]
    )
    if first < 0:
        raise ImageError(
            f"“{image.name}” is shown edge-on: roll the dimensions, with the button below the "
            "layer list, until it is shown as a picture."
        )
    return first, last


def _letters(image: Image, rows: int, columns: int) -> str:
    """Name the axes: by their labels, else Z and T from the last on; blank what is left."""
    letters = [
        label.strip().upper()[:1] if axis not in (rows, columns) else " "
        for axis, label in enumerate(image.axis_labels)
    ]
    letters = [
        letter if letter in "ZTC" and letters.index(letter) == axis else " "
        for axis, letter in enumerate(letters)
    ]
    letters[rows], letters[columns] = "Y", "X"
    free = [letter for letter in "ZT" if letter not in letters]
    for axis in reversed(range(image.ndim)):
        if letters[axis] == " " and free:
            letters[axis] = free.pop(0)
    return "".join(letters) + "S" * image.rgb


def _position(viewer: Viewer, image: Image, axes: str, options: ImageOptions) -> tuple[int, ...]:
    """Return the index along every axis of the layer; 0 along rows and columns."""
    point = np.rint(image.world_to_data(viewer.dims.point)).astype(int)
    shape = tuple(pixels_of(image).shape)
    index = [0 if letter in "YXS" else int(point[axis]) for axis, letter in enumerate(axes)]
    stack = [axis for axis, letter in enumerate(axes) if letter in "ZT"]
    planes = tuple(shape[axis] for axis in stack)
    if options.plane is not None and stack and options.plane < np.prod(planes):
        for axis, at in zip(stack, np.unravel_index(options.plane, planes), strict=True):
            index[axis] = int(at)
    if "C" in axes and options.channel is not None:
        index[axes.index("C")] = min(options.channel, shape[axes.index("C")] - 1)
    if any(not 0 <= at < size for at, size in zip(index, shape, strict=True)):
        raise ImageError(
            f"“{image.name}” has no plane where the sliders stand: move them until it is shown."
        )
    return tuple(index)


def _filled_in(
    options: ImageOptions, axes: str, image: Image, index: tuple[int, ...]
) -> ImageOptions:
    """Return options that read the same plane without a viewer."""
    shape = pixels_of(image).shape
    stack = [axis for axis, letter in enumerate(axes) if letter in "ZT"]
    plane, channel = options.plane, options.channel
    if plane is None and stack:
        at, planes = [index[axis] for axis in stack], [shape[axis] for axis in stack]
        plane = int(np.ravel_multi_index(at, planes))
    if channel is None and "C" in axes:
        channel = index[axes.index("C")]
    return options.replace(axes=axes.replace(" ", ""), plane=plane, channel=channel)


def _in_words(image: Image, axes: str, index: tuple[int, ...]) -> str:
    names = {"Z": "z", "T": "t", "C": "channel", " ": "index"}
    shape = pixels_of(image).shape
    return ", ".join(
        f"{names[letter]} {index[axis]} of 0–{shape[axis] - 1}"
        for axis, letter in enumerate(axes)
        if letter in names and shape[axis] > 1
    )


def _placement(image: Image, axes: tuple[int, int], index: tuple[int, ...]) -> Placement:
    """Return where a plane of an image lies."""
    shape = pixels_of(image).shape[: image.ndim]
    whole = Placement(shape, axes, transform_of(image))
    plane = [size if axis in axes else 1 for axis, size in enumerate(shape)]
    return whole.moved(index[: image.ndim], plane)
