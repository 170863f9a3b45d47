import pytest
from app_model.types import KeyBinding
from napari.utils.shortcuts import default_shortcuts

from napari_graysam._napari.panel.keys import SHORTCUTS, KeyHelp, Keys, with_key


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


def press(viewer, key):
    """Press a key on the viewer, by its keymap."""
    viewer.keymap[KeyBinding.from_str(key)](viewer)


def test_no_key_is_one_of_naparis_own(make_napari_viewer):
    viewer = make_napari_viewer()
    used = {str(binding) for bindings in default_shortcuts.values() for binding in bindings}
    menus = viewer.window._qt_window.findChildren(type(viewer.window.file_menu.actions()[0]))
    used |= {one.toString() for action in menus for one in action.shortcuts()}
    used |= {str(binding) for binding in type(viewer).class_keymap}
    ours = [str(KeyBinding.from_str(shortcut.key)) for shortcut in SHORTCUTS.values()]
    assert "Ctrl+Y" in used
    assert len(set(ours)) == len(SHORTCUTS)
    assert not used & {*ours, *(shortcut.key for shortcut in SHORTCUTS.values())}


def test_a_key_calls_its_action_until_it_is_released(viewer):
    calls = []
    before = dict(viewer.keymap)
    keys = Keys(viewer, {name: lambda name=name: calls.append(name) for name in SHORTCUTS})
    keys.bind()
    keys.bind()
    for shortcut in SHORTCUTS.values():
        press(viewer, shortcut.key)
    assert calls == list(SHORTCUTS)
    keys.release()
    assert dict(viewer.keymap) == before


def test_a_key_that_the_user_has_bound_stays_the_users(viewer):
    mine = []
    viewer.bind_key(SHORTCUTS["next"].key, lambda _: mine.append("mine"))
    keys = Keys(viewer, {name: lambda: mine.append("ours") for name in SHORTCUTS})
    keys.bind()
    press(viewer, SHORTCUTS["next"].key)
    keys.release()
    press(viewer, SHORTCUTS["next"].key)
    assert mine == ["mine", "mine"]


def test_the_help_names_every_key(qtbot):
    from qtpy.QtWidgets import QLabel

    help_window = KeyHelp()
    qtbot.addWidget(help_window)
    shown = {label.text() for label in help_window.findChildren(QLabel)}
    for shortcut in SHORTCUTS.values():
        assert {shortcut.key, shortcut.title} <= shown


def test_a_tooltip_ends_in_the_key():
    assert with_key("Segment both", "run") == "Segment both (Ctrl+Enter)"
