from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from stub_decoder import StubModel, loaded, noise, small_sam2

from napari_graysam.progress import run
from napari_graysam.propose import Proposals, propose
from napari_graysam.propose.adaptive import Search
from napari_graysam.propose.cache import Cache
from napari_graysam.recipe import GeneratorOptions, Recipe
from napari_graysam.select import select

SHAPE = (90, 120)
FULL = GeneratorOptions(points_per_side=24, pred_iou_thresh=0.5, stability_score_thresh=0.1)
ADAPTIVE = FULL.replace(grid="adaptive")


pytestmark = pytest.mark.usefixtures("one_thread")


def proposed(options: GeneratorOptions, model: Any = None, **more: Any) -> Proposals:
    return run(propose(noise(*SHAPE), loaded(model or StubModel()), options, **more))


def names(proposals: Proposals) -> list[tuple[float, ...]]:
    return [
        (int(crop), *map(float, point))
        for crop, point in zip(proposals.crop, proposals.point, strict=True)
    ]


def rows(proposals: Proposals) -> list[bytes]:
    """Everything about each candidate, to the bit."""
    arrays = [
        getattr(proposals, name)
        for name in ("crop", "point", "crop_box", "predicted_iou", "stability", "area", "box")
    ]
    return [
        b"".join(array[index].tobytes() for array in (*arrays, proposals.logits))
        for index in range(len(proposals))
    ]


def is_subsequence(some: list[bytes], of: list[bytes]) -> bool:
    rest = iter(of)
    return all(one in rest for one in some)


# --- the search alone, on a field whose answers are known


