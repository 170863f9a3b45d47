"""Segmenting, re-tuning and linking a stack, for a worker thread: nothing of the viewer goes in."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from napari_graysam._napari.results.clock import Clock
from napari_graysam._napari.results.combined import COMBINED, of_arm
from napari_graysam._napari.results.run import Memory, score_floors
from napari_graysam._napari.threads import heavy_imports
from napari_graysam._napari.threads.collection import full_collections_put_off
from napari_graysam.comparison import ARMS
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam._napari.stack.job import StackJob
    from napari_graysam.batch.volume import VolumeTables
    from napari_graysam.recipe import Recipe
    from napari_graysam.results import Arm, LiveSegmentation


class StackProgress(NamedTuple):
    """How many planes are there of all that are wanted, and what is done with the next one.

    ``arm`` is empty where it is done for all of them; ``left`` is the number of seconds that they
    will all still take, None while unknown.
    """

    done: int
    total: int
    stage: str
    left: float | None = None
    arm: str = ""


class PlaneShown(NamedTuple):
    """A plane of an arm is in the volume."""

    position: int
    arm: Shown


class PlaneLost(NamedTuple):
    """A plane has no result, or keeps its former one, and why."""

    position: int
    why: str


class Linked(NamedTuple):
    """The numbers in an arm's volume are those of linked objects."""

    arm: Shown
    recipe: Recipe
    tables: VolumeTables


StackEvent = StackProgress | PlaneShown | PlaneLost | Linked


def segment_stack(
    job: StackJob, recipe: Recipe, wanted: Mapping[int, Sequence[Arm]], memory: Memory
) -> Generator[StackEvent | None, None, None]:
    """Segment planes in an order, put each into its volume, and link what is there.

    Closing the generator keeps the planes that are there.
    """
    with full_collections_put_off():
        yield from _segment(job, recipe, wanted, memory)
    yield from link_stack(job, recipe, tuple(job.volumes))


def _segment(
    job: StackJob, recipe: Recipe, wanted: Mapping[int, Sequence[Arm]], memory: Memory
) -> Generator[StackEvent | None, None, None]:
    from napari_graysam.pipeline.planes import PlaneDone, PlaneLacking, plane_steps
    from napari_graysam.recipe import for_image

    total, done = len(wanted), 0
    yield StackProgress(0, total, "load")
    heavy_imports.load()
    job.stack.statistics()
    sized = for_image(recipe, job.stack.shape)
    arms = sum(map(len, wanted.values()))
    clock = Clock(sized, arms, memory.pace)
    size, unit = job.source.placement.pixel_size

    def prepare(gray: object) -> None:
        record = gray.record  # type: ignore[attr-defined]
        record["pixel_unit"], record["pixel_size"] = unit, None if size is None else list(size)

    def known(position: int, arm: Arm) -> LiveSegmentation | None:
        return job.kept.get((position, arm)) if (position, arm) in job.kept else None

    regions = None
    if job.regions is not None:
        regions = {position: region.mask for position, region in job.regions.items()}
    steps = plane_steps(
        job.stack, recipe, wanted, regions=regions, score_floors=score_floors(sized),
        prepare=prepare, known=known,
    )  # fmt: skip
    open_arms = {position: len(some) for position, some in wanted.items()}
    for event in steps:
        if isinstance(event, PlaneDone):
            put(job, event.position, event.arm, event.live)
            yield PlaneShown(event.position, event.arm)
            if event.arm in ARMS:
                clock.arm_done()
                memory.pace = clock.pace
                open_arms[event.position] -= 1
                done += open_arms[event.position] == 0
        elif isinstance(event, PlaneLacking):
            yield PlaneLost(event.position, event.why)
            for _ in wanted[event.position]:
                clock.arm_done()
            total -= 1
        else:
            left = clock.left(*event.step)
            yield StackProgress(done, total, event.step.stage, left, event.arm)


def put(job: StackJob, position: int, arm: Shown, live: LiveSegmentation) -> None:
    """Keep a plane's result and write it into the volume."""
    if arm != COMBINED:
        job.kept.put((position, arm), live)
    job.volumes[arm].put(position, live.result.labels)
    job.lost.discard(position)
    if arm == COMBINED:
        job.combined[position] = live.result.table


def retune_stack(
    job: StackJob,
    recipe: Recipe,
    order: Sequence[int],
    select: Sequence[Shown],
    link: Sequence[Shown],
) -> Generator[StackEvent | None, None, None]:
    """Select the objects of planes again, in an order, without the model, and link them.

    Parameters
    ----------
    job
        The stack.
    recipe
        Needs no model.
    order
        Positions; the planes that are there count.
    select, link
        Arms to select again, and those to link.
    """
    arms = [arm for arm in ARMS if arm in select]
    for number, position in enumerate(order):
        for arm in arms:
            if (position, arm) not in job.kept:
                continue
            yield StackProgress(number, len(order), "update")
            try:
                result = job.kept.retune((position, arm), of_arm(arm, recipe))
            except GraysamError as error:
                yield PlaneLost(position, str(error))
                continue
            job.volumes[arm].put(position, result.labels)
            yield PlaneShown(position, arm)
        if COMBINED in select and recipe.both_arms is not None:
            yield from _combine(job, recipe, position)
    yield from link_stack(job, recipe, link)


def _combine(
    job: StackJob, recipe: Recipe, position: int
) -> Generator[StackEvent | None, None, None]:
    from napari_graysam import pipeline

    if not all((position, arm) in job.kept for arm in ARMS):
        return
    try:
        raw, other = (job.kept.get((position, arm)) for arm in ARMS)
        live = pipeline.combine(raw, other, job.plane_recipe(position, recipe))
    except GraysamError as error:
        yield PlaneLost(position, str(error))
        return
    put(job, position, COMBINED, live)
    yield PlaneShown(position, COMBINED)


def link_stack(
    job: StackJob, recipe: Recipe, arms: Sequence[Shown]
) -> Generator[StackEvent | None, None, None]:
    """Link the planes that are there, arm by arm, and measure the objects."""
    from napari_graysam.batch.volume import link_volume_steps

    for arm in arms:
        volume = job.volumes[arm]
        options = recipe.stack.replace(axis=job.scope.axis)
        asked = recipe.preprocessed_arm() if arm == COMBINED else of_arm(arm, recipe)
        steps = link_volume_steps(
            volume, job.stack, asked.replace(stack=options), partial(job.table, arm)
        )
        tables = None
        while tables is None:
            try:
                step = next(steps)
            except StopIteration as stop:
                tables = stop.value
            else:
                yield StackProgress(step.done, step.total, step.stage)
        yield Linked(arm, recipe, tables)


def load_plane(
    job: StackJob, position: int, arms: Sequence[Shown]
) -> Generator[tuple[StackJob, int, dict[Arm, LiveSegmentation]] | None, None, None]:
    """Yield the results of one plane with their candidates, which may lie on disk."""
    yield None
    found: dict[Arm, LiveSegmentation] = {}
    for arm in ARMS:
        if arm in arms and (position, arm) in job.kept:
            try:
                found[arm] = job.kept.get((position, arm))
            except GraysamError:
                continue
    yield job, position, found
