"""Every step keeps the contract, and does what its name says on images with known answers."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from napari_graysam.errors import ImageError
from napari_graysam.preprocess import STEPS, BaseStep, Intermediates, Step, apply, apply_steps
from napari_graysam.progress import run

Image = npt.NDArray[np.float32]

VARIANTS: list[BaseStep] = [
    *(step() for step in STEPS.values()),
    *(
        STEPS["subtract_background"](method=method, radius=radius)
        for method in ("rolling_ball", "white_tophat", "black_tophat", "gaussian")
        for radius in (3, 60)
    ),
    STEPS["ridges"](method="frangi", polarity="dark", amount=1),
    STEPS["sobel"](sigma=0, polarity="dark"),
    STEPS["median"](radius=4),
    STEPS["clahe"](tile_size=16, clip_limit=10),
    STEPS["gaussian"](sigma=30),
]
CHANGES_NOTHING_ON_CONSTANTS = {
    "rescale", "equalize", "gaussian", "median", "bilateral", "nl_means",
    "total_variation", "unsharp", "laplacian", "local_contrast", "flatten_illumination",
}  # fmt: skip


def step(kind: str, **values: Any) -> BaseStep:
    return STEPS[kind](**values)


def label(variant: BaseStep) -> str:
    return repr(variant)


def noise(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).random((height, width), dtype=np.float32)


def disk(size: int, center: tuple[int, int], radius: float) -> npt.NDArray[np.bool_]:
    y, x = np.mgrid[:size, :size]
    return (y - center[0]) ** 2 + (x - center[1]) ** 2 <= radius**2


def assert_contract(result: Image, shape: tuple[int, ...]) -> None:
    assert result.dtype == np.float32
    assert result.shape == shape
    assert result.flags.c_contiguous
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 1


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_contract(variant: BaseStep, data: st.DataObject) -> None:
    """Any shape and content: the input stays, the output is in range and repeatable."""
    height, width = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    levels = data.draw(st.sampled_from([1, 2, 7, 100000]))
    low, span = data.draw(st.sampled_from([(0.0, 1.0), (0.4, 1e-4), (0.0, 0.1), (1.0, 0.0)]))
    image = noise(height, width, data.draw(st.integers(0, 9)))
    image = np.clip(low + span * np.floor(image * levels) / levels, 0, 1).astype(np.float32)
    before = image.copy()
    result = variant.apply(image)
    assert_contract(result, image.shape)
    assert not np.shares_memory(result, image)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(variant.apply(image), result)


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_memory_layout_does_not_matter(variant: BaseStep) -> None:
    """Flipped, transposed, strided and read-only views give what a plain copy gives."""
    base = noise(36, 44)
    frozen = base.copy()
    frozen.flags.writeable = False
    for view in (base[::-1, ::-1], base.T, base[::2, 1::2], frozen):
        expected = variant.apply(np.ascontiguousarray(view))
        result = variant.apply(view)
        assert result.flags.c_contiguous
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_memory_alignment_does_not_matter(variant: BaseStep) -> None:
    base = noise(37, 45)
    expected = variant.apply(base)
    for offset in range(1, 16, 2):
        shifted = np.empty(base.size + 16, np.float32)[offset:][: base.size].reshape(base.shape)
        shifted[:] = base
        np.testing.assert_array_equal(variant.apply(shifted), expected)


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_threads_do_not_matter(variant: BaseStep) -> None:
    image = noise(150, 130)
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        single = variant.apply(image)
        cv2.setNumThreads(4)
        np.testing.assert_array_equal(variant.apply(image), single)
    finally:
        cv2.setNumThreads(threads)


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_constant_images_stay_constant(variant: BaseStep, value: float) -> None:
    result = variant.apply(np.full((33, 21), value, np.float32))
    assert np.ptp(result) < 1e-4
    if variant.model_dump()["kind"] in CHANGES_NOTHING_ON_CONSTANTS:
        np.testing.assert_allclose(result, value, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_no_step_drops_to_8_bits(variant: BaseStep) -> None:
    """A ramp of 4,096 grey levels must not come out with 256."""
    ramp = np.tile(np.arange(4096, dtype=np.float32) / 4095, (24, 1))
    wavy = ramp * (0.9 + 0.1 * np.sin(np.arange(24, dtype=np.float32)))[:, np.newaxis]
    result = variant.apply(wavy.astype(np.float32))
    assert len(np.unique(np.rint(result * 65535))) > 1500


@pytest.mark.parametrize(
    "kind", ["rescale", "gamma", "log", "sigmoid", "equalize", "clahe", "gaussian", "median"]
)
def test_order_of_grey_levels_survives(kind: str) -> None:
    ramp = np.tile(np.arange(4096, dtype=np.float32) / 4095, (8, 1))
    steps = {"clahe": step("clahe", tile_size=4096)}
    result = steps.get(kind, STEPS[kind]()).apply(ramp)
    assert (np.diff(result[0]) >= 0).all()
    assert result[0, 0] < 0.01
    assert result[0, -1] > 0.99


@settings(max_examples=40, deadline=None)
@given(
    chosen=st.lists(st.sampled_from(VARIANTS), max_size=5),
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
def test_any_chain_works(chosen: list[BaseStep], shape: tuple[int, int]) -> None:
    image = noise(*shape)
    result = apply(image, chosen)
    assert_contract(result, shape)
    expected = image
    for one in chosen:
        expected = apply(expected, [one])
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("kind", [k for k, v in STEPS.items() if "amount" in v.model_fields])
def test_amount_zero_changes_nothing_and_more_changes_more(kind: str) -> None:
    image = cv2.GaussianBlur(noise(50, 50), (0, 0), 2)
    np.testing.assert_allclose(step(kind, amount=0).apply(image), image, atol=1e-6)
    change = [np.abs(step(kind, amount=a).apply(image) - image).mean() for a in (0.3, 0.9)]
    assert 0.001 < change[0] < change[1]


def test_disabled_steps_do_nothing() -> None:
    image = noise(9, 9)
    off = [one.replace(enabled=False) for one in VARIANTS]
    np.testing.assert_array_equal(apply(image, off), image)
    np.testing.assert_array_equal(apply(image, [off[0], step("invert")]), 1 - image)


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (np.zeros((4, 4)), "float64"),
        (np.zeros((4, 4, 3), np.float32), r"\(4, 4, 3\)"),
        (np.zeros((0, 4), np.float32), r"\(0, 4\)"),
        (np.full((4, 4), 255, np.float32), "255"),
        (np.full((4, 4), -0.1, np.float32), "-0.1"),
        (np.array([[0, np.nan]], np.float32), "nan"),
        (np.array([[0, np.inf]], np.float32), "inf"),
    ],
)
def test_wrong_images_are_refused(image: npt.NDArray[Any], named: str) -> None:
    with pytest.raises(ImageError, match=named):
        apply(image, [])


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "rescale", "low": 60, "high": 40},
        {"kind": "difference_of_gaussians", "sigma_low": 5, "sigma_high": 5},
        {"kind": "ridges", "sigma_min": 4, "sigma_max": 2},
        {"kind": "local_contrast", "sigma_min": 4, "sigma_max": 2},
        {"kind": "gamma", "gamma": 0},
        {"kind": "gamma", "gama": 1},
        {"kind": "blur"},
    ],
)
def test_wrong_parameters_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Step).validate_python(values)


def test_every_field_explains_itself() -> None:
    for kind, model in STEPS.items():
        for name, field in model.model_fields.items():
            if name != "kind":
                assert field.title, (kind, name)
                assert field.description, (kind, name)
                assert len(field.description) > 20, (kind, name)
        schema = TypeAdapter(Step).json_schema()
        assert kind in schema["discriminator"]["mapping"]
        restored = TypeAdapter(Step).validate_json(model().model_dump_json())
        assert restored == model()


def test_importing_loads_no_image_library() -> None:
    code = (
        "import sys, napari_graysam.preprocess;"
        "print({'cv2', 'skimage', 'scipy', 'matplotlib', 'torch'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert output.stdout.decode().strip() == "set()"


def test_rescale_puts_percentiles_at_black_and_white() -> None:
    ramp = np.linspace(0.2, 0.6, 101, dtype=np.float32)[np.newaxis]
    result = step("rescale", low=25, high=75).apply(ramp)
    np.testing.assert_allclose(result[0, [25, 50, 75]], [0, 0.5, 1], atol=1e-5)
    np.testing.assert_allclose(step("rescale", low=0, high=100).apply(ramp)[0, [0, 100]], [0, 1])


def test_curves_have_known_values() -> None:
    image = np.array([[0, 0.25, 0.5, 1]], np.float32)
    np.testing.assert_allclose(step("gamma", gamma=0.5).apply(image), [[0, 0.5, 0.5**0.5, 1]])
    np.testing.assert_allclose(step("gamma", gamma=2).apply(image), [[0, 0.0625, 0.25, 1]])
    np.testing.assert_allclose(step("invert").apply(image), [[1, 0.75, 0.5, 0]])
    np.testing.assert_allclose(step("log", gain=3).apply(image)[0, [0, 3]], [0, 1], atol=1e-6)
    np.testing.assert_allclose(step("log", gain=8).apply(image)[0, 1], 0.5, atol=1e-6)
    np.testing.assert_allclose(step("sigmoid").apply(image)[0, [0, 2, 3]], [0, 0.5, 1], atol=1e-6)
    assert step("sigmoid", gain=40).apply(image)[0, 1] < 0.001


def test_equalize_makes_grey_levels_equally_frequent() -> None:
    skewed = noise(200, 200) ** 2
    counts, _ = np.histogram(step("equalize").apply(skewed), bins=10, range=(0, 1))
    np.testing.assert_allclose(counts, 4000, rtol=0.03)


@pytest.mark.parametrize("levels", [255, 4095, 65535])
def test_clahe_raises_local_contrast_whatever_the_bit_depth(levels: int) -> None:
    image = 0.5 + 0.03 * (cv2.GaussianBlur(noise(256, 256), (0, 0), 3) - 0.5)
    image = (np.rint(image * levels) / levels).astype(np.float32)
    doubled = step("clahe", clip_limit=2).apply(image)
    assert doubled.std() == pytest.approx(2 * image.std(), rel=0.15)
    assert step("clahe", clip_limit=8).apply(image).std() > 5 * image.std()


@settings(max_examples=25, deadline=None)
@given(limit=st.floats(1, 30), seed=st.integers(0, 99), power=st.floats(0.2, 8))
def test_clahe_never_exceeds_its_limit(limit: float, seed: int, power: float) -> None:
    image = np.sort(noise(1, 3000, seed) ** np.float32(power))
    result = step("clahe", clip_limit=limit, tile_size=4096).apply(image)
    assert (np.diff(result) <= limit * np.diff(image) + 1e-5).all()
    if limit == 1:
        np.testing.assert_allclose(result, image, atol=1e-5)


def test_clahe_leaves_no_tile_seams() -> None:
    ramp = np.tile(np.linspace(0.2, 0.8, 256, dtype=np.float32), (256, 1))
    result = step("clahe", tile_size=32, clip_limit=3).apply(ramp)
    for axis in (0, 1):
        assert np.abs(np.diff(result, axis=axis)).max() < 3.5 * 0.6 / 255


def test_local_normalize_evens_out_mean_and_contrast() -> None:
    texture = noise(200, 400) - 0.5
    texture[:, :200] *= 0.1
    texture[:, :200] += 0.2
    texture[:, 200:] += 0.5
    result = step("local_normalize", sigma=10, noise_floor=0.001, span=3).apply(texture)
    left, right = result[50:150, 50:150], result[50:150, 250:350]
    assert left.mean() == pytest.approx(0.5, abs=0.01)
    assert right.mean() == pytest.approx(0.5, abs=0.01)
    assert left.std() == pytest.approx(1 / 6, rel=0.05)
    assert right.std() == pytest.approx(1 / 6, rel=0.05)


@pytest.mark.parametrize("method", ["rolling_ball", "white_tophat", "gaussian"])
@pytest.mark.parametrize("radius", [8, 40])
def test_background_goes_and_blob_stays(method: str, radius: int) -> None:
    slope = np.tile(np.linspace(0.1, 0.5, 256, dtype=np.float32), (256, 1))
    blob = disk(256, (128, 128), radius / 3)
    image = (slope + 0.3 * blob).astype(np.float32)
    result = step("subtract_background", method=method, radius=radius).apply(image)
    away = ~disk(256, (128, 128), 3 * radius)
    away[:, :80] = away[:, -80:] = False
    assert result[away].max() < 0.05
    assert result[blob].mean() > (0.2 if method == "gaussian" else 0.25)


def test_black_tophat_finds_dark_spots() -> None:
    spot = disk(128, (64, 64), 5)
    image = np.where(spot, 0.3, 0.7).astype(np.float32)
    result = step("subtract_background", method="black_tophat", radius=20).apply(image)
    np.testing.assert_allclose(result[spot], 0.4, atol=1e-5)
    np.testing.assert_allclose(result[~spot], 0, atol=1e-5)


def test_white_tophat_removes_what_is_wider_than_the_radius() -> None:
    wide = disk(256, (128, 128), 80)
    result = step("subtract_background", method="white_tophat", radius=20).apply(
        wide.astype(np.float32)
    )
    assert result[disk(256, (128, 128), 70)].max() == 0


def test_flatten_illumination_removes_the_light_field() -> None:
    y, x = np.mgrid[-1:1:300j, -1:1:300j]
    light = 0.3 + 0.7 * np.exp(-(x**2 + y**2))
    image = (light * (0.4 + 0.2 * (noise(300, 300) > 0.5))).astype(np.float32)
    result = step("flatten_illumination", sigma=15).apply(image)
    before = abs(np.corrcoef(image.ravel(), light.ravel())[0, 1])
    after = abs(np.corrcoef(result.ravel(), light.ravel())[0, 1])
    assert before > 0.5
    assert after < 0.15 * before
    assert result.mean() == pytest.approx(image.mean(), rel=0.1)


def test_flatten_illumination_respects_its_highest_gain() -> None:
    image = np.full((100, 100), 0.5, np.float32)
    image[:, :30] = 0.01
    result = step("flatten_illumination", sigma=5, max_gain=2).apply(image)
    assert result[50, 5] == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("sigma", [1.0, 5.0, 8.5, 20.0, 60.0])
def test_gaussian_spreads_an_impulse_by_sigma(sigma: float) -> None:
    size = int(10 * sigma) | 1
    image = np.zeros((size, size), np.float32)
    image[size // 2, size // 2] = 1
    result = step("gaussian", sigma=sigma).apply(image).astype(np.float64)
    x = np.arange(size) - size // 2
    assert result.sum() == pytest.approx(1, rel=0.01)
    for axis in (0, 1):
        spread = np.sqrt((result.sum(axis) * x**2).sum() / result.sum())
        assert spread == pytest.approx(sigma, rel=0.03)


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_median_removes_specks_and_keeps_edges(radius: int) -> None:
    edge = np.repeat(np.float32([[0.2, 0.8]]), 20, axis=1).repeat(40, axis=0)
    specks = edge.copy()
    specks[10::15, 4::9] = 1
    np.testing.assert_array_equal(step("median", radius=radius).apply(specks), edge)


@pytest.mark.parametrize(
    "variant",
    [
        step("bilateral", sigma=3, contrast=0.2),
        step("nl_means", strength=0.05),
        step("total_variation", weight=0.1),
    ],
    ids=label,
)
def test_edge_preserving_filters_remove_noise_and_keep_the_edge(variant: BaseStep) -> None:
    edge = np.repeat(np.float32([[0.2, 0.8]]), 40, axis=1).repeat(80, axis=0)
    grain = np.random.default_rng(0).normal(0, 0.04, edge.shape).astype(np.float32)
    noisy = edge + grain
    result = variant.apply(noisy)
    flat = np.s_[10:-10, 5:30]
    assert result[flat].std() < noisy[flat].std() / 2.5
    assert result[flat].mean() == pytest.approx(0.2, abs=0.02)
    assert (result[:, 41] - result[:, 38]).mean() > 0.5


def test_total_variation_takes_known_contrast_off_a_strip() -> None:
    """A strip of width w between walls loses 2 weight / w (one-dimensional TV)."""
    image = np.zeros((4, 60), np.float32)
    image[:, 20:40] = 0.5
    result = step("total_variation", weight=0.2, iterations=500).apply(image)
    assert result[2, 30] == pytest.approx(0.5 - 2 * 0.2 / 20, abs=0.002)
    assert result[2, 5] == pytest.approx(0.2 / 20, abs=0.002)


def test_unsharp_steepens_a_soft_edge() -> None:
    soft = cv2.GaussianBlur(np.float32([[0.3, 0.7]]).repeat(32, 1).repeat(8, 0), (0, 0), 3)
    result = step("unsharp", sigma=3, amount=1).apply(soft)
    assert np.diff(result[4]).max() > 1.2 * np.diff(soft[4]).max()
    np.testing.assert_allclose(step("unsharp", amount=0).apply(soft), soft, atol=1e-6)


@pytest.mark.parametrize("kind", ["sobel", "scharr"])
def test_gradients_mark_the_edge_alone(kind: str) -> None:
    square = np.zeros((60, 60), np.float32)
    square[20:40, 20:40] = 0.4
    bright = step(kind, sigma=0, amount=1).apply(square)
    assert bright[30, 19:21] == pytest.approx(1)
    assert bright[30, 30] == 0
    assert bright[5, 5] == 0
    dark = step(kind, sigma=0, amount=1, polarity="dark").apply(square)
    np.testing.assert_allclose(dark, 1 - bright)


def test_scharr_is_more_even_in_all_directions() -> None:
    y, x = np.mgrid[:90, :90]
    gratings = [
        0.5 + 0.2 * np.sin(2 * np.pi / 5 * (x * np.cos(angle) + y * np.sin(angle)))
        for angle in np.radians([0, 15, 30, 45])
    ]
    image = np.hstack(gratings).astype(np.float32)
    unevenness = {}
    for kind in ("sobel", "scharr"):
        edges = step(kind, sigma=0, amount=1).apply(image)
        strengths = [part[5:-5, 5:-5].mean() for part in np.hsplit(edges, 4)]
        unevenness[kind] = np.std(strengths) / np.mean(strengths)
    assert unevenness["scharr"] < 0.7 * unevenness["sobel"]


@pytest.mark.parametrize(
    ("kind", "values"),
    [("laplacian", {"sigma": 3}), ("difference_of_gaussians", {"sigma_low": 2})],
)
def test_blob_filters_lift_blobs_of_both_signs(kind: str, values: dict[str, Any]) -> None:
    image = np.full((120, 120), 0.5, np.float32)
    bright, dark = disk(120, (60, 30), 4), disk(120, (60, 90), 4)
    image[bright] += 0.05
    image[dark] -= 0.05
    result = step(kind, **values).apply(image)
    assert result[bright].mean() > image[bright].mean() + 0.02
    assert result[dark].mean() < image[dark].mean() - 0.02
    assert result[2, 60] == pytest.approx(0.5, abs=0.02)


def test_difference_of_gaussians_ignores_the_background() -> None:
    blob = 0.1 * disk(200, (100, 100), 6)
    slope = np.tile(np.linspace(0.1, 0.7, 200), (200, 1))
    result = step("difference_of_gaussians").apply((slope + blob).astype(np.float32))
    assert result[100, 100] > 0.9
    np.testing.assert_allclose(result[20, 60:140], 0.5, atol=0.03)


@pytest.mark.parametrize("method", ["sato", "frangi"])
@pytest.mark.parametrize("polarity", ["bright", "dark"])
def test_ridges_find_a_drawn_line(method: str, polarity: str) -> None:
    line = cv2.line(np.zeros((100, 100), np.uint8), (15, 20), (85, 70), 1, 3) > 0
    sign = 1 if polarity == "bright" else -1
    image = (0.5 + sign * 0.1 * line).astype(np.float32)
    result = step("ridges", method=method, polarity=polarity, amount=1).apply(image)
    strength = result if polarity == "bright" else 1 - result
    center = cv2.line(np.zeros((100, 100), np.uint8), (25, 27), (75, 63), 1, 1) > 0
    far = cv2.dilate(line.astype(np.uint8), np.ones((25, 25))) == 0
    assert strength[center].mean() > 0.7
    assert strength[far].max() < 0.05
    opposite = step(
        "ridges",
        method=method,
        polarity="dark" if polarity == "bright" else "bright",
        amount=1,
        sigma_max=1.5,
    ).apply(image)
    wrong = opposite if polarity == "dark" else 1 - opposite
    assert wrong[center].mean() < 0.1


def test_frangi_suppresses_blobs_more_than_sato() -> None:
    image = np.zeros((100, 100), np.float32)
    image[48:51, :] = 0.5
    image[disk(100, (20, 50), 3)] = 0.5
    share = {}
    for method in ("sato", "frangi"):
        lines = step("ridges", method=method, amount=1).apply(image)
        share[method] = lines[20, 50] / lines[49, 20]
    assert share["frangi"] < 0.5 * share["sato"]


def test_ridges_agree_with_scikit_image() -> None:
    from skimage.filters import sato

    image = cv2.GaussianBlur(noise(120, 120), (0, 0), 2)
    image = (image - image.min()) / np.ptp(image)
    result = step("ridges", sigma_min=2, sigma_max=4, amount=1).apply(image)
    expected = sato(image, sigmas=np.geomspace(2, 4, 3), black_ridges=False)
    inner = np.s_[15:-15, 15:-15]
    assert np.corrcoef(result[inner].ravel(), expected[inner].ravel())[0, 1] > 0.99


def test_local_contrast_boosts_weak_detail_more_than_strong() -> None:
    image = np.full((100, 200), 0.5, np.float32)
    weak, strong = np.s_[46:54, 46:54], np.s_[46:54, 146:154]
    image[weak] += 0.01
    image[strong] += 0.3
    result = step("local_contrast", sigma_max=8, limit=0.05).apply(image)
    weak_gain = (result[weak].mean() - result[5, 5]) / 0.01
    strong_gain = (result[strong].mean() - result[5, 5]) / 0.3
    assert weak_gain > 1.5
    assert 1 < strong_gain < 0.8 * weak_gain


def test_a_chain_gives_the_same_whatever_it_remembers() -> None:
    image = noise(30, 40)
    chain = (step("clahe"), step("unsharp"))
    orders = (chain, chain[:1], (), chain[::-1], (chain[0], step("invert", enabled=False)))
    for most in (0, image.nbytes, 2**20):
        memory = Intermediates(most)
        for steps in orders:
            result = run(apply_steps(image, steps, memory=memory))
            np.testing.assert_array_equal(result, apply(image, steps))


def test_steps_that_stay_are_not_applied_again() -> None:
    image, memory = noise(30, 40), Intermediates(2**20)
    first, second = step("clahe"), step("unsharp")
    pauses = [len(list(apply_steps(image, steps, memory=memory))) for steps in (
        (first, second), (first, second), (first, step("unsharp", amount=2)), (second, first)
    )]  # fmt: skip
    assert pauses == [2, 0, 1, 2]


def test_a_step_that_fails_is_named() -> None:
    class Failing(BaseStep):
        kind: str = "failing_step"

        def _apply(self, image: Image, fitted: Any = None) -> Image:
            raise ValueError("too small")

    with pytest.raises(ImageError, match=r"step 2, Failing step, cannot .*: too small"):
        apply(noise(3, 4), [step("invert"), Failing()])
