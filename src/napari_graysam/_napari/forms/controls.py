"""The widgets of single values, and how rows and folds of a form look."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from magicgui.widgets import CheckBox, ComboBox, Label
from magicgui.widgets.bases import Widget
from pydantic.fields import FieldInfo
from qtpy.QtWidgets import QComboBox, QLabel, QSizePolicy, QWidget

from napari_graysam._napari.forms.elide import elide
from napari_graysam._napari.forms.fields import NumberField
from napari_graysam._napari.forms.folds import Fold
from napari_graysam._napari.forms.wording import LABEL_LETTERS, bounds, choice_text, without_none
from napari_graysam.parameters import Part
from napari_graysam.recipe.reference import extra


class Note(Label):
    """A text that wraps, out of sight while it is empty."""

    def __init__(self) -> None:
        super().__init__(value="", visible=False)
        self.native.setWordWrap(True)
        self.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)

    def say(self, text: str) -> None:
        """Show a text in place of the last one; hide the note where there is none."""
        self.value = text
        self.native.setVisible(bool(text))


def plain_widget(part_type: type[Part], name: str, value: Any) -> Widget:
    """Make the widget of a field that holds a flag, a choice or a number.

    Parameters
    ----------
    part_type, name
        The part's class and the name of its field, which may also allow None.
    value
        What to show; not None.

    Raises
    ------
    TypeError
        If there is no widget for the field's type, such as a list of parts.
    """
    field = part_type.model_fields[name]
    kind, _ = without_none(field.annotation)
    if kind is bool:
        return CheckBox(value=value)
    if get_origin(kind) is Literal:
        choices = [(choice_text(choice), choice) for choice in get_args(kind)]
        return ComboBox(choices=choices, value=value)
    if kind in (int, float):
        return _number(kind, field, value)
    raise TypeError(f"{part_type.__name__}.{name} has no widget: its type is {kind}")


def _number(kind: type, field: FieldInfo, value: float) -> NumberField:
    low, high = bounds(field)
    ranged = low is not None and high is not None
    logarithmic = False
    if low is not None and high is not None and low > 0 and not field.is_required():
        start = field.default if field.default is not None else value
        logarithmic = high / low >= 20 and start < low + (high - low) / 5
    return NumberField(
        value,
        low=low,
        high=high,
        unit=str(extra(field, "unit") or ""),
        whole=kind is int,
        logarithmic=logarithmic,
        slider=ranged and kind is float,
    )


def label_of(widget: Widget) -> QLabel | None:
    """Return the label that magicgui has put beside a widget; None where it has none."""
    row = widget.native.parentWidget()
    label = row.layout().itemAt(0).widget() if row is not None and row.layout() else None
    return label if isinstance(label, QLabel) else None


def align_label(widget: Widget) -> None:
    """Give the label beside a widget the width that all labels of the panel share.

    A combo box with long choices no longer widens the panel.
    """
    if isinstance(widget.native, QComboBox):
        widget.native.setMinimumContentsLength(8)
        policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        widget.native.setSizeAdjustPolicy(policy)
        elide(widget.native)
    label = label_of(widget)
    if label is not None:
        label.setFixedWidth(label.fontMetrics().horizontalAdvance("n" * LABEL_LETTERS))


def more(content: QWidget) -> Fold:
    """Fold the less common fields of a section away under a quiet header."""
    fold = Fold("More", content)
    fold.toggleButton().setStyleSheet("text-align: left; padding: 3px; background: transparent;")
    return fold
