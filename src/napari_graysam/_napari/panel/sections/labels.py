"""The section Labels: how masks become objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import Container, Label, PushButton
from qtpy.QtWidgets import QSizePolicy

from napari_graysam._napari.forms.controls import align_label, more
from napari_graysam._napari.forms.form import PartForm
from napari_graysam._napari.forms.recipe_form import RecipeForm, fields_of
from napari_graysam._napari.forms.wording import tooltip
from napari_graysam._napari.results.outlines import OutlineBox
from napari_graysam.recipe import LabelOptions

if TYPE_CHECKING:
    from magicgui.widgets.bases import Widget

    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam.parameters import Part

ARMS_FIELDS = ("arms", "arms_thresholds")
COMMON = ("min_area", "max_area", "exclude_border", "overlap", "level")


class LabelsSection(Container):
    """Edits ``recipe.labels``; every change shows at once after a run.

    Parameters
    ----------
    state
        Whose recipe is shown and changed.

    Attributes
    ----------
    fields
        Widget of each of the recipe's parameters, by its dotted path.
    """

    title = "Labels"

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self.arms = PartForm(state.recipe, ARMS_FIELDS)
        self.common = RecipeForm(state, "labels", COMMON)
        self.more = RecipeForm(state, "labels", exclude=COMMON)
        self.kept = Label(label=LabelOptions.model_fields["keep"].title, value="")
        self.kept.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.kept.tooltip = tooltip(LabelOptions, "keep")
        self.forget = PushButton(text="Forget kept masks")
        self.forget.tooltip = "<qt>Filters decide about these masks again.</qt>"
        self._keeping = Container(widgets=[self.kept, self.forget], labels=True)
        self._keeping.margins = (0, 0, 0, 0)
        self.pinned = Label(label=LabelOptions.model_fields["pinned"].title, value="")
        self.pinned.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.pinned.tooltip = tooltip(LabelOptions, "pinned")
        self.unpin = PushButton(text="Forget pinned objects")
        self.unpin.tooltip = "<qt>What was added, removed, merged or split by hand is undone.</qt>"
        self._pinning = Container(widgets=[self.pinned, self.unpin], labels=True)
        self._pinning.margins = (0, 0, 0, 0)
        self.fields: dict[str, Widget] = {
            **self.arms.fields,
            **fields_of(self.common, self.more),
            "labels.keep": self.kept,
            "labels.pinned": self.pinned,
        }
        super().__init__(labels=False)
        align_label(self.kept)
        align_label(self.pinned)
        column = self.native.layout()
        column.addWidget(self.arms.native)
        column.addWidget(self.common.native)
        column.addWidget(self._keeping.native)
        column.addWidget(self._pinning.native)
        column.addWidget(more(self.more.native))
        self.arms.part_changed.connect(self._set_arms)
        self.forget.changed.connect(lambda: state.change({"labels.keep": []}))
        self.unpin.changed.connect(lambda: state.change({"labels.pinned": []}))
        state.recipe_changed.connect(self._follow)
        self._follow()
        self.outlines = OutlineBox(state.viewer)
        column.addWidget(self.outlines)

    def shut(self) -> None:
        """Listen to the viewer no more."""
        self.outlines.shut()

    def _set_arms(self, recipe: Part) -> None:
        self._state.change({name: getattr(recipe, name) for name in ARMS_FIELDS})

    def _follow(self) -> None:
        recipe = self._state.recipe
        self.arms.part = recipe
        self.fields["arms_thresholds"].enabled = recipe.both_arms is not None
        labels = recipe.labels
        self.kept.value = str(len(labels.keep))
        self._keeping.native.setVisible(bool(labels.keep))
        self.pinned.value = str(len(labels.pinned))
        self._pinning.native.setVisible(bool(labels.pinned))
        self.fields["labels.suppression_thresh"].enabled = labels.suppression != "box"
