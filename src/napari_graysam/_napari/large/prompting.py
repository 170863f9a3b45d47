"""Objects by hand in a whole image: where the model looks, and pins in the image's own pixels."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.finding import visible_part
from napari_graysam._napari.canvas.part import Part, levels_of, plane_shape
from napari_graysam._napari.canvas.source import read_source
from napari_graysam._napari.large.inputs import same_pixels
from napari_graysam._napari.prompt.compute import Regrouped, Removed
from napari_graysam._napari.results.combined import SHOWN
from napari_graysam._napari.results.inputs import IMAGE_CHANGED
from napari_graysam.errors import UsageError

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.source import Source
    from napari_graysam._napari.large.job import WholeJob
    from napari_graysam._napari.large.jobs import WholeJobs
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.prompt.pins import Steps
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.prompt import Answer
    from napari_graysam.recipe import LabelOptions
    from napari_graysam.tiles.kept import KeptObjects

FIRST = "Segment the whole image first: then objects can be added to it, corrected and removed."
OTHER_LEVEL = (
    "The image was segmented at level {}, and this object was found at level {}: set tiles.level "
    "back, or segment the image again."
)
SAME = ("part", "layer_id", "plane", "options", "contrast_limits", "index", "whole")
"""What of two sources is equal where the model sees the same."""
STEP = 4
"""Squares that the model looks at lie at multiples of this part of their side."""


class WholePrompts:
    """Prompts in what is in view of a whole image, or in a square around them.

    Parameters
    ----------
    state
        The panel's.
    jobs
        What is there.
    """

    def __init__(self, state: PanelState, jobs: WholeJobs) -> None:
        self._state, self._jobs = state, jobs
        self._source: Source | None = None
        self._pixels: Any = None

    @property
    def wanted(self) -> bool:
        """Whether a whole image is chosen."""
        return self._state.kind == "whole"

    def source(self, position: Sequence[float]) -> Source:
        """Return the part of the image that is asked for a place in the world.

        What is in view, or a square of a tile's size around the place where that is much less.

        Raises
        ------
        GraysamError
            Nothing of the image is in view.
        """
        state, layer = self._state, self._state.layer
        whole = read_source(state.viewer, layer, state.recipe.image)
        assert layer is not None
        level, axes = state.recipe.tiles.level, whole.placement.axes
        part = visible_part(state.viewer, layer, axes, level)
        shape, side = plane_shape(layer, axes, level), state.recipe.tiles.size
        pixel = whole.placement.at_level(shape).pixel_at(position, state.viewer.layers.units)
        if max(part.shape) > 2 * side and pixel is not None:
            part = _around(pixel, side, shape, level)
        fresh, known = state.extent.cut(whole, layer, part), self._source
        pixels = levels_of(layer)[level]
        if (
            known is None
            or self._pixels is not pixels
            or any(getattr(known, name) != getattr(fresh, name) for name in SAME)
        ):
            self._source, self._pixels = fresh, pixels
            return fresh
        return known

    def in_image(self, answer: Answer, source: Source) -> Answer:
        """Return an answer in pixels of the whole image, to which its pin belongs.

        Raises
        ------
        UsageError
            The image was not segmented yet, and so is not known, or is another one by now.
        """
        job, layer = self._jobs.shown, self._state.layer
        assert source.part is not None
        if job is None or not job.digest or layer is None:
            raise UsageError(FIRST)
        level = job.recipe.tiles.level
        if source.part.level != level:
            raise UsageError(OTHER_LEVEL.format(level, source.part.level))
        if not same_pixels(levels_of(layer), job.pixels):
            raise UsageError(IMAGE_CHANGED)
        x0, y0, _, _ = source.part.box
        return answer.within((x0, y0), job.digest, job.placement.plane_shape)

    def removing(self, position: Sequence[float], first: str) -> Steps | str:
        """Return what finds the pin that removes the object at a place, or why there is none.

        Parameters
        ----------
        position
            In the world.
        first
            The arm whose result counts if it has one.
        """
        return self._at(position, first, _removal)

    def returning(self, position: Sequence[float], first: str) -> Steps | str:
        """Return what finds the pins that take back the merge or split of an object.

        Parameters
        ----------
        position, first
            As for `removing`.
        """
        return self._at(position, first, _return)

    def _at(self, position: Sequence[float], first: str, ask: Callable[..., Any]) -> Steps | str:
        job = self._jobs.shown
        if job is None or not job.digest:
            return FIRST
        if self._state.running:
            return "A run is going on: correct objects when it has ended."
        pixel = job.placement.pixel_at(position, self._state.viewer.layers.units)
        arms = sorted((arm for arm in SHOWN if arm in job.done), key=lambda arm: arm != first)
        if pixel is None or not arms:
            return "There is no result under the mouse."
        return partial(ask, job, arms[0], pixel, self._state.recipe.labels)


def _around(pixel: tuple[int, int], side: int, shape: tuple[int, int], level: int) -> Part:
    """Return a square around a pixel, at one of few places, so that clicks nearby share it."""
    spans = []
    for at, length in zip(pixel, shape[::-1], strict=True):
        step = max(1, side // STEP)
        first = round((at - side / 2) / step) * step
        first = max(0, min(first, length - side))
        spans.append((first, min(length, first + side)))
    (x0, x1), (y0, y1) = spans
    return Part(level, (x0, y0, x1, y1))


def _object_at(job: WholeJob, arm: Shown, pixel: tuple[int, int]) -> tuple[KeptObjects, int]:
    """Return what is kept of an arm's objects, and the label at a pixel (x, y), 0 for none."""
    from napari_graysam.outputs.zarr import labels_place
    from napari_graysam.source.pyramid import open_pyramid
    from napari_graysam.tiles.kept import KeptObjects

    stem, (x, y) = job.stem(arm), pixel
    label = int(open_pyramid(labels_place("zarr", job.folder, stem, {})).levels[0][y, x])
    return KeptObjects.of(job.folder / f"{stem}.tiles"), label


def _removal(
    job: WholeJob, arm: Shown, pixel: tuple[int, int], labels: LabelOptions
) -> Generator[Removed | None, None, None]:
    from napari_graysam.prompt import removal

    yield None
    objects, label = _object_at(job, arm, pixel)
    if not label:
        yield Removed(None)
        return
    (mask,) = objects.masks([label])
    gone = removal(mask, job.digest, job.placement.plane_shape)
    own = (pin for pin in labels.pinned if pin.kind == "add" and pin.image == gone.image)
    yield Removed(next((pin for pin in own if pin.mask == gone.mask), gone))


def _return(
    job: WholeJob, arm: Shown, pixel: tuple[int, int], labels: LabelOptions
) -> Generator[Regrouped | None, None, None]:
    from napari_graysam.prompt import taking_back
    from napari_graysam.select.pins import pins_holding

    yield None
    objects, label = _object_at(job, arm, pixel)
    if not label:
        yield Regrouped()
        return
    shape = job.placement.plane_shape
    found = {taking_back(one, job.digest, shape): one.kind for one in objects.regroupings(label)}
    new = tuple(pin for pin in found if pin not in labels.pinned)
    if new:
        yield Regrouped(new, (), found[new[0]])
        return
    (mask,) = objects.masks([label])
    # Pins that are not painted yet hold what is still merged.
    held = dict.fromkeys([*found, *pins_holding(mask, labels, shape, job.digest)])
    kind = "merged" if any(pin.kind == "apart" for pin in held) else "split"
    yield Regrouped((), tuple(held), kind if held else "")
