"""Batches computed side by side, and what fast arithmetic gives with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stub_decoder import loaded, noise, small_sam2

from napari_graysam.progress import run
from napari_graysam.propose import Proposals, propose
from napari_graysam.propose.workers import Workers
from napari_graysam.recipe import GeneratorOptions

OPTIONS = GeneratorOptions(points_per_side=6, pred_iou_thresh=0.0, stability_score_thresh=0.0)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_workers_share_torchs_threads_and_leave_the_callers() -> None:
    with closing(Workers(alone=False)) as workers:
        of_workers = list(workers.map(lambda _: torch.get_num_threads(), range(20)))
        assert torch.get_num_threads() == 2
    assert of_workers == [1] * 20
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("alone", [True, False])
def test_results_come_in_order_from_as_many_threads(alone: bool) -> None:
    met = threading.Barrier(1 if alone else 2)

    def work(item: int) -> tuple[int, str]:
        met.wait(10)
        time.sleep(0.02 * (item % 2 == 0))
        return item, threading.current_thread().name

    with closing(Workers(alone=alone)) as workers:
        found = list(workers.map(work, range(8)))
    assert [item for item, _ in found] == list(range(8))
    assert ({name for _, name in found} == {threading.current_thread().name}) == alone


@pytest.mark.usefixtures("two_threads")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 200), st.integers(1, 70))
def test_parts_hold_every_item_in_order_and_keep_all_threads_busy(count: int, most: int) -> None:
    with closing(Workers(alone=False)) as workers, closing(Workers(alone=True)) as alone:
        shared, full = workers.parts(np.arange(count), most), alone.parts(np.arange(count), most)
    for parts in (shared, full):
        assert np.concatenate(parts).tolist() == list(range(count))
        assert 1 <= min(map(len, parts)) <= max(map(len, parts)) <= most
    assert len(full) == -(-count // most)
    assert max(map(len, shared)) - min(map(len, shared)) <= 1
    assert len(shared) % 2 == 0 or len(shared) == count


@pytest.mark.usefixtures("two_threads")
def test_an_error_drops_what_is_not_begun_and_waits_for_the_rest() -> None:
    begun, ended = [], []

    def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            raise ValueError(item)
        time.sleep(0.05)
        ended.append(item)

    with closing(Workers(alone=False)) as workers:
        with pytest.raises(ValueError, match="1"):
            list(workers.map(work, range(100)))
        assert set(begun) - {1} == set(ended)
        assert len(begun) < 10
        assert list(workers.map(str, range(3))) == ["0", "1", "2"]


@pytest.mark.usefixtures("two_threads")
def test_closing_a_run_ends_its_threads() -> None:
    before = threading.active_count()
    steps = propose(noise(90, 120), loaded(small_sam2()).with_arithmetic("fast"), OPTIONS)
    while next(steps).done < 2:
        pass
    assert threading.active_count() == before + 2
    steps.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("grid", ["full", "adaptive"])
def test_fast_arithmetic_is_the_same_on_one_core_and_on_two(two_threads: None, grid: str) -> None:
    model = loaded(small_sam2()).with_arithmetic("fast")
    options = OPTIONS.replace(grid=grid, points_per_batch=4)

    def ask(threads: int) -> Proposals:
        torch.set_num_threads(threads)
        return run(propose(noise(90, 120), model, options))

    # The encoder and the enlargement round by the number of threads.
    one, two = ask(1), ask(2)
    assert len(one) == len(two) > 20
    assert np.array_equal(one.point, two.point)
    assert np.abs(one.logits - two.logits).max() < 1e-4 * np.abs(one.logits).max()
    assert np.abs(one.area - two.area).max() <= 2
