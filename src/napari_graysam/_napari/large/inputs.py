"""Whether image and region still are what a whole image was segmented of."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_graysam._napari.canvas.part import levels_of
from napari_graysam._napari.large.job import region_of_job
from napari_graysam._napari.results.inputs import IMAGE_CHANGED, REGION_CHANGED
from napari_graysam._napari.results.settled import SettledCheck
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.region import LayerRegion, Polygons
    from napari_graysam._napari.large.job import WholeJob
    from napari_graysam._napari.panel.state import PanelState


class WholeInputs:
    """Compares the region with what a run had, in a worker thread, whenever it may have changed.

    Parameters
    ----------
    state
        Whose image and region are followed.
    shown
        Returns what is there of the shown image.

    Attributes
    ----------
    changed
        Emitted when something was found out, and where the layer's contrast limits may be others.
    """

    changed = Signal()

    def __init__(self, state: PanelState, shown: Callable[[], WholeJob | None]) -> None:
        self._state, self._shown = state, shown
        self._reasons: dict[Hashable, str] = {}
        emitters = (state.running_changed, state.subject_changed)
        self._settled = SettledCheck(state, emitters, shown, self._check, self._receive)

    @property
    def busy(self) -> bool:
        """Whether a check is running or about to."""
        return self._settled.busy

    def close(self) -> None:
        """Follow nothing more."""
        self._settled.close()

    def reason(self, job: WholeJob) -> str:
        """Say why what is there is not of the image and region as they are; empty if it is."""
        return self._reasons.get(job.key, "")

    def _check(self) -> None:
        job, state = self._shown(), self._state
        if job is None or state.layer is None or state.running or job.inside is None:
            return
        if state.recipe.image.window.kind == "limits":
            self.changed.emit()  # They decide what is asked, and may be others.
        if not same_pixels(levels_of(state.layer), job.pixels):
            self._receive(job, IMAGE_CHANGED)
            return
        try:
            region = region_of_job(state.region, job)
        except GraysamError:  # There is nothing in it by now.
            self._receive(job, REGION_CHANGED)
            return
        self._settled.submit(partial(_compare, job, region))

    def _receive(self, job: WholeJob, reason: str) -> None:
        if self._reasons.get(job.key, "") != reason:
            self._reasons[job.key] = reason
            self.changed.emit()


def same_pixels(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two images have the same arrays as their levels; contents are not read."""
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _compare(
    job: WholeJob, region: LayerRegion | None
) -> Generator[tuple[WholeJob, str] | None, None, None]:
    """Yield why the region is another one than that of the run."""
    yield None
    now: Polygons = ()
    with suppress(GraysamError):
        now = () if region is None else region.polygons()
    yield job, "" if now == job.inside else REGION_CHANGED
