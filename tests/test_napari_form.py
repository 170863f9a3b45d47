"""Widgets made from a part's fields."""

from typing import Literal

import pytest
from magicgui.widgets import CheckBox, ComboBox
from napari.components import ViewerModel
from pydantic import Field, ValidationError, model_validator
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QLabel, QScrollArea

from napari_graysam._napari.forms.fields import NumberField, OptionalField, TextField
from napari_graysam._napari.forms.form import (
    KindField,
    PartForm,
    field_widget,
    has_widget,
)
from napari_graysam._napari.forms.recipe_form import RecipeForm
from napari_graysam._napari.forms.wording import MODEL_SYMBOL, tooltip
from napari_graysam._napari.panel.state import PanelState
from napari_graysam.parameters import Part
from napari_graysam.preprocess.registry import STEPS
from napari_graysam.recipe import (
    DtypeRange,
    Explicit,
    GeneratorOptions,
    ImageOptions,
    LabelOptions,
    Percentiles,
    Recipe,
)


class Sample(Part):
    low: float = Field(0.25, ge=0, le=1, title="Low", description="A share.")
    high: float = Field(0.75, ge=0, le=1, title="High", description="Another.")
    size: int = Field(
        3, ge=1, title="Size", description="<b> & co.", json_schema_extra={"unit": "px"}
    )
    most: int | None = Field(
        None,
        ge=1,
        title="Most",
        description="How many. Null sets no limit.",
        json_schema_extra={"none": "no limit", "start": 40, "stage": "decode"},
    )
    way: Literal["one_way", "mask_iou"] = Field("one_way", title="Way", description="How.")
    on: bool = Field(False, title="On", description="Whether.")
    note: str = Field("", title="Note", description="Anything.")
    hidden: tuple[int, ...] = (1, 2)

    @model_validator(mode="after")
    def _rises(self):
        if self.low >= self.high:
            raise ValueError("low must be below high")
        return self


@pytest.fixture
def form(qtbot):
    made = PartForm(Sample())
    made.native.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
    yield made
    made.close()


@pytest.fixture
def heard(form):
    parts = []
    form.part_changed.connect(parts.append)
    return parts


def in_range(part, name, value):
    try:
        part.model_validate({name: value})
    except ValidationError as error:
        return all(problem["loc"] == () for problem in error.errors())
    return True


def type_number(field, text):
    line = field.spin.native.lineEdit()
    line.setText(text)
    field.spin.native.interpretText()


def test_every_field_that_has_a_widget_shows_its_value(form):
    shown = {name: widget.value for name, widget in form.fields.items()}
    assert shown == {name: value for name, value in Sample() if name != "hidden"}


def test_widgets_suit_their_types(form):
    kinds = {name: type(widget) for name, widget in form.fields.items()}
    assert kinds == {
        "low": NumberField,
        "high": NumberField,
        "size": NumberField,
        "most": OptionalField,
        "way": ComboBox,
        "on": CheckBox,
        "note": TextField,
    }
    assert form.fields["low"].slider is not None
    assert form.fields["size"].slider is None


@pytest.mark.parametrize("part", [GeneratorOptions, LabelOptions, *STEPS.values()])
def test_labels_explanations_units_and_ranges_are_those_of_the_fields(part, qtbot):
    for name, field in part.model_fields.items():
        if name == "kind" or not has_widget(field):
            continue
        widget = field_widget(part, name, field.default)
        assert " ".join(widget.label.split()).removesuffix(f" {MODEL_SYMBOL}") == field.title
        assert widget.tooltip == tooltip(part, name)
        number = widget.inner if isinstance(widget, OptionalField) else widget
        if isinstance(number, NumberField):
            spin = number.spin.native
            unit = (field.json_schema_extra or {}).get("unit")
            assert spin.suffix() == (f" {unit}" if unit else "")
            for value in (spin.minimum(), spin.maximum()):
                assert abs(value) == 1e15 or in_range(part, name, value)
        widget.close()


def test_no_value_outside_the_range_can_be_typed(form, heard):
    type_number(form.fields["low"], "-3")
    type_number(form.fields["size"], "0")
    assert all(0 <= part.low <= 1 and part.size >= 1 for part in heard)


def test_an_edit_is_told_once_and_validated(form, heard):
    type_number(form.fields["low"], "0.5")
    form.fields["way"].value = "mask_iou"
    form.fields["on"].value = True
    assert [part.low for part in heard] == [0.5] * 3
    assert heard[-1] == Sample(low=0.5, way="mask_iou", on=True)
    assert form.part is heard[-1]


