"""What a new user sees in a real window: the way from image to table, words, and what lines up."""

import csv

import numpy as np
import pytest
import stub_run
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel

from napari_graysam._napari.compare import CompareDock
from napari_graysam._napari.forms.step_list import summary
from napari_graysam._napari.forms.wording import sentence
from napari_graysam._napari.panel.sections.run_view import MAIN
from napari_graysam._napari.panel.widget import SegmentPanel
from napari_graysam.errors import RecipeError
from napari_graysam.preprocess import STEPS
from napari_graysam.recipe import Recipe


@pytest.fixture
def stub(monkeypatch):
    return stub_run.install(monkeypatch)


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(stub_run.squares(1, 0.9, 0.2), name="cells", scale=(2, 2), units=("um", "um"))
    return viewer


@pytest.fixture
def panel(viewer, stub, qtbot):
    panel = SegmentPanel(viewer)
    panel.state.recipe = stub_run.START.with_values({"preprocess": "[{kind: gamma, gamma: 0.3}]"})
    viewer.window.add_dock_widget(panel, name="panel", area="right")
    qtbot.waitUntil(panel.isVisible)
    yield panel
    panel.run.cancel()
    qtbot.waitUntil(lambda: not panel.state.running, timeout=60_000)


@pytest.fixture
def press(qtbot):
    """Press a button with the mouse; counts how often."""

    def one(button):
        assert button.isVisible()
        assert button.isEnabled()
        one.count += 1
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    one.count = 0
    return one


def left(widget):
    """Return where a widget begins on the screen."""
    return widget.mapToGlobal(QPoint(0, 0)).x()


def done(panel, qtbot, *arms):
    qtbot.waitUntil(
        lambda: set(panel.state.results) == set(arms) and not panel.state.running, timeout=60_000
    )


# The button row


