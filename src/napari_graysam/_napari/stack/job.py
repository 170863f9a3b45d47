"""A stack that is being segmented, or has been: what was asked for, and what is there of it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from napari_graysam._napari.canvas.layers import pixels_of
from napari_graysam._napari.canvas.placement import Placement
from napari_graysam._napari.canvas.region import read_region
from napari_graysam._napari.results.combined import COMBINED, of_arm
from napari_graysam._napari.stack.scope import Scope, StackKey, key_of
from napari_graysam._napari.stack.units import plane_spacing
from napari_graysam.comparison import ARMS
from napari_graysam.errors import UsageError
from napari_graysam.pipeline.kept import KeptPlanes
from napari_graysam.recipe import MODEL_STAGES, Recipe
from napari_graysam.source.stack import Stack
from napari_graysam.stack.volume import LabelVolume
from napari_graysam.units import in_micrometres

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Layer

    from napari_graysam._napari.canvas.source import Source
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam._napari.stack.layers import StackLayer
    from napari_graysam.batch.volume import VolumeTables
    from napari_graysam.pipeline.planes import Region
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
    stack
        Reads the planes.
    pixels
        The layer's, at the start.
    regions
        By position; None for points everywhere.
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
    stack: Stack
    pixels: Any
    regions: dict[int, Region] | None
    kept: KeptPlanes
    folder: tempfile.TemporaryDirectory[str]
    volumes: dict[Shown, LabelVolume] = field(default_factory=dict)
    layers: dict[Shown, StackLayer] = field(default_factory=dict)
    asked: dict[Shown, Recipe] = field(default_factory=dict)
    linked: dict[Shown, VolumeTables] = field(default_factory=dict)
    lacking: dict[int, str] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    combined: dict[int, pd.DataFrame] = field(default_factory=dict)
    tuned: dict[Shown, Recipe] = field(default_factory=dict)
    linked_by: dict[Shown, StackOptions] = field(default_factory=dict)

    @property
    def placement(self) -> Placement:
        """Where the whole stack lies."""
        return whole_placement(self.source, self.scope)

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
        """Whether it still is of this image, window and choice of planes."""
        before, now = self.recipe, recipe
        same = ("axis", "at", "window", "spacing", "step", "first", "last")
        return (
            pixels_of(layer) is self.pixels
            and source.contrast_limits == self.source.contrast_limits
            and source.placement.options["scale"].tolist()
            == self.source.placement.options["scale"].tolist()
            and before.image == now.image
            and all(getattr(before.stack, name) == getattr(now.stack, name) for name in same)
        )

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

    def missing(self, arms: Sequence[Arm]) -> dict[int, list[Arm]]:
        """Return the planes that are not there yet, with their arms."""
        found = {}
        for position in self.stack.positions:
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
            path = Path(self.folder.name) / f"{arm}-{uuid4().hex}.npy"
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


def whole_placement(source: Source, scope: Scope) -> Placement:
    """Return where a whole stack lies, from where one of its planes does."""
    shape = list(source.placement.shape)
    offset = [0] * len(shape)
    shape[scope.along], offset[scope.along] = scope.length, -source.index[scope.along]
    return source.placement.moved(offset, shape)


def open_stack(
    layer: Layer, source: Source, scope: Scope, recipe: Recipe, region: Layer | None
) -> StackJob:
    """Return a stack with nothing in it yet; nothing is read.

    Parameters
    ----------
    layer
        The image.
    source
        The plane that is shown.
    scope
        The axis.
    recipe
        As the user set it.
    region
        The layer that limits the points.

    Raises
    ------
    GraysamError
        If the recipe chooses a plane, or none.
    """
    if recipe.image.plane is not None:
        raise UsageError(
            f"The recipe chooses plane {recipe.image.plane} (Image ▸ Plane): choose “the one "
            "shown” there to segment all planes."
        )
    letters = source.options.axes or ""
    wanted = scope.axis.upper()
    if wanted not in letters:
        letters = letters.replace(scope.letter, wanted)
    size = in_micrometres(*source.placement.pixel_size)
    options = recipe.stack.replace(
        axis=scope.axis,
        at=_elsewhere(source, scope),
        spacing=recipe.stack.spacing or plane_spacing(source.placement, scope.along, scope.axis),
    )
    image = source.options.replace(axes=letters, plane=None)
    stack = Stack(
        source.array,
        recipe.replace(image=image, stack=options),
        contrast_limits=source.contrast_limits,
        pixel_size=size,
    )
    folder = tempfile.TemporaryDirectory(prefix="graysam-stack-", ignore_cleanup_errors=True)
    whole = whole_placement(source, scope)
    return StackJob(
        key=key_of(source, scope.along),
        scope=scope,
        recipe=recipe,
        source=source,
        stack=stack,
        pixels=pixels_of(layer),
        regions=_regions(region, source, scope, stack, whole),
        kept=KeptPlanes(stack.plane, Path(folder.name)),
        folder=folder,
    )


def _elsewhere(source: Source, scope: Scope) -> int | None:
    """Return the position along the other one of z and t; None where there is none."""
    other = {"Z": "T", "T": "Z"}[scope.letter]
    if other not in source.letters:
        return None
    along = source.letters.index(other)
    layout = dict(zip(source.options.axes or "", source.array.shape, strict=False))
    return source.index[along] if layout.get(other, 1) > 1 else None


def _regions(
    region: Layer | None, source: Source, scope: Scope, stack: Stack, whole: Placement
) -> dict[int, Region] | None:
    if region is None:
        return None
    found: dict[int, Region] = {}
    shape = source.placement.shape
    for position in stack.positions:
        offset = [position if axis == scope.along else 0 for axis in range(len(shape))]
        here = replace(source, placement=whole.moved(offset, shape))
        area = read_region(region, here)
        assert area is not None
        found[position] = area.mask
    return found
