"""What the cache remembers, for whom, and for how long."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stub_decoder import StubModel, loaded
from synthetic import blobs

from napari_graysam.batch import Outcome, SegmentJob, batch_steps
from napari_graysam.errors import ModelError, OutputError, ProposalsError
from napari_graysam.files import read_labels
from napari_graysam.model import LoadedModel
from napari_graysam.pipeline import segment_steps
from napari_graysam.progress import Progress, run
from napari_graysam.propose import Proposals, propose, rescore
from napari_graysam.propose.cache import Cache
from napari_graysam.propose.rescoring import remeasure
from napari_graysam.recipe import GeneratorOptions, ModelOptions, Recipe

OPTIONS = GeneratorOptions(points_per_side=6, pred_iou_thresh=0.5, stability_score_thresh=0.2)


def view(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (90, 120, 3), dtype=np.uint8)


class CountingModel(StubModel):
    """Counts how often its decoder is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded = 0
        self.sam_mask_decoder.register_forward_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.decoded += 1


@pytest.fixture
def network() -> CountingModel:
    return CountingModel()


@pytest.fixture
def model(network: CountingModel) -> LoadedModel:
    return loaded(network)


def ask(
    model: LoadedModel, cache: Cache, image: np.ndarray | None = None, **more: Any
) -> Proposals:
    options = OPTIONS.replace(**more.pop("options", {}))
    return run(propose(view() if image is None else image, model, options, cache=cache, **more))


@pytest.mark.parametrize(
    ("change", "encoded", "decoded"),
    [
        ({}, 0, False),
        ({"options": {"pred_iou_thresh": 0.6}}, 0, False),
        ({"options": {"box_nms_thresh": 0.1}}, 0, False),
        ({"options": {"pred_iou_thresh": 0.3}}, 0, True),
        ({"options": {"mask_threshold": 0.5}}, 0, True),
        ({"options": {"points_per_side": 5}}, 0, True),
        ({"options": {"multimask_output": False}}, 0, True),
        ({"region": np.arange(90 * 120).reshape(90, 120) % 3 > 0}, 0, True),
        ({"options": {"crop_n_layers": 1}}, 4, True),
        ({"image": view(1)}, 1, True),
    ],
)
def test_a_run_starts_from_what_has_changed(
    network: CountingModel, model: LoadedModel, change: Any, encoded: int, decoded: bool
) -> None:
    cache = Cache()
    ask(model, cache)
    before = network.encoded, network.decoded
    found = ask(model, cache, **change)
    assert network.encoded - before[0] == encoded
    assert (network.decoded > before[1]) == decoded
    fresh = ask(model, Cache(), **change)
    kept = found.predicted_iou > OPTIONS.replace(**change.get("options", {})).pred_iou_thresh
    assert np.array_equal(found.predicted_iou[kept], fresh.predicted_iou)
    assert np.array_equal(found.logits[kept], fresh.logits)


def test_candidates_of_any_stability_serve_every_cut(
    network: CountingModel, model: LoadedModel
) -> None:
    cache = Cache()
    ask(model, cache, stability_floor=0.0)
    before = network.decoded
    ask(model, cache, options={"mask_threshold": 0.5, "stability_score_thresh": 0.4})
    assert network.decoded == before


def test_models_are_told_apart(network: CountingModel, model: LoadedModel) -> None:
    cache = Cache()
    ask(model, cache)
    other = CountingModel()
    ask(loaded(other), cache)
    assert other.encoded == 1
    before = network.encoded, network.decoded
    ask(model.with_arithmetic("fast"), cache)
    assert network.encoded == before[0] + 1
    assert network.decoded > before[1]


def test_memory_stays_within_the_budget(network: CountingModel, model: LoadedModel) -> None:
    one = Cache()
    ask(model, one)
    budget = int(2.5 * one.used)
    cache = Cache(budget)
    for seed in range(6):
        ask(model, cache, view(seed))
        assert 0 < cache.used <= budget
    before = network.encoded
    ask(model, cache, view(5))
    assert network.encoded == before
    ask(model, cache, view(0))
    assert network.encoded == before + 1
    cache.clear()
    assert cache.used == 0


def test_nothing_is_kept_without_a_budget(network: CountingModel, model: LoadedModel) -> None:
    cache = Cache(budget=0)
    ask(model, cache)
    ask(model, cache)
    assert cache.used == 0
    assert network.encoded == 2


def assert_same(proposals: Proposals, others: Proposals, candidates: Sequence[int]) -> None:
    """Compare candidates with some of others: scores and masks."""
    assert len(proposals) == len(candidates)
    for name in ("predicted_iou", "stability", "area", "box", "point", "crop_box"):
        assert np.array_equal(getattr(proposals, name), getattr(others, name)[candidates])
    for index, other in enumerate(candidates):
        for threshold in (0.0, 1.5):
            box = proposals.half_open(index)
            mine, theirs = proposals.bits(index, threshold, box), others.bits(other, threshold, box)
            assert np.array_equal(mine, theirs)


