"""From a part's fields to widgets: labels, ranges, units and explanations are the fields'."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from html import escape
from typing import Any, Literal, get_origin

from magicgui.widgets import CheckBox, ComboBox, Container
from magicgui.widgets.bases import ValuedContainerWidget, Widget
from psygnal import Signal
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from qtpy.QtWidgets import QSizePolicy

from napari_graysam._napari.forms.controls import Note, align_label, label_of, plain_widget
from napari_graysam._napari.forms.fields import OptionalField, TextField, guard_wheel
from napari_graysam._napari.forms.wording import (
    bounds,
    label_text,
    none_text,
    tooltip,
    without_none,
)
from napari_graysam.parameters import Part
from napari_graysam.recipe import recipe_error
from napari_graysam.recipe.reference import (
    description_of,
    extra,
    is_choice,
    parts_in,
    title_of,
)


def field_widget(
    part_type: type[Part], name: str, value: Any, *, stage: str | None = None
) -> Widget:
    """Make the widget of one field.

    Parameters
    ----------
    part_type, name
        The part's class and the name of its field.
    value
        What to show.
    stage
        Stage of the part, for fields that name none themselves.

    Returns
    -------
    Widget
        With ``value``, and ``changed``, which it emits when the user edits it.

    Raises
    ------
    TypeError
        If there is no widget for the field's type, such as a list of parts.
    """
    field = part_type.model_fields[name]
    inner, optional = without_none(field.annotation)
    parts = parts_in(inner)
    if parts and get_origin(inner) is not tuple:
        widget: Widget = (
            KindField(parts, value, field.title or "") if is_choice(parts) else PartField(value)
        )
    elif inner is str:
        widget = TextField(value, none_text(field) if optional else None)
    elif optional:
        start = extra(field, "start")
        start = (bounds(field)[0] or 0) if start is None else start
        shown = plain_widget(part_type, name, start if value is None else value)
        widget = OptionalField(value, shown, none_text(field) or "none")
    else:
        widget = plain_widget(part_type, name, value)
    widget.name = name
    widget.label = label_text(field, stage)
    widget.tooltip = tooltip(part_type, name, stage)
    if isinstance(widget, CheckBox):
        widget.text = " ".join(widget.label.split())
    return widget


def has_widget(field: FieldInfo) -> bool:
    """Whether `field_widget` knows the field's type."""
    inner, _ = without_none(field.annotation)
    return get_origin(inner) is Literal or get_origin(inner) is not tuple


class PartForm(Container):
    """One widget for each field of a part.

    Parameters
    ----------
    part
        The part to show. It stays the truth: fields without a widget keep their values, and a
        refused value leaves it as it was.
    only
        Names of the fields to show, in this order; all if omitted.
    exclude
        Names of fields not to show. ``kind`` and lists never are.
    stage
        Stage of the part, for fields that name none themselves.

    Attributes
    ----------
    part_changed
        Emitted once with the new part after each edit; not when `part` is assigned.
    """

    part_changed = Signal(Part)

    def __init__(
        self,
        part: Part,
        only: Sequence[str] | None = None,
        exclude: Collection[str] = (),
        *,
        stage: str | None = None,
    ) -> None:
        self._part = part
        fields = type(part).model_fields
        self._names = [
            name
            for name in (fields if only is None else only)
            if name != "kind" and name not in exclude and has_widget(fields[name])
        ]
        self._message = Note()
        self._fields = {
            name: field_widget(type(part), name, getattr(part, name), stage=stage)
            for name in self._names
        }
        super().__init__(widgets=[*self._fields.values()])
        self.native.layout().addWidget(self._message.native)
        self.native.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.margins = (0, 0, 0, 0)
        for name, widget in self._fields.items():
            align_label(widget)
            label = label_of(widget)
            if label is not None and isinstance(widget, (KindField, PartField)):
                label.hide()
            guard_wheel(widget.native)
            widget.changed.connect(partial(self._edited, name))

    @property
    def fields(self) -> dict[str, Widget]:
        """The widget of each field that is shown."""
        return dict(self._fields)

    @property
    def part(self) -> Part:
        """The part as it is shown; assigning another one of the same class emits nothing."""
        return self._part

    @part.setter
    def part(self, part: Part) -> None:
        self._part = part
        self._message.say("")
        for name, widget in self._fields.items():
            self._show(widget, getattr(part, name))

    def _show(self, widget: Widget, value: Any) -> None:
        if widget.value != value:
            with widget.changed.blocked():
                widget.value = value

    def _edited(self, name: str, value: Any) -> None:
        before = self._part
        if getattr(before, name) == value:
            return
        try:
            part = before.replace(**{name: value})
        except ValidationError as error:
            lines = str(recipe_error(error, type(before), "it")).splitlines()[1:]
            self._show(self._fields[name], getattr(before, name))
            self._message.say("⚠ " + "\n".join(line.strip() for line in lines))
            return
        self._part = part
        self._message.say("")
        self.part_changed.emit(part)

    @property
    def message(self) -> str:
        """Why the last value was refused; empty if it was not."""
        return str(self._message.value)


