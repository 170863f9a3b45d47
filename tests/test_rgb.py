"""The 8-bit RGB view."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from napari_graysam.errors import ImageError
from napari_graysam.preprocess import STEPS, Channels, Colormap, Replicate, Rgb, to_rgb

RAMP = np.linspace(0, 1, 1000, dtype=np.float32).reshape(20, 50)


@pytest.mark.parametrize(
    "rgb", [Replicate(), Channels(green=(STEPS["invert"](),)), Colormap(name="magma")]
)
@pytest.mark.parametrize("view", [RAMP, RAMP[::-1, ::-1], RAMP.T, RAMP[:1, :1]])
def test_views_are_contiguous_8_bit_rgb(rgb: Rgb, view: np.ndarray) -> None:
    before = view.copy()
    result = to_rgb(view, rgb)
    assert result.dtype == np.uint8
    assert result.shape == (*view.shape, 3)
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(view, before)
    np.testing.assert_array_equal(result, to_rgb(np.ascontiguousarray(view), rgb))


def test_replicate_rounds_to_the_nearest_grey() -> None:
    grey = np.arange(256, dtype=np.float32)
    for shift in (-0.4, 0, 0.4):
        pixels = np.clip((grey + shift) / 255, 0, 1).astype(np.float32)[np.newaxis]
        result = to_rgb(pixels, Replicate())
        for channel in range(3):
            np.testing.assert_array_equal(result[0, :, channel], grey)


def test_each_channel_has_its_own_chain() -> None:
    rgb = Channels(green=(STEPS["invert"](),), blue=(STEPS["gamma"](gamma=2),))
    red, green, blue = np.moveaxis(to_rgb(RAMP, rgb), -1, 0).astype(int)
    np.testing.assert_array_equal(red, np.rint(RAMP * 255))
    assert np.abs(red + green - 255).max() <= 1
    np.testing.assert_allclose(blue, RAMP**2 * 255, atol=0.51)


@pytest.mark.parametrize("name", ["viridis", "gray", "turbo", "tab10", "flag"])
def test_colormap_matches_matplotlib(name: str) -> None:
    expected = matplotlib.colormaps[name](RAMP)[..., :3] * 255
    np.testing.assert_allclose(to_rgb(RAMP, Colormap(name=name)), expected, atol=0.51)


def test_unknown_colormap_names_close_ones() -> None:
    with pytest.raises(ValidationError, match=r"'virids' is not a matplotlib colormap.*viridis"):
        Colormap(name="virids")


def test_wrong_pixels_are_refused() -> None:
    with pytest.raises(ImageError, match="uint8"):
        to_rgb(np.zeros((4, 4), np.uint8), Replicate())


@pytest.mark.parametrize(
    "rgb",
    [Replicate(), Colormap(name="magma"), Channels(red=(STEPS["clahe"](), STEPS["unsharp"]()))],
)
def test_round_trip(rgb: Rgb) -> None:
    adapter = TypeAdapter(Rgb)
    assert adapter.validate_json(adapter.dump_json(rgb)) == rgb
