"""A tile with its halo becomes what the whole image becomes there."""

from __future__ import annotations

import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest

from napari_graysam.pipeline import fit_view, make_view, read_gray, view_halo
from napari_graysam.preprocess import STEPS, BaseStep, Channels, apply, fit, halo, padded, to_rgb
from napari_graysam.recipe import Recipe

SHAPE = (331, 290)
TILES = [
    (slice(0, 60), slice(0, 50)),
    (slice(151, 192), slice(130, 177)),
    (slice(97, 98), slice(240, 290)),
    (slice(290, 331), slice(0, 290)),
]
VARIANTS: list[BaseStep] = [
    *(step() for kind, step in STEPS.items() if kind not in ("clahe", "flatten_illumination")),
    STEPS["clahe"](tile_size=24),
    STEPS["flatten_illumination"](sigma=9.5),
    STEPS["gaussian"](sigma=13),
    STEPS["local_normalize"](sigma=9),
    STEPS["unsharp"](sigma=10),
    STEPS["difference_of_gaussians"](sigma_low=2, sigma_high=12),
    STEPS["local_contrast"](sigma_max=9),
    STEPS["median"](radius=3),
    STEPS["bilateral"](sigma=3, contrast=0.02),
    STEPS["total_variation"](iterations=20),
    STEPS["ridges"](method="frangi", polarity="dark"),
    STEPS["sobel"](sigma=9, polarity="dark"),
    *(
        STEPS["subtract_background"](method=method, radius=radius)
        for method in ("rolling_ball", "white_tophat", "black_tophat", "gaussian")
        for radius in (5, 19)
    ),
]


def picture() -> np.ndarray:
    """Blobs and noise on a slope; every tile has another range than the whole."""
    random = np.random.default_rng(3)
    spots = cv2.GaussianBlur((random.random(SHAPE) > 0.995).astype(np.float32), (0, 0), 4)
    slope = np.linspace(0, 0.6, SHAPE[1], dtype=np.float32)
    noise = random.normal(0, 0.03, SHAPE).astype(np.float32)
    return np.clip(spots / spots.max() * slope + slope / 2 + noise, 0, 1).astype(np.float32)


IMAGE = picture()


@pytest.mark.parametrize("step", VARIANTS, ids=repr)
def test_a_tile_becomes_what_the_whole_image_becomes_there(step: BaseStep) -> None:
    whole, fitted = step.apply(IMAGE), pickle.loads(pickle.dumps(step.fit(IMAGE)))
    np.testing.assert_array_equal(step.apply(IMAGE, fitted), whole)
    for tile in TILES:
        cut, inside = area = padded(tile, step.halo, SHAPE)
        part = step.apply(IMAGE[cut], fitted.at(area.origin))[inside]
        np.testing.assert_allclose(part, whole[tile], atol=1e-4)


@pytest.mark.parametrize("kind", STEPS)
def test_every_step_of_the_registry_is_tried_on_a_real_tile(kind: str) -> None:
    """The halo of at least one variant leaves something of the image out."""
    cuts = [
        padded(TILES[1], step.halo, SHAPE).cut
        for step in VARIANTS
        if step.model_dump()["kind"] == kind
    ]
    assert min((IMAGE[cut].size for cut in cuts), default=IMAGE.size) < IMAGE.size


def test_a_chain_is_fitted_to_what_its_steps_see() -> None:
    steps = [
        STEPS["median"](),
        STEPS["rescale"](low=5, high=90),
        STEPS["equalize"](enabled=False),
        STEPS["clahe"](tile_size=16),
        STEPS["sobel"](),
    ]
    rgb = Channels(red=steps[:2], blue=[STEPS["gaussian"](sigma=3)])
    fitted = fit(IMAGE, steps)
    whole = apply(IMAGE, steps)
    of_channels = [fit(whole, channel) for channel in (rgb.red, rgb.green, rgb.blue)]
    view = to_rgb(whole, rgb)
    reach = halo(steps) + max(map(halo, (rgb.red, rgb.green, rgb.blue)))
    for tile in TILES:
        cut, inside = area = padded(tile, reach, SHAPE)
        part = apply(IMAGE[cut], steps, [one.at(area.origin) for one in fitted])
        np.testing.assert_allclose(part[inside], whole[tile], atol=1e-4)
        fits = [[one.at(area.origin) for one in channel] for channel in of_channels]
        colours = to_rgb(part, rgb, fits)[inside].astype(int)
        assert np.abs(colours - view[tile]).max() <= 1


def test_statistics_of_the_whole_image_decide_a_tile() -> None:
    """Without them a dim tile would be stretched as if it were all there is."""
    step, tile = STEPS["rescale"](), np.s_[:, :60]
    alone, known = step.apply(IMAGE[tile]), step.apply(IMAGE[tile], step.fit(IMAGE))
    assert alone.max() == 1
    assert known.max() < 0.7


def test_the_view_of_a_tile_is_cut_from_that_of_the_whole_image() -> None:
    recipe = Recipe(
        preprocess=[STEPS["rescale"](low=5, high=90), STEPS["clahe"](tile_size=16)],
        rgb=Channels(red=[STEPS["sobel"]()], blue=[STEPS["gaussian"](sigma=3)]),
    )
    gray = read_gray(IMAGE, recipe)
    whole, fitted = make_view(gray, recipe), fit_view(gray, recipe)
    for tile in TILES:
        cut, inside = area = padded(tile, view_halo(recipe), SHAPE)
        part = replace(gray, pixels=gray.pixels[cut])
        colours = make_view(part, recipe, fitted.at(area.origin))[inside].astype(int)
        assert np.abs(colours - whole[tile]).max() <= 1
