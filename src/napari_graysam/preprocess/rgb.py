"""From one grayscale image to the 8-bit RGB view that SAM 2 sees."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Annotated, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from napari_graysam.errors import ImageError
from napari_graysam.parameters import Part
from napari_graysam.preprocess.base import Fitted, Image
from napari_graysam.preprocess.chain import Intermediates, apply_steps, check
from napari_graysam.preprocess.registry import Step
from napari_graysam.progress import run


class Replicate(Part):
    """The same gray image in all three channels."""

    kind: Literal["replicate"] = "replicate"


class Channels(Part):
    """Three differently processed versions as red, green and blue (false colour).

    Objects that differ in texture or edges but not in brightness get different colours,
    which is the separation SAM 2 misses in gray.
    """

    kind: Literal["channels"] = "channels"
    red: tuple[Step, ...] = Field(
        (),
        title="Red",
        description="Steps applied to the preprocessed image for the red channel; none keeps "
        "it as it is.",
    )
    green: tuple[Step, ...] = Field(
        (),
        title="Green",
        description="Steps applied to the preprocessed image for the green channel; none "
        "keeps it as it is.",
    )
    blue: tuple[Step, ...] = Field(
        (),
        title="Blue",
        description="Steps applied to the preprocessed image for the blue channel; none keeps "
        "it as it is.",
    )


class Colormap(Part):
    """Gray values as the colours of a matplotlib colormap."""

    kind: Literal["colormap"] = "colormap"
    name: str = Field(
        "viridis",
        title="Colormap",
        description="Name of a matplotlib colormap. A perceptually even one (viridis, magma, "
        "cividis) turns brightness steps into equal colour steps; turbo separates more.",
    )

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        import difflib

        import matplotlib

        if name not in matplotlib.colormaps:
            close = difflib.get_close_matches(name, list(matplotlib.colormaps), n=5, cutoff=0.4)
            hint = ", ".join(close or ["viridis", "magma", "cividis", "turbo"])
            raise ValueError(f"{name!r} is not a matplotlib colormap; did you mean {hint}?")
        return name


Rgb: TypeAlias = Annotated[Replicate | Channels | Colormap, Field(discriminator="kind")]


def to_rgb(
    pixels: Image,
    rgb: Rgb,
    fitted: Sequence[Iterable[Fitted]] | None = None,
) -> npt.NDArray[np.uint8]:
    """Turn a grayscale image into the RGB view for the model.

    Parameters
    ----------
    pixels
        float32, (H, W), values in [0, 1].
    rgb
        How the three channels are made.
    fitted
        Of `fit` for the steps of each of three channels, at the origin of the tile that
        ``pixels`` are; None for a whole image.

    Returns
    -------
    ndarray
        uint8, (H, W, 3), C-contiguous; a grey value x becomes ``round(255 * x)``.

    Raises
    ------
    ImageError
        If `pixels` is not a non-empty float32 (H, W) array with values in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.preprocess import STEPS, Channels, to_rgb
    >>> rgb = Channels(green=[STEPS["invert"]()], blue=[STEPS["gamma"](gamma=2)])
    >>> to_rgb(np.full((1, 1), 0.2, np.float32), rgb).tolist()
    [[[51, 204, 10]]]
    """
    check(pixels)
    return run(to_rgb_steps(pixels, rgb, fitted))


def to_rgb_steps(
    pixels: Image,
    rgb: Rgb,
    fitted: Sequence[Iterable[Fitted]] | None = None,
    memories: Sequence[Intermediates | None] = (None, None, None),
) -> Generator[None, None, npt.NDArray[np.uint8]]:
    """Do as `to_rgb`, pausing before every step; each channel has a memory of its own."""
    if isinstance(rgb, Colormap):
        return _colored(pixels, rgb.name)
    view = np.empty((*pixels.shape, 3), np.uint8)
    if isinstance(rgb, Replicate):
        view[:] = _bytes(pixels)[..., np.newaxis]
        return view
    fits = (None, None, None) if fitted is None else fitted
    chains = zip(("red", "green", "blue"), fits, memories, strict=True)
    for channel, (name, fit_of_channel, memory) in enumerate(chains):
        try:
            processed = yield from apply_steps(pixels, getattr(rgb, name), fit_of_channel, memory)
        except ImageError as error:
            raise ImageError(f"{name}: {error}") from error
        view[..., channel] = _bytes(processed)
    return view


def _bytes(pixels: Image) -> npt.NDArray[np.uint8]:
    scaled = pixels * np.float32(255)
    np.rint(scaled, out=scaled)
    return scaled.astype(np.uint8)


def _colored(pixels: Image, name: str) -> npt.NDArray[np.uint8]:
    import matplotlib

    colormap = matplotlib.colormaps[name]
    table = np.rint(colormap(np.arange(colormap.N))[:, :3] * 255).astype(np.uint8)
    index = np.minimum((pixels * np.float32(colormap.N)).astype(np.intp), colormap.N - 1)
    view: npt.NDArray[np.uint8] = table[index]
    return view
