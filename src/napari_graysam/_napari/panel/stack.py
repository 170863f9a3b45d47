"""The sections that fold, from top to bottom, each made when it is first unfolded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_graysam._napari.forms.folds import Column, Fold
from napari_graysam._napari.panel.sections.filters import FiltersSection
from napari_graysam._napari.panel.sections.generator import PointsSection, ThresholdsSection
from napari_graysam._napari.panel.sections.image import ImageSection
from napari_graysam._napari.panel.sections.labels import LabelsSection
from napari_graysam._napari.panel.sections.model import ModelSection
from napari_graysam._napari.panel.sections.preprocess import PreprocessSection
from napari_graysam._napari.panel.sections.recipe import RecipeSection
from napari_graysam._napari.panel.sections.second_look import SecondLookSection
from napari_graysam._napari.stack.section import StackSection

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState


class Section(Protocol):
    """A part of the panel that edits or runs the recipe."""

    title: str
    native: QWidget

    def __init__(self, state: PanelState) -> None: ...


SECTIONS: tuple[type[Section], ...] = (
    ImageSection,
    PreprocessSection,
    ModelSection,
    PointsSection,
    ThresholdsSection,
    LabelsSection,
    FiltersSection,
    SecondLookSection,
    StackSection,
    RecipeSection,
)
UNFOLDED = ("Image", "Preprocessing")
"""Open at the first start; made at once in any case, for they follow the viewer and its keys."""


class SectionStack(Column):
    """A column of sections; one that is folded is not made yet, which takes time.

    Parameters
    ----------
    state
        The panel's.
    kinds
        The sections, from top to bottom.
    unfolded
        Titles of those that are open; None for `UNFOLDED`.

    Attributes
    ----------
    folds
        The folding frames by title.
    """

    def __init__(
        self, state: PanelState, kinds: Sequence[type[Section]], unfolded: Sequence[str] | None
    ) -> None:
        self._state = state
        self._kinds = {kind.title: kind for kind in kinds}
        self._made: dict[str, Any] = {}
        self.folds = {title: Fold(title, partial(self._content, title)) for title in self._kinds}
        content = QWidget()
        super().__init__(content)
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 4, 0)
        column.setSpacing(2)
        for fold in self.folds.values():
            column.addWidget(fold)
        column.addStretch(1)
        for title in filter(self._kinds.__contains__, UNFOLDED):
            self.section(title)
        for title in UNFOLDED if unfolded is None else unfolded:
            if title in self.folds:
                self.folds[title].expand(animate=False)

    @property
    def made(self) -> tuple[Any, ...]:
        """The sections that are there already."""
        return tuple(self._made.values())

    @property
    def unfolded(self) -> tuple[str, ...]:
        """Titles of the open sections."""
        return tuple(title for title, fold in self.folds.items() if fold.isExpanded())

    def section(self, title: str) -> Any:
        """Return a section, made now if it is not there yet."""
        if title not in self._made:
            self._made[title] = self._kinds[title](self._state)
        return self._made[title]

    def _content(self, title: str) -> QWidget:
        content: QWidget = self.section(title).native
        return content

    def shut(self) -> None:
        """Let the viewer go, for the panel is being closed."""
        for section in self.made:
            getattr(section, "shut", lambda: None)()
