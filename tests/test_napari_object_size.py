"""The size of a typical object in the panel: typed, drawn, or of a selected label."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_graysam._napari.inspect.answers import explain
from napari_graysam._napari.panel.sections.image import ImageSection
from napari_graysam._napari.panel.state import PanelState
from napari_graysam.errors import ProposalsError
from napari_graysam.pipeline import live_steps
from napari_graysam.progress import run
from napari_graysam.recipe import Recipe


@pytest.fixture
def state(qapp):
    viewer = ViewerModel()
    state = PanelState(viewer, Recipe.preset("raw"))
    state.layer = viewer.add_image(np.arange(120.0 * 160).reshape(120, 160), scale=(2, 2))
    return state


@pytest.fixture
def section(state):
    return ImageSection(state)


def test_a_typed_size_says_what_follows(state, section):
    assert section.objects.effect.value == ""
    state.change({"image.object_diameter": 20})
    assert "generator.points_per_side 16" in section.objects.effect.value
    state.change({"image.object_diameter": 500})
    assert "longer side" in section.objects.effect.value
    state.change({"image.object_diameter": None})
    assert section.objects.effect.value == ""


def test_a_drawn_circle_gives_its_diameter_in_pixels_of_the_image(state, section):
    layer = state.viewer.add_shapes(
        [np.array([[20, 20], [20, 68], [68, 68], [68, 20]])], shape_type="ellipse"
    )
    state.viewer.layers.selection.active = layer
    section.objects.take.changed.emit(True)
    # 48 in the world, 24 in pixels of an image whose pixels are 2.
    assert state.recipe.image.object_diameter == pytest.approx(24, abs=0.1)


def test_a_selected_label_gives_the_diameter_of_a_disc_as_large(state, section):
    labels = np.zeros((120, 160), int)
    labels[10:20, 10:20] = 3
    labels[50:90, 50:90] = 4
    layer = state.viewer.add_labels(labels, scale=(2, 2))
    layer.selected_label = 3
    state.viewer.layers.selection.active = layer
    section.objects.take.changed.emit(True)
    assert state.recipe.image.object_diameter == pytest.approx(2 * np.sqrt(100 / np.pi), abs=0.1)


def test_without_an_object_a_layer_to_draw_in_comes(state, section):
    said = []
    state.said.connect(lambda text, warning: said.append(text))
    section.objects.take.changed.emit(True)
    layer = state.viewer.layers.selection.active
    assert (layer.name, layer.mode) == ("typical object", "add_ellipse")
    assert "Draw an ellipse" in said[-1]
    assert state.recipe.image.object_diameter is None


def test_candidates_are_explained_by_the_recipe_of_the_image():
    image = np.zeros((96, 96), np.uint8)
    image[30:50, 30:50] = 200
    recipe = Recipe.preset("raw").with_values({"image.object_diameter": 20})
    live = run(live_steps(image, recipe))
    (answer,) = explain(live.selector, (40, 40), live.result)
    assert answer.selector is live.selector
    with pytest.raises(ProposalsError, match="points_per_side"):
        live.selector.explain(40, 40, recipe.generator, recipe.labels)
