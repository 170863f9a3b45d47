import threading

import numpy as np
import pytest

from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.preview import compute as preview_worker
from napari_graysam._napari.preview.controller import MARGIN, Preview, is_preview
from napari_graysam._napari.threads import latest_request as lane
from napari_graysam.preprocess import STEPS, BaseStep, Channels, Colormap, apply, to_rgb
from napari_graysam.recipe import Explicit, ImageOptions
from napari_graysam.source import gray as gray_module
from napari_graysam.source.gray import ImageSource, to_gray

CHAIN = (STEPS["clahe"](), STEPS["unsharp"]())
IMAGE = np.random.default_rng(0).integers(0, 4000, (60, 80), dtype=np.uint16)


class Watched(BaseStep):
    """Counts its calls, and waits or fails where a test asks for it."""

    kind: str = "watched"
    number: int = 0

    def _apply(self, image, fitted):
        CALLS.append(self.number)
        if self.number < 0:
            raise ValueError("the radius is larger than the image")
        if self.number >= QUICK:
            return image / 2
        assert GATE.wait(20)
        return image


QUICK = 100
CALLS: list[int] = []
GATE = threading.Event()


@pytest.fixture(autouse=True)
def _gate():
    CALLS.clear()
    GATE.set()
    yield
    GATE.set()


