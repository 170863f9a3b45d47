import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_graysam._napari.canvas.region import read_region
from napari_graysam._napari.canvas.source import read_source
from napari_graysam.errors import ImageError
from napari_graysam.recipe import ContrastLimits, ImageOptions
from napari_graysam.source.gray import to_gray

OPTIONS = ImageOptions()


@pytest.fixture
def viewer():
    return ViewerModel()


def stack(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def raw(source):
    """Gray values that the pipeline reads."""
    return to_gray(source.array, source.options, contrast_limits=source.contrast_limits).raw


def region_mask(layer, source):
    """Pixels of the image that a layer covers; None for no layer."""
    region = read_region(layer, source)
    return None if region is None else region.mask()


def turn(degrees):
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_a_plain_image_is_read_as_it_is(viewer):
    image = stack(30, 40)
    layer = viewer.add_image(image, name="cells", contrast_limits=(5, 50))
    source = read_source(viewer, layer, OPTIONS)
    assert source.array is image
    assert (source.title, source.plane, source.contrast_limits) == ("cells", "", (5, 50))
    np.testing.assert_array_equal(raw(source), image)
    assert source.placement.shape == (30, 40)


def test_the_slider_chooses_the_plane_in_the_layers_own_pixels(viewer):
    image = stack(5, 30, 40)
    layer = viewer.add_image(image, scale=(3, 1, 1), translate=(6, 0, 0), name="cells")
    viewer.dims.set_point(0, 6 + 3 * 3)
    source = read_source(viewer, layer, OPTIONS)
    np.testing.assert_array_equal(raw(source), image[3])
    assert source.title == "cells z 3"
    # Without the viewer, the same options read the same plane.
    assert source.options.axes == "ZYX"
    assert source.options.plane == 3


def test_the_window_is_that_of_the_whole_stack(viewer):
    image = np.stack([np.full((20, 20), 1.0), np.full((20, 20), 9.0)])
    source = read_source(viewer, viewer.add_image(image), OPTIONS)
    window = to_gray(source.array, source.options).record["window"]
    assert (window["low"], window["high"]) == (1, 9)


def test_the_recipes_plane_goes_before_the_slider(viewer):
    image = stack(2, 3, 30, 40)
    layer = viewer.add_image(image)
    source = read_source(viewer, layer, OPTIONS.replace(plane=4))
    np.testing.assert_array_equal(raw(source), image[1, 1])
    assert source.plane == "t 1 of 0–1, z 1 of 0–2"


def test_an_axis_labelled_channel_is_one(viewer):
    image = stack(3, 4, 30, 40)
    layer = viewer.add_image(image, axis_labels=("c", "z", "y", "x"))
    viewer.dims.set_point((0, 1), (2, 1))
    source = read_source(viewer, layer, OPTIONS)
    assert (source.options.axes, source.options.channel, source.options.plane) == ("CZYX", 2, 1)
    np.testing.assert_array_equal(raw(source), image[2, 1])
    chosen = read_source(viewer, layer, OPTIONS.replace(channel=0))
    np.testing.assert_array_equal(raw(chosen), image[0, 1])


def test_axes_beyond_the_known_letters_are_cut_at_the_slider(viewer):
    image = stack(2, 2, 2, 2, 12, 13)
    layer = viewer.add_image(image)
    viewer.dims.set_point((0, 1, 2, 3), (1, 0, 1, 1))
    np.testing.assert_array_equal(raw(read_source(viewer, layer, OPTIONS)), image[1, 0, 1, 1])


def test_a_rolled_display_is_read_as_shown(viewer):
    image = stack(5, 30, 40)
    layer = viewer.add_image(image)
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_point(1, 7)
    source = read_source(viewer, layer, OPTIONS)
    np.testing.assert_array_equal(raw(source), image[:, 7])
    assert source.placement.shape == (5, 1, 40)


def test_colours_and_pyramids_are_read(viewer):
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 255, (30, 40, 3), np.uint8)
    source = read_source(viewer, viewer.add_image(colours, rgb=True), OPTIONS.replace(channel=1))
    np.testing.assert_array_equal(raw(source), colours[..., 1])
    assert source.contrast_limits is None
    levels = [stack(40, 40), stack(40, 40)[::2, ::2]]
    source = read_source(viewer, viewer.add_image(levels, multiscale=True), OPTIONS)
    assert source.array is levels[0]


def test_a_lazy_layer_stays_lazy(viewer):
    def fail(block):
        raise AssertionError("computed")

    lazy = da.zeros((4, 30, 40), chunks=(1, 30, 40)).map_blocks(fail, dtype=float, meta=np.empty(0))
    layer = viewer.add_image(da.zeros((4, 30, 40)), contrast_limits=(0, 1), visible=False)
    layer.data = lazy
    assert read_source(viewer, layer, OPTIONS).array is lazy


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_a_result_lies_on_its_plane_under_any_transform(viewer, order):
    rng = np.random.default_rng(1)
    rotate = np.eye(3)
    rotate[1:, 1:] = turn(30)
    layer = viewer.add_image(
        stack(5, 6, 7),
        scale=(2, 0.5, 0.25),
        translate=(1, 2, 3),
        rotate=rotate,
        shear=(0.1, 0.2, 0.3),
        affine=np.vstack([rng.normal(size=(3, 4)), [0, 0, 0, 1]]),
        units=("um", "um", "um"),
        axis_labels=("z", "y", "x"),
    )
    viewer.dims.order = order
    options = OPTIONS.replace(axes="".join("ZYX"[order.index(axis)] for axis in range(3)), plane=2)
    source = read_source(viewer, layer, options)
    placement = source.placement
    plane = raw(source)
    result = viewer.add_labels(placement.arrange(plane).astype(np.uint32), **placement.options)
    np.testing.assert_array_equal(placement.extract(result.data), plane)
    for pixel in np.argwhere(np.ones(result.data.shape)):
        world = result.data_to_world(pixel)
        there = tuple(np.rint(layer.world_to_data(world)).astype(int))
        np.testing.assert_allclose(layer.data_to_world(there), world)
        assert layer.data[there] == result.data[tuple(pixel)]
    assert result.units == layer.units
    assert result.axis_labels == layer.axis_labels


