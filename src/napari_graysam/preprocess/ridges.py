"""Thin lines: membranes, walls and fibres."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, Self, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from napari_graysam.preprocess.base import (
    AMOUNT,
    PIXELS,
    BaseStep,
    Fitted,
    Image,
    Polarity,
    drawn,
    magnitude,
    robust_maximum,
)
from napari_graysam.preprocess.blur import gaussian_blur, gaussian_halo
from napari_graysam.preprocess.measuring import Measured, Survey, Whole

RidgeMethod: TypeAlias = Literal["frangi", "sato"]

BLOB_TOLERANCE = 0.5
"""Frangi's beta: the ratio of the two curvatures from which a place counts as a blob."""


class Ridges(BaseStep):
    """Bring out thin lines such as membranes, walls and fibres."""

    kind: Literal["ridges"] = "ridges"
    method: RidgeMethod = Field(
        "sato",
        title="Method",
        description="sato: keeps faint and branching lines, right for membranes; frangi: "
        "stricter, suppresses blobs and leaves gaps at junctions, right for fibres.",
    )
    polarity: Polarity = Field(
        "bright",
        title="Lines are",
        description="bright lines on dark (fluorescent membranes) or dark lines on bright "
        "(electron microscopy). They keep that polarity in the result.",
    )
    sigma_min: float = Field(
        1.0,
        ge=0.5,
        le=50,
        title="Thinnest",
        description="Half the width of the thinnest line.",
        json_schema_extra=PIXELS,
    )
    sigma_max: float = Field(
        3.0,
        ge=0.5,
        le=50,
        title="Thickest",
        description="Half the width of the thickest line.",
        json_schema_extra=PIXELS,
    )
    scales: int = Field(
        3,
        ge=1,
        le=10,
        title="Scales",
        description="Line widths tried between thinnest and thickest. The time is proportional.",
    )
    amount: float = Field(
        0.5, ge=0, le=1, title="Amount", description=AMOUNT + " At 1 only the lines remain."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.sigma_min > self.sigma_max:
            raise ValueError(
                f"sigma_min ({self.sigma_min:g}) must not exceed sigma_max ({self.sigma_max:g})"
            )
        return self

    def _reach(self) -> int:
        return gaussian_halo(self.sigma_max) + 1

    def _survey(self) -> Survey:
        norms: list[float] = []
        if self.method == "frangi":
            norms = [_half(norm) for norm in (yield [partial(self._norm, s) for s in self._sigmas])]
        (strength,) = yield [lambda image, fitted: self._strength(image, norms)]
        return (robust_maximum(strength), *norms)

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Mix the strength of ridge-like lines into the image.

        Both methods look at the eigenvalues of the Hessian times sigma² and keep the strongest
        answer over the scales; a line of half width w answers most at about sigma = w. Sato et
        al. (1998): the curvature across the line. Frangi et al. (1998): large total curvature
        that is one-directional, with beta 0.5 and c half the largest Hessian norm of the scale.
        The strength is divided by its 99.5th percentile (see `robust_maximum`). Assumes lines
        thinner than the gaps between them. Cost per scale: one Gaussian blur, O(HW sigma), three
        small filters and a square root.
        """
        full, norms = (None, None) if fitted is None else (fitted.values[0], fitted.values[1:])
        strength = self._strength(image, None if norms is None else norms.tolist())
        return drawn(image, strength, self.amount, self.polarity, full)

    @property
    def _sigmas(self) -> list[float]:
        sigmas: list[float] = np.geomspace(self.sigma_min, self.sigma_max, self.scales).tolist()
        return sigmas

    def _norm(self, sigma: float, image: Image, fitted: Fitted | None) -> Image:
        """Return the Hessian's norm at a scale."""
        across, along = _curvatures(image, sigma, self.polarity)
        norm: Image = np.sqrt(across**2 + along**2)
        return norm

    def _strength(self, image: Image, norms: Sequence[float] | None) -> Image:
        """Return the strongest answer over the scales; of all, half the largest norm is known."""
        strength = np.zeros_like(image)
        for number, sigma in enumerate(self._sigmas):
            across, along = _curvatures(image, sigma, self.polarity)
            if self.method == "sato":
                np.maximum(strength, across, out=strength)
                continue
            answer = _frangi(across, along, None if norms is None else norms[number])
            np.maximum(strength, answer, out=strength)
        return strength


def _curvatures(image: Image, sigma: float, polarity: Polarity) -> tuple[Image, Image]:
    """Return the Hessian's eigenvalues, the larger first; positive on the wanted lines."""
    import cv2

    smooth = gaussian_blur(image, sigma, sigma)
    sign = -1.0 if polarity == "bright" else 1.0
    xx, yy, xy = (
        cv2.Sobel(
            smooth, cv2.CV_32F, dx, dy, scale=sign * sigma**2 / 4, borderType=cv2.BORDER_REFLECT
        )
        for dx, dy in ((2, 0), (0, 2), (1, 1))
    )
    middle = (xx + yy) / np.float32(2)
    spread = magnitude((xx - yy) / np.float32(2), xy)
    return middle + spread, middle - spread


def _half(norm: Measured) -> float:
    """Return half the largest norm, above the rounding noise of a constant image."""
    return max(norm.max() / 2, 1e-3)


def _frangi(across: Image, along: Image, half_norm: float | None) -> Image:
    import cv2

    norm_squared = across**2 + along**2
    # The eigenvalue of larger magnitude must be the positive one, else it is no such line.
    line = across + along > 0
    ratio_squared = np.divide(along**2, across**2, out=np.ones_like(across), where=line)
    if half_norm is None:
        half_norm = _half(Whole(np.sqrt(norm_squared)))
    strength: Image = cv2.exp(ratio_squared / np.float32(-2 * BLOB_TOLERANCE**2))
    strength *= 1 - cv2.exp(norm_squared / np.float32(-2 * half_norm**2))
    strength[~line] = 0
    return strength
