"""The run itself, for a worker thread: plain events come out, and nothing of the viewer goes in."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_graysam._napari.canvas.region import LayerRegion
from napari_graysam._napari.canvas.source import Source
from napari_graysam._napari.results.clock import NOTABLE, Clock, Pace, count_points
from napari_graysam._napari.results.colors import Positions, object_colors, palette
from napari_graysam._napari.results.identity import comparable
from napari_graysam._napari.threads import heavy_imports
from napari_graysam._napari.threads.collection import full_collections_put_off

if TYPE_CHECKING:
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.pipeline import ScoreFloors
    from napari_graysam.propose.cache import Cache
    from napari_graysam.recipe import Recipe
    from napari_graysam.results import Arm, LiveSegmentation, Segmentation

LARGEST_STORE = 2**30
"""Bytes of low-resolution masks up to which all candidates are kept."""
LARGEST_FRAME = 1024
"""Side in pixels of the largest frame that a model takes where the recipe sets none."""
PATIENCE = 0.5
"""Seconds after which the next arm begins though the window has not shown the last one."""


class RunProgress(NamedTuple):
    """Where a run is: ``done`` of ``total`` of a stage of an arm.

    ``left`` is the number of seconds that the whole run will still take, ``last`` those that the
    stage took the last time; None while unknown.
    """

    arm: Arm
    stage: str
    done: int
    total: int
    left: float | None
    last: float | None = None


class ArmDone(NamedTuple):
    """An arm, measured, with its candidates, its seconds, and the colours of all arms.

    The next arm begins when it is ``displayed``.
    """

    arm: Arm
    live: LiveSegmentation
    seconds: float
    colors: dict[Shown, Positions]
    displayed: Event


RunEvent = RunProgress | ArmDone


class Memory:
    """What the runs of a panel share: features and proposals, and how long things take.

    Attributes
    ----------
    pace
        Seconds that a point took in the last run.
    loading
        Seconds that each model took to load with PyTorch, in this process or an earlier one.
    """

    def __init__(self) -> None:
        self.pace: Pace | None = None
        self.loading: dict[str, float] = {}
        self._cache: Cache | None = None

    def cache(self) -> Cache:
        """Return the cache; the first call imports PyTorch and belongs in a worker thread."""
        if self._cache is None:
            from napari_graysam.propose.cache import Cache

            self._cache = Cache()
        return self._cache


def run_arms(
    source: Source,
    recipe: Recipe,
    arms: Sequence[Arm],
    region: LayerRegion | None = None,
    others: Mapping[Shown, Segmentation] | None = None,
    memory: Memory | None = None,
) -> Generator[RunEvent, None, None]:
    """Segment one arm after the other, keeping candidates for later changes of thresholds.

    Closing the generator cancels; it yields after every batch of points.

    Parameters
    ----------
    source
        The image.
    recipe
        Of the preprocessed arm; its image options are the source's.
    arms
        Which, in this order.
    region
        Where points are allowed, as `read_region` gives it; None as the recipe says.
    others
        Earlier results, with which colours correspond if they are of the same image.
    memory
        What earlier runs left behind; None starts from nothing.
    """
    with full_collections_put_off():
        yield from _run_arms(source, recipe, arms, region, others, memory)


def _run_arms(
    source: Source,
    recipe: Recipe,
    arms: Sequence[Arm],
    region: LayerRegion | None,
    others: Mapping[Shown, Segmentation] | None,
    memory: Memory | None,
) -> Generator[RunEvent, None, None]:
    from napari_graysam import pipeline
    from napari_graysam.recipe import StackOptions, for_image

    recipe = recipe.replace(image=source.options, stack=StackOptions())
    yield RunProgress(arms[0], "image", 0, 1, None)
    gray = source.gray()
    size, gray.record["pixel_unit"] = source.placement.pixel_size
    gray.record["pixel_size"] = None if size is None else list(size)
    mask = None if region is None else region.mask()
    palette()  # Takes the GUI thread 0.1 s when it shows the first layer.
    memory = Memory() if memory is None else memory
    model = recipe.model.checkpoint or recipe.model.name
    sized = for_image(recipe, gray.pixels.shape)
    clock = Clock(sized, len(arms), memory.pace)
    # A model that has run already is in memory.
    last = memory.loading.get(model) if clock.pace is None else None
    yield RunProgress(arms[0], "load", 0, 1, clock.left("load", 0, 1), last)
    heavy_imports.load()
    cache = memory.cache()
    results: dict[Shown, Segmentation] = dict(others or {})
    for arm in arms:
        started = time.perf_counter()
        of_arm = recipe.raw_arm() if arm == "raw" else recipe.preprocessed_arm()
        steps = pipeline.live_steps(
            gray, of_arm, region=mask, source=arm, score_floors=score_floors(sized), cache=cache
        )
        live = yield from _reported(arm, steps, clock, last)
        yield RunProgress(arm, "measure", 0, 1, None)
        _ = live.result.table
        results = {one: of for one, of in results.items() if comparable(of, live.result)}
        results[arm] = live.result
        clock.arm_done()
        memory.pace = clock.pace
        if clock.loading >= NOTABLE:
            memory.loading[model] = round(clock.loading, 1)
        seconds = time.perf_counter() - started
        done = ArmDone(arm, live, seconds, object_colors(results), Event())
        yield done
        if arm != arms[-1]:
            # Adding a layer takes the GUI thread longer beside a computing arm.
            done.displayed.wait(PATIENCE)


def _reported(
    arm: Arm,
    steps: Generator[Any, None, LiveSegmentation],
    clock: Clock,
    last: float | None,
) -> Generator[RunProgress, None, LiveSegmentation]:
    """Pass progress on, with the time that is left and that loading took the last time."""
    try:
        while True:
            stage, done, total = next(steps)
            left = clock.left(stage, done, total)
            yield RunProgress(arm, stage, done, total, left, last if stage == "load" else None)
    except StopIteration as stop:
        live: LiveSegmentation = stop.value
        return live
    finally:
        steps.close()


def score_floors(recipe: Recipe) -> ScoreFloors:
    """Return the scores down to which a run keeps candidates, so that thresholds can be lowered.

    All candidates: then any threshold can change, and any mask can be kept by name. Where so
    many could need more than `LARGEST_STORE`, down to half the recipe's own thresholds, unless
    it keeps masks by name already.
    """
    from napari_graysam.pipeline import ScoreFloors

    generator = recipe.generator
    candidates = count_points(recipe) * (3 if generator.multimask_output else 1)
    if candidates * _bytes_of_a_mask(recipe.model.frame) <= LARGEST_STORE or recipe.labels.keep:
        return ScoreFloors(0.0, 0.0)
    return ScoreFloors(generator.pred_iou_thresh / 2, generator.stability_score_thresh / 2)


def _bytes_of_a_mask(frame: int | None) -> int:
    """Return the size of a low-resolution mask, a quarter of the model's frame a side."""
    frame = frame or LARGEST_FRAME
    return (frame // 4) ** 2 * 4