def test_without_a_usable_layer_the_message_says_what_to_do(viewer):
    def problem(layer, options=OPTIONS):
        with pytest.raises(ImageError) as caught:
            read_source(viewer, layer, options)
        return str(caught.value)

    assert "open one" in problem(None)
    labels = viewer.add_labels(np.zeros((9, 9), int), name="mine")
    assert "“mine” is a Labels layer" in problem(labels)
    colours = viewer.add_image(np.zeros((9, 9, 3), np.uint8), rgb=True)
    assert "no contrast limits" in problem(colours, OPTIONS.replace(window=ContrastLimits()))
    deep = viewer.add_image(stack(4, 9, 9), name="deep")
    assert "axes YX" in problem(deep, OPTIONS.replace(axes="YX"))
    viewer.dims.ndisplay = 3
    assert "2D display" in problem(deep)
    viewer.dims.ndisplay = 2
    viewer.add_image(stack(9, 9, 9))
    viewer.dims.set_point(0, 7)
    assert "sliders" in problem(deep)
    viewer.layers.remove(deep)
    assert "no longer" in problem(deep)


def test_a_display_that_cuts_the_layer_says_so(viewer):
    layer = viewer.add_image(stack(4, 9, 9))
    viewer.add_image(stack(2, 4, 9, 9))
    viewer.dims.order = (1, 2, 0, 3)
    with pytest.raises(ImageError, match="edge-on"):
        read_source(viewer, layer, OPTIONS)


def test_a_drawn_region_is_found_through_both_transforms(viewer):
    image = viewer.add_image(stack(50, 60), scale=(0.5, 0.5), translate=(10, 20))
    corners = np.array([[9.5, 9.5], [9.5, 29.5], [19.5, 29.5], [19.5, 9.5]]) * 0.5 + [10, 20]
    shapes = viewer.add_shapes([corners / 2], shape_type="rectangle", scale=(2, 2))
    expected = np.zeros((50, 60), bool)
    expected[10:20, 10:30] = True
    mask = region_mask(shapes, read_source(viewer, image, OPTIONS))
    np.testing.assert_array_equal(mask, expected)


def test_an_ellipse_is_round_and_a_line_is_no_area(viewer):
    image = viewer.add_image(stack(100, 100))
    source = read_source(viewer, image, OPTIONS)
    box = np.array([[10, 20], [10, 60], [70, 60], [70, 20]])
    round_one = viewer.add_shapes([box], shape_type="ellipse")
    mask = region_mask(round_one, source)
    assert mask.sum() == pytest.approx(np.pi * 30 * 20, rel=0.01)
    assert not mask[12, 22]
    line = viewer.add_shapes([box[:2]], shape_type="line")
    with pytest.raises(ImageError, match="no area drawn"):
        region_mask(line, source)


def test_only_shapes_at_the_plane_count(viewer):
    image = viewer.add_image(stack(4, 50, 60))
    viewer.dims.set_point(0, 2)
    source = read_source(viewer, image, OPTIONS)
    flat = np.array([[10, 10], [10, 29], [19, 29], [19, 10]])
    at = [np.insert(flat + 5 * z, 0, z, axis=1) for z in (1, 2)]
    shapes = viewer.add_shapes(at, shape_type="polygon")
    mask = region_mask(shapes, source)
    assert mask[20, 20]
    assert not mask[12, 12]
    everywhere = viewer.add_shapes([flat], shape_type="polygon")
    assert region_mask(everywhere, source)[12, 12]


def test_painted_regions_are_looked_up_wherever_they_lie(viewer):
    image = viewer.add_image(stack(50, 60), scale=(0.5, 0.5))
    painted = np.zeros((10, 10), np.uint8)
    painted[2:4, 3] = 7
    labels = viewer.add_labels(painted, scale=(1.5, 1.5), translate=(2.5, 2.5))
    expected = np.zeros((50, 60), bool)
    expected[10:16, 13:16] = True
    source = read_source(viewer, image, OPTIONS)
    np.testing.assert_array_equal(region_mask(labels, source), expected)


def test_of_a_painted_stack_the_images_plane_counts(viewer):
    image = viewer.add_image(stack(3, 20, 30))
    viewer.dims.set_point(0, 1)
    source = read_source(viewer, image, OPTIONS)
    painted = np.zeros((3, 20, 30), np.uint8)
    painted[0, :5], painted[1, 5:9, 2:4] = 1, 2
    np.testing.assert_array_equal(region_mask(viewer.add_labels(painted), source), painted[1] != 0)


def test_a_region_that_limits_nothing_is_refused(viewer):
    image = viewer.add_image(stack(20, 30), name="cells")
    source = read_source(viewer, image, OPTIONS)
    assert region_mask(None, source) is None
    empty = viewer.add_labels(np.zeros((20, 30), np.uint8), name="none")
    with pytest.raises(ImageError, match=r"“none”.*no label painted.*“cells”"):
        region_mask(empty, source)
    beside = viewer.add_labels(np.ones((20, 30), np.uint8), translate=(0, 100))
    with pytest.raises(ImageError, match="no label"):
        region_mask(beside, source)
    with pytest.raises(ImageError, match="Shapes or a Labels"):
        region_mask(image, source)