def test_moving_a_slider_gives_short_numbers(form, heard):
    form.fields["high"].slider.value = 617
    assert [part.high for part in heard] == [0.617]
    assert form.fields["high"].spin.value == 0.617


def test_assigning_a_part_is_not_an_edit(form, heard):
    part = Sample(low=0.1, high=0.9, size=12, most=5, way="mask_iou", on=True, note="hello")
    form.part = part
    assert heard == []
    assert {name: widget.value for name, widget in form.fields.items()} == {
        name: value for name, value in part if name != "hidden"
    }


def test_a_refused_value_is_explained_and_taken_back(form, heard):
    type_number(form.fields["low"], "0.9")
    assert heard == []
    assert form.fields["low"].value == 0.25
    assert form.fields["low"].spin.value == 0.25
    assert "low must be below high" in form.message
    type_number(form.fields["high"], "0.95")
    assert form.message == ""


def test_values_without_a_widget_are_not_lost(qtbot):
    form = PartForm(Sample(hidden=(7,)))
    form.fields["on"].value = True
    assert form.part.hidden == (7,)


def test_none_is_a_box_and_the_number_starts_where_the_field_says(form, heard):
    field = form.fields["most"]
    assert field.box.text == "no limit"
    field.box.value = False
    assert [part.most for part in heard] == [40]
    field.inner.spin.native.setValue(9)
    field.box.value = True
    field.box.value = False
    assert [part.most for part in heard] == [40, 9, None, 9]


def test_a_text_counts_when_it_is_finished(form, heard):
    line = form.fields["note"].line.native
    line.setText("half")
    assert heard == []
    line.setText("whole")
    line.editingFinished.emit()
    line.editingFinished.emit()
    assert [part.note for part in heard] == ["whole"]


def test_an_empty_optional_text_is_none(qtbot):
    field = field_widget(ImageOptions, "axes", "ZYX")
    values = []
    field.changed.connect(values.append)
    field.line.native.setText("")
    field.line.native.editingFinished.emit()
    assert values == [None]
    assert field.line.native.placeholderText()


def test_leaving_a_box_that_shows_a_rounded_number_changes_nothing(qtbot):
    form = PartForm(GeneratorOptions())
    heard = []
    form.part_changed.connect(heard.append)
    ratio = form.fields["crop_overlap_ratio"]
    assert ratio.value == 512 / 1500
    type_number(ratio, ratio.spin.native.text())
    ratio.spin.native.editingFinished.emit()
    assert heard == []
    assert form.part == GeneratorOptions()


def test_choices_read_as_words_and_keep_their_values(form, heard):
    native = form.fields["way"].native
    assert [native.itemText(row) for row in range(native.count())] == ["one way", "mask IoU"]


def test_tooltips_wrap_and_escape(form):
    text = form.fields["size"].tooltip
    assert text.startswith("<qt>")
    assert "&lt;b&gt; &amp; co." in text
    assert "from 1 (px)" in text
    assert "Null" not in form.fields["most"].tooltip


def test_only_fields_that_need_the_model_again_are_marked(qtbot):
    marked = {
        name
        for name, widget in PartForm(GeneratorOptions()).fields.items()
        if MODEL_SYMBOL in getattr(widget, "text", widget.label) and MODEL_SYMBOL in widget.tooltip
    }
    assert marked == {
        name
        for name, field in GeneratorOptions.model_fields.items()
        if (field.json_schema_extra or {}).get("stage") in ("encode", "decode")
        and name != "point_grids"
    }


def wheel_over(widget):
    where = QPointF(widget.rect().center())
    event = QWheelEvent(
        where,
        widget.mapToGlobal(where),
        QPoint(0, 120),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


def test_the_wheel_scrolls_the_panel_and_changes_no_value(form, heard, qtbot):
    area = QScrollArea()
    qtbot.addWidget(area)
    form.native.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen, False)
    area.setWidget(form.native)
    area.show()
    form.fields["note"].line.native.setFocus()
    for native in (
        form.fields["low"].slider.native,
        form.fields["low"].spin.native,
        form.fields["size"].spin.native,
        form.fields["way"].native,
    ):
        wheel_over(native)
    assert heard == []
    spin = form.fields["size"].spin.native
    qtbot.waitExposed(area)
    area.activateWindow()
    spin.setFocus()
    qtbot.waitUntil(spin.hasFocus)
    wheel_over(spin)
    assert [part.size for part in heard] == [4]
    area.takeWidget()


