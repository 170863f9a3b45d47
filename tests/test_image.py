import json

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_graysam.errors import ImageError
from napari_graysam.recipe import ContrastLimits, DtypeRange, Explicit, ImageOptions, Percentiles
from napari_graysam.source import axes as axes_module
from napari_graysam.source import window as window_module
from napari_graysam.source.gray import ImageSource, check_size, to_gray

FULL = ImageOptions(window=Percentiles(low=0, high=100))
DTYPES = [f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)] + ["f2", "f4", "f8"]


def ramp(dtype="u2", shape=(12, 17)):
    return np.linspace(0, 100, shape[0] * shape[1]).reshape(shape).astype(dtype)


def images(dtype, **elements):
    return hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), **elements)


any_image = st.sampled_from(DTYPES).flatmap(images)


@given(any_image)
def test_pixels_are_contiguous_float32_in_unit_range(array):
    if not np.isfinite(array).any():
        return
    image = to_gray(array)
    assert image.pixels.dtype == np.float32
    assert image.pixels.flags.c_contiguous
    assert image.pixels.shape == array.shape
    assert np.isfinite(image.pixels).all()
    assert image.pixels.min() >= 0
    assert image.pixels.max() <= 1


@given(any_image)
def test_brighter_never_becomes_darker(array):
    finite = np.isfinite(array)
    if not finite.any():
        return
    image = to_gray(array)
    order = np.argsort(array[finite], kind="stable")
    assert (np.diff(image.pixels[finite][order]) >= 0).all()


@given(any_image)
def test_full_window_reaches_black_and_white(array):
    finite = array[np.isfinite(array)]
    if not finite.size or finite.min() == finite.max():
        return
    image = to_gray(array, FULL)
    assert image.pixels[array == finite.min()].max() == 0
    assert image.pixels[array == finite.max()].min() == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_memory_layout_gives_one_result(dtype, tmp_path):
    array = ramp(dtype)
    expected = to_gray(array)
    mapped = np.memmap(tmp_path / "image.raw", dtype, "w+", shape=array.shape)
    mapped[:] = array
    read_only = array.copy()
    read_only.flags.writeable = False
    variants = [
        np.asfortranarray(array),
        array[::-1, ::-1].copy()[::-1, ::-1],
        array.astype(array.dtype.newbyteorder(">")),
        read_only,
        mapped,
        da.from_array(array, chunks=(5, 6)),
        array[..., None],
        array[None],
        array.tolist(),
    ]
    for variant in variants:
        image = to_gray(variant)
        np.testing.assert_array_equal(image.pixels, expected.pixels)
        np.testing.assert_array_equal(image.raw, array)
        assert type(image.raw) is np.ndarray
        assert image.raw.dtype.isnative


def test_result_does_not_share_memory_with_the_input():
    array = ramp()
    image = to_gray(array)
    array[:] = 0
    assert image.raw.max() == 100


def test_bool_becomes_black_and_white():
    array = np.eye(4, dtype=bool)
    for window in (Percentiles(), DtypeRange()):
        image = to_gray(array, ImageOptions(window=window))
        np.testing.assert_array_equal(image.pixels, np.eye(4))
        assert image.raw.dtype == np.uint8


def test_percentiles_are_known():
    array = np.arange(1001, dtype=np.uint16).reshape(7, 143)
    image = to_gray(array, ImageOptions(window=Percentiles(low=1, high=99)))
    assert image.record["window"] == {"kind": "percentiles", "low": 10, "high": 990}
    assert image.record["clipped_low"] == pytest.approx(10 / 1001)
    assert image.record["clipped_high"] == pytest.approx(10 / 1001)
    assert image.pixels.flat[500] == np.float32(0.5)


def test_explicit_window_and_contrast_limits_clip_and_never_wrap():
    array = np.array([[0, 100, 200, 300, 65535]], np.uint16)
    expected = [[0, 0, 0.5, 1, 1]]
    explicit = to_gray(array, ImageOptions(window=Explicit(low=100, high=300)))
    limits = to_gray(array, ImageOptions(window=ContrastLimits()), contrast_limits=(100, 300))
    np.testing.assert_array_equal(explicit.pixels, np.array(expected, np.float32))
    np.testing.assert_array_equal(limits.pixels, explicit.pixels)
    assert limits.record["clipped_low"] == 0.2
    assert limits.record["clipped_high"] == 0.2


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("u1", 0, 255), ("i2", -32768, 32767), ("f4", 0, 1)]
)
def test_dtype_window(dtype, low, high):
    image = to_gray(np.array([[low, high]], dtype), ImageOptions(window=DtypeRange()))
    np.testing.assert_array_equal(image.pixels, [[0, 1]])
    assert (image.record["window"]["low"], image.record["window"]["high"]) == (low, high)


