"""Candidates that tiles keep: other thresholds need no model, and give what a new run gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_tiles import picture

from napari_graysam.batch import SegmentJob, segment_tiled, tiled_steps
from napari_graysam.errors import ModelError
from napari_graysam.progress import run
from napari_graysam.recipe import Recipe
from napari_graysam.source.pyramid import open_pyramid

IMAGE = picture((100, 140))[0]
RECIPE = Recipe().with_values(
    {"tiles.use": "always", "tiles.size": 80, "tiles.halo": 16, "generator.points_per_side": 4}
)
LOOSE = {
    "generator.pred_iou_thresh": 0.6,
    "generator.stability_score_thresh": 0.7,
    "generator.box_nms_thresh": 0.9,
    "labels.level": "parts",
}


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch):
    """Return what takes the model away."""

    def refuse(*_: object):
        raise ModelError("no model here")

    def take() -> None:
        monkeypatch.setattr("napari_graysam.model.load_steps", refuse)

    return take


def labels_of(outcome) -> np.ndarray:
    return np.asarray(open_pyramid(outcome.files["labels"]).plane()[:, :])


def test_other_thresholds_need_no_model_and_give_what_a_new_run_gives(no_model, tmp_path) -> None:
    first = segment_tiled(IMAGE, RECIPE, tmp_path / "a", name="discs")
    assert not any("candidates" in note for note in first.notes)
    fresh = segment_tiled(IMAGE, RECIPE.with_values(LOOSE), tmp_path / "b", name="discs")
    no_model()
    again = segment_tiled(
        IMAGE, RECIPE.with_values(LOOSE), tmp_path / "a", name="discs", overwrite=True
    )
    np.testing.assert_array_equal(labels_of(again), labels_of(fresh))
    assert again.objects == fresh.objects != first.objects
    count = len(list((tmp_path / "a/discs.tiles/found").iterdir()))
    told = f"{count} of {count} tiles are selected from candidates that were kept"
    assert told in again.notes
    asked = RECIPE.with_values({"generator.points_per_side": 5})
    with pytest.raises(ModelError, match="no model here"):
        segment_tiled(IMAGE, asked, tmp_path / "a", name="discs", overwrite=True)


def test_the_halo_of_a_trial_stays_with_the_candidates(no_model, tmp_path: Path) -> None:
    recipe = RECIPE.with_values({"tiles.halo": None})
    segment_tiled(IMAGE, recipe, tmp_path, name="discs")
    no_model()
    loose = recipe.with_values({"generator.pred_iou_thresh": 0.5})
    outcome = segment_tiled(IMAGE, loose, tmp_path, name="discs", overwrite=True)
    assert any("candidates that were kept" in note for note in outcome.notes)


def test_candidates_are_bounded_and_those_of_other_points_go(tmp_path: Path) -> None:
    np.save(tmp_path / "discs.npy", IMAGE)
    kept = tmp_path / "discs.tiles/candidates"

    def outcome(recipe: Recipe, **options):
        job = SegmentJob(recipe, tmp_path, **options)
        (one,) = run(tiled_steps([tmp_path / "discs.npy"], job, overwrite=True))
        return one

    outcome(RECIPE, cache_size=0)
    assert not kept.exists()
    full = outcome(RECIPE.with_values(LOOSE))
    before = sorted(kept.iterdir())
    tiles = len(list((tmp_path / "discs.tiles/found").iterdir()))
    assert len(before) == tiles
    assert not any("candidates" in note for note in full.notes)
    other = outcome(RECIPE.with_values({"generator.points_per_side": 5}), cache_size=10)
    lost = f"in {tiles} of {tiles} tiles"
    assert any(note.startswith(lost) and "does not keep" in note for note in other.notes)
    assert not list(kept.iterdir())


def test_a_cache_of_ones_own_holds_the_candidates(no_model, tmp_path: Path) -> None:
    np.save(tmp_path / "discs.npy", IMAGE)
    job = SegmentJob(RECIPE, tmp_path / "a", cache=tmp_path / "cache")
    run(tiled_steps([tmp_path / "discs.npy"], job))
    assert not (tmp_path / "a/discs.tiles/candidates").exists()
    no_model()
    job = SegmentJob(RECIPE.with_values(LOOSE), tmp_path / "b", cache=tmp_path / "cache")
    (outcome,) = run(tiled_steps([tmp_path / "discs.npy"], job))
    assert outcome.status == "done"


def test_a_full_folder_keeps_what_it_has(tmp_path: Path) -> None:
    np.save(tmp_path / "discs.npy", IMAGE)
    kept = tmp_path / "out/discs.tiles/candidates"
    run(tiled_steps([tmp_path / "discs.npy"], SegmentJob(RECIPE, tmp_path / "all")))
    sizes = [path.stat().st_size for path in (tmp_path / "all/discs.tiles/candidates").iterdir()]
    job = SegmentJob(RECIPE, tmp_path / "out", cache_size=3 * max(sizes))
    (outcome,) = run(tiled_steps([tmp_path / "discs.npy"], job))
    before = sorted(kept.iterdir())
    assert 0 < len(before) < len(sizes)
    assert any("GB are full" in note for note in outcome.notes)
    job = SegmentJob(RECIPE.with_values(LOOSE), tmp_path / "out", cache_size=3 * max(sizes))
    (outcome,) = run(tiled_steps([tmp_path / "discs.npy"], job, overwrite=True))
    assert set(before) <= set(kept.iterdir())
    told = f"of {len(sizes)} tiles are selected from candidates that were kept"
    assert any(note == f"{len(before)} {told}" for note in outcome.notes)
