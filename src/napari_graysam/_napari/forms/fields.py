"""Widgets for single values: numbers, optional values, texts and choices among kinds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from magicgui.widgets import CheckBox, FloatSpinBox, LineEdit, Slider
from magicgui.widgets.bases import ValuedContainerWidget, Widget
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QSlider, QWidget

_POSITIONS = 1000
_MOST_DECIMALS = 4
_SPIN_WIDTH = 84
_SHORT = 4
"""Characters of a text that leaves room beside it, in a panel of 350 pixels."""
_WHEELED = (QAbstractSpinBox, QSlider, QComboBox)

Layout = Literal["horizontal", "vertical"]


class _WheelGuard(QObject):
    """Leaves the wheel to the scroll area unless the widget was clicked first."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stop wheel events of widgets without the focus."""
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False


def guard_wheel(native: QWidget) -> None:
    """Keep the wheel from changing a widget, and those in it, unless they have the focus."""
    children = [child for kind in _WHEELED for child in native.findChildren(kind)]
    for widget in [native, *children]:
        if isinstance(widget, _WHEELED):
            widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            widget.installEventFilter(_WheelGuard(widget))


class _Field(ValuedContainerWidget):
    """Base of value widgets made of others; setting the value emits nothing."""

    def __init__(
        self,
        widgets: list[Widget],
        layout: Layout = "horizontal",
        **kwargs: Any,
    ) -> None:
        self._silent = False
        super().__init__(widgets=widgets, layout=layout, labels=False, **kwargs)
        self.margins = (0, 0, 0, 0)

    @contextmanager
    def _setting(self) -> Iterator[None]:
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before

    def _edited(self, value: Any) -> None:
        if not self._silent:
            self.changed.emit(value)


def usual_decimals(span: float) -> int:
    """Return how many decimals a number from a range of this length is shown with."""
    return 3 if span <= 2 else 2 if span <= 100 else 1


class NumberField(_Field):
    """A number: a spin box with its unit and, where both ends are known, a slider.

    Parameters
    ----------
    value
        The number to show.
    low, high
        Ends of the range, inclusive; None where there is none.
    unit
        Shown behind the number; a longer one only where there is no slider.
    whole
        Whether it is an integer; `value` is then an int.
    logarithmic
        Whether the slider's positions are spaced by ratio; needs a positive `low`.
    slider
        Whether to show a slider; needs both ends.
    """

    def __init__(
        self,
        value: float,
        *,
        low: float | None = None,
        high: float | None = None,
        unit: str = "",
        whole: bool = False,
        logarithmic: bool = False,
        slider: bool = False,
        **kwargs: Any,
    ) -> None:
        self._low, self._high, self._whole = low, high, whole
        self._logarithmic = logarithmic
        self._span = high - low if low is not None and high is not None else math.inf
        self._value: float = value
        self.spin = FloatSpinBox(min=-1e15, max=1e15)
        self.slider = Slider(min=0, max=_POSITIONS, readout=False) if slider else None
        super().__init__([*([self.slider] if self.slider else []), self.spin], **kwargs)
        native = self.spin.native
        native.setKeyboardTracking(False)
        shown = unit if self.slider is None or len(unit) <= _SHORT else ""
        native.setSuffix(f" {shown}" if shown else "")
        if self.slider:
            native.setFixedWidth(_SPIN_WIDTH)
            native.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
            self.slider.changed.connect(self._slid)
        else:
            native.setMinimumWidth(_SPIN_WIDTH)
        self.spin.changed.connect(self._typed)
        guard_wheel(self.native)
        self.set_value(value)

    def get_value(self) -> float:
        """Return the number, exactly as it was set."""
        return self._value

    def set_value(self, value: Any) -> None:
        """Show a number without emitting; the shown text may be rounded."""
        self._value = int(value) if self._whole else float(value)
        with self._setting():
            decimals = self._decimals()
            step = 1 if self._whole else 10 ** -min(decimals, 2)
            native = self.spin.native
            native.setDecimals(decimals)
            native.setRange(
                -1e15 if self._low is None else self._low,
                1e15 if self._high is None else self._high,
            )
            native.setSingleStep(step)
            native.setValue(self._value)
            if self.slider:
                self.slider.value = self._position(self._value)

    def limit(self, low: float, high: float) -> None:
        """Narrow the range to what makes sense now, such as the planes of a stack."""
        self._low, self._high = low, high
        with self._setting():
            self.spin.native.setRange(low, high)

    def _decimals(self) -> int:
        """Decimals to show: as the range suggests, or more where the value needs them."""
        if self._whole:
            return 0
        if self._span == math.inf:
            usual = 2 - (math.floor(math.log10(abs(self._value))) if self._value else 0)
        else:
            usual = usual_decimals(self._span)
        needed = next(
            (n for n in range(_MOST_DECIMALS) if round(self._value, n) == self._value),
            _MOST_DECIMALS,
        )
        return min(max(usual, needed, 0), 9)

    def _position(self, value: float) -> int:
        assert self._low is not None
        assert self._high is not None
        value = min(max(value, self._low), self._high)
        if self._logarithmic:
            share = math.log(value / self._low) / math.log(self._high / self._low)
        else:
            share = (value - self._low) / self._span
        return round(share * _POSITIONS)

    def _slid(self, position: int) -> None:
        assert self._low is not None
        assert self._high is not None
        share = position / _POSITIONS
        if self._logarithmic:
            value = self._low * (self._high / self._low) ** share
        else:
            value = self._low + share * self._span
        usual = 3 if self._span <= 2 else 2 if value < 10 else 1
        self._take(min(max(round(value, usual), self._low), self._high))

    def _typed(self, value: float) -> None:
        self._take(value)

    def _take(self, value: float) -> None:
        if self._silent:
            return
        decimals = self.spin.native.decimals()
        # Leaving a box that shows a rounded number is no edit.
        if round(value, decimals) == round(self._value, decimals):
            return
        self.set_value(value)
        self._edited(self._value)


