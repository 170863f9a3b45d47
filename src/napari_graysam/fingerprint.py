"""What decides a result, as one short digest for each stage of the pipeline.

A stage's digest is made of the digest of the stage before it, the recipe's values that the stage
is the first to use (`by_stage`) and the inputs that come in there: the image's pixels, the region,
the model and the versions of the libraries. So a change alters the digests from its stage on and
none before, and two results with the same last digest are the same result.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_graysam.parameters import Part
from napari_graysam.recipe.stages import STAGES, Stage, by_stage

if TYPE_CHECKING:
    from napari_graysam.recipe import Recipe
    from napari_graysam.source.gray import GrayImage

_BLOCK = 2**24
_VERSIONS: Mapping[Stage, tuple[str, ...]] = {
    "view": ("napari-graysam", "numpy", "scipy", "scikit-image", "opencv"),
    "encode": ("sam2", "torch"),
}
"""The libraries whose code a stage is the first to use. An image is known by its pixels alone."""


class Inputs(Part):
    """What decides a result besides the recipe.

    Parameters
    ----------
    image
        `image_digest` of the plane.
    region
        `array_digest` of the pixels where points are allowed; empty for all.
    model
        What `napari_graysam.model.identify` returns.
    versions
        Of this package and of the libraries that compute, by name.
    """

    image: str
    region: str = ""
    model: dict[str, str]
    versions: dict[str, str]

    @classmethod
    def of(
        cls, image: GrayImage, model: Mapping[str, str], region: NDArray[np.bool_] | None = None
    ) -> Self:
        """Return the inputs of a run.

        Parameters
        ----------
        image
            The plane.
        model
            What `napari_graysam.model.identify` returns for the recipe's model.
        region
            bool (H, W), the pixels where points are allowed; None for all.
        """
        return cls(
            image=image_digest(image),
            region="" if region is None else array_digest(region),
            model=dict(model),
            versions=versions(),
        )


class Fingerprint(Part):
    """What decides a result: a digest for each stage, and the inputs that went in.

    Parameters
    ----------
    inputs
        What came in besides the recipe.
    stages
        Digest of each stage, hexadecimal.

    Examples
    --------
    >>> from napari_graysam.recipe import Recipe
    >>> inputs = Inputs(image="1f", model={"weights": "c3"}, versions={"torch": "2.9"})
    >>> recipe = Recipe()
    >>> before = Fingerprint.of(recipe, inputs)
    >>> after = Fingerprint.of(recipe.with_values({"labels.min_area": 9}), inputs)
    >>> after["nms"] == before["nms"], after["labels"] == before["labels"]
    (True, False)
    >>> outdated_from(before, after)
    'labels'
    """

    inputs: Inputs
    stages: dict[Stage, str]

    @classmethod
    def of(cls, recipe: Recipe, inputs: Inputs) -> Self:
        """Return the fingerprint of a run with a recipe."""
        values, digest = by_stage(recipe), ""
        facts: dict[Stage, Any] = {
            "image": inputs.image,
            "encode": inputs.model,
            "decode": inputs.region,
        }
        stages: dict[Stage, str] = {}
        for stage in STAGES:
            code = {name: inputs.versions.get(name) for name in _VERSIONS.get(stage, ())}
            digest = digest_of(digest, values[stage], facts.get(stage), code)
            stages[stage] = digest
        return cls(inputs=inputs, stages=stages)

    def with_recipe(self, recipe: Recipe) -> Self:
        """Return the fingerprint of a run with another recipe and the same inputs."""
        return self.of(recipe, self.inputs)

    def __getitem__(self, stage: Stage) -> str:
        """Return the digest of a stage."""
        return self.stages[stage]

    @property
    def digest(self) -> str:
        """The last stage's digest: equal where everything that decides the result is."""
        return self.stages[STAGES[-1]]


def outdated_from(before: Fingerprint, after: Fingerprint) -> Stage | None:
    """Return the first stage in which a result differs from what would be asked for now.

    Parameters
    ----------
    before, after
        Fingerprints of the result and of a run as it would be now.

    Returns
    -------
    str or None
        None where the result is up to date. Up to "decode" it needs a new run; from "logits" on
        `napari_graysam.pipeline.retune` suffices.

    Examples
    --------
    >>> from napari_graysam.recipe import Recipe
    >>> inputs = Inputs(image="1f", model={}, versions={})
    >>> raw, sharp = Recipe(), Recipe().with_values({"preprocess": [{"kind": "unsharp"}]})
    >>> outdated_from(Fingerprint.of(raw, inputs), Fingerprint.of(sharp, inputs))
    'view'

    See Also
    --------
    napari_graysam.pipeline.fingerprint_of : The fingerprint that a run would give.
    """
    return next((stage for stage in STAGES if before[stage] != after[stage]), None)


def image_digest(image: GrayImage) -> str:
    """Return a digest of a plane: its gray values as they were, and its window.

    Parameters
    ----------
    image
        As `napari_graysam.source.gray.to_gray` or `read_image` gives it; where the file lies,
        and how large its pixels are, does not count.

    Examples
    --------
    >>> from napari_graysam.source.gray import to_gray
    >>> image = np.eye(3)
    >>> image_digest(to_gray(image)) == image_digest(to_gray(image[:, ::-1]))
    False
    """
    window = image.record["window"]
    return digest_of(array_digest(image.raw), float(window["low"]), float(window["high"]))


def array_digest(array: Any) -> str:
    """Return a digest of an array's shape, type and values.

    Parameters
    ----------
    array
        NumPy, memory-mapped or dask array of any strides and byte order; read in blocks of
        whole rows, of some 16 MB.

    Examples
    --------
    >>> rows = np.arange(6, dtype=np.uint8).reshape(2, 3)
    >>> array_digest(rows) == array_digest(rows.T.copy().T)
    True
    >>> array_digest(rows) == array_digest(rows.reshape(3, 2))
    False
    """
    dtype = np.dtype(array.dtype).newbyteorder("=")
    about = json.dumps([list(array.shape), dtype.name])
    digest = hashlib.blake2b(about.encode(), digest_size=16)
    if array.ndim == 0:
        digest.update(np.asarray(array, dtype).tobytes())
        return digest.hexdigest()
    row = dtype.itemsize * math.prod(array.shape[1:])
    rows = max(1, _BLOCK // max(1, row))
    for start in range(0, array.shape[0], rows):
        block = np.ascontiguousarray(array[start : start + rows], dtype)
        digest.update(block.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def digest_of(*parts: Any) -> str:
    """Return a digest of plain data: mappings, lists, texts and numbers."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@cache
def versions() -> dict[str, str]:
    """Return the versions of this package and of the libraries that compute, by name."""
    import cv2

    packages = {package for some in _VERSIONS.values() for package in some} - {"opencv"}
    return {name: version(name) for name in sorted(packages)} | {"opencv": cv2.__version__}
