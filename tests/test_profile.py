"""Costs of stages."""

from __future__ import annotations

import time
from collections.abc import Generator

import numpy as np
import psutil

from napari_graysam.profile import Profile
from napari_graysam.progress import Progress, run


def test_time_and_memory_belong_to_the_stage_that_was_reported() -> None:
    used: list[int] = []

    def steps() -> Generator[Progress, None, int]:
        yield Progress("rest", 0, 1)
        time.sleep(0.15)
        yield Progress("work", 0, 2)
        block = np.ones(50_000_000, np.uint8)
        used.append(psutil.Process().memory_info().rss)
        time.sleep(0.1)
        yield Progress("work", 1, 2)
        time.sleep(0.1)
        del block
        yield Progress("done", 0, 1)
        return 7

    with Profile() as costs:
        assert run(costs.follow(steps())) == 7
    rest, work = costs.stages["rest"], costs.stages["work"]
    assert list(costs.stages) == ["rest", "work", "done"]
    assert 0.15 <= rest.seconds < work.seconds
    assert work.seconds >= 0.2
    assert rest.peak > 0
    assert work.peak >= used[0] > 50_000_000


def test_closing_a_followed_run_closes_it() -> None:
    ended = []

    def steps() -> Generator[Progress, None, None]:
        try:
            yield Progress("one", 0, 1)
            yield Progress("two", 0, 1)
        finally:
            ended.append(True)

    with Profile() as costs:
        followed = costs.follow(steps())
        next(followed)
        followed.close()
    assert ended == [True]
    assert list(costs.stages) == ["one"]