def test_a_folder_outlives_the_cache(
    tmp_path: Path, network: CountingModel, model: LoadedModel
) -> None:
    folder = tmp_path / "new" / "cache"
    first = ask(model, Cache(folder=folder))
    before = network.encoded
    again = ask(model, Cache(folder=folder))
    assert network.encoded == before
    assert_same(first, again, range(len(first)))
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:-200])
    ask(model, Cache(folder=folder))
    assert network.encoded == before + 1
    ask(model, Cache(folder=folder))
    assert network.encoded == before + 1


@pytest.mark.parametrize(
    "looser", [{"pred_iou_thresh": 0.25}, {"stability_score_thresh": 0.1, "pred_iou_thresh": 0.4}]
)
def test_a_folder_serves_thresholds_down_to_half(
    tmp_path: Path, network: CountingModel, model: LoadedModel, looser: dict[str, float]
) -> None:
    ask(model, Cache(folder=tmp_path))
    before = network.encoded
    again = ask(model, Cache(folder=tmp_path), options=looser)
    assert network.encoded == before
    fresh = ask(model, Cache(), options=looser)
    options = OPTIONS.replace(**looser)
    kept = (again.predicted_iou > options.pred_iou_thresh) & (
        again.stability >= options.stability_score_thresh
    )
    assert len(fresh) > len(ask(model, Cache()))
    assert_same(fresh, again, np.flatnonzero(kept).tolist())
    ask(model, Cache(folder=tmp_path), options={"pred_iou_thresh": 0.2})
    assert network.encoded > before


class Loads:
    """Stands in for the loader of models, and counts."""

    def __init__(self, model: LoadedModel) -> None:
        self.model, self.count = model, 0

    def __call__(self, options: ModelOptions) -> Iterator[Progress]:
        self.count += 1
        yield Progress("load", 1, 1)
        return self.model