class PartField(ValuedContainerWidget):
    """A part within a part: its fields, one below the other."""

    def __init__(self, value: Part) -> None:
        self.form = PartForm(value)
        super().__init__(widgets=[self.form], labels=False)
        self.margins = (0, 0, 0, 0)
        self.form.part_changed.connect(self.changed.emit)

    def get_value(self) -> Part:
        """Return the part."""
        return self.form.part

    def set_value(self, value: Part) -> None:
        """Show a part without emitting."""
        self.form.part = value


class KindField(ValuedContainerWidget):
    """A choice among parts by their kind: a combo box and the chosen kind's own fields.

    Parameters
    ----------
    kinds
        The classes to choose from.
    value
        The part to show.
    title
        Label of the combo box.

    Attributes
    ----------
    start
        Makes the part that a newly chosen kind starts with; replace it where a kind has fields
        without defaults.
    """

    def __init__(self, kinds: Sequence[type[Part]], value: Part, title: str = "") -> None:
        self.start: Callable[[type[Part]], Part] = lambda kind: kind()
        self._kept: dict[type[Part], Part] = {type(value): value}
        choices = [(title_of(kind), kind) for kind in kinds]
        self.kind = ComboBox(choices=choices, value=type(value), label=title)
        self.form = PartForm(value)
        super().__init__(widgets=[self.kind], labels=True)
        self.margins = (0, 0, 0, 0)
        self.native.layout().addWidget(self.form.native)
        align_label(self.kind)
        for index, kind in enumerate(kinds):
            self.kind.native.setItemData(index, f"<qt>{escape(description_of(kind))}</qt>", 3)
        guard_wheel(self.kind.native)
        self.kind.changed.connect(self._chosen)
        self.form.part_changed.connect(self._edited)

    def get_value(self) -> Part:
        """Return the chosen part."""
        return self.form.part

    def set_value(self, value: Part) -> None:
        """Show a part without emitting."""
        with self.kind.changed.blocked():
            self.kind.value = type(value)
        self._kept[type(value)] = value
        if type(value) is type(self.form.part):
            self.form.part = value
            return
        self.form.part_changed.disconnect()
        old, self.form = self.form, PartForm(value)
        self.native.layout().replaceWidget(old.native, self.form.native)
        old.native.hide()
        old.native.deleteLater()
        self.form.native.setVisible(bool(self.form.fields))
        self.form.part_changed.connect(self._edited)

    def _chosen(self, kind: type[Part]) -> None:
        part = self._kept.get(kind)
        self.set_value(self.start(kind) if part is None else part)
        self.changed.emit(self.form.part)

    def _edited(self, part: Part) -> None:
        self._kept[type(part)] = part
        self.changed.emit(part)