def test_from_an_image_to_a_table_of_areas_in_three_clicks(
    panel, press, qtbot, tmp_path, monkeypatch
):
    press(panel.run.native.raw)
    done(panel, qtbot, "raw")
    asked = []

    def accept(parent, title, start, filters):
        """Press Save in the dialog as it opens: without typing a name."""
        asked.append(start)
        press.count += 1
        return str(tmp_path / start.rpartition("/")[2]), filters.partition(";;")[0]

    monkeypatch.setattr(QFileDialog, "getSaveFileName", accept)
    press(panel.next.save)
    # The panel itself is opened with three clicks: menu, submenu, entry.
    assert press.count + 3 <= 6
    assert asked[0].endswith("cells [raw].csv")
    with (tmp_path / "cells [raw].csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["area"] for row in rows] == ["64", "64"]
    assert [float(row["area_um2"]) for row in rows] == [256, 256]
    assert "Saved" in panel.message.text


def test_the_main_button_comes_first_and_alone_has_the_accent_colour(panel):
    view = panel.run.native
    buttons = [view.both, view.raw, view.preprocessed, view.cancel]
    assert sorted(buttons, key=left) == buttons
    assert [button.styleSheet() == MAIN for button in buttons] == [True, False, False, False]
    assert np.ptp([button.mapToGlobal(QPoint(0, 0)).y() for button in buttons]) < 5, "one row"
    assert view.what.text() == "Segment <i>cells</i>:"
    assert view.what.geometry().bottom() < view.both.geometry().top()


def test_what_comes_next_is_offered_after_a_result_and_opens(panel, press, qtbot, viewer):
    after = [panel.next.compare, panel.next.table, panel.next.save, panel.why]
    assert not any(button.isVisible() for button in after)
    press(panel.run.native.both)
    done(panel, qtbot, "raw", "preprocessed")
    assert [button.text() for button in after[:3]] == ["Compare…", "Table…", "Save…"]
    assert sorted(after[:3], key=left) == after[:3]
    assert all(button.isVisible() for button in after)
    window = viewer.window
    press(panel.next.compare)
    compare = window.dock_widgets["Compare masks (napari-graysam)"]
    assert isinstance(compare, CompareDock)
    qtbot.waitUntil(lambda: compare.outcome is not None, timeout=20_000)
    assert compare.outcome.comparison.counts["kept"] == 2
    panel.parent().raise_()
    qtbot.waitUntil(panel.next.table.isVisible)
    press(panel.next.table)
    assert "Features table widget (napari)" in window.dock_widgets
    assert viewer.layers.selection.active.name.startswith("cells [")


# The model


def test_a_changed_model_says_its_changed_arithmetic_and_thresholds(panel, qtbot):
    panel.state.recipe = Recipe.preset()
    panel.sections.folds["Model"].toggleButton().click()
    section = panel.sections.section("Model")
    before = panel.state.recipe.model.arithmetic
    section.model.value = "sam2.1_hiera_tiny"
    after = panel.state.recipe.model.arithmetic
    assert before != after
    assert section.notice.native.isVisible()
    assert f"Arithmetic {after}" in section.notice.value
    assert "Predicted IoU threshold" in section.notice.value
    section.model.value = "graysam-small"
    assert f"Arithmetic {before}" in section.notice.value


# Words


def test_the_model_s_box_has_a_label_and_the_model_its_own_name(panel):
    panel.sections.folds["Model"].toggleButton().click()
    section = panel.sections.section("Model")
    row = section.model.native.parentWidget()
    assert [label.text() for label in row.findChildren(QLabel)] == ["Model"]
    assert section.model.native.currentText().startswith("graysam-small")


def test_a_layer_is_called_by_its_kind_and_not_by_that_of_a_proxy(panel, viewer):
    viewer.layers.clear()
    viewer.add_labels(np.eye(4, dtype=int), name="A")
    about = panel.sections.section("Image").about
    assert "“A” is a Labels layer" in about.value
    assert "Proxy" not in about.value


def test_a_colour_image_has_whole_gray_values(panel, viewer, qtbot):
    pixels = np.random.default_rng(0).integers(40, 230, (9, 8, 3)).astype(np.uint8)
    viewer.add_image(pixels, rgb=True)
    about = panel.sections.section("Image").about
    qtbot.waitUntil(lambda: "gray values" in about.value, timeout=20_000)
    low, to, high = about.value.partition("gray values ")[2].split()
    assert to == "to"
    assert 40 <= int(low) < int(high) < 230


@pytest.mark.parametrize("kind", STEPS)
def test_every_number_in_a_step_s_summary_has_a_name(kind):
    values = summary(STEPS[kind]()).partition(" · ")[2]
    for value in filter(None, values.split(", ")):
        assert not value[0].isdigit()
        assert not value.startswith(("-", "+", "."))


def test_a_mistyped_key_is_answered_with_the_right_one_alone():
    with pytest.raises(RecipeError) as raised:
        Recipe.from_dict({"generator": {"points_per_sid": 8}})
    text = str(raised.value)
    assert "did you mean points_per_side?" in text
    assert "crop_n_layers" not in text
    with pytest.raises(RecipeError, match=r"known here: .*crop_n_layers"):
        Recipe.from_dict({"generator": {"zzz": 8}})


def test_names_of_files_keep_their_case():
    assert sentence("train_set06.tif cannot be read") == "train_set06.tif cannot be read"
    assert sentence("graysam-small is missing") == "graysam-small is missing"
    assert sentence("the memory does not suffice") == "The memory does not suffice"


# What lines up


def test_headers_of_sections_line_up_folded_and_unfolded(panel, qtbot):
    folds = panel.sections.folds.values()

    def ends():
        QApplication.processEvents()
        buttons = [fold.toggleButton() for fold in folds]
        return {(left(button), left(button) + button.width()) for button in buttons}

    for fold in folds:
        fold.collapse(animate=False)
    qtbot.waitUntil(lambda: len(ends()) == 1)
    assert [fold.text()[0] for fold in folds] == ["▸"] * len(folds)
    tops = [fold.toggleButton().mapToGlobal(QPoint(0, 0)).y() for fold in folds]
    assert len(set(np.diff(tops))) == 1
    for fold in folds:
        fold.expand(animate=False)
        assert fold.text()[0] == "▾"
        qtbot.waitUntil(lambda: len(ends()) == 1)


def test_labels_of_all_sections_stand_in_one_column_and_show_whole(panel, qtbot):
    for fold in panel.sections.folds.values():
        fold.expand(animate=False)
        for more in fold.content().findChildren(type(fold)):
            more.expand(animate=False)
    QApplication.processEvents()
    titled = ("Model", "Points and crops", "Thresholds", "Labels", "Second look")
    labels = [
        widget.native.parentWidget().layout().itemAt(0).widget()
        for title in titled
        for name, widget in panel.sections.section(title).fields.items()
        if widget.visible
    ]
    labels = [label for label in labels if isinstance(label, QLabel) and label.text()]
    assert len(labels) > 20
    for label in labels:
        lines = label.text().splitlines()
        widest = max(label.fontMetrics().horizontalAdvance(line) for line in lines)
        assert widest <= label.width(), label.text()
    assert len({label.width() for label in labels}) == 1
