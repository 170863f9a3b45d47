"""Gaussian blur of any width, of whole images and of tiles."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from napari_graysam.preprocess.base import Fitted, Image

LARGEST_SIGMA = 8
"""Largest sigma that is blurred at full size; above it the image is shrunk."""
SLIVER = 1e-3
"""Part of a pixel that OpenCV's area averaging leaves out."""


class _Cells(NamedTuple):
    """The cells of a shrunk axis that a tile touches.

    Attributes
    ----------
    scale
        Pixels a cell.
    cells
        Cells of the whole axis.
    start, length
        The tile's pixels.
    """

    scale: float
    cells: int
    start: int
    length: int

    @property
    def first(self) -> int:
        """The first cell that the tile touches."""
        return int(self.start / self.scale)

    @property
    def touched(self) -> int:
        """How many cells the tile touches."""
        end = math.ceil((self.start + self.length) / self.scale - 1e-9)
        return min(end, self.cells) - self.first


def blur(image: Image, sigma: float, fitted: Fitted | None = None) -> Image:
    """Gaussian blur of an (H, W) float32 image with reflected borders; sigma in pixels.

    Above `LARGEST_SIGMA` the image is first shrunk by area averaging so that sigma becomes
    about 4, and enlarged by linear interpolation afterwards: the cost no longer grows with
    sigma. The widths of both interpolation kernels are taken off sigma (variances add).
    A tile is shrunk into the cells of the whole image, as ``fitted`` says.
    """
    import cv2

    image = np.ascontiguousarray(image)
    height, width = image.shape
    factor = _factor(sigma)
    if factor == 1:
        return gaussian_blur(image, sigma, sigma)
    if fitted is not None and fitted.shape != image.shape:
        return _blur_tile(image, sigma, factor, fitted)
    small_size = (-(-width // factor), -(-height // factor))
    scale_x, scale_y = width / small_size[0], height / small_size[1]
    small = cv2.resize(image, small_size, interpolation=cv2.INTER_AREA)
    small = gaussian_blur(small, _shrunk_sigma(sigma, scale_x), _shrunk_sigma(sigma, scale_y))
    enlarged: Image = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return enlarged


def blur_halo(sigma: float) -> int:
    """Return how far `blur` looks, pixels."""
    factor = _factor(sigma)
    return gaussian_halo(sigma) if factor == 1 else math.ceil(4 * sigma) + 4 * factor


def gaussian_halo(sigma: float) -> int:
    """Return how far `gaussian_blur` looks, pixels."""
    return int(4 * sigma + 0.5)


def gaussian_blur(image: Image, sigma_x: float, sigma_y: float) -> Image:
    """Blur with kernels cut at 4 sigma; a kernel wider than the image reflects repeatedly."""
    import cv2

    size = (2 * gaussian_halo(sigma_x) + 1, 2 * gaussian_halo(sigma_y) + 1)
    blurred: Image = cv2.GaussianBlur(
        image, size, sigmaX=sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_REFLECT
    )
    return blurred.reshape(image.shape)


def _factor(sigma: float) -> int:
    return int(sigma // 4) if sigma > LARGEST_SIGMA else 1


def _shrunk_sigma(sigma: float, scale: float) -> float:
    """Sigma left to apply at the shrunk scale: a box adds scale²/12, a triangle scale²/6."""
    return float(np.sqrt(sigma**2 - scale**2 / 4) / scale)


def _blur_tile(image: Image, sigma: float, factor: int, fitted: Fitted) -> Image:
    """Blur as the whole image would be: OpenCV cannot shrink into cells that begin anywhere."""
    rows, columns = (
        _Cells(whole / -(-whole // factor), -(-whole // factor), start, length)
        for whole, start, length in zip(fitted.shape, fitted.origin, image.shape, strict=True)
    )
    small = np.ascontiguousarray((_shrink(columns) @ (_shrink(rows) @ image).T).T)
    sigma_x, sigma_y = (_shrunk_sigma(sigma, axis.scale) for axis in (columns, rows))
    small = gaussian_blur(small, sigma_x, sigma_y)
    return np.ascontiguousarray((_enlarge(columns) @ (_enlarge(rows) @ small).T).T)


def _shrink(axis: _Cells) -> Any:
    """Return a sparse matrix that averages the tile's pixels over cells, (cells, pixels)."""
    from scipy import sparse

    pixel = np.arange(axis.start, axis.start + axis.length)
    cell = (pixel / axis.scale).astype(int)
    share = np.minimum((cell + 1) * axis.scale - pixel, 1)
    rows = np.concatenate([cell, cell + 1]) - axis.first
    shares = np.concatenate([share, 1 - share])
    valid = (shares > SLIVER) & (rows < axis.touched)
    columns = np.tile(np.arange(axis.length), 2)[valid]
    values = (shares[valid] / axis.scale).astype(np.float32)
    return sparse.csr_matrix((values, (rows[valid], columns)), (axis.touched, axis.length))


def _enlarge(axis: _Cells) -> Any:
    """Return a sparse matrix that interpolates between cells, (pixels, cells)."""
    from scipy import sparse

    pixel = np.arange(axis.start, axis.start + axis.length)
    position = np.clip((pixel + 0.5) / axis.scale - 0.5, 0, axis.cells - 1) - axis.first
    position = np.clip(position, 0, axis.touched - 1)
    before = position.astype(int)
    after = np.minimum(before + 1, axis.touched - 1)
    weight = position - before
    columns = np.concatenate([before, after])
    rows = np.tile(np.arange(axis.length), 2)
    values = np.concatenate([1 - weight, weight]).astype(np.float32)
    return sparse.csr_matrix((values, (rows, columns)), (axis.length, axis.touched))
