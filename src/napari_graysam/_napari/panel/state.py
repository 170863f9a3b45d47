"""What all sections of the panel share: the recipe, the chosen layers and the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_graysam._napari.results.run import Memory
from napari_graysam.errors import RecipeError
from napari_graysam.recipe import Recipe

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_graysam.results import Arm, Segmentation
    from napari_graysam.select.selector import Selector


class PanelState:
    """The panel's one truth; sections change it through methods and listen to its signals.

    Parameters
    ----------
    viewer
        The viewer that the panel is docked in.
    recipe
        The recipe to start from; the default one if omitted.

    Attributes
    ----------
    recipe_changed
        Emitted with the new recipe and the earliest stage (or None) that the change concerns.
    problem
        Emitted with a message when a change was refused; the recipe stays as it was.
    layer_changed, region_changed
        Emitted with the chosen image layer, or the Shapes or Labels layer that limits the
        points; None where none is chosen.
    result_changed
        Emitted with the arm whose result is new, or was removed.
    running_changed
        Emitted with whether a run is going on.
    memory
        The features and candidates that runs and prompts share.
    """

    recipe_changed = Signal(Recipe, object)
    problem = Signal(str)
    layer_changed = Signal(object)
    region_changed = Signal(object)
    result_changed = Signal(str)
    running_changed = Signal(bool)

    def __init__(self, viewer: Viewer, recipe: Recipe | None = None) -> None:
        self.viewer = viewer
        self.memory = Memory()
        self._recipe = Recipe.preset() if recipe is None else recipe
        self._layer: Layer | None = None
        self._region: Layer | None = None
        self._running = False
        self._results: dict[Arm, Segmentation] = {}
        self._selectors: dict[Arm, Selector] = {}

    @property
    def recipe(self) -> Recipe:
        """The current recipe; assigning another one tells every section."""
        return self._recipe

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        before, self._recipe = self._recipe, recipe
        if recipe != before:
            self.recipe_changed.emit(recipe, before.changed_stage(recipe))

    def change(self, values: Mapping[str, Any]) -> bool:
        """Change parameters by their dotted paths; say in `problem` why they are refused.

        Returns
        -------
        bool
            Whether the recipe is now as asked.
        """
        try:
            self.recipe = self._recipe.with_values(values)
        except RecipeError as error:
            self.problem.emit(str(error))
            return False
        return True

    @property
    def layer(self) -> Layer | None:
        """The image layer to segment."""
        return self._layer

    @layer.setter
    def layer(self, layer: Layer | None) -> None:
        if layer is not self._layer:
            self._layer = layer
            self.layer_changed.emit(layer)

    @property
    def region(self) -> Layer | None:
        """The Shapes or Labels layer that limits the points."""
        return self._region

    @region.setter
    def region(self, layer: Layer | None) -> None:
        if layer is not self._region:
            self._region = layer
            self.region_changed.emit(layer)

    @property
    def running(self) -> bool:
        """Whether a run is going on."""
        return self._running

    @running.setter
    def running(self, running: bool) -> None:
        if running != self._running:
            self._running = running
            self.running_changed.emit(running)

    @property
    def results(self) -> Mapping[Arm, Segmentation]:
        """The latest result of each arm."""
        return self._results

    @property
    def selectors(self) -> Mapping[Arm, Selector]:
        """What knows the candidates of each arm's result; of some, none were kept."""
        return self._selectors

    def set_result(
        self, arm: Arm, result: Segmentation | None, selector: Selector | None = None
    ) -> None:
        """Store an arm's result and what knows its candidates, or forget both."""
        self._results.pop(arm, None)
        self._selectors.pop(arm, None)
        if result is not None:
            self._results[arm] = result
        if selector is not None:
            self._selectors[arm] = selector
        self.result_changed.emit(arm)