def field(side: int, centres: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squares of 5 × 5 points whose score falls from the centre; what features show them."""
    place = np.stack(np.divmod(np.arange(side**2), side), axis=1)
    score = np.zeros(side**2)
    owner = np.full(side**2, -1)
    for number, centre in enumerate(centres):
        away = np.abs(place - centre).max(1)
        score = np.where(away <= 2, 0.95 - 0.1 * away, score)
        owner = np.where(away <= 2, number, owner)
    rng = np.random.default_rng(1)
    # Objects differ from the ground in some channels, and the ground is uneven in the others.
    features = rng.normal(0, 0.02, (side**2, 16))
    features[:, :12] += score[:, None]
    features[:, 12:] += np.sin(place[:, :1] / 9)
    return place, score, np.stack([features, np.tile(owner[:, None], 16)])


def search_all(side: int, centres: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    place, score, (features, owners) = field(side, centres)
    owner = owners[:, 0].astype(int)
    search = Search(place, features.astype(np.float32), 0.5)
    times = np.zeros(side**2, int)
    while len(asked := search.next()):
        times[asked] += 1
        hit = asked[score[asked] > 0.5]
        search.learn(asked, score[asked], hit, score[hit], owner[hit][:, None] == owner)
    assert np.array_equal(times > 0, search.asked)
    return times, score


CENTRES = [(5, 5), (5, 20), (14, 12), (22, 25), (26, 4)]


def test_search_asks_the_best_point_of_every_object_and_few_others() -> None:
    times, _ = search_all(32, CENTRES)
    assert all(times[row * 32 + column] == 1 for row, column in CENTRES)
    assert times.max() == 1
    assert times.sum() < 0.4 * 32**2


def test_search_asks_where_features_are_unlike_all_others() -> None:
    place = np.stack(np.divmod(np.arange(32**2), 32), axis=1)
    features = np.random.default_rng(0).normal(0, 0.05, (32**2, 16)).astype(np.float32)
    lone = 16 * 32 + 16  # on no point of the first round
    features[lone] = 4
    search = Search(place, features, 0.5)
    first = search.next()
    assert lone not in first
    none = np.empty(0, np.intp)
    search.learn(first, np.full(len(first), 0.1), none, none, np.empty((0, 32**2), bool))
    assert lone in search.next()


def test_search_learns_from_masks_that_are_not_sure_enough() -> None:
    place = np.stack(np.divmod(np.arange(32**2), 32), axis=1)
    away = np.hypot(*(place - (16, 16)).T)
    features = np.stack([away / 20, place[:, 0] / 40, place[:, 1] / 40], axis=1)
    search = Search(place, features.astype(np.float32), 0.8)
    promise = 0.8 - 0.05 * away
    none, nothing = np.empty(0, np.intp), np.empty((0, 32**2), bool)
    asked = search.next()
    assert promise[asked].max() < 0.8
    search.learn(asked, promise[asked], none, none, nothing)
    # No mask was sure, but those near the middle were the surest.
    assert away[search.next()].min() < away[asked].min()


def test_search_of_few_points_asks_all() -> None:
    place = np.stack(np.divmod(np.arange(9), 3), axis=1)
    search = Search(place, np.zeros((9, 4), np.float32), 0.5)
    assert search.next().tolist() == list(range(9))


def test_equal_features_everywhere_are_no_error() -> None:
    place = np.stack(np.divmod(np.arange(400), 20), axis=1)
    search = Search(place, np.ones((400, 4), np.float32), 0.5)
    asked = search.next()
    cover = np.eye(400, dtype=bool)[asked]
    sure = np.full(len(asked), 0.9)
    search.learn(asked, sure, asked, sure, cover)
    # Every point promises as much as those asked, which cover none but their own.
    assert len(search.next()) > 0


# --- in the generator


def test_default_is_the_full_grid() -> None:
    full = proposed(FULL)
    assert FULL.grid == GeneratorOptions().grid == "full"
    assert full.record["points"] == full.record["points_of_grid"] == 24**2


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("real", [False, True])
def test_adaptive_candidates_are_the_full_grids_in_its_order(layers: int, real: bool) -> None:
    model = small_sam2() if real else StubModel()
    # Batches round differently by size in a real network, not in the stub.
    changes = {"crop_n_layers": layers, "points_per_batch": 1 if real else None}
    if real:
        # Each of three masks would promise much somewhere in a random network.
        changes |= {"points_per_side": 12, "pred_iou_thresh": 0.9, "multimask_output": False}
    full = proposed(FULL.replace(**changes), model, iou_floor=0, stability_floor=0)
    some = proposed(ADAPTIVE.replace(**changes), model, iou_floor=0, stability_floor=0)
    assert 0 < some.record["points"] < full.record["points"]
    assert len(set(names(some))) == some.record["points"]
    assert len(some) == (1 if real else 3) * some.record["points"]
    if real:
        assert set(names(some)) < set(names(full))
        where = [names(full).index(name) for name in dict.fromkeys(names(some))]
        assert where == sorted(where)
    else:
        assert is_subsequence(rows(some), rows(full))


def test_objects_are_the_full_grids() -> None:
    full = select(proposed(FULL), FULL)
    some = select(proposed(ADAPTIVE), ADAPTIVE)
    ours = {mask.bits.tobytes() + bytes(str(mask.box), "ascii") for mask in some}
    theirs = {mask.bits.tobytes() + bytes(str(mask.box), "ascii") for mask in full}
    assert theirs
    assert len(ours & theirs) >= 0.9 * len(theirs)


def test_batch_size_and_floors_do_not_decide_what_is_asked() -> None:
    one = proposed(ADAPTIVE.replace(points_per_batch=7))
    other = proposed(ADAPTIVE.replace(points_per_batch=64))
    assert rows(one) == rows(other)
    everything = proposed(ADAPTIVE, iou_floor=0, stability_floor=0)
    assert everything.record["points"] == one.record["points"]
    assert is_subsequence(rows(one), rows(everything))


def test_region_limits_the_points() -> None:
    region = np.zeros(SHAPE, bool)
    region[20:80, 10:90] = True
    found = proposed(ADAPTIVE, region=region, iou_floor=0, stability_floor=0)
    x, y = found.point.astype(int).T
    assert region[y, x].all()
    assert 0 < found.record["points"] < found.record["points_of_grid"] < 24**2


def test_own_points_are_all_asked() -> None:
    own = ADAPTIVE.replace(points_per_side=None, point_grids=(((0.2, 0.3), (0.7, 0.6)),))
    assert proposed(own).record["points"] == 2


def test_progress_ends_with_what_was_asked() -> None:
    options = ADAPTIVE.replace(crop_n_layers=1, points_per_batch=5)
    steps = propose(noise(*SHAPE), loaded(StubModel()), options)
    decode = [step for step in steps if step.stage == "decode"]
    assert decode[0].total == 5 * 24**2
    assert all(step.done <= step.total for step in decode)
    assert all(a.total >= b.total and a.done <= b.done for a, b in pairwise(decode))
    assert decode[-1].done == decode[-1].total < 5 * 24**2
    assert max(b.done - a.done for a, b in pairwise(decode)) == 5


def test_cache_tells_grids_and_thresholds_of_adaptive_runs_apart() -> None:
    cache, model = Cache(), loaded(StubModel())

    def ask(options: GeneratorOptions) -> Proposals:
        steps = propose(noise(*SHAPE), model, options, iou_floor=0, stability_floor=0, cache=cache)
        return run(steps)

    full, some = ask(FULL), ask(ADAPTIVE)
    assert full.record["points"] > some.record["points"]
    assert ask(ADAPTIVE) is some
    assert ask(ADAPTIVE.replace(pred_iou_thresh=0.9)) is not some
    assert ask(FULL.replace(pred_iou_thresh=0.9)) is full
    assert some.record["generator"]["grid"] == "adaptive"


def test_lower_threshold_selects_among_what_was_asked() -> None:
    asked = proposed(ADAPTIVE, iou_floor=0, stability_floor=0)
    lower = ADAPTIVE.replace(pred_iou_thresh=0.3)
    assert len(select(asked, lower)) >= len(select(asked, ADAPTIVE))


def test_recipes_without_a_grid_stay_valid_and_switching_runs_the_model() -> None:
    recipe = Recipe.from_yaml("generator: {points_per_side: 16}")
    assert recipe.generator.grid == "full"
    assert "grid" not in recipe.to_dict().get("generator", {})
    adaptive = recipe.with_values({"generator.grid": "adaptive"})
    assert recipe.changed_stage(adaptive) == "decode"
