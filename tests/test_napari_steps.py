import pytest
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtTest import QTest

from napari_graysam._napari.forms.rgb_editor import RgbEditor
from napari_graysam._napari.forms.steps import StepsEditor
from napari_graysam._napari.panel.sections.preprocess import PreprocessSection
from napari_graysam._napari.panel.state import PanelState
from napari_graysam.preprocess import STEPS, Channels, Colormap, Replicate
from napari_graysam.recipe.reference import description_of, title_of

CHAIN = tuple(STEPS[kind]() for kind in ("gaussian", "clahe", "unsharp", "invert"))


@pytest.fixture
def editor(qtbot):
    editor = StepsEditor("nothing")
    qtbot.addWidget(editor)
    editor.steps = CHAIN
    editor.heard = []
    editor.steps_changed.connect(editor.heard.append)
    return editor


@pytest.fixture
def section(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    section = PreprocessSection(PanelState(viewer))
    viewer.window.add_dock_widget(section.native, name=section.title)
    return section


@pytest.fixture
def state(section):
    return section._state


def titles(editor):
    rows = range(editor.list.count())
    return [editor.list.item(row).text().partition(" · ")[0] for row in rows]


def actions(menu):
    for action in menu.actions():
        yield from actions(action.menu()) if action.menu() else [action]


def test_the_list_shows_the_steps_in_their_order(editor):
    assert titles(editor) == [title_of(type(step)) for step in CHAIN]
    assert editor.heard == []


def test_every_step_can_be_added_and_starts_with_its_defaults(editor):
    offered = {action.text(): action for action in actions(editor.menu)}
    assert set(offered) == {title_of(step) for step in STEPS.values()}
    for step in STEPS.values():
        action = offered[title_of(step)]
        assert description_of(step) in action.toolTip()
        action.trigger()
        assert editor.steps[-1] == step()
        assert editor.current == len(editor.steps) - 1
    assert len(editor.heard) == len(STEPS)


def test_the_menu_is_grouped_by_module(editor):
    groups = {action.text() for action in editor.menu.actions() if action.menu()}
    assert {"Intensity", "Background", "Denoise", "Edges"} <= groups


@pytest.mark.parametrize("by_key", [False, True])
def test_the_selected_step_is_removed(editor, by_key):
    editor.current = 1
    if by_key:
        QTest.keyClick(editor.list, Qt.Key.Key_Delete)
    else:
        editor.remove_button.click()
    assert editor.heard == [(CHAIN[0], *CHAIN[2:])]
    assert editor.current == 1


def test_removing_the_last_step_leaves_an_empty_list(editor):
    for _ in CHAIN:
        editor.remove_button.click()
    assert editor.steps == ()
    assert editor.form is None
    buttons = (editor.remove_button, editor.up_button, editor.down_button)
    assert not any(button.isEnabled() for button in buttons)


@pytest.mark.parametrize("by_key", [False, True])
def test_a_step_moves_up_and_down_and_stays_selected(editor, by_key):
    def move(key, button):
        if by_key:
            QTest.keyClick(editor.list, key, Qt.KeyboardModifier.AltModifier)
        else:
            button.click()

    gaussian, clahe, *rest = CHAIN
    editor.current = 1
    move(Qt.Key.Key_Up, editor.up_button)
    assert editor.steps == (clahe, gaussian, *rest)
    assert editor.current == 0
    move(Qt.Key.Key_Up, editor.up_button)
    assert editor.steps == (clahe, gaussian, *rest)
    move(Qt.Key.Key_Down, editor.down_button)
    assert editor.steps == CHAIN
    assert editor.current == 1


def test_dragging_a_row_reorders_the_steps(editor):
    gaussian, clahe, unsharp, invert = CHAIN
    editor.current = 0
    nowhere = QModelIndex()
    assert editor.list.model().moveRow(nowhere, 0, nowhere, 3)
    assert editor.heard == [(clahe, unsharp, gaussian, invert)]
    assert titles(editor) == [title_of(type(step)) for step in editor.steps]
    assert editor.current == 2
    assert editor.form.part == gaussian


def test_the_check_box_switches_a_step(editor):
    editor.list.item(2).setCheckState(Qt.CheckState.Unchecked)
    assert [step.enabled for step in editor.steps] == [True, True, False, True]
    editor.current = 2
    QTest.keyClick(editor.list, Qt.Key.Key_Space)
    assert editor.steps == CHAIN


def test_the_form_tunes_the_selected_step(editor):
    editor.current = 1
    assert set(editor.form.fields) == {"clip_limit", "tile_size"}
    form = editor.form
    form.fields["clip_limit"].value = 7.0
    form.fields["clip_limit"].changed.emit(7.0)
    assert editor.steps == (CHAIN[0], CHAIN[1].replace(clip_limit=7.0), *CHAIN[2:])
    assert editor.form is form
    assert "7" in editor.list.item(1).text()


def test_steps_set_from_elsewhere_reach_list_and_form_without_an_echo(editor):
    editor.current = 1
    editor.steps = (CHAIN[0], CHAIN[1].replace(clip_limit=9.0, enabled=False))
    assert editor.heard == []
    assert editor.form.fields["clip_limit"].value == 9.0
    assert editor.list.item(1).checkState() == Qt.CheckState.Unchecked
    assert editor.list.count() == 2


def test_a_step_without_parameters_has_an_empty_form(editor):
    editor.current = 3
    assert editor.form.fields == {}
    assert editor.about.text() == description_of(STEPS["invert"])


def test_every_mode_of_colours_is_offered_and_keeps_what_was_set(qtbot):
    editor = RgbEditor()
    qtbot.addWidget(editor)
    heard = []
    editor.rgb_changed.connect(heard.append)
    assert editor.mode.count() == 3
    choose = {editor.mode.itemText(row): row for row in range(3)}
    for name in ("Channels", "Colormap", "Replicate"):
        editor.mode.setCurrentIndex(choose[name])
        editor.mode.activated.emit(choose[name])
        assert isinstance(
            editor.rgb, {"Channels": Channels, "Colormap": Colormap}.get(name, Replicate)
        )
        if name == "Channels":
            editor.chains["green"].add(CHAIN[1])
    editor.mode.activated.emit(choose["Channels"])
    assert editor.rgb == Channels(green=CHAIN[1:2]) == heard[-1]


def test_each_channel_has_its_own_steps(qtbot):
    editor = RgbEditor()
    qtbot.addWidget(editor)
    editor.rgb = Channels(red=CHAIN[:1], blue=CHAIN[1:3])
    assert [editor.chains[name].steps for name in ("red", "green", "blue")] == [
        CHAIN[:1],
        (),
        CHAIN[1:3],
    ]
    editor.chains["blue"].remove()
    assert editor.rgb == Channels(red=CHAIN[:1], blue=CHAIN[2:3])


def test_a_colormap_is_chosen_by_name_among_matplotlibs(qtbot):
    import matplotlib

    editor = RgbEditor()
    qtbot.addWidget(editor)
    editor.rgb = Colormap(name="magma")
    box = editor.colormap
    names = [box.itemText(row) for row in range(box.count())]
    assert set(names) == set(matplotlib.colormaps)
    assert box.currentText() == "magma"
    gray = box.itemIcon(names.index("gray")).pixmap(box.iconSize()).toImage()
    assert gray.pixelColor(1, 5).lightness() < 20
    assert gray.pixelColor(gray.width() - 2, 5).lightness() > 235
    box.textActivated.emit("turbo")
    assert editor.rgb == Colormap(name="turbo")


def test_edits_reach_the_recipe_and_nothing_else_of_it(section, state):
    before = state.recipe
    section.steps.add(CHAIN[1])
    section.rgb.mode.activated.emit(1)
    assert state.recipe == before.replace(preprocess=CHAIN[1:2], rgb=Channels())


def test_a_recipe_from_elsewhere_is_shown_once(section, state):
    heard = []
    state.recipe_changed.connect(lambda recipe, stage: heard.append(recipe))
    state.recipe = state.recipe.replace(preprocess=CHAIN, rgb=Channels(red=CHAIN[:1]))
    assert section.steps.steps == CHAIN
    assert section.rgb.chains["red"].steps == CHAIN[:1]
    assert len(heard) == 1
    state.change({"preprocess.1.clip_limit": 5.0})
    assert section.steps.steps[1].clip_limit == 5.0
    assert len(heard) == 2


def test_refused_values_are_said_and_leave_the_step_as_it_was(section, state):
    band = STEPS["difference_of_gaussians"]()
    state.recipe = state.recipe.replace(preprocess=(band,))
    form = section.steps.form
    form.fields["sigma_low"].value = 50.0
    form.fields["sigma_low"].changed.emit(50.0)
    assert state.recipe.preprocess == (band,)
    assert "sigma_low" in form.message
