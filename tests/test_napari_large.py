"""Large images in the panel: the view, a region, the preview, and where results lie."""

import dask.array as da
import numpy as np
import pytest
import stub_run
from napari.utils.notifications import notification_manager

from napari_graysam._napari.canvas.finding import visible_part
from napari_graysam._napari.canvas.layers import about
from napari_graysam._napari.canvas.part import Part
from napari_graysam._napari.large import extent
from napari_graysam._napari.panel.sections.run import RunSection
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.preview.controller import Preview
from napari_graysam.errors import ImageError

SIDE, PERIOD = 320, 64


def mosaic():
    """Return a square of 16 pixels in each 64, uint8 (320, 320); to the right they are brighter.

    The model of squares sees 64 pixels a side as they are.
    """
    image = np.zeros((SIDE, SIDE), np.uint8)
    for y in range(16, SIDE, PERIOD):
        for n, x in enumerate(range(16, SIDE, PERIOD)):
            image[y : y + 16, x : x + 16] = 150 + 25 * n
    return image


def squares_in(part, image):
    """Return the corners in the world of the squares that lie in a part."""
    x0, y0, x1, y1 = (side * 2**part.level for side in part.box)
    corners = []
    for y in range(16, SIDE, PERIOD):
        for x in range(16, SIDE, PERIOD):
            if y0 <= y < y1 and x0 <= x < x1:
                ends = [(y - 0.5, x - 0.5), (y + 15.5, x + 15.5)]
                corners.append([image.data_to_world(one) for one in ends])
    return sorted(np.round(corners, 3).tolist())


VIEWS = [Part(0, (64, 128, 128, 192)), Part(1, (32, 32, 96, 96)), Part(1, (64, 96, 128, 160))]


@pytest.fixture
def look(monkeypatch):
    """Let the canvas show a part, which the model sees as it is."""

    def at(part):
        monkeypatch.setattr(extent, "visible_part", lambda *some: part)

    return at


def levels(image):
    """Return an image and two coarser levels, as lazy arrays."""
    return [da.from_array(image[:: 2**n, :: 2**n], chunks=64) for n in range(3)]


@pytest.fixture
def stub(monkeypatch):
    return stub_run.install(monkeypatch)


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy(show=True)


@pytest.fixture
def make(viewer, stub, qtbot):
    """Make a Run section for a layer."""
    made = []

    def one(data, values=None, **options):
        recipe = stub_run.START.with_values({"arms": "raw", **(values or {})})
        section = RunSection(PanelState(viewer, recipe))
        viewer.window.add_dock_widget(section.native, name="Run")
        section.state.layer = viewer.add_image(data, name="slide", **options)
        made.append(section)
        notification_manager.records.clear()
        return section

    yield one
    for section in made:
        stub.gate.set()
        section.cancel()
        settle(qtbot, section)


def settle(qtbot, section):
    update = section.live_update
    workers = (update._selecting, update._measuring, update._inputs)

    def still():
        busy = section.state.running or section.stacks.busy or update._settled.isActive()
        return not (busy or any(one.busy for one in workers))

    qtbot.waitUntil(still, timeout=60_000)
    qtbot.wait(50)
    qtbot.waitUntil(still, timeout=60_000)


def zoom_to(viewer, layer, centre, factor):
    """Look at a place of a layer so closely that it does not fit into the canvas."""
    viewer.scene.camera.center = tuple(layer.data_to_world(centre))
    viewer.scene.camera.zoom *= factor

    part = visible_part(viewer, layer, (0, 1), 0)
    assert part.shape[0] < SIDE or part.shape[1] < SIDE


def choices(section):
    scope = section.native.scope
    return {scope.itemData(n): scope.itemText(n) for n in range(scope.count())}


def choose(section, kind):
    scope = section.native.scope
    index = scope.findData(kind)
    scope.setCurrentIndex(index)
    scope.activated.emit(index)


def world_boxes(layer):
    """Return the corners of every label in the world, rounded, in order."""
    data = np.asarray(layer.data)
    boxes = []
    for number in np.unique(data[data > 0]):
        y, x = np.nonzero(data == number)
        corners = [(y.min() - 0.5, x.min() - 0.5), (y.max() + 0.5, x.max() + 0.5)]
        boxes.append(np.round([layer.data_to_world(one) for one in corners], 3).tolist())
    return sorted(boxes)


def test_ordinary_images_offer_no_parts(make):
    section = make(mosaic())
    assert not section.native.scope.isVisibleTo(section.native)
    assert section.state.kind == "plane"


def test_an_image_of_levels_offers_its_parts_beside_the_plane(make, viewer, qtbot):
    section = make(levels(mosaic()), multiscale=True)
    assert list(choices(section)) == ["none", "view", "whole"]
    viewer.add_shapes([[0, 0], [50, 50]], shape_type="rectangle", name="here")
    section.state.region = viewer.layers["here"]
    assert list(choices(section)) == ["none", "view", "region", "whole"]


