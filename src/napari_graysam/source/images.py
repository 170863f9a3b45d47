"""Which image of a TIFF file is meant: not its thumbnail, and none of several by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_graysam.errors import ImageError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

MOST_SHOWN = 12


class Chosen(NamedTuple):
    """The series of pages that are one image, its number in the file, and notes."""

    series: list[TiffPageSeries]
    number: int
    notes: tuple[str, ...] = ()


def choose(file: TiffFile, number: int | None) -> Chosen:
    """Return the image of a number, counted from 0, or the only one that is no reduced copy.

    Raises
    ------
    ImageError
        There is no such image, or there are several and none was chosen.
    """
    images = _images(file)
    if not images:
        raise ImageError("The TIFF file holds no image.")
    if number is not None:
        check_number(number, len(images))
        return Chosen(images[number], number)
    largest = max(images, key=lambda image: _size(image[0]))
    whole = [
        one
        for one in range(len(images))
        if images[one] is largest or not _is_copy(images[one][0], largest[0], ome=file.is_ome)
    ]
    if len(whole) > 1:
        raise ImageError(
            f"The file holds {len(images)} images; choose one with image.series=N: "
            f"{_listed(images)}."
        )
    notes: tuple[str, ...] = ()
    if len(images) > 1:
        copies = ", ".join(_shape(image[0]) for image in images if image is not largest)
        notes = (f"The file also holds reduced copies of the image ({copies}); left out.",)
    return Chosen(largest, whole[0], notes)


def check_number(number: int, count: int) -> None:
    """Raise `ImageError` unless ``image.series`` chooses one of a file's images."""
    if not 0 <= number < count:
        raise ImageError(
            f"image.series={number} does not exist: the file holds {count} "
            f"image{'s' * (count > 1)}, image.series=0..{count - 1}."
        )


def _images(file: TiffFile) -> list[list[TiffPageSeries]]:
    """Group the file's series; single pages that are alike are the planes of one image."""
    series = [one for one in file.series if int(one.keyframe.photometric) != 4]
    alike = {(one.axes, one.shape, one.dtype, one.keyframe.photometric) for one in series}
    if len(alike) == 1 and len(series) > 1 and series[0].axes == "YX" and not file.is_ome:
        return [series]
    return [[one] for one in series]


def _size(series: TiffPageSeries) -> int:
    page = series.keyframe
    return int(page.imagelength * page.imagewidth)


def _is_copy(small: TiffPageSeries, large: TiffPageSeries, *, ome: bool) -> bool:
    """Whether one is said to be reduced, or is of the other's form at half its side or less.

    Images of OME are places or samples of their own; its reduced copies are levels of an image.
    """
    if small.keyframe.is_reduced:
        return True
    rows, columns = small.keyframe.imagelength, small.keyframe.imagewidth
    factor = min(large.keyframe.imagelength / rows, large.keyframe.imagewidth / columns)
    if ome or factor < 2:
        return False
    # A side is rounded up or down when an image is reduced.
    return (
        abs(large.keyframe.imagelength / factor - rows) <= 1
        and abs(large.keyframe.imagewidth / factor - columns) <= 1
    )


def _listed(images: list[list[TiffPageSeries]]) -> str:
    listed = []
    for number, image in enumerate(images[:MOST_SHOWN]):
        name = f", “{image[0].name:.40}”" if image[0].name else ""
        listed.append(f"{number} ({_shape(image[0])} {image[0].dtype}{name})")
    return "; ".join(listed) + "; …" * (len(images) > MOST_SHOWN)


def _shape(series: TiffPageSeries) -> str:
    return " × ".join(map(str, series.shape))