def test_dtype_window_refuses_floats_beyond_one():
    with pytest.raises(ImageError, match=r"from 0 to 255.*percentiles"):
        to_gray(np.array([[0, 255.0]]), ImageOptions(window=DtypeRange()))


def test_limits_must_be_given_and_rise():
    options = ImageOptions(window=ContrastLimits())
    with pytest.raises(ImageError, match="needs the contrast limits"):
        to_gray(ramp(), options)
    for limits in [(5, 5), (9, 1), (0, np.nan)]:
        with pytest.raises(ImageError, match="must be finite and rise"):
            to_gray(ramp(), options, contrast_limits=limits)


@pytest.mark.parametrize("base", [0, 2**62, -(2**63)])
def test_large_integers_keep_their_differences(base):
    array = np.array([[base, base + 1, base + 2]], np.int64)
    np.testing.assert_array_equal(to_gray(array).pixels, [[0, 0.5, 1]])


def test_large_floats_keep_their_differences():
    array = 1e9 + np.array([[0, 1, 2.0]])
    np.testing.assert_array_equal(to_gray(array).pixels, [[0, 0.5, 1]])
    widest = np.array([[-1.7e308, 0, 1.7e308]])
    np.testing.assert_array_equal(to_gray(widest).pixels, [[0, 0.5, 1]])


def test_pixels_that_are_not_finite_are_black_masked_and_recorded():
    array = np.array([[np.nan, np.inf, -np.inf], [1, 2, 3]], np.float32)
    image = to_gray(array)
    np.testing.assert_array_equal(image.pixels, [[0, 0, 0], [0, 0.5, 1]])
    np.testing.assert_array_equal(image.valid, [[False] * 3, [True] * 3])
    assert image.record["non_finite"] == 3
    assert any("3 pixels are NaN" in note for note in image.record["notes"])
    assert to_gray(array[1:]).valid is None


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("lazy", [False, True])
def test_masked_pixels_are_invalid_as_nan_is(dtype, lazy):
    values = np.array([[0, 1, 90], [1, 0, 1]], dtype)
    mask = np.array([[False, False, True], [False, False, False]])
    masked = np.ma.masked_array(values, mask)
    expected = to_gray(np.where(mask, np.nan, values))
    image = to_gray(da.from_array(masked, chunks=(1, 2)) if lazy else masked)
    np.testing.assert_array_equal(image.pixels, expected.pixels)
    np.testing.assert_array_equal(image.valid, ~mask)
    np.testing.assert_array_equal(image.raw, expected.raw)
    assert image.record["dtype"] == np.dtype(dtype).name
    assert any("1 pixels are NaN, infinite or masked" in note for note in image.record["notes"])


def test_a_mask_that_hides_nothing_changes_nothing():
    values = np.arange(6, dtype=np.uint16).reshape(2, 3)
    image = to_gray(np.ma.masked_array(values, np.zeros((2, 3), bool)))
    assert (image.raw.dtype, image.valid) == (np.uint16, None)
    assert type(image.raw) is np.ndarray


def test_a_masked_image_keeps_the_range_of_its_type():
    masked = np.ma.masked_array(np.array([[0, 51, 255]], np.uint8), [[False, False, True]])
    image = to_gray(masked, ImageOptions(window=DtypeRange()))
    np.testing.assert_allclose(image.pixels, [[0, 0.2, 0]])


def test_constant_is_black_and_recorded():
    image = to_gray(np.full((3, 4), 7, np.uint8))
    assert not image.pixels.any()
    assert image.record["constant"]
    assert any("same value" in note for note in image.record["notes"])
    assert to_gray(np.array([[9.5]])).pixels.tolist() == [[0]]


def test_few_bright_pixels_are_not_lost_when_percentiles_coincide():
    array = np.zeros((100, 100), np.uint16)
    array[3, 4] = 500
    image = to_gray(array, ImageOptions(window=Percentiles(low=1, high=99)))
    assert image.pixels[3, 4] == 1
    assert any("coincide" in note for note in image.record["notes"])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((3, 3), np.nan), "NaN, infinite or masked"),
        (np.ma.masked_all((3, 3), np.uint8), "NaN, infinite or masked"),
        (np.zeros((0, 5)), "0 pixels"),
        (np.zeros(5), "rows and columns"),
        (np.float64(3), "rows and columns"),
        (np.zeros((3, 3), complex), "complex128.*magnitude"),
        (np.full((2, 2), "a"), "integers, floats or bool"),
        (np.full((2, 2), None), "object"),
        ([[1, 2], [3]], "list is no image"),
    ],
)
def test_what_is_no_image_is_refused(array, message):
    with pytest.raises(ImageError, match=message):
        to_gray(array)