class OptionalField(_Field):
    """A value or None: a check box that says what None means, and the value's own widget.

    Parameters
    ----------
    value
        The value, or None.
    inner
        Widget of the value; it holds what is shown when None is switched off.
    none_text
        What None means, such as "no limit"; beside a longer one there is no room for the value,
        which is then below it.
    """

    def __init__(self, value: Any, inner: Widget, none_text: str, **kwargs: Any) -> None:
        self.box = CheckBox(text=none_text)
        self.inner = inner
        layout: Layout = "horizontal" if len(none_text) <= _SHORT else "vertical"
        super().__init__([self.box, inner], layout, nullable=True, **kwargs)
        self.box.changed.connect(self._switched)
        inner.changed.connect(self._edited)
        self.set_value(value)

    def get_value(self) -> Any:
        """Return the value, or None."""
        return None if self.box.value else self.inner.value

    def set_value(self, value: Any) -> None:
        """Show a value or None without emitting."""
        with self._setting():
            self.box.value = value is None
            if value is not None:
                self.inner.value = value
            self.inner.visible = value is not None

    def _switched(self, none: bool) -> None:
        self.inner.visible = not none
        self._edited(self.get_value())


class TextField(_Field):
    """A line of text that counts when it is finished: on Enter, or when it loses the focus.

    Parameters
    ----------
    value
        The text, or None.
    none_text
        What an empty line means; shown in it. The value is then None.
    """

    def __init__(self, value: str | None, none_text: str | None = None, **kwargs: Any) -> None:
        self._none_text, self._value = none_text, value
        self.line = LineEdit()
        super().__init__([self.line], nullable=none_text is not None, **kwargs)
        self.line.native.setPlaceholderText(none_text or "")
        self.line.native.editingFinished.connect(self._finished)
        self.set_value(value)

    def get_value(self) -> str | None:
        """Return the text, or None where an empty one means that."""
        return self._value

    def set_value(self, value: str | None) -> None:
        """Show a text without emitting."""
        self._value = value
        self.line.native.setText("" if value is None else str(value))
        self.line.native.setCursorPosition(0)

    def _finished(self) -> None:
        text = self.line.native.text()
        value = None if self._none_text is not None and not text.strip() else text
        if value != self._value:
            self._value = value
            self._edited(value)
