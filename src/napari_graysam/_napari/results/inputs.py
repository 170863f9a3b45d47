"""Whether image and region still are what the results were made of, by content."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_graysam._napari.canvas.listeners import Listeners
from napari_graysam._napari.canvas.placement import TRANSFORM
from napari_graysam._napari.canvas.region import LayerRegion
from napari_graysam._napari.canvas.source import Source
from napari_graysam._napari.results.identity import Identity
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.errors import GraysamError, ImageError

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.subject import Subject
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.recipe import Recipe
    from napari_graysam.results import LiveSegmentation

SETTLED = 250
"""Milliseconds without a change after which the pixels are read again."""
IMAGE_CHANGED = "The image has changed: run again."
REGION_CHANGED = "The region has changed: run again."
_MOVES = (*(name for name in TRANSFORM if name not in ("units", "axis_labels")), "data")


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
        self._worker = LatestRequest(lambda found: self._receive(*found))
        self._timer = QTimer(singleShot=True, interval=SETTLED)
        self._timer.timeout.connect(self._check)
        self._listeners, self._layers = Listeners(), Listeners()
        dims = state.viewer.dims.events
        for emitter in (state.running_changed, dims.point, dims.order, dims.ndisplay):
            self._listeners.add(emitter, self.check_soon)
        for emitter in (state.layer_changed, state.region_changed):
            self._listeners.add(emitter, self._follow_layers)
        self._follow_layers()

    def watch(self, runs: Mapping[Shown, Run]) -> None:
        """Watch the inputs of these runs and of no others; what is known of a run stays."""
        known = self._runs
        self._runs = dict(runs)
        for arm in tuple(self.reasons):
            if self._runs.get(arm) is not known.get(arm):
                del self.reasons[arm]
        self.check_soon()

    @property
    def busy(self) -> bool:
        """Whether a check is running or about to."""
        return self._timer.isActive() or self._worker.busy

    def close(self) -> None:
        """Follow nothing more."""
        self._listeners.clear()
        self._layers.clear()
        with suppress(RuntimeError):  # Qt may have deleted the timer at the program's end.
            self._timer.stop()
        self._worker.cancel()

    def check_soon(self, *_: object) -> None:
        """Check when nothing has changed for a moment."""
        if self._runs:
            self._timer.start()

    def _follow_layers(self, *_: object) -> None:
        follow_layers(self._layers, self._state, self.check_soon)
        self.check_soon()

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
        self._worker.submit(partial(_identify, wanted, region, reasons))

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


def follow_layers(listeners: Listeners, state: PanelState, slot: Callable[..., Any]) -> None:
    """Call a slot whenever the chosen image or region is moved or edited, and for no other."""
    listeners.clear()
    image, region = state.layer, state.region
    watched = [
        (image, "data"),
        (image, "contrast_limits"),
        *((region, name) for name in _MOVES),
    ]
    # Of strokes, undo and redo, a Labels layer tells by these alone.
    watched += [(region, name) for name in ("paint", "set_data") if hasattr(region, "paint")]
    for layer, name in watched:
        if layer is not None:
            listeners.add(getattr(layer.events, name), slot)


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