@pytest.fixture
def state(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    state = PanelState(viewer)
    state.layer = viewer.add_image(IMAGE, name="cells")
    state.recipe = state.recipe.replace(preprocess=CHAIN)
    return state


@pytest.fixture
def preview(state, qtbot):
    preview = Preview(state)
    preview.said = []
    preview.problem.connect(preview.said.append)
    yield preview
    GATE.set()
    preview.close()
    qtbot.waitUntil(lambda: not preview.busy, timeout=20000)


@pytest.fixture
def settle(preview, qtbot):
    def settle():
        qtbot.waitUntil(lambda: not preview.busy, timeout=20000)

    return settle


def watched(state, *numbers):
    """Put steps into the recipe that it would refuse in a file."""
    state.recipe = state.recipe.model_copy(
        update={"preprocess": tuple(Watched(number=number) for number in numbers)}
    )


def expected(image=IMAGE, steps=CHAIN):
    return apply(to_gray(image).pixels, steps)


def test_the_preview_is_what_the_model_will_see(state, preview, settle):
    preview.enabled = True
    settle()
    layer = preview.layer
    assert layer.name == "cells [preview]"
    assert is_preview(layer)
    assert layer in state.viewer.layers
    assert list(layer.contrast_limits) == [0, 1]
    np.testing.assert_array_equal(layer.data, expected())
    state.change({"preprocess.0.clip_limit": 9.0})
    settle()
    assert preview.layer is layer
    np.testing.assert_array_equal(layer.data, expected(steps=state.recipe.preprocess))


@pytest.mark.parametrize("rgb", [Channels(green=CHAIN[:1]), Colormap(name="magma")])
def test_colours_make_a_colour_layer_and_gray_a_gray_one(state, preview, settle, rgb):
    preview.enabled = True
    settle()
    state.recipe = state.recipe.replace(rgb=rgb)
    settle()
    assert preview.layer.rgb
    np.testing.assert_array_equal(preview.layer.data, to_rgb(expected(), rgb))
    state.recipe = state.recipe.raw_arm()
    settle()
    assert not preview.layer.rgb
    assert sum(map(is_preview, state.viewer.layers)) == 1


def test_the_preview_lies_on_the_source_and_follows_it(state, preview, settle):
    source = state.layer
    source.scale, source.translate, source.rotate = (0.5, 0.25), (3, 4), 30
    source.units, source.axis_labels = ("um", "um"), ("down", "right")
    preview.enabled = True
    settle()
    corner = (10, 20)
    assert np.allclose(preview.layer.data_to_world(corner), source.data_to_world(corner))
    assert preview.layer.units == source.units
    assert preview.layer.axis_labels == source.axis_labels
    source.shear, source.affine = [0.3], [[1, 0.1, 5], [0, 1, 6], [0, 0, 1]]
    settle()
    assert np.allclose(preview.layer.data_to_world(corner), source.data_to_world(corner))


def test_the_users_selection_stays(state, preview, settle):
    preview.enabled = True
    settle()
    assert state.viewer.layers.selection.active == state.layer
    assert set(state.viewer.layers.selection) == {state.layer}
    preview.enabled = False
    assert list(state.viewer.layers) == [state.layer]
    assert state.viewer.layers.selection.active == state.layer


def test_a_stack_is_followed_with_one_window_for_all_planes(state, preview, settle, monkeypatch):
    measured, real = [], gray_module.measure
    monkeypatch.setattr(gray_module, "measure", lambda *some: measured.append(1) or real(*some))
    stack = np.stack([IMAGE, IMAGE // 2, IMAGE // 4])
    state.layer = state.viewer.add_image(stack, name="stack")
    state.viewer.dims.set_point(0, 0)
    preview.enabled = True
    window = to_gray(stack, ImageOptions(axes="ZYX", plane=0)).record["window"]
    explicit = Explicit(low=window["low"], high=window["high"])
    measured.clear()
    for plane in (0, 2, 1):
        state.viewer.dims.set_point(0, plane)
        settle()
        options = ImageOptions(axes="ZYX", plane=plane, window=explicit)
        gray = to_gray(stack, options).pixels
        np.testing.assert_allclose(np.squeeze(preview.layer.data), apply(gray, CHAIN))
        here = preview.layer.data_to_world((0, 5, 6))
        assert np.allclose(here, state.layer.data_to_world((plane, 5, 6)))
    assert len(measured) == 1


def test_gray_and_unchanged_steps_are_computed_once(state, preview, settle, monkeypatch):
    converted, real = [], ImageSource.plane
    monkeypatch.setattr(ImageSource, "plane", lambda *some: converted.append(1) or real(*some))
    watched(state, 1, 2)
    preview.enabled = True
    settle()
    watched(state, 1, 3)
    settle()
    assert CALLS == [1, 2, 3]
    assert len(converted) == 1
    state.layer.data = IMAGE[:50]
    settle()
    assert len(converted) == 2
    assert preview.layer.data.shape == (50, 80)


def test_a_slow_step_holds_up_nothing_and_its_result_is_dropped(state, preview, settle, qtbot):
    busy = []
    preview.busy_changed.connect(busy.append)
    GATE.clear()
    watched(state, 1)
    preview.enabled = True
    qtbot.waitUntil(lambda: CALLS == [1])
    assert busy == [True]
    watched(state, QUICK)
    settle()
    half = to_gray(IMAGE).pixels / 2
    np.testing.assert_array_equal(preview.layer.data, half)
    assert busy[-1] is False
    GATE.set()
    qtbot.waitUntil(lambda: not preview._near._stopped, timeout=20000)
    settle()
    np.testing.assert_array_equal(preview.layer.data, half)
    assert CALLS == [1, QUICK]


def test_of_many_changes_only_the_newest_is_computed(state, preview, settle, qtbot, monkeypatch):
    monkeypatch.setattr(lane, "PATIENCE", 60_000)
    GATE.clear()
    watched(state, 1)
    preview.enabled = True
    qtbot.waitUntil(lambda: CALLS == [1])
    for number in range(2, 9):
        watched(state, number)
        qtbot.wait(15)
    GATE.set()
    settle()
    assert CALLS == [1, 8]


def test_an_error_is_said_once_and_the_last_good_preview_stays(state, preview, settle):
    preview.enabled = True
    settle()
    good = preview.layer.data
    watched(state, 1, -1)
    settle()
    watched(state, 2, -1)
    settle()
    assert preview.layer.data is good
    assert len(preview.said) == 1
    assert "tep 2" in preview.said[0]
    assert "the radius is larger than the image" in preview.said[0]
    watched(state, 5)
    settle()
    assert preview.said[-1] == ""
    assert preview.layer.data is not good


def test_toggle_shows_before_and_after(state, preview, settle):
    preview.toggle()
    settle()
    assert preview.enabled
    assert preview.layer.visible
    preview.toggle()
    assert not preview.layer.visible
    assert state.layer.visible
    shown = preview.layer.data
    state.change({"preprocess.1.amount": 3.0})
    settle()
    assert preview.layer.data is shown
    preview.toggle()
    settle()
    assert preview.layer.visible
    np.testing.assert_array_equal(preview.layer.data, expected(steps=state.recipe.preprocess))


def test_a_preview_left_by_a_closed_panel_is_replaced(state, preview, settle, qtbot):
    preview.enabled = True
    settle()
    preview.close()
    assert sum(map(is_preview, state.viewer.layers)) == 1
    again = Preview(state)
    again.enabled = True
    qtbot.waitUntil(lambda: not again.busy, timeout=20000)
    assert [layer for layer in state.viewer.layers if is_preview(layer)] == [again.layer]
    again.enabled = False
    assert list(state.viewer.layers) == [state.layer]
    again.close()


@pytest.mark.parametrize("which", ["source", "preview", "all"])
def test_layers_may_go_during_the_computation(state, preview, settle, qtbot, which):
    preview.enabled = True
    settle()
    GATE.clear()
    watched(state, 1)
    qtbot.waitUntil(lambda: CALLS == [1])
    layers = state.viewer.layers
    if which == "all":
        layers.clear()
    else:
        layers.remove(state.layer if which == "source" else preview.layer)
    assert not preview.enabled
    GATE.set()
    settle()
    qtbot.wait(20)
    assert not any(map(is_preview, layers))
    assert "removed" in preview.said[-1]


def test_the_viewer_may_be_closed_during_the_computation(make_napari_viewer, qtbot):
    from napari_graysam._napari.panel.sections.preprocess import PreprocessSection

    viewer = make_napari_viewer()
    state = PanelState(viewer)
    state.layer = viewer.add_image(IMAGE)
    section = PreprocessSection(state)
    viewer.window.add_dock_widget(section.native)
    GATE.clear()
    watched(state, 1)
    section.preview_box.setChecked(True)
    qtbot.waitUntil(lambda: CALLS == [1])
    viewer.close()
    GATE.set()
    qtbot.waitUntil(lambda: not section.preview.busy, timeout=20000)
    assert section.preview.layer is None


def test_a_section_that_is_shut_leaves_no_preview(state, qtbot):
    from napari_graysam._napari.panel.sections.preprocess import PreprocessSection

    section = PreprocessSection(state)
    qtbot.addWidget(section.native)
    section.toggle()
    qtbot.waitUntil(lambda: section.preview.layer is not None, timeout=20000)
    assert section.preview_box.isChecked()
    section.shut()
    assert list(state.viewer.layers) == [state.layer]
    assert not section.preview_box.isChecked()


def test_without_an_image_it_says_what_to_do(make_napari_viewer_proxy, qtbot):
    preview = Preview(PanelState(make_napari_viewer_proxy()))
    with qtbot.waitSignal(preview.problem, timeout=5000, raising=False):
        preview.enabled = True
        qtbot.waitUntil(lambda: not preview.busy)
    assert preview.layer is None
    preview.close()


def test_of_a_large_image_the_visible_region_comes_first(
    make_napari_viewer_proxy, qtbot, monkeypatch
):
    monkeypatch.setattr(preview_worker, "LARGE", 200 * 200)
    viewer = make_napari_viewer_proxy(show=True)
    state = PanelState(viewer)
    image = np.random.default_rng(1).random((900, 1000), dtype=np.float32)
    state.layer = viewer.add_image(image, scale=(2, 3), translate=(7, 8), rotate=20)
    viewer.scene.camera.zoom *= 8
    qtbot.waitUntil(lambda: state.layer.corner_pixels[0].min() > 0, timeout=10000)
    (top, left), (bottom, right) = state.layer.corner_pixels
    preview = Preview(state)
    views = []
    preview.updated.connect(
        lambda view: views.append((view.request.box, preview.layer.data_to_world((0, 0))))
    )
    preview.enabled = True
    qtbot.waitUntil(lambda: len(views) == 2, timeout=20000)
    (box, corner), (whole, _) = views
    middle = ((top + bottom) / 2, (left + right) / 2)
    for part, centre, first, last in zip(box, middle, (top, left), (bottom, right), strict=True):
        assert part.stop - part.start == min(200, last - first + 1 + 2 * MARGIN)
        assert abs((part.start + part.stop) / 2 - centre) <= 1
    assert np.allclose(corner, state.layer.data_to_world((box[0].start, box[1].start)))
    assert whole is None
    assert preview.layer.data.shape == image.shape
    preview.close()