def test_luminance_mean_max_and_channel():
    colours = np.zeros((6, 7, 3), np.uint8)
    colours[..., 1] = 200
    colours[0, 0] = (10, 20, 60)
    raw = {
        gray: to_gray(colours, FULL.replace(gray=gray)).raw[0, 0]
        for gray in ("luminance", "mean", "max")
    }
    assert raw["luminance"] == pytest.approx(0.2126 * 10 + 0.7152 * 20 + 0.0722 * 60)
    assert raw["mean"] == pytest.approx(30)
    assert raw["max"] == 60
    image = to_gray(colours, FULL.replace(channel=0))
    np.testing.assert_array_equal(image.raw, colours[..., 0])
    assert image.record["gray"] is None
    assert image.record["channel"] == 0


@given(images("u1"))
def test_equal_colours_are_the_gray_image(array):
    array = np.pad(array, ((0, 5), (0, 5)))
    rgb = np.stack([array] * 3, axis=-1)
    np.testing.assert_array_equal(to_gray(rgb).raw, array)
    np.testing.assert_array_equal(to_gray(rgb).pixels, to_gray(array).pixels)


def test_alpha_is_ignored_and_recorded():
    rgba = np.random.default_rng(0).integers(0, 255, (6, 7, 4), np.uint8)
    for gray in ("luminance", "mean", "max"):
        options = ImageOptions(gray=gray)
        image = to_gray(rgba, options)
        np.testing.assert_array_equal(image.raw, to_gray(rgba[..., :3], options).raw)
        assert any("alpha" in note for note in image.record["notes"])


def test_dtype_window_of_colours_is_that_of_the_file():
    colours = np.full((6, 6, 3), 51, np.uint8)
    image = to_gray(colours, ImageOptions(window=DtypeRange()))
    np.testing.assert_allclose(image.pixels, 0.2, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "hints"),
    [
        ((3, 20, 30), ["image.axes=ZYX", "image.plane=N (0..2)", "image.axes=CYX"]),
        ((5, 20, 30), ["image.axes=ZYX", "image.channel=N (0..4)"]),
        ((20, 30, 2), ["image.axes=YXC", "image.axes=ZYX"]),
        ((1, 20, 3), ["image.axes=YXS", "image.axes=ZYX"]),
        ((2, 3, 20, 30), ["image.axes=TZYX", "image.axes=ZCYX", "image.plane=N (0..5)"]),
        ((2, 3, 4, 20, 30), ["image.axes=TZCYX"]),
        ((2, 2, 2, 2, 2, 2, 2), ["at most 6"]),
    ],
)
def test_ambiguous_shape_lists_the_choices(shape, hints):
    with pytest.raises(ImageError) as caught:
        to_gray(np.zeros(shape, np.uint8))
    for hint in hints:
        assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": "YX"}, "names 2 axes, but the image has 3"),
        ({"axes": "ZYX"}, r"image\.plane=0\.\.2"),
        ({"axes": "ZYX", "plane": 3}, r"image\.plane=3 does not exist.*0\.\.2"),
        ({"axes": "CYX", "channel": 3}, r"image\.channel=3 does not exist.*0\.\.2"),
        ({"axes": "YXC"}, r"Luminance needs.*image\.channel=0\.\.29"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ImageError, match=message):
        to_gray(np.zeros((3, 20, 30), np.uint8), ImageOptions(**options))


def test_first_plane_and_channel_of_a_single_plane_may_be_named():
    image = to_gray(ramp(), ImageOptions(plane=0, channel=0))
    np.testing.assert_array_equal(image.raw, ramp())


@pytest.mark.parametrize(
    ("axes", "plane"), [("TZCYX", 5), ("TCZYX", 5), ("XYTZC", 5), ("CYXZT", 2 * 2 + 1)]
)
def test_plane_and_channel_are_found_in_any_order_of_axes(axes, plane):
    standard = np.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6)
    array = standard.transpose(["TZCYX".index(letter) for letter in axes])
    image = to_gray(array, ImageOptions(axes=axes, channel=3, plane=plane))
    np.testing.assert_array_equal(image.raw, standard[1, 2, 3])


