from importlib import import_module

import dask.array as da
import numpy as np
import pytest

from napari_graysam._napari.io import filters
from napari_graysam.errors import ImageError
from napari_graysam.filtering import filter_steps
from napari_graysam.preprocess import STEPS
from napari_graysam.progress import run
from napari_graysam.recipe.reference import title_of

PLUGIN = "napari-graysam"


def image(dtype, shape=(24, 31)):
    values = np.random.default_rng(3).normal(size=shape).cumsum(axis=-1)
    values = (values - values.min()) / np.ptp(values)
    return (values * 200 + 10).astype(dtype)


# The computation


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "f8", ">u2"])
def test_inverting_mirrors_the_range(dtype):
    array = image(dtype)
    result = run(filter_steps(array, STEPS["invert"]()))
    assert result.pixels.dtype == np.float32
    assert result.window == (array.min(), array.max())
    want = float(array.min()) + float(array.max()) - array.astype(float)
    np.testing.assert_allclose(result.pixels, want, rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", STEPS)
def test_every_filter_stays_within_the_images_range(kind):
    array = image("u2")
    pixels, (low, high) = run(filter_steps(array, STEPS[kind]()))
    assert pixels.shape == array.shape
    assert np.isfinite(pixels).all()
    assert pixels.min() >= low - 1e-3
    assert pixels.max() <= high + 1e-3


def test_stacks_are_filtered_plane_by_plane():
    stack = np.stack([image("f4"), image("f4") * 0.5, np.full((24, 31), 20, "f4")])
    step = STEPS["gaussian"]()
    reports = []
    whole = run(filter_steps(stack, step), reports.append)
    assert [one.stage for one in reports] == ["range"] * 3 + ["filter"] * 3
    swapped = run(filter_steps(stack[::-1], step))
    np.testing.assert_array_equal(swapped.pixels[::-1], whole.pixels)
    lazy = run(filter_steps(da.from_array(stack, chunks=(1, 24, 31))[:, None], step))
    np.testing.assert_array_equal(lazy.pixels[:, 0], whole.pixels)
    np.testing.assert_allclose(whole.pixels[2], 20, atol=1e-4)


def test_colours_nan_and_constants():
    gray = image("f4")
    rgb = np.stack([gray] * 3, axis=-1)
    step = STEPS["median"]()
    expected = run(filter_steps(gray, step)).pixels
    np.testing.assert_allclose(run(filter_steps(rgb, step, rgb=True)).pixels, expected, atol=1e-3)
    holes = gray.copy()
    holes[3, 4] = np.nan
    holes[5, 6] = np.inf
    result = run(filter_steps(np.stack([holes, np.full_like(gray, np.nan)]), step)).pixels
    assert np.isnan(result[0]).sum() == 2
    assert np.isnan(result[1]).all()
    for value in (0, 7, 1e20):
        flat = run(filter_steps(np.full((9, 9), value), step)).pixels
        np.testing.assert_array_equal(flat, np.float32(value))


@pytest.mark.parametrize(
    "array", [np.zeros((0, 5)), np.zeros(5), np.zeros((5, 5), complex), np.full((5, 5), np.nan)]
)
def test_what_is_no_image(array):
    with pytest.raises(ImageError):
        run(filter_steps(array, STEPS["gaussian"]()))


# The manifest


@pytest.fixture(scope="module")
def manifest():
    from npe2 import PluginManifest

    return PluginManifest.from_distribution(PLUGIN)


def test_the_menu_offers_every_step_with_its_title(manifest):
    prefix = f"{PLUGIN}.filter."
    offered = {
        one.id.removeprefix(prefix): one
        for one in manifest.contributions.commands
        if one.id.startswith(prefix)
    }
    assert list(offered) == list(STEPS)
    for kind, command in offered.items():
        assert command.title == title_of(STEPS[kind])
        module, _, name = command.python_name.partition(":")
        assert getattr(import_module(module), name).args == (kind,)
    menus = manifest.contributions.menus
    (submenu,) = [item.submenu for item in menus["napari/layers/filter"]]
    assert [item.command.removeprefix(prefix) for item in menus[submenu]] == list(STEPS)
    assert submenu in [one.id for one in manifest.contributions.submenus]


# The dock


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def open_dock(viewer, monkeypatch):
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)

    def opened(kind):
        getattr(filters, kind)()
        return viewer.window.dock_widgets[filters.DOCK]

    return opened


def wait(qtbot, dock):
    qtbot.waitUntil(dock.apply_button.isEnabled, timeout=20_000)


