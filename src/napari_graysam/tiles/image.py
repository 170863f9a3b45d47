"""A large image: measured once as a whole, then read piece by piece in its window."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.files.region import nothing_inside, region_window
from napari_graysam.fingerprint import digest_of
from napari_graysam.preprocess.chain import Box
from napari_graysam.progress import Progress
from napari_graysam.recipe import Percentiles, Recipe
from napari_graysam.recipe.image import Region
from napari_graysam.source.axes import has_alpha
from napari_graysam.source.gray import GrayImage
from napari_graysam.source.physical import PixelSize, checked_size, given_size
from napari_graysam.source.plane import Plane
from napari_graysam.source.pyramid import Pyramid
from napari_graysam.source.window import (
    Number,
    apply_window,
    finite_mask,
    given_window,
    measure,
    subsampled,
)
from napari_graysam.source.zarr_level import gaps_of

BAND = 2**26
"""Bytes that are read at once where an image is read from top to bottom."""


@dataclass(frozen=True, eq=False)
class LargeImage:
    """One plane of a level of an image that need not fit into memory; can be sent elsewhere.

    Attributes
    ----------
    pyramid, recipe
        Where it comes from; of the recipe, ``image`` and ``tiles.level`` are used.
    low, high
        The gray values that become 0 and 1.
    record
        What is known of it, as of a `GrayImage`, with ``path``, ``pixel_size`` and ``pixel_unit``.
    """

    pyramid: Pyramid
    recipe: Recipe
    low: Number
    high: Number
    record: dict[str, Any]

    @cached_property
    def plane(self) -> Plane:
        """The gray values, not in memory."""
        return self.pyramid.plane(self.recipe.image, self.recipe.tiles.level)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the plane, which another process opens for itself."""
        return {name: value for name, value in vars(self).items() if name != "plane"}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.plane.shape

    @property
    def digest(self) -> str:
        """Of all gray values and the window."""
        return digest_of(self.record["digest"], float(self.low), float(self.high))

    def read(self, place: Box) -> GrayImage:
        """Read rows and columns in the window of the whole image."""
        raw = self.plane[place]
        valid = finite_mask(raw)
        pixels = apply_window(raw, valid, self.low, self.high).pixels
        return GrayImage(pixels, raw, valid, self.record)

    def pixels(self, place: Box) -> NDArray[np.float32]:
        """Read rows and columns as gray values in [0, 1]."""
        return self.read(place).pixels


def open_large(
    pyramid: Pyramid,
    recipe: Recipe,
    *,
    pixel_size: tuple[float, float] | None = None,
) -> Generator[Progress, None, LargeImage]:
    """Read an image once from top to bottom, and measure its window.

    Parameters
    ----------
    pyramid
        Of `napari_graysam.source.pyramid.open_pyramid`.
    recipe
        Uses ``image`` and ``tiles.level``.
    pixel_size
        (Height, width) in micrometres of a pixel of the finest level, in place of the image's.

    Yields
    ------
    Progress
        "read", rows of the image.

    Raises
    ------
    ImageError
        As for one that fits into memory.
    """
    options, level = recipe.image, recipe.tiles.level
    if options.axes is None and pyramid.axes is not None:
        options = options.replace(axes=pyramid.axes)
        recipe = recipe.replace(image=options)
    plane = pyramid.plane(options, level)
    size = pyramid.pixel_size(level)
    size_notes = (*pyramid.size_notes, *size.notes)
    if pixel_size is not None:
        given = given_size(checked_size(pixel_size), pyramid.stored())
        factors, size_notes = pyramid.factors(level, options), given.size_notes
        size = PixelSize((pixel_size[0] * factors[0], pixel_size[1] * factors[1]), given.unit)
    found = yield from _survey(plane)
    if found.finite == 0:
        raise ImageError("Every pixel is NaN, infinite or masked; there is nothing to segment.")
    layout = pyramid.layout(options, level)
    notes = [*pyramid.notes, *gaps_of(pyramid.levels[level])]
    least, most = found.least, found.most
    if has_alpha(layout, options):
        notes.append("The fourth channel was taken for alpha and ignored.")
    missing = plane.shape[0] * plane.shape[1] - found.finite
    if missing:
        notes.append(f"{missing} pixels are NaN, infinite or masked; shown black.")
    window = options.window
    low: Number
    high: Number
    if isinstance(window, Percentiles):
        ends = measure(pyramid.levels[level], layout, options, window)
        low, high = (least, most) if ends is None else (ends.low, ends.high)
    else:
        low, high = given_window(options, pyramid.dtype, None, least, most)
    if low == high and least < most:
        low, high = least, most
        notes.append("The window's percentiles coincide; the full range was used instead.")
    if low == high:
        notes.append(f"Every pixel has the same value, {low:g}; the view is all black.")
    record = {
        "path": pyramid.path,
        "series": options.series,
        "plane": options.plane,
        "channel": options.channel,
        "level": level,
        "shape": list(layout.shape),
        "axes": layout.axes,
        "dtype": pyramid.dtype.name,
        "window": {"kind": window.kind, "low": low, "high": high},
        "subsampled": isinstance(window, Percentiles) and subsampled(layout),
        "non_finite": missing,
        "constant": least == most,
        "pixel_size": None if size.size is None else list(size.size),
        "pixel_unit": size.unit,
        "digest": found.digest,
        "notes": [*notes, *size_notes],
    }
    return LargeImage(pyramid, recipe, low, high, record)


