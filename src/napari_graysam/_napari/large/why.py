"""Why a place of a whole image is unmasked: by the candidates that its tile kept."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_graysam._napari.inspect.answers import Answer
from napari_graysam._napari.inspect.floors_note import floors_of
from napari_graysam._napari.results.combined import SHOWN
from napari_graysam.errors import ImageError, UsageError

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam._napari.inspect.asked import Ask
    from napari_graysam._napari.large.job import WholeJob
    from napari_graysam._napari.large.jobs import WholeJobs
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.batch.tile_candidates import FinishedImage
    from napari_graysam.batch.tile_explain import TileAnswer
    from napari_graysam.recipe import AddedObject, Recipe
    from napari_graysam.select.explanation import Explanation
    from napari_graysam.tiles.grid import Tile

RUNNING = "A run is going on: ask again when it has ended."
NOT_DONE = "This arm is not finished yet: let it run to its end, then click."
NO_CANDIDATES = (
    "Tile {} kept no candidates, and without them only the model could tell: they were removed "
    "from {}, or the size of that cache did not suffice. Segment “this region” around the place, "
    "which keeps them; or the whole image with graysam segment and a larger --cache-size."
)

CUT_OFF = (
    "This mask ends at the edge of what tile {} sees, where the object may go on: ask for it with "
    "“Add or correct” instead, with the object in the middle of the view."
)


class WholeResults:
    """The finished results of whole images, whose tiles can be asked.

    Parameters
    ----------
    state
        The panel's.
    jobs
        What is there.
    """

    def __init__(self, state: PanelState, jobs: WholeJobs) -> None:
        self._state, self._jobs = state, jobs
        self._known: tuple[WholeJob, str, Recipe, FinishedImage] | None = None
        self._tile: Any = None

    def arms(self) -> list[Shown]:
        """Return the arms that are finished."""
        job = self._jobs.shown
        return [] if job is None else [arm for arm in SHOWN if arm in job.done]

    def placement(self, arm: Shown) -> Placement | None:
        """Return where the result of an arm lies."""
        job = self._jobs.shown
        return None if job is None or arm not in job.done else job.placement

    def ask(self, arm: Shown, pixel: tuple[int, int]) -> Ask | str:
        """Return what answers for a pixel, or why nothing can."""
        job = self._jobs.shown
        if self._state.running:
            return RUNNING
        if job is None or arm not in job.done:
            return NOT_DONE
        return partial(self._explain, job, arm, job.done[arm], pixel)

    def _explain(
        self, job: WholeJob, arm: Shown, recipe: Recipe, pixel: tuple[int, int]
    ) -> Generator[Answer | str | None, None, None]:
        """Answer in a worker thread; what was read of the image and the tile is kept."""
        from napari_graysam.batch.tile_candidates import open_finished
        from napari_graysam.batch.tile_explain import explain_pixel, tile_at
        from napari_graysam.outputs.zarr import labels_place
        from napari_graysam.source.pyramid import open_pyramid

        stem = job.stem(arm)
        path = str(job.folder / stem)
        if self._known is None or self._known[:3] != (job, path, recipe):
            yield "Reading what the run knew of the image…"
            self._known = self._tile = None
            image = yield from _quietly(open_finished(job.pyramid, job.folder, stem))
            self._known = job, path, recipe, image
        image = self._known[3]
        yield "Reading the candidates of the tile…"
        labels = open_pyramid(labels_place("zarr", job.folder, stem, {})).levels[0]
        answer = yield from _quietly(explain_pixel(image, labels, pixel, self._tile))
        tile = tile_at(image, pixel)
        if answer is None:
            raise ImageError(NO_CANDIDATES.format(tile.name, f"{path}.tiles/candidates"))
        self._tile = answer.found
        rows, columns = tile.window
        yield Answer(
            answer.found.live.selector,
            pixel,
            answer.explanations,
            job.placement.part((columns.start, rows.start, columns.stop, rows.stop)),
            answer.later,
            _notes(answer, tile.name),
            partial(_pin, tile, job),
        )


def _pin(tile: Tile, job: WholeJob, candidate: Explanation) -> AddedObject:
    """Return the entry of ``labels.pinned`` that makes a tile's candidate an object.

    Raises
    ------
    UsageError
        It goes on where the tile does not see it.
    """
    from napari_graysam.prompt import Answer as Drawn
    from napari_graysam.recipe import Prompt
    from napari_graysam.tiles.pieces import BORDER, cut_edges

    (top, left), size = tile.origin, job.placement.plane_shape
    drawn = Drawn(Prompt(positive=(candidate.point,)), (candidate.mask,), job.digest, size)
    drawn = drawn.within((left, top), job.digest, size)
    if cut_edges(drawn.masks[0], tile, size) & ~BORDER:
        raise UsageError(CUT_OFF.format(tile.name))
    return drawn.pin()


def _quietly(steps: Generator[Any, None, Any]) -> Generator[None, None, Any]:
    """Let a computation be stopped at each of its steps, and return its result."""
    try:
        while True:
            next(steps)
            yield None
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


def _notes(answer: TileAnswer, tile: str) -> tuple[str, ...]:
    notes = [f"These are the candidates of tile {tile}."]
    least = floors_of(answer.found.live.selector)
    if any(least):
        notes.append(
            f"Those below predicted IoU {least.predicted_iou:.2f} or stability "
            f"{least.stability:.2f} were not kept."
        )
    return (*notes, *answer.notes)
