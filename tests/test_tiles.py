"""A tile with its halo becomes what the whole image becomes there."""

from __future__ import annotations

import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_graysam.errors import ImageError, RecipeError
from napari_graysam.pipeline import fit_view, make_view, read_gray, view_halo
from napari_graysam.preprocess import (
    STEPS,
    BaseStep,
    Channels,
    Replicate,
    apply,
    fit,
    fit_blocks,
    halo,
    padded,
    squares,
    to_rgb,
)
from napari_graysam.progress import run
from napari_graysam.recipe import Recipe
from napari_graysam.source.pyramid import open_pyramid
from napari_graysam.tiles import TileGrid, fit_large, open_large

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


@pytest.mark.parametrize("step", VARIANTS, ids=repr)
@pytest.mark.parametrize("side", [64, 150])
def test_statistics_taken_block_by_block_are_those_of_the_whole_image(
    step: BaseStep, side: int
) -> None:
    blocks = list(squares(SHAPE, side))
    (fitted,) = fit_blocks(lambda cut: IMAGE[cut], SHAPE, [step], blocks=blocks)
    whole = step.fit(IMAGE)
    assert fitted.shape == whole.shape
    np.testing.assert_allclose(fitted.values, whole.values, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(step.apply(IMAGE, fitted), step.apply(IMAGE), atol=5e-4)


def test_a_flat_or_two_valued_image_is_measured_exactly() -> None:
    """Percentiles that coincide must coincide: their difference is divided by."""
    step = STEPS["rescale"](low=5, high=90)
    for image in (np.full(SHAPE, 0.3, np.float32), (IMAGE > 0.9).astype(np.float32)):
        (fitted,) = fit_blocks(lambda cut, image=image: image[cut], SHAPE, [step])
        np.testing.assert_array_equal(fitted.values, step.fit(image).values)


CHAINS = st.lists(
    st.sampled_from([step for step in VARIANTS if step.halo < 60]), min_size=1, max_size=3
)


@settings(max_examples=25)
@given(
    chain=CHAINS,
    channels=st.booleans(),
    top=st.integers(0, SHAPE[0] - 40),
    left=st.integers(0, SHAPE[1] - 40),
)
def test_the_view_of_a_tile_of_a_file_is_that_of_the_image_in_memory(
    chain: list[BaseStep], channels: bool, top: int, left: int
) -> None:
    """Window, statistics and halo: nothing tells a tile from a cut of the whole picture."""
    rgb = Channels(red=[STEPS["sobel"]()], blue=[STEPS["rescale"]()]) if channels else Replicate()
    recipe = Recipe(preprocess=chain, rgb=rgb)
    stored = np.round(IMAGE * 60_000 - 500).astype(np.int32)
    whole = make_view(read_gray(stored, recipe), recipe).astype(int)
    large = run(open_large(open_pyramid(stored), recipe))
    view = pickle.loads(pickle.dumps(run(fit_large(large, recipe, 64))))
    window = slice(top, top + 40), slice(left, left + 33)
    off = np.abs(view.of(recipe, window).astype(int) - whole[window])
    assert off.max() <= 2
    assert np.mean(off > 0) < 0.02


def test_a_large_image_is_windowed_and_recorded_as_one_in_memory() -> None:
    stored = np.where(IMAGE > 0.6, np.nan, IMAGE * 7)
    recipe = Recipe()
    gray, large = read_gray(stored, recipe), run(open_large(open_pyramid(stored), recipe))
    assert large.record["window"] == gray.record["window"]
    assert large.record["non_finite"] == gray.record["non_finite"] > 0
    np.testing.assert_array_equal(large.read(TILES[1]).pixels, gray.pixels[TILES[1]])
    other = run(open_large(open_pyramid(stored + 1), recipe))
    assert other.digest != large.digest


def test_a_level_of_the_pyramid_is_worked_on() -> None:
    levels = open_pyramid([IMAGE, IMAGE[::2, ::2]])
    large = run(open_large(levels, Recipe().with_values({"tiles.level": 1})))
    assert large.shape == (166, 145)
    with pytest.raises(ImageError, match="Level 2 does not exist"):
        run(open_large(levels, Recipe().with_values({"tiles.level": 2})))


def test_steps_that_reach_too_far_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(preprocess=[STEPS["gaussian"](), STEPS["flatten_illumination"](sigma=90)])
    large = run(open_large(open_pyramid(IMAGE), recipe))
    monkeypatch.setattr("napari_graysam.tiles.view.available_memory", lambda: 10**6)
    with pytest.raises(ImageError, match=r"Flatten illumination looks \d+ pixels .* tiles.level"):
        run(fit_large(large, recipe, 64))


def test_an_image_with_too_many_pixels_is_fitted_to_squares_of_it_which_is_said() -> None:
    image = np.tile(IMAGE, (10, 12))
    recipe = Recipe(preprocess=[STEPS["rescale"]()])
    large = run(open_large(open_pyramid(image), recipe))
    whole, part = (
        run(fit_large(large, recipe, 64, most)) for most in (image.size, image.size // 3)
    )
    assert not whole.notes
    assert "evenly spaced squares" in part.notes[0]
    one, other = (view.fitted[0][1].preprocess[0].values for view in (whole, part))
    np.testing.assert_allclose(one, other, atol=0.01)


def test_the_note_names_the_squares_that_a_step_which_looks_far_is_fitted_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_graysam.tiles.view.BLOCK", 64)
    step = STEPS["flatten_illumination"](sigma=20)
    large = run(open_large(open_pyramid(IMAGE), Recipe()))
    view = run(fit_large(large, Recipe(preprocess=[step]), 64, IMAGE.size // 2))
    assert step.halo > 32
    assert len(view.notes) == 1
    assert f"squares of {2 * step.halo} pixels, 1/2 of the image" in view.notes[0]


@given(
    height=st.integers(1, 700),
    width=st.integers(1, 700),
    size=st.integers(64, 320),
    halo=st.integers(0, 24),
)
def test_cores_are_a_partition_and_windows_hold_them_with_their_halo(
    height: int, width: int, size: int, halo: int
) -> None:
    grid = TileGrid((height, width), size, halo)
    owner = np.zeros((height, width), int)
    for tile in grid:
        owner[tile.core] += 1
        for axis, length in enumerate((height, width)):
            window, core = tile.window[axis], tile.core[axis]
            assert window.stop - window.start == min(size, length)
            assert window.start == 0 or core.start - window.start >= halo
            assert window.stop == length or window.stop - core.stop >= halo
    assert (owner == 1).all()
    assert len(grid) == len(list(grid))
    if size - 2 * halo >= 128:
        inner = [window.start for spans in grid.spans for window, _ in spans[:-1]]
        assert all(start % 64 == 0 for start in inner), "the model's patches lie elsewhere"


def test_a_tile_knows_those_around_it() -> None:
    grid = TileGrid((300, 300), 100, 10)
    names = {tile.name for tile in grid.around(grid.tile(1, 1))}
    assert names == {f"r{r:03}c{c:03}" for r in range(3) for c in range(3)} - {"r001c001"}


def test_a_tile_smaller_than_its_halos_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"tiles\.size is 64 and the halo 40 .*raise tiles\.size"):
        TileGrid((300, 300), 64, 40)


def test_tiles_are_no_part_of_what_decides_an_image_in_one_piece() -> None:
    recipe = Recipe()
    assert recipe.changed_stage(recipe.with_values({"tiles.size": 512, "tiles.halo": 9})) is None
    assert recipe.to_dict() == {"schema_version": recipe.schema_version}
