"""All preprocessing steps: the union that recipes are built from, and the classes by name."""

from __future__ import annotations

from typing import Annotated, TypeAlias, get_args

from pydantic import Field

from napari_graysam.preprocess.background import FlattenIllumination, SubtractBackground
from napari_graysam.preprocess.base import BaseStep
from napari_graysam.preprocess.denoise import Bilateral, Gaussian, Median, NlMeans, TotalVariation
from napari_graysam.preprocess.detail import DifferenceOfGaussians, LocalContrast
from napari_graysam.preprocess.edges import Laplacian, Scharr, Sobel, Unsharp
from napari_graysam.preprocess.histogram import Clahe, Equalize
from napari_graysam.preprocess.intensity import Gamma, Invert, LocalNormalize, Log, Rescale, Sigmoid
from napari_graysam.preprocess.ridges import Ridges

Step: TypeAlias = Annotated[
    Rescale
    | Gamma
    | Log
    | Sigmoid
    | Invert
    | Equalize
    | Clahe
    | LocalNormalize
    | SubtractBackground
    | FlattenIllumination
    | Gaussian
    | Median
    | Bilateral
    | NlMeans
    | TotalVariation
    | Unsharp
    | Sobel
    | Scharr
    | Laplacian
    | DifferenceOfGaussians
    | Ridges
    | LocalContrast,
    Field(discriminator="kind"),
]

STEPS: dict[str, type[BaseStep]] = {
    step.model_fields["kind"].default: step for step in get_args(get_args(Step)[0])
}
"""Step class by its kind, in the order in which a menu shows them."""
