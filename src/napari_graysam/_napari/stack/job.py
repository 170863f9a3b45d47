"""A stack that is being segmented, or has been: what was asked for, and what is there of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import finalize

from napari_graysam._napari.canvas.layers import pixels_of
from napari_graysam._napari.canvas.placement import Placement
from napari_graysam._napari.results.combined import COMBINED, of_arm
from napari_graysam._napari.results.inputs import has_other_limits
from napari_graysam._napari.stack.scope import Scope, StackKey
from napari_graysam.comparison import ARMS
from napari_graysam.errors import ImageError
from napari_graysam.pipeline.kept import KeptPlanes
from napari_graysam.recipe import MODEL_STAGES, Recipe
from napari_graysam.source.stack import Stack
from napari_graysam.stack.volume import LabelVolume

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Layer

    from napari_graysam._napari.canvas.region import LayerRegion
    from napari_graysam._napari.canvas.source import Source
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam._napari.stack.layers import StackLayer
    from napari_graysam.batch.volume import VolumeTables
    from napari_graysam.recipe import StackOptions
    from napari_graysam.results import Arm


@dataclass(eq=False)
class StackJob:
    """One stack of one layer, in one window and region.

    Attributes
    ----------
    key
        Which stack it is.
    scope
        Its axis.
    recipe
        What was last asked for.
    source
        A plane of it, at the start.
    placement
        Where the whole stack lies.
    stack
        Reads the planes.
    pixels
        The layer's, at the start.
    regions
        By position, as they were at the start; None for points everywhere.
    kept
        The results with their candidates.
    folder
        For what memory does not hold; it goes with the job.
    volumes, layers
        What is shown, by arm.
    asked
        By arm, the recipe whose model parameters gave its planes.
    linked
        By arm, what linking gave; an arm whose planes have changed since is not in it.
    lacking
        Why a plane has no result, by position.
    lost
        Planes that keep former thresholds, because their candidates are gone.
    combined
        Object tables of both arms together, by position.
    tuned
        By arm, the recipe that selected the objects of all its planes; of an arm whose update
        was stopped there is none.
    linked_by
        By arm, how it was linked.
    """

    key: StackKey
    scope: Scope
    recipe: Recipe
    source: Source
    placement: Placement
    stack: Stack
    pixels: Any
    regions: dict[int, LayerRegion] | None
    kept: KeptPlanes
    folder: Path
    volumes: dict[Shown, LabelVolume] = field(default_factory=dict)
    layers: dict[Shown, StackLayer] = field(default_factory=dict)
    asked: dict[Shown, Recipe] = field(default_factory=dict)
    linked: dict[Shown, VolumeTables] = field(default_factory=dict)
    lacking: dict[int, str] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    combined: dict[int, pd.DataFrame] = field(default_factory=dict)
    tuned: dict[Shown, Recipe] = field(default_factory=dict)
    linked_by: dict[Shown, StackOptions] = field(default_factory=dict)
    _chosen_anew: bool = False

    @property
    def title(self) -> str:
        """The image's name, with what is fixed along other axes, and the region."""
        name = self.source.layer_name
        parts = self.source.plane.split(", ") if self.source.plane else []
        axis = {"Z": "z", "T": "t"}.get(self.scope.letter, "")
        others = [part.split(" of ")[0] for part in parts if not part.startswith(f"{axis} ")]
        title = " ".join((name, ", ".join(others))).strip()
        return f"{title} in {self.source.region_name}" if self.source.region_name else title

    def is_of(self, layer: Layer, source: Source, recipe: Recipe) -> bool:
        """Whether it still is of this image and window; which planes count, `choose` changes."""
        before, now = self.recipe, recipe
        same = ("axis", "at", "window", "spacing")
        return (
            pixels_of(layer) is self.pixels
            and not has_other_limits(self.source, source, recipe)
            and source.placement.options["scale"].tolist()
            == self.source.placement.options["scale"].tolist()
            and before.image == now.image
            and all(getattr(before.stack, name) == getattr(now.stack, name) for name in same)
        )

    def has_regions(self, regions: dict[int, LayerRegion] | None) -> bool:
        """Whether regions, by position, have the shapes that they had at the start."""
        if self.regions is None or regions is None:
            return self.regions is regions
        both = self.regions.keys() & regions.keys()
        return all(self.regions[one].shapes == regions[one].shapes for one in both)

    def choosing(self, recipe: Recipe) -> Sequence[int]:
        """Return the positions that a recipe chooses; none where it chooses wrongly."""
        try:
            return self.stack.choosing(recipe.stack).positions
        except ImageError:
            return ()

    def choose(self, recipe: Recipe, regions: dict[int, LayerRegion] | None) -> None:
        """Go on with the planes that a recipe chooses; those among them that are there stay.

        Raises
        ------
        ImageError
            There are none.
        """
        stack = self.stack.choosing(recipe.stack)
        if stack.options == self.stack.options:
            return
        left = set(self.stack.positions).difference(stack.positions)
        for position in left:
            self.combined.pop(position, None)
            for volume in self.volumes.values():
                volume.discard(position)
            for arm in ARMS:
                self.kept.discard((position, arm))
        self.lost -= left
        self.linked.clear()
        self.stack, self.regions, self._chosen_anew = stack, regions, True

    def same_model(self, arm: Shown, recipe: Recipe) -> bool:
        """Whether the planes of an arm need no model to be as a recipe asks."""
        asked = self.asked.get(arm)
        if asked is None:
            return False
        return of_arm(arm, asked).changed_stage(of_arm(arm, recipe)) not in MODEL_STAGES

    def to_select(self, recipe: Recipe) -> tuple[Shown, ...]:
        """Return the arms whose planes are of another recipe, and need no model for this one."""
        return tuple(arm for arm in self.volumes if self._selects_anew(arm, recipe))

    def _selects_anew(self, arm: Shown, recipe: Recipe) -> bool:
        if not self.same_model(arm, recipe):
            return False
        tuned = self.tuned.get(arm)
        return tuned is None or of_arm(arm, tuned).changed_stage(of_arm(arm, recipe)) is not None

    def to_link(self, recipe: Recipe) -> tuple[Shown, ...]:
        """Return the arms that are not linked as a recipe asks."""
        now = recipe.stack.link, recipe.stack.linking
        return tuple(
            arm
            for arm in self.volumes
            if arm not in self.linked
            or (self.linked_by[arm].link, self.linked_by[arm].linking) != now
        )

    def __post_init__(self) -> None:
        """Let the folder go with the job."""
        finalize(self, rmtree, self.folder, ignore_errors=True)

    def prepare(self, arms: Sequence[Arm], recipe: Recipe) -> dict[int, list[Arm]]:
        """Let go of what is not of a recipe's model, or of all if nothing is missing.

        Where other planes were chosen, what is there stays.

        Returns
        -------
        dict
            Positions that a run segments, with their arms.
        """
        for arm in arms:
            if not self.same_model(arm, recipe):
                self.forget(arm)
        self.lacking.clear()
        missing = self.missing(arms)
        anew, self._chosen_anew = self._chosen_anew, False
        if not missing and not anew:
            for arm in arms:
                self.forget(arm)
            missing = self.missing(arms)
        self.recipe = recipe
        return missing

    def ask(self, arm: Shown, recipe: Recipe) -> None:
        """Note what an arm is asked for; planes that were selected otherwise come later."""
        behind = arm in self.to_select(recipe)
        self.asked.setdefault(arm, recipe)
        self.tuned[arm] = recipe
        if behind:
            del self.tuned[arm]
        self.linked.pop(arm, None)

    def missing(
        self, arms: Sequence[Arm], positions: Sequence[int] | None = None
    ) -> dict[int, list[Arm]]:
        """Return the planes that are not there yet, with their arms; of those chosen if omitted."""
        found = {}
        for position in self.stack.positions if positions is None else positions:
            some = [arm for arm in arms if position not in self.there(arm)]
            if some and position not in self.lacking:
                found[position] = some
        return found

    def there(self, arm: Shown) -> set[int]:
        """Return the positions of an arm's planes that are there."""
        volume = self.volumes.get(arm)
        return set() if volume is None else set(volume.positions) - self.lost

    def forget(self, arm: Shown) -> None:
        """Let go of an arm's planes."""
        for position in self.stack.positions:
            if arm in ARMS:
                self.kept.discard((position, arm))
        for some in (self.volumes, self.linked, self.asked, self.tuned):
            some.pop(arm, None)

    def volume(self, arm: Shown) -> LabelVolume:
        """Return an arm's volume, made if there is none."""
        if arm not in self.volumes:
            # The volume before may still be shown.
            path = self.folder / f"{arm}-{uuid4().hex}.npy"
            self.volumes[arm] = LabelVolume(self.scope.length, self.stack.shape, path)
        return self.volumes[arm]

    def table(self, arm: Shown, position: int) -> pd.DataFrame:
        """Return the object table of a plane; this belongs in a worker thread."""
        return self.combined[position] if arm == COMBINED else self.kept.table((position, arm))

    def provenance(self, arm: Shown) -> dict[str, Any]:
        """Return the model and the versions that made an arm's planes."""
        for position in self.stack.positions:
            key: Any = (position, ARMS[-1] if arm == COMBINED else arm)
            if key in self.kept:
                made = self.kept.result(key).provenance
                return {name: made[name] for name in ("model", "versions") if name in made}
        return {}

    def plane_recipe(self, position: int, recipe: Recipe) -> Recipe:
        """Return the recipe of one plane."""
        return self.stack.plane_recipe(position, recipe)