@pytest.fixture
def loads(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> Loads:
    loads = Loads(replace(model, record={"name": "stub"}))
    monkeypatch.setattr("napari_graysam.model.load_steps", loads)
    monkeypatch.setattr("napari_graysam.batch.attempt.load_steps", loads)
    return loads


def batch(path: Path, folder: Path, recipe: Recipe, cache: Path | None) -> Outcome:
    (outcome,) = run(batch_steps([path], SegmentJob(recipe, folder, cache)))
    return outcome


def test_a_batch_needs_no_model_where_the_cache_has_the_answer(
    tmp_path: Path, loads: Loads
) -> None:
    np.save(tmp_path / "a.npy", view()[..., 0])
    recipe = Recipe(generator=OPTIONS)
    looser = recipe.with_values({"generator.pred_iou_thresh": 0.3})
    first = batch(tmp_path / "a.npy", tmp_path / "one", recipe, tmp_path / "cache")
    assert (first.status, loads.count) == ("done", 1)
    second = batch(tmp_path / "a.npy", tmp_path / "one", looser, tmp_path / "cache")
    assert (second.status, loads.count) == ("done", 1)
    fresh = batch(tmp_path / "a.npy", tmp_path / "two", looser, None)
    assert second.objects == fresh.objects > first.objects
    assert np.array_equal(read_labels(second.files["labels"]), read_labels(fresh.files["labels"]))
    for kind in ("objects", "coco"):
        assert second.files[kind].read_bytes() == fresh.files[kind].read_bytes()
    about = [json.loads(one.files["provenance"].read_text()) for one in (second, fresh)]
    assert about[0]["model"] == about[1]["model"] == {"name": "stub"}
    assert about[0]["fingerprint"] == about[1]["fingerprint"]


def test_another_model_frame_or_view_is_no_hit(tmp_path: Path, loads: Loads) -> None:
    recipe = Recipe(generator=OPTIONS)
    run(segment_steps(view()[..., 0], recipe, cache=Cache(folder=tmp_path)))
    for change in (
        {"model.name": "sam2.1_hiera_tiny"},
        {"model.precision": "bfloat16"},
        {"model.frame": 640},
        {"model.frame_scale": 1.5},
        {"preprocess": [{"kind": "invert"}]},
        {"generator.points_per_side": 7},
    ):
        before = loads.count
        other = recipe.with_values(change)
        run(segment_steps(view()[..., 0], other, cache=Cache(folder=tmp_path)))
        assert loads.count == before + 1, change


def test_a_model_that_cannot_be_loaded_ends_a_batch_with_a_cache_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(options: ModelOptions) -> Iterator[Progress]:
        raise ModelError("not to be had")
        yield

    monkeypatch.setattr("napari_graysam.model.load_steps", broken)
    np.save(tmp_path / "a.npy", view()[..., 0])
    with pytest.raises(ModelError, match="not to be had"):
        batch(tmp_path / "a.npy", tmp_path / "out", Recipe(), tmp_path / "cache")


@pytest.mark.parametrize("size", [(96, 130), (40, 24)])
@pytest.mark.parametrize("crops", [False, True])
def test_compact_candidates_are_the_same_where_it_counts(
    tmp_path: Path, size: tuple[int, int], crops: bool
) -> None:
    rng = np.random.default_rng(3)
    whole = blobs(60, size, side=48, crops=crops, background=9)
    noisy = (whole.logits[:] + rng.normal(0, 3, whole.logits.shape)).astype(np.float32)
    noisy[5], noisy[6, :, ::7], noisy[7] = -9, np.nan, 20
    whole = remeasure(replace(whole, logits=noisy), 0.0, 1.0)
    small = whole.compact()
    assert small.nbytes < whole.nbytes
    small.save(tmp_path / "some.npz")
    for one in (small, Proposals.load(tmp_path / "some.npz"), Proposals.concat([small])):
        assert_same(whole, one, range(60))
        np.testing.assert_array_equal(one.logits[-1], one.logits[59])
        for cut, offset in ((0.0, 0.5), (-2.0, 1.0), (1.0, 4.0), (3.0, 1.0)):
            options = GeneratorOptions(mask_threshold=cut, stability_score_offset=offset)
            scored, again = rescore(whole, options), rescore(one, options)
            assert_same(scored, again, range(60))
        with pytest.raises(ProposalsError, match="low enough"):
            rescore(one, GeneratorOptions(mask_threshold=-2.5))


def test_compact_candidates_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    blobs(9, (64, 64), side=32).compact().save(path)
    with np.load(path) as file:
        arrays = dict(file)
    for name in ("values", "masks", "window"):
        np.savez(path, **{**arrays, name: arrays[name][:-1]})
        with pytest.raises(ProposalsError, match=r"some\.npz"):
            Proposals.load(path)


def test_a_full_disk_costs_the_cache_and_not_the_image(
    tmp_path: Path, loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    np.save(tmp_path / "a.npy", view()[..., 0])
    recipe, cache = Recipe(generator=OPTIONS), tmp_path / "cache"
    monkeypatch.setattr("napari_graysam.propose.storage.np.savez", full)
    monkeypatch.setattr("napari_graysam.propose.cache.TemporaryFile", full)
    outcome = batch(tmp_path / "a.npy", tmp_path / "out", recipe, cache)
    assert outcome.status == "done"
    (note,) = outcome.notes
    assert "the cache does not keep" in note
    assert os.strerror(errno.ENOSPC) in note
    assert note in outcome.files["provenance"].read_text()
    assert not list(cache.iterdir())
    monkeypatch.undo()


def used(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_folder_forgets_what_was_used_longest_ago(
    tmp_path: Path, network: CountingModel, model: LoadedModel
) -> None:
    ask(model, Cache(0, tmp_path))
    limit = int(3.5 * used(tmp_path))
    for age, seed in ((400, 0), (300, 1), (200, 2)):
        before = {path: path.stat().st_mtime for path in tmp_path.iterdir()}
        ask(model, Cache(0, tmp_path, limit), view(seed))
        (written,) = (p for p in tmp_path.iterdir() if before.get(p) != p.stat().st_mtime)
        os.utime(written, (time.time() - age,) * 2)
    for seed in (0, 3):
        ask(model, Cache(0, tmp_path, limit), view(seed))
    assert used(tmp_path) <= limit
    encoded = []
    for seed in (2, 0, 3, 1):
        start = network.encoded
        ask(model, Cache(0, tmp_path, limit), view(seed))
        encoded.append(network.encoded - start)
    assert encoded == [0, 0, 0, 1]


def test_what_is_larger_than_the_folder_is_not_written(tmp_path: Path, model: LoadedModel) -> None:
    found = ask(model, Cache(0, tmp_path, 1000))
    assert not list(tmp_path.iterdir())
    assert any("cache does not keep" in note for note in found.record["notes"])


def test_trimming_leaves_what_is_being_written(tmp_path: Path, model: LoadedModel) -> None:
    fresh, abandoned, other = (tmp_path / n for n in (".a-1.npz", ".b-2.npz", "notes.txt"))
    for path in (fresh, abandoned, other):
        path.write_bytes(b"x" * 50_000_000)
    os.utime(abandoned, (time.time() - 10_000,) * 2)
    ask(model, Cache(0, tmp_path, 40_000_000))
    assert fresh.exists()
    assert other.exists()
    assert not abandoned.exists()


def test_processes_that_trim_together_disturb_nobody(tmp_path: Path, model: LoadedModel) -> None:
    limit = 1_500_000

    def many(first: int) -> None:
        for seed in range(first, first + 8):
            ask(model, Cache(0, tmp_path, limit), view(seed % 6))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(many, range(3)))
    assert used(tmp_path) <= limit


def test_a_folder_that_cannot_be_made_is_named_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        Cache(folder=tmp_path / "file" / "cache")


def test_many_threads_share_one_cache(model: LoadedModel) -> None:
    cache = Cache()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: ask(model, cache, view(seed % 2)), range(8)))
    for one, other in zip(found[2:], found[:-2], strict=True):
        assert np.array_equal(one.logits, other.logits)