def test_what_exceeds_the_limit_offers_parts_alone(make):
    section = make(mosaic(), {"tiles.use": "always", "tiles.size": 192})
    assert "none" not in choices(section)
    assert section.state.kind == "view"


def test_what_is_in_view_is_what_napari_draws(viewer, qtbot):
    """Of a layer of one level, napari's own corners say what is in view."""
    place = {"scale": (0.5, 2), "translate": (7, -3), "rotate": 30}
    layer = viewer.add_image(mosaic(), **place)
    viewer.scene.camera.center = tuple(layer.data_to_world((100, 200)))
    viewer.scene.camera.zoom *= 20
    qtbot.waitUntil(lambda: layer.corner_pixels[0].min() > 0, timeout=10_000)
    (top, left), (bottom, right) = layer.corner_pixels.tolist()
    x0, y0, x1, y1 = visible_part(viewer, layer, (0, 1), 0).box
    np.testing.assert_allclose((y0, x0, y1, x1), (top, left, bottom, right), atol=1)


def test_what_is_in_view_follows_the_camera_at_any_level(viewer):
    layer = viewer.add_image(levels(mosaic()), multiscale=True)
    assert visible_part(viewer, layer, (0, 1), 2) == Part(2, (0, 0, 80, 80))
    zoom_to(viewer, layer, (100, 200), 4)
    fine, coarse = (visible_part(viewer, layer, (0, 1), level).box for level in (0, 2))
    np.testing.assert_allclose(np.array(coarse) * 4, fine, atol=4)
    viewer.scene.camera.center = (5000, 5000)
    with pytest.raises(ImageError, match="Nothing of “Image” is in view"):
        visible_part(viewer, layer, (0, 1), 0)


@pytest.mark.parametrize("part", VIEWS)
def test_the_view_is_segmented_where_it_lies(make, viewer, look, qtbot, part):
    place = {"scale": (0.5, 2), "translate": (7, -3), "rotate": 30, "units": ("um", "um")}
    section = make(levels(mosaic()), {"tiles.level": part.level}, multiscale=True, **place)
    image = section.state.layer
    look(part)
    choose(section, "view")
    section.native.both.click()
    settle(qtbot, section)
    layer = viewer.layers[f"slide {part.words} [raw]"]
    assert layer.data.shape == part.shape
    expected = squares_in(part, image)
    assert len(expected) == 4**part.level
    assert world_boxes(layer) == expected
    size = [0.5 * 2**part.level, 2.0 * 2**part.level]
    assert about(layer)["provenance"]["image"]["pixel_size"] == size


def test_a_view_of_a_plane_in_a_stack_lies_in_that_plane(make, viewer, look, qtbot):
    stack = [np.stack([one * 0, one, one * 0]) for one in (mosaic(), mosaic()[::2, ::2])]
    section = make(stack, multiscale=True, axis_labels=("z", "y", "x"), scale=(3, 1, 1))
    viewer.dims.set_current_step(0, 1)
    part = VIEWS[1]
    look(part)
    choose(section, "view")
    section.run(("raw",))
    settle(qtbot, section)
    layer = viewer.layers[f"slide z 1, {part.words} [raw]"]
    assert layer.data.shape == (1, 64, 64)
    assert len(np.unique(layer.data)) == 1 + 4
    assert layer.translate[0] == 3
    viewer.dims.set_current_step(0, 0)
    assert not section.state.results


def test_the_level_shown_is_the_level_segmented(make, viewer, qtbot):
    section = make(levels(np.tile(mosaic(), (8, 8))), multiscale=True)
    viewer.reset_view()
    layer = section.state.layer
    qtbot.waitUntil(lambda: layer.data_level > 0, timeout=10_000)
    part = section.state.extent.look(layer, section.state.recipe, None)
    assert part.level == layer.data_level
    section.state.change({"tiles.level": 1})
    assert section.state.extent.look(layer, section.state.recipe, None).level == 1


def test_another_view_gets_a_layer_of_its_own_and_both_stay_in_sight(make, viewer, look, qtbot):
    section = make(levels(mosaic()), multiscale=True)
    choose(section, "view")
    for part in VIEWS[:2]:
        look(part)
        section.run(("raw",))
        settle(qtbot, section)
    shown = [layer for layer in viewer.layers if layer.name.endswith("[raw]")]
    assert len(shown) == 2
    assert all(layer.visible for layer in shown)


def test_thresholds_follow_in_the_view_that_was_segmented(make, viewer, look, qtbot):
    section = make(levels(mosaic()), multiscale=True)
    choose(section, "view")
    look(VIEWS[2])
    section.run(("raw",))
    settle(qtbot, section)
    before = len(section.state.results["raw"].masks)
    look(VIEWS[0])
    section.state.change({"generator.pred_iou_thresh": 0.9})
    settle(qtbot, section)
    assert 0 < len(section.state.results["raw"].masks) < before
    assert not section.live_update.outdated
    assert section.state.read_source().part == VIEWS[2]


