"""Whether image and region still are what the results were made of, by content."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_graysam._napari.canvas.region import LayerRegion
from napari_graysam._napari.canvas.source import Source
from napari_graysam._napari.results.identity import Identity
from napari_graysam._napari.results.settled import SettledCheck
from napari_graysam.errors import GraysamError, ImageError

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.subject import Subject
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.recipe import Recipe
    from napari_graysam.results import LiveSegmentation

IMAGE_CHANGED = "The image has changed: run again."
REGION_CHANGED = "The region has changed: run again."


@dataclass(frozen=True, eq=False)
class Run:
    """A run: what was asked for, of which image, and what it gave."""

    asked: Recipe
    source: Source
    live: LiveSegmentation

    @property
    def subject(self) -> Subject:
        """What its result belongs to."""
        return self.source.subject


class InputsWatcher:
    """Reads image and region again, in a worker thread, whenever they may have changed.

    Parameters
    ----------
    state
        Whose image, plane and region are followed.

    Attributes
    ----------
    reasons
        By arm, why its result is not of the current image or region.
    changed
        Emitted when `reasons` were found anew.
    """

    changed = Signal()

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self._runs: dict[Shown, Run] = {}
        self.reasons: dict[Shown, str] = {}
        dims = state.viewer.dims.events
        emitters = (state.running_changed, dims.point, dims.order, dims.ndisplay)
        self._settled = SettledCheck(
            state, emitters, lambda: self._runs, self._check, self._receive
        )

    def watch(self, runs: Mapping[Shown, Run]) -> None:
        """Watch the inputs of these runs and of no others; what is known of a run stays."""
        known = self._runs
        self._runs = dict(runs)
        for arm in tuple(self.reasons):
            if self._runs.get(arm) is not known.get(arm):
                del self.reasons[arm]
        self._settled.soon()

    @property
    def busy(self) -> bool:
        """Whether a check is running or about to."""
        return self._settled.busy

    def close(self) -> None:
        """Follow nothing more."""
        self._settled.close()

    def _check(self) -> None:
        state = self._state
        try:
            source = state.read_source()
            region = state.read_region(source)
        except GraysamError:
            self._receive({}, {})  # Nothing can be run, so nothing is outdated.
            return
        if any(run.subject != source.subject for run in self._runs.values()):
            return  # What is shown has just changed, and other runs will be watched.
        wanted: dict[Source, tuple[Source, Recipe]] = {}
        reasons: dict[Shown, str] = {}
        for arm, run in self._runs.items():
            if has_other_limits(run.source, source, state.recipe):
                name = f"Contrast limits of “{source.layer_name}”"
                reasons[arm] = f"Changed since: {name}. Run again, from the image encoder on."
            else:
                same = ("options", "contrast_limits", "alone", "whole")
                now = replace(source, **{name: getattr(run.source, name) for name in same})
                wanted[run.source] = now, run.asked.replace(image=now.options)
        self._settled.submit(partial(_identify, wanted, region, reasons))

    def _receive(self, found: Mapping[Source, Identity], reasons: dict[Shown, str]) -> None:
        for arm, run in self._runs.items():
            if run.source not in found:
                continue
            (image, region), before = found[run.source], run.live.result.fingerprint.inputs
            if image != before.image:
                reasons[arm] = IMAGE_CHANGED
            elif region != before.region:
                reasons[arm] = REGION_CHANGED
        self.reasons.clear()
        self.reasons.update({arm: reasons[arm] for arm in self._runs if arm in reasons})
        self.changed.emit()


def has_other_limits(before: Source, now: Source, recipe: Recipe) -> bool:
    """Whether the layer's contrast limits count for a recipe and have changed."""
    return recipe.image.window.kind == "limits" and before.contrast_limits != now.contrast_limits


def _identify(
    wanted: Mapping[Source, tuple[Source, Recipe]],
    region: LayerRegion | None,
    reasons: dict[Shown, str],
) -> Generator[Any, None, None]:
    """Yield the digests of image and region as they are now, by the source of the run."""
    from napari_graysam.fingerprint import array_digest, image_digest
    from napari_graysam.pipeline.stages import find_region

    found: dict[Source, Identity] = {}
    for before, (now, recipe) in wanted.items():
        yield None
        with suppress(ImageError):
            gray = now.gray()
            image = image_digest(gray)
            found[before] = image, "none"  # Unless the region holds a pixel.
            mask = None if region is None else region.mask()
            inside = find_region(recipe, gray.pixels.shape, mask)
            found[before] = image, "" if inside is None else array_digest(inside)
    yield found, reasons