def test_a_kind_brings_its_own_fields_and_comes_back_as_it_was(qtbot):
    form = PartForm(ImageOptions(), only=["window"])
    window = form.fields["window"]
    heard = []
    form.part_changed.connect(heard.append)
    assert isinstance(window, KindField)
    window.start = lambda kind: Explicit(low=3, high=9) if kind is Explicit else kind()
    type_number(window.form.fields["low"], "2")
    window.kind.value = Explicit
    assert set(window.form.fields) == {"low", "high"}
    type_number(window.form.fields["high"], "12.5")
    window.kind.value = DtypeRange
    assert window.form.fields == {}
    window.kind.value = Percentiles
    assert [part.window for part in heard] == [
        Percentiles(low=2),
        Explicit(low=3, high=9),
        Explicit(low=3, high=12.5),
        DtypeRange(),
        Percentiles(low=2),
    ]


def test_assigning_another_kind_is_shown_and_not_told(qtbot):
    form = PartForm(ImageOptions(), only=["window"])
    heard = []
    form.part_changed.connect(heard.append)
    form.part = ImageOptions(window=Explicit(low=-1, high=1))
    assert heard == []
    assert form.fields["window"].value == Explicit(low=-1, high=1)
    assert form.fields["window"].kind.value is Explicit


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_every_step_shows_its_defaults_and_any_slider_position_is_valid(step, qtbot):
    form = PartForm(step(), exclude=("enabled",))
    assert {name: widget.value for name, widget in form.fields.items()} == {
        name: value for name, value in step() if name not in ("kind", "enabled")
    }
    heard = []
    form.part_changed.connect(heard.append)
    for widget in form.fields.values():
        if isinstance(widget, NumberField) and widget.slider:
            at = widget.slider.value
            widget.slider.value = at + (7 if at < 500 else -7)
            assert heard, widget.label
            heard.clear()
            widget.slider.value = at
            for end in (0, 1000):
                widget.slider.value = end
            assert "allowed" not in form.message


def test_a_recipe_form_and_the_state_follow_each_other(qtbot):
    state = PanelState(ViewerModel(), Recipe())
    form, twin = RecipeForm(state, "labels"), RecipeForm(state, "labels", ["min_area"])
    recipes = []
    state.recipe_changed.connect(lambda recipe, stage: recipes.append((recipe, stage)))
    type_number(form.fields["min_area"], "30")
    assert state.recipe.labels.min_area == 30
    assert twin.fields["min_area"].value == 30
    state.change({"labels.min_area": 31})
    assert form.fields["min_area"].value == 31
    assert len(recipes) == 2
    assert {stage for _, stage in recipes} == {"labels"}


def test_labels_of_a_form_stand_in_one_column(form, qtbot):
    area = QScrollArea()
    qtbot.addWidget(area)
    area.setWidget(form.native)
    rows = [form.fields[name].native.parentWidget() for name in ("low", "size", "most", "way")]
    widths = {row.findChild(QLabel).width() for row in rows}
    assert len(widths) == 1
    area.takeWidget()


def test_an_unknown_type_is_refused_by_name():
    with pytest.raises(TypeError, match=r"Sample\.hidden"):
        field_widget(Sample, "hidden", ())


def test_a_value_stands_below_a_text_that_leaves_no_room_beside_it(qtbot):
    widths = {}
    for text in ("0", "the last one"):
        field = OptionalField(3, NumberField(3, low=0, whole=True), text)
        qtbot.addWidget(field.native)
        field.native.show()
        box, inner = field.box.native.geometry(), field.inner.native.geometry()
        assert (inner.top() > box.bottom()) == (text != "0")
        assert (inner.left() > box.right()) == (text == "0")
        widths[text] = field.native.minimumSizeHint().width()
        field.value = None
        assert not field.inner.visible
    assert widths["the last one"] < widths["0"] + field.box.native.minimumSizeHint().width()


@pytest.mark.parametrize("slider", [False, True])
def test_a_unit_is_whole_or_not_shown(qtbot, slider):
    unit = "of the smaller mask"
    field = NumberField(0.4, low=0, high=1, unit=unit, slider=slider)
    qtbot.addWidget(field.native)
    assert field.spin.native.suffix() == ("" if slider else f" {unit}")
    short = NumberField(0.4, low=0, high=1, unit="px", slider=slider)
    qtbot.addWidget(short.native)
    assert short.spin.native.suffix() == " px"