def region_digest(region: Region, shape: tuple[int, int]) -> Generator[Progress, None, str]:
    """Read a region from top to bottom, and return a digest of the pixels that it holds.

    Parameters
    ----------
    region
        As for `napari_graysam.files.region.region_mask`.
    shape
        (H, W) of the image.

    Yields
    ------
    Progress
        "region", rows of the image.

    Raises
    ------
    ImageError
        A file cannot be read or is of another size, or no pixel is inside.
    """
    rows, columns = shape
    digest = hashlib.blake2b(json.dumps(shape).encode(), digest_size=16)
    step, anywhere = max(1, BAND // columns), False
    for top in range(0, rows, step):
        yield Progress("region", top, rows)
        band = slice(top, min(top + step, rows)), slice(0, columns)
        inside = region_window(region, shape, band)
        anywhere = anywhere or bool(inside.any())
        # Each row is packed by itself, so that the digest does not depend on the bands.
        digest.update(np.packbits(inside, axis=1).data)
    yield Progress("region", rows, rows)
    if not anywhere:
        raise nothing_inside(region, shape)
    return digest.hexdigest()


@dataclass(frozen=True)
class _Found:
    least: Number
    most: Number
    finite: int
    digest: str


def _survey(plane: Plane) -> Generator[Progress, None, _Found]:
    """Look at every pixel once; the digest does not depend on how much is read at once."""
    rows, columns = plane.shape
    digest = hashlib.blake2b(json.dumps([[rows, columns], plane.dtype.name]).encode(),
                             digest_size=16)  # fmt: skip
    least: list[Number] = []
    most: list[Number] = []
    finite = 0
    step = _rows_at_once(plane)
    for top in range(0, rows, step):
        yield Progress("read", top, rows)
        band = plane[top : min(top + step, rows), 0:columns]
        digest.update(np.ascontiguousarray(band).reshape(-1).view(np.uint8).data)
        valid = finite_mask(band)
        values = band if valid is None else band[valid]
        if values.size:
            least.append(values.min().item())
            most.append(values.max().item())
            finite += values.size
    yield Progress("read", rows, rows)
    return _Found(min(least, default=0), max(most, default=0), finite, digest.hexdigest())


def _rows_at_once(plane: Plane) -> int:
    """Return how many rows are read at once: whole chunks, where memory allows."""
    most = max(1, BAND // max(1, plane.shape[1] * plane.dtype.itemsize))
    chunk = plane.chunks[0] if plane.chunks else 1
    return max(1, most // chunk) * chunk if chunk <= most else most
