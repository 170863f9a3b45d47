"""Sample images: ours with exact ground truth, and real ones that scikit-image brings along."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from napari_graysam.documents import load_yaml
from napari_graysam.errors import GraysamError
from napari_graysam.parameters import Part
from napari_graysam.recipe import Recipe

INDEX = "samples.yaml"


class Track(NamedTuple):
    """One object of a time series, as in ``man_track.txt`` of the Cell Tracking Challenge.

    Attributes
    ----------
    label
        In the label images.
    first, last
        Frames, counted from 0.
    parent
        Label of the object it came from by division; 0 for none.
    """

    label: int
    first: int
    last: int
    parent: int


class Sample(Part):
    """One sample image.

    Attributes
    ----------
    name
        Key in `samples`.
    title
        What menus show.
    description
        What the image shows and where it comes from.
    preset
        Name of the recipe that suits it.
    file, labels
        Names of the image and of its exact label image in the sample folder.
    tracks
        Name of the text file with the lineage of a time series.
    axis
        ``z`` or ``t`` where the sample is a stack.
    skimage
        Name of the function of `skimage.data` instead of a file.
    """

    name: str
    title: str
    description: str
    preset: str
    file: str | None = None
    labels: str | None = None
    tracks: str | None = None
    axis: Literal["z", "t"] | None = None
    skimage: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.skimage is None):
            raise ValueError(f"sample {self.name} needs either a file or a skimage name")
        return self

    def load(self) -> NDArray[Any]:
        """Return the image as it is stored, (H, W) or of a stack (P, H, W), uint8 or uint16.

        Raises
        ------
        GraysamError
            If the installation lacks the file.
        """
        if self.file is not None:
            return _read(self.file)
        import skimage.data

        image: NDArray[Any] = getattr(skimage.data, str(self.skimage))()
        return image

    def truth(self) -> NDArray[np.uint16] | None:
        """Return the exact labels, of the image's shape, 0 is background; None without them."""
        return None if self.labels is None else _read(self.labels)

    def path(self, kind: Literal["file", "labels"] = "file") -> AbstractContextManager[Path]:
        """Return the place of the image or of its labels, for as long as it is used.

        Raises
        ------
        GraysamError
            If the sample has no such file, or the installation lacks it.
        """
        name = self.file if kind == "file" else self.labels
        if name is None:
            raise GraysamError(f"The sample {self.name} has no {kind} of its own.")
        return as_file(_resource(name))

    def lineage(self) -> tuple[Track, ...]:
        """Return the true tracks of a time series, ascending; none of other samples."""
        if self.tracks is None:
            return ()
        lines = _resource(self.tracks).read_text(encoding="ascii").splitlines()
        return tuple(Track(*map(int, line.split())) for line in lines)

    def recipe(self) -> Recipe:
        """Return the recipe that suits the sample.

        It is the preset. Of stacks all planes are segmented and linked, along t with splits.
        """
        recipe = Recipe.preset(self.preset)
        if self.axis is None:
            return recipe
        return recipe.with_values(
            {
                "stack.axis": self.axis,
                "stack.link": "overlap",
                "stack.linking.splits": self.axis == "t",
            }
        )

    def scale(self) -> tuple[float, ...] | None:
        """Return the size of a pixel along each axis: µm, along t seconds; None where unknown."""
        if self.axis is None or self.file is None:
            return None
        import tifffile

        from napari_graysam.source.physical import tiff_pixel_size, tiff_spacing

        with tifffile.TiffFile(BytesIO(_resource(self.file).read_bytes())) as file:
            size = tiff_pixel_size(file, 0)[0]
            return None if size is None else (tiff_spacing(file, 0)[self.axis], *size)


def samples() -> Mapping[str, Sample]:
    """Return every sample by name, ours first; nothing is downloaded.

    Raises
    ------
    GraysamError
        If the installation lacks the sample files.
    """
    entries = load_yaml(_resource(INDEX).read_text(encoding="utf-8"), INDEX, GraysamError)
    return MappingProxyType({name: Sample(name=name, **entry) for name, entry in entries.items()})


def folder() -> Traversable:
    """Return the folder of the sample files: inside an installed package, or in a checkout.

    Raises
    ------
    GraysamError
        If neither holds the index of the samples.
    """
    package = files("napari_graysam")
    places: list[Traversable] = [package / "sample_data"]
    if isinstance(package, Path):
        places.append(package.parents[1] / "sample_data")
    for place in places:
        if (place / INDEX).is_file():
            return place
    looked = " and ".join(str(place) for place in places)
    raise GraysamError(
        f"The sample images are missing: there is no {INDEX} in {looked}. "
        "Install napari-graysam again."
    )


def _resource(name: str) -> Traversable:
    """Return one file of the sample folder."""
    place = folder()
    if not (place / name).is_file():
        raise GraysamError(f"{name} is missing in {place}. Install napari-graysam again.")
    return place / name


def _read(name: str) -> NDArray[Any]:
    """Read one TIFF of the sample folder."""
    import tifffile

    image: NDArray[Any] = tifffile.imread(BytesIO(_resource(name).read_bytes()))
    return image