def test_window_is_that_of_the_whole_stack():
    stack = np.stack([ramp() // 10, ramp()])
    dim = to_gray(stack, FULL.replace(axes="ZYX", plane=0))
    assert dim.record["window"]["high"] == 100
    assert dim.pixels.max() == pytest.approx(0.1)


def test_lazy_stack_computes_only_the_chosen_plane():
    computed = []

    def block(block_info):
        computed.append(block_info[None]["chunk-location"][0])
        return np.full((1, 8, 8), computed[-1], np.uint8)

    stack = da.map_blocks(block, chunks=((1,) * 50, 8, 8), dtype=np.uint8)
    options = ImageOptions(axes="ZYX", plane=7, window=DtypeRange())
    assert (to_gray(stack, options).raw == 7).all()
    assert set(computed) == {7}


def test_percentiles_of_a_huge_stack_are_sampled_alike_for_every_kind(monkeypatch):
    monkeypatch.setattr(window_module, "MOST_SAMPLES", 2000)
    stack = np.random.default_rng(1).normal(1000, 100, (50, 30, 40)).astype(np.float32)
    options = ImageOptions(axes="ZYX", plane=3)
    image = to_gray(stack, options)
    lazy = to_gray(da.from_array(stack, chunks=(7, 30, 40)), options)
    assert image.record["subsampled"]
    assert image.record == lazy.record
    low, high = np.percentile(stack, (0.1, 99.9))
    assert image.record["window"]["low"] == pytest.approx(low, abs=60)
    assert image.record["window"]["high"] == pytest.approx(high, abs=60)


@pytest.mark.parametrize("axes", ["ZYX", "TZYX", "ZYXS", "TCYX"])
@pytest.mark.parametrize("window", [Percentiles(low=2, high=98), Explicit(low=50, high=200)])
def test_the_planes_of_a_source_are_those_read_one_by_one(axes, window):
    sizes = {"T": 2, "Z": 3, "C": 2, "Y": 5, "X": 7, "S": 3}
    shape = tuple(sizes[letter] for letter in axes)
    stack = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    options = ImageOptions(axes=axes, channel=1 if "C" in axes else None, window=window)
    source = ImageSource(stack, options)
    planes = list(source)
    assert len(planes) == len(source) > 1
    for number, plane in enumerate(planes):
        alone = to_gray(stack, options.replace(plane=number))
        np.testing.assert_array_equal(plane.pixels, alone.pixels)
        np.testing.assert_array_equal(plane.raw, alone.raw)
        assert plane.record == alone.record


def test_a_source_measures_once_and_reads_nothing_ahead():
    read = []

    def block(block_info):
        read.append(block_info[None]["chunk-location"][0])
        return np.full((1, 8, 8), read[-1], np.uint8)

    stack = da.map_blocks(block, chunks=((1,) * 6, 8, 8), dtype=np.uint8)
    source = ImageSource(stack, ImageOptions(axes="ZYX", window=Percentiles(low=0, high=100)))
    assert read == []
    assert source.plane(5).pixels.max() == 1
    assert sorted(read) == [0, 1, 2, 3, 4, 5, 5]
    read.clear()
    assert source.plane(2).pixels.max() == np.float32(0.4)
    assert read == [2]
    with pytest.raises(ImageError, match=r"image\.plane=6 does not exist"):
        source.plane(6)
    with pytest.raises(ImageError, match="choose one"):
        source.plane()


@settings(max_examples=50)
@given(st.tuples(*[st.integers(1, 400)] * 4), st.integers(40, 10**6))
def test_sample_is_never_larger_than_asked(shape, most):
    layout = axes_module.Layout("TZYX", shape)
    kept = [-(-n // step) for n, step in zip(shape, axes_module.strides(layout, most), strict=True)]
    assert np.prod(kept) <= max(most, 1)
    assert min(kept) >= 1


def test_record_is_json():
    image = to_gray(np.array([[np.nan, 1.5, 2]], ">f4"))
    record = json.loads(json.dumps(image.record))
    assert record == image.record
    assert record["dtype"] == "float32"
    assert record["shape"] == [1, 3]
    assert record["axes"] == "YX"


def test_image_larger_than_memory_is_refused_before_it_is_loaded(monkeypatch):
    monkeypatch.setattr("napari_graysam.source.gray.available_memory", lambda: 40 * 10_000)
    check_size((100, 100))
    with pytest.raises(ImageError, match=r"100 × 101 = 10,100 pixels.*10,000.*tiles"):
        check_size((100, 101))

    def never(block_info):
        raise AssertionError("computed")

    huge = da.map_blocks(never, chunks=((1000,) * 9, (1000,) * 9), dtype=np.uint8)
    with pytest.raises(ImageError, match="downscale"):
        to_gray(huge)


def test_side_too_long_for_opencv_is_refused():
    with pytest.raises(ImageError, match="longer than 32767"):
        to_gray(np.zeros((1, 32768), np.uint8))
