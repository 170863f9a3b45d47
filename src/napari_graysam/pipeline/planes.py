"""Plane after plane of a stack: both arms of each, and what goes wrong with one stops no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.masks import ARMS
from napari_graysam.progress import Progress
from napari_graysam.results import Arm, LiveSegmentation

if TYPE_CHECKING:
    from napari_graysam.pipeline.stages import ScoreFloors
    from napari_graysam.recipe import Recipe
    from napari_graysam.source.gray import GrayImage
    from napari_graysam.source.stack import Stack

Region = Callable[[], NDArray[np.bool_]]
"""Draws where points are allowed, bool (H, W); raises `ImageError` where that is nowhere."""


class PlaneStep(NamedTuple):
    """How far an arm of a plane is."""

    position: int
    arm: Arm
    step: Progress


class PlaneDone(NamedTuple):
    """What was found in a plane by an arm, or of both together, and the seconds it took."""

    position: int
    arm: Arm | Literal["combined"]
    live: LiveSegmentation
    seconds: float


class PlaneLacking(NamedTuple):
    """Why a plane has no result."""

    position: int
    why: str


PlaneEvent = PlaneStep | PlaneDone | PlaneLacking


def plane_order(positions: Iterable[int], first: int) -> list[int]:
    """Return positions in the order of their distance from one of them, the later one first.

    Examples
    --------
    >>> plane_order(range(6), 2)
    [2, 3, 1, 4, 0, 5]
    >>> plane_order([0, 4, 8], 3)
    [4, 0, 8]
    """
    return sorted(positions, key=lambda position: (abs(position - first), -position))


def plane_steps(
    stack: Stack,
    recipe: Recipe,
    wanted: Mapping[int, Sequence[Arm]],
    *,
    regions: Mapping[int, Region] | None = None,
    score_floors: ScoreFloors | None = None,
    prepare: Callable[[GrayImage], None] = lambda gray: None,
    known: Callable[[int, Arm], LiveSegmentation | None] = lambda position, arm: None,
) -> Generator[PlaneEvent, None, None]:
    """Segment planes one after the other; closing the generator keeps what was yielded.

    Parameters
    ----------
    stack
        Its planes are read one by one, in one window.
    recipe
        Of the preprocessed arm; where it combines both arms, that comes after both.
    wanted
        Positions, in this order, with the arms to segment.
    regions
        By position; None allows points everywhere. A plane where the region has no pixel gets
        no result.
    score_floors
        Candidates above these scores are kept; all if omitted.
    prepare
        Called with every plane that was read.
    known
        Returns the result of an arm that is not wanted, to combine it with the other one.

    Yields
    ------
    PlaneStep, PlaneDone, PlaneLacking
        What a plane lacks stops no other; what concerns all of them, such as a missing model,
        is raised.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe
    >>> from napari_graysam.pipeline.planes import PlaneDone, plane_steps
    >>> from napari_graysam.source.stack import Stack
    >>> recipe = Recipe().with_values({"stack.axis": "z", "generator.points_per_side": 4})
    >>> stack = Stack(np.stack([np.eye(64)] * 2), recipe)
    >>> events = plane_steps(stack, recipe, {1: ["raw"], 0: ["raw"]})
    >>> [event.position for event in events if isinstance(event, PlaneDone)]
    [1, 0]
    """
    from napari_graysam import pipeline

    for position, arms in wanted.items():
        try:
            gray = stack.plane(position)
            region = None if regions is None else regions[position]()
        except ImageError as error:
            yield PlaneLacking(position, str(error))
            continue
        prepare(gray)
        of_plane = stack.plane_recipe(position, recipe)
        found: dict[Arm, LiveSegmentation] = {}
        for arm in arms:
            start = time.perf_counter()
            of_arm = of_plane.raw_arm() if arm == "raw" else of_plane.preprocessed_arm()
            steps = pipeline.live_steps(
                gray, of_arm, region=region, source=arm, score_floors=score_floors, cache=None
            )
            live = yield from _reported(position, arm, steps)
            found[arm] = live
            yield PlaneDone(position, arm, live, time.perf_counter() - start)
        if of_plane.both_arms is None or not of_plane.preprocesses:
            continue
        start = time.perf_counter()
        raw, other = (found.get(arm) or known(position, arm) for arm in ARMS)
        if raw is not None and other is not None:
            live = pipeline.combine(raw, other, of_plane)
            yield PlaneDone(position, "combined", live, time.perf_counter() - start)


def _reported(
    position: int, arm: Arm, steps: Generator[Progress, None, LiveSegmentation]
) -> Generator[PlaneStep, None, LiveSegmentation]:
    try:
        while True:
            yield PlaneStep(position, arm, next(steps))
    except StopIteration as stop:
        live: LiveSegmentation = stop.value
        return live
    finally:
        steps.close()