def test_the_window_is_that_of_the_whole_image(make, look):
    image = mosaic()
    image[:, 200:] = 255
    section = make(levels(image), multiscale=True)
    section.state.extent.choose("view")
    look(Part(0, (0, 0, 100, 100)))
    window = section.state.read_source().gray().record["window"]
    assert (window["low"], window["high"]) == (0, 255)


def draw(viewer, *boxes):
    """Draw rectangles, (y0, x0, y1, x1)."""
    corners = [[[y0, x0], [y0, x1], [y1, x1], [y1, x0]] for y0, x0, y1, x1 in boxes]
    return viewer.add_shapes(corners, shape_type="rectangle", name="here")


def test_a_region_limits_the_points_in_what_it_covers(make, viewer, qtbot, monkeypatch):
    monkeypatch.setattr(extent, "MARGIN", 0)
    section = make(levels(mosaic()), {"tiles.level": 1}, multiscale=True)
    section.state.region = draw(viewer, (63.5, 63.5, 127, 127), (189, 189, 191, 191))
    choose(section, "region")
    section.run(("raw",))
    settle(qtbot, section)
    part = VIEWS[1]
    layer = viewer.layers[f"slide {part.words} in here [raw]"]
    assert world_boxes(layer) == [[[79.5, 79.5], [95.5, 95.5]]]


@pytest.mark.parametrize("kind", ["shapes", "labels"])
def test_a_region_is_read_with_a_margin(make, viewer, kind):
    section = make(levels(mosaic()), multiscale=True)
    painted = np.zeros((SIDE, SIDE), np.uint8)
    painted[70:130, 90:150] = 3
    region = viewer.add_labels(painted) if kind == "labels" else draw(viewer, (70, 90, 129, 149))
    section.state.region = region
    section.state.extent.choose("region")
    part = section.state.extent.look(section.state.layer, section.state.recipe, region)
    np.testing.assert_allclose(part.box, (90 - 64, 70 - 64, 150 + 64, 130 + 64), atol=1)


def test_a_region_of_the_recipe_lies_where_it_did(make, look):
    triangle = [[10, 10], [90, 10], [10, 90]]
    section = make(levels(mosaic()), {"image.region": [triangle]}, multiscale=True)
    section.state.extent.choose("view")
    whole = section.state.read_region(section.state.read_source())
    masks = []
    for part in (Part(0, (0, 0, 100, 100)), Part(1, (0, 0, 50, 50))):
        look(part)
        section.state.look_at_part()
        masks.append(section.state.read_region(section.state.read_source()).mask())
    assert whole is not None
    assert masks[0][12, 80]
    assert not masks[0][80, 80]
    assert np.mean(masks[0][::2, ::2] != masks[1]) < 0.05


def test_a_region_that_covers_nothing_is_refused(make, viewer, qtbot):
    section = make(levels(mosaic()), multiscale=True)
    section.state.region = viewer.add_labels(np.zeros((SIDE, SIDE), np.uint8), name="none")
    choose(section, "region")
    section.run(("raw",))
    assert not section.state.running
    assert "no label painted" in notification_manager.records[-1].message


def test_a_level_that_is_not_there_is_refused(make, qtbot):
    section = make(levels(mosaic()), {"tiles.level": 7}, multiscale=True)
    choose(section, "view")
    section.run(("raw",))
    assert not section.state.running
    assert "Level 7 does not exist" in notification_manager.records[-1].message


def test_the_preview_shows_the_view_at_the_level_shown_and_follows_it(viewer, qtbot):
    read = []

    def block(values, block_info=None):
        read.append(block_info[0]["array-location"])
        return values

    image = np.tile(mosaic(), (8, 8))
    fine = da.from_array(image, chunks=64).map_blocks(block, dtype=image.dtype)
    state = PanelState(viewer)
    pyramid = [fine, *(da.from_array(image[:: 2**n, :: 2**n], chunks=64) for n in (2, 3))]
    layer = viewer.add_image(pyramid, multiscale=True, contrast_limits=(0, 255))
    state.layer = layer
    viewer.reset_view()
    qtbot.waitUntil(lambda: layer.data_level > 0, timeout=10_000)
    read.clear()
    preview = Preview(state)
    views = []
    preview.updated.connect(views.append)
    preview.enabled = True
    qtbot.waitUntil(lambda: not preview.busy and len(views) == 1, timeout=20_000)
    assert preview.layer.data.shape == tuple(layer.data[layer.data_level].shape)
    np.testing.assert_allclose(
        preview.layer.data_to_world((-0.5, -0.5)), layer.data_to_world((-0.5, -0.5))
    )
    viewer.scene.camera.zoom *= 16
    viewer.scene.camera.center = (300, 300)
    qtbot.waitUntil(lambda: layer.data_level == 0, timeout=10_000)
    qtbot.waitUntil(lambda: not preview.busy and len(views) == 2, timeout=20_000)
    part = views[-1].request.source.part
    assert part.level == 0
    assert part.shape[0] < SIDE * 2
    preview.close()
