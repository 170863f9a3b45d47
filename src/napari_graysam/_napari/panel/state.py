"""What all sections of the panel share: the recipe, the chosen layers and the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from psygnal import Signal

from napari_graysam._napari.canvas.layers import same_layer
from napari_graysam._napari.canvas.listeners import Listeners
from napari_graysam._napari.canvas.source import read_source, read_subject
from napari_graysam._napari.large.extent import Extent, region_of
from napari_graysam._napari.results.combined import SHOWN
from napari_graysam._napari.results.run import Memory
from napari_graysam.errors import RecipeError
from napari_graysam.recipe import Recipe

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_graysam._napari.canvas.region import LayerRegion
    from napari_graysam._napari.canvas.source import Source
    from napari_graysam._napari.canvas.subject import Subject
    from napari_graysam._napari.large.extent import Kind
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.results import Segmentation
    from napari_graysam.select.selector import Selector

T = TypeVar("T")


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
    before
        The recipe before it was last replaced as a whole.
    recipe_changed
        Emitted with the new recipe and the earliest stage (or None) that the change concerns.
    problem
        Emitted with a message when a change was refused; the recipe stays as it was.
    said
        Emitted with what the user should know and whether it is a warning; an empty text takes
        back what was said.
    layer_changed, region_changed
        Emitted with the chosen image layer, or the Shapes or Labels layer that limits the
        points; None where none is chosen.
    subject_changed
        Emitted when another layer, plane or region is shown, and so other results.
    result_changed
        Emitted with the arm whose shown result is another one now.
    running_changed
        Emitted with whether a run is going on.
    run_asked
        Emitted where a section wants the shown results to be made anew.
    memory
        The features and candidates that runs and prompts share.
    extent
        How much of a large image is segmented.
    """

    recipe_changed = Signal(Recipe, object)
    problem = Signal(str)
    said = Signal(str, bool)
    layer_changed = Signal(object)
    region_changed = Signal(object)
    subject_changed = Signal()
    result_changed = Signal(str)
    running_changed = Signal(bool)
    run_asked = Signal()

    def __init__(self, viewer: Viewer, recipe: Recipe | None = None) -> None:
        self.viewer = viewer
        self.memory = Memory()
        self._recipe = Recipe.preset() if recipe is None else recipe
        self._layer: Layer | None = None
        self._region: Layer | None = None
        self._running = False
        self.before: Recipe | None = None
        self._subject: Subject | None = None
        self._results: dict[Subject | None, dict[Shown, Segmentation]] = {}
        self._selectors: dict[Subject | None, dict[Shown, Selector]] = {}
        self.extent = Extent(viewer)
        self._listeners = Listeners()
        self._listeners.add(self.extent.changed, self._look)
        dims = viewer.dims.events
        for emitter in (dims.point, dims.order, dims.ndisplay, viewer.layers.events.removed):
            self._listeners.add(emitter, self._look)

    def close(self) -> None:
        """Follow the viewer no more."""
        self._listeners.clear()

    @property
    def recipe(self) -> Recipe:
        """The current recipe; assigning another one tells every section."""
        return self._recipe

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        before, self._recipe = self._recipe, recipe
        if recipe != before:
            self._look()
            self.recipe_changed.emit(recipe, before.changed_stage(recipe))

    def replace(self, recipe: Recipe) -> None:
        """Take another recipe as a whole; the one before can be brought back."""
        self.before = self._recipe
        self.recipe = recipe

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
        if not same_layer(layer, self._layer):
            self._layer = layer
            self._look()
            self.layer_changed.emit(layer)

    @property
    def region(self) -> Layer | None:
        """The Shapes or Labels layer that limits the points."""
        return self._region

    @region.setter
    def region(self, layer: Layer | None) -> None:
        if not same_layer(layer, self._region):
            self._region = layer
            self._look()
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
    def subject(self) -> Subject | None:
        """What a run would segment now, to which the results belong; None where nothing can be."""
        return self._subject

    @property
    def kind(self) -> Kind:
        """What a run segments: a plane or stack, or of a large image the view, a region, all."""
        return self.extent.kind(self._layer, self._recipe, self._region)

    @property
    def in_parts(self) -> bool:
        """Whether a run segments a part of a large image."""
        return self.kind in ("view", "region")

    def look_at_part(self) -> None:
        """Mean what is in view now, or what the region covers now, if a part is segmented.

        Raises
        ------
        GraysamError
            There is nothing of the image.
        """
        if self._layer is not None and self.in_parts:
            region = self._region if self.kind == "region" else None
            self.extent.look(self._layer, self._recipe, region)

    def read_source(self) -> Source:
        """Return what results belong to: the plane that is shown, or the part looked at last.

        Raises
        ------
        GraysamError
            If nothing can be segmented.
        """
        layer, region, recipe = self._layer, self._region, self._recipe
        source = read_source(self.viewer, layer, recipe.image)
        assert layer is not None
        if self.in_parts and self.extent.part(layer, recipe, region) is None:
            self.look_at_part()
        part = self.extent.part(layer, recipe, region)
        return self.extent.cut(source, layer, part).within(region)

    def read_region(self, source: Source) -> LayerRegion | None:
        """Return where points are allowed in `read_source`; None where the recipe says it.

        Raises
        ------
        GraysamError
            If the layer is of another type, or the recipe's region is of another level.
        """
        assert self._layer is not None
        return region_of(source, self._layer, self._region, self._recipe)

    def _look(self, *_: object) -> None:
        """Find out what is shown."""
        part = self.extent.part(self._layer, self._recipe, self._region)
        options = self._recipe.image
        subject = read_subject(self.viewer, self._layer, self._region, options, part)
        before, self._subject = self._subject, subject
        if subject == before:
            return
        self.subject_changed.emit()
        for arm in SHOWN:
            self.result_changed.emit(arm)

    @property
    def results(self) -> Mapping[Shown, Segmentation]:
        """The latest result of each arm of what is shown, and of both together."""
        return self.results_of(self._subject)

    def results_of(self, subject: Subject | None) -> Mapping[Shown, Segmentation]:
        """Return the latest result of each arm of a subject."""
        return self._results.get(subject, {})

    @property
    def selectors(self) -> Mapping[Shown, Selector]:
        """What knows the candidates of each shown result; of some, none were kept."""
        return self._selectors.get(self._subject, {})

    def set_result(
        self,
        arm: Shown,
        result: Segmentation | None,
        selector: Selector | None = None,
        subject: Subject | None = None,
    ) -> None:
        """Store a result and what knows its candidates, or forget both.

        Parameters
        ----------
        arm, result, selector
            What was run, and what came out.
        subject
            What it is of; what is shown if omitted.
        """
        subject = self._subject if subject is None else subject
        _put(self._results, subject, arm, result)
        _put(self._selectors, subject, arm, selector)
        if subject == self._subject:
            self.result_changed.emit(arm)


def _put(
    kept: dict[Subject | None, dict[Shown, T]], subject: Subject | None, arm: Shown, new: T | None
) -> None:
    """Keep something for an arm of a subject, or nothing."""
    of_subject = kept.setdefault(subject, {})
    of_subject.pop(arm, None)
    if new is not None:
        of_subject[arm] = new
    if not of_subject:
        del kept[subject]