PLACE = {
    "scale": (2.0, 0.5),
    "translate": (3.0, 4.0),
    "rotate": 30.0,
    "shear": (0.25,),
    "affine": [[1, 0, 5], [0, 1, 6], [0, 0, 1]],
    "units": ("nm", "nm"),
    "axis_labels": ("rows", "columns"),
}


def test_the_result_lies_on_its_image(viewer, open_dock, qtbot):
    source = viewer.add_image(image("u2"), name="cells", **PLACE)
    dock = open_dock("gaussian")
    assert dock.image.name == "cells"
    dock.form.fields["sigma"].spin.value = 3.0
    dock.apply()
    assert not dock.apply_button.isEnabled()
    wait(qtbot, dock)
    result = viewer.layers[-1]
    assert result.name == "cells [Gaussian]"
    for name in PLACE:
        np.testing.assert_array_equal(
            np.asarray(getattr(result, name)), np.asarray(getattr(source, name))
        )
    about = result.metadata[PLUGIN]
    assert about["filter"] == {"kind": "gaussian", "sigma": 3.0}
    assert about["source_layer"] == "cells"
    want = run(filter_steps(source.data, STEPS["gaussian"](sigma=3.0))).pixels
    np.testing.assert_array_equal(result.data, want)


def test_stacks_and_colours(viewer, open_dock, qtbot):
    viewer.add_image(image("u1", (3, 24, 31)), name="stack")
    dock = open_dock("invert")
    dock.apply()
    wait(qtbot, dock)
    assert viewer.layers[-1].data.shape == (3, 24, 31)
    colour = viewer.add_image(image("u1", (24, 31, 3)), rgb=True, name="colour")
    viewer.layers.selection.active = colour
    dock = open_dock("invert")
    dock.apply()
    wait(qtbot, dock)
    assert viewer.layers[-1].data.shape == (24, 31)
    assert "luminance" in dock.message.text


def test_one_dock_remembers_each_filter(viewer, open_dock):
    viewer.add_image(image("u1"), name="a")
    dock = open_dock("gaussian")
    dock.form.fields["sigma"].spin.value = 5.0
    docks = list(viewer.window.dock_widgets)
    open_dock("clahe")
    assert list(viewer.window.dock_widgets) == docks
    assert set(dock.form.fields) == {"clip_limit", "tile_size"}
    open_dock("gaussian")
    assert dock.step == STEPS["gaussian"](sigma=5.0)
    viewer.add_image(image("u1"), name="b")
    open_dock("gaussian")
    assert dock.image.name == "b"
    dock.native.parent().hide()
    open_dock("median")
    assert not dock.native.parent().isHidden()


def test_no_image_says_what_to_do(viewer, open_dock):
    dock = open_dock("clahe")
    dock.apply()
    assert "open one with File" in dock.message.text
    viewer.add_labels(np.zeros((5, 5), int))
    assert dock.image is None


def test_a_problem_is_one_message(viewer, open_dock, qtbot):
    viewer.add_image(np.full((5, 5), np.nan, "f4"), contrast_limits=(0, 1))
    dock = open_dock("clahe")
    dock.apply()
    wait(qtbot, dock)
    assert "Every pixel is NaN" in dock.message.text
    assert len(viewer.layers) == 1


def test_cancel_adds_nothing(viewer, open_dock, qtbot):
    viewer.add_image(image("u2", (200, 64, 64)), name="stack")
    dock = open_dock("nl_means")
    dock.apply()
    qtbot.waitUntil(lambda: dock.progress.value() > 0, timeout=20_000)
    dock.cancel()
    wait(qtbot, dock)
    assert len(viewer.layers) == 1
    assert "Cancelled" in dock.message.text


def test_a_layer_removed_meanwhile_does_no_harm(viewer, open_dock, qtbot):
    viewer.add_image(image("u2"), name="cells")
    dock = open_dock("gaussian")
    dock.apply()
    viewer.layers.clear()
    wait(qtbot, dock)
    assert [layer.name for layer in viewer.layers] == ["cells [Gaussian]"]


def test_the_dock_is_a_tab_beside_the_plugins_others(make_napari_viewer_proxy, monkeypatch, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    viewer.window.add_plugin_dock_widget(PLUGIN, "Compare masks")
    filters.clahe()
    dock = viewer.window.dock_widgets[filters.DOCK].native.parentWidget()

    def tabs():
        return [other.objectName() for other in dock.parentWidget().tabifiedDockWidgets(dock)]

    qtbot.waitUntil(lambda: any("Compare masks" in name for name in tabs()), timeout=5000)
    qtbot.waitUntil(dock.isVisible, timeout=5000)
