import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from napari_graysam import Recipe, run, score
from napari_graysam.cli.program import app
from napari_graysam.errors import RecipeError, TruthError, UsageError
from napari_graysam.files import write_labels
from napari_graysam.masks import paint
from napari_graysam.pipeline import live_steps
from napari_graysam.recipe import LabelOptions
from napari_graysam.tune import Truth, choose, default_grid, read_truth, study_steps, tune
from napari_graysam.tune.grid import own_values
from napari_graysam.tune.grid import settings as settings_of
from napari_graysam.tune.objective import Objective
from napari_graysam.tune.report import contact_sheet

FEW = {"generator.points_per_side": 8}
GRID = {
    "suppression": (("containment", 0.45), ("mask_iou", 0.6)),
    "generator.pred_iou_thresh": (0.2, 0.5, 0.8),
    "generator.stability_score_thresh": (0.0, 0.5),
}


def discs(count=6, seed=0, size=96):
    """Noisy discs and their labels."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:size, :size]
    labels = np.zeros((size, size), int)
    for index in range(count):
        row, col = 16 + 32 * (index // 3), 16 + 32 * (index % 3)
        labels[(y - row) ** 2 + (x - col) ** 2 < 81] = index + 1
    return (labels > 0) * 100 + 40 + rng.normal(0, 8, labels.shape), labels


@pytest.fixture(scope="module")
def recipe():
    return Recipe.preset("raw").with_values(FEW)


@pytest.fixture(scope="module")
def live(recipe):
    return run(live_steps(discs()[0], recipe))


@pytest.fixture(scope="module")
def tuning(recipe):
    images = [discs(seed=seed) for seed in (0, 1)]
    return tune([one for one, _ in images], [Truth(two) for _, two in images], recipe, grid=GRID)


def test_every_combination_is_tried_and_the_own_one_is_among_them(tuning, recipe):
    assert tuning.scores.shape == (len(list(product(*tuning.grid.values()))), 2)
    assert np.isfinite(tuning.scores).all()
    assert tuning.with_setting(tuning.own) == recipe
    assert tuning.values[tuning.own] == own_values(recipe, list(tuning.grid))


def test_the_score_is_that_of_the_label_image(tuning, recipe, live):
    _, labels = discs()
    for index in (tuning.own, tuning.choice.index):
        one = tuning.with_setting(index)
        masks = live.selector.select(one.generator, one.labels)
        painted = paint(masks, labels.shape, one.labels.overlap)
        assert tuning.scores[index, 0] == score(painted, labels).average_precision[0]


def test_the_choice_is_no_worse_than_the_recipe_and_the_ranking_is_sorted(tuning):
    means = tuning.scores.mean(1)[tuning.ranking]
    assert (np.diff(means) <= 0).all()
    assert tuning.choice.score >= tuning.choice.own_score
    table = tuning.table(5)
    assert list(table["rank"]) == [1, 2, 3, 4, 5]
    assert table["score"].is_monotonic_decreasing


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(2, 30))
def test_without_a_true_difference_the_recipe_stays(seed, images, count):
    """Scores that differ by noise below the tie margin do not change a recipe."""
    rng = np.random.default_rng(seed)
    scores = 0.6 + rng.uniform(-0.004, 0.004, (count, images))
    found = choose(scores, 0, np.arange(count, dtype=float))
    assert found.kept
    assert found.index == 0


def test_a_gain_on_every_image_is_taken_and_one_on_a_single_image_of_three_is_not():
    distance = np.array([0.0, 1.0])
    clear = choose(np.array([[0.5, 0.6, 0.4], [0.7, 0.8, 0.6]]), 0, distance)
    assert (clear.index, clear.kept) == (1, False)
    assert clear.gain == pytest.approx(0.2)
    assert clear.interval == pytest.approx((0.2, 0.2))
    lucky = choose(np.array([[0.5, 0.5, 0.5], [1.0, 0.45, 0.45]]), 0, distance)
    assert (lucky.index, lucky.kept) == (0, True)


def test_of_equals_the_setting_nearest_to_the_recipe_is_taken():
    scores = np.array([[0.5, 0.5], [0.8, 0.8], [0.801, 0.801]])
    assert choose(scores, 0, np.array([0.0, 1.0, 5.0])).index == 1


def test_one_image_cannot_prove_a_gain():
    found = choose(np.array([[0.5], [0.52]]), 0, np.array([0.0, 1.0]))
    assert found.kept
    assert found.gain is None
    assert choose(np.array([[0.5], [0.7]]), 0, np.array([0.0, 1.0])).index == 1


def test_importances_are_the_variance_that_each_parameter_explains(tuning):
    table = tuning.scores.mean(1).reshape([len(values) for values in tuning.grid.values()])
    for axis, name in enumerate(tuning.grid):
        effect = table.mean(tuple(a for a in range(3) if a != axis))
        expected = effect.var() / table.var() if table.var() else 0
        assert tuning.importances[name] == pytest.approx(expected)


def test_unpainted_objects_count_neither_way(live, recipe):
    _, labels = discs()
    some = np.where(labels <= 2, labels, 0)
    generator, options = recipe.generator, recipe.labels
    whole = Objective(live.selector, Truth(some), "ap50")(generator, options)
    partial = Objective(live.selector, Truth(some, partial=True), "ap50")(generator, options)
    full = Objective(live.selector, Truth(labels), "ap50")(generator, options)
    assert full == pytest.approx(1)
    assert partial == pytest.approx(1)
    assert whole == pytest.approx(2 / 6)


def test_clicks_are_statements_that_hold_or_not(live, recipe):
    generator, options = recipe.generator, recipe.labels

    def told(**clicks):
        return Objective(live.selector, Truth(**clicks), "ap50")(generator, options)

    assert told(objects=[(16, 16)], nothing=[(0, 95)]) == 1
    assert told(objects=[(16, 16), (0, 95)]) == 0.5
    assert told(same=[((12, 16), (20, 16))]) == 1
    assert told(same=[((16, 16), (48, 16))]) == 0


def test_masks_that_overlap_match_an_object_once():
    from napari_graysam.tune.objective import _Shared

    truth = Truth(np.ones((4, 4), int))

    class Fake:
        proposals = type("P", (), {"image_size": (4, 4)})

    objective = Objective(Fake(), truth, "f1")
    twice = [_Shared(16, np.array([0]), np.array([16.0]), np.zeros(0, bool))] * 2
    assert objective._value(twice) == pytest.approx(2 / 3)


def test_disjoint_masks_are_scored_as_they_are(live, recipe):
    _, labels = discs()
    objective = Objective(live.selector, Truth(labels), "ap50")
    disjoint = recipe.labels.replace(overlap="disjoint")
    assert objective(recipe.generator, disjoint) == objective.exact(recipe.generator, disjoint)


def test_the_default_grid_holds_what_the_recipe_has():
    odd = Recipe.preset("raw").with_values(
        {"generator.pred_iou_thresh": 0.437, "labels.suppression": "box", "labels.min_area": 7}
    )
    grid = default_grid(odd)
    for name, value in zip(grid, own_values(odd, list(grid)), strict=True):
        assert value in grid[name]
    first = next(settings_of(odd, grid))
    assert LabelOptions.model_validate(dict(first.labels)) == first.labels


def test_values_that_no_recipe_can_have_are_refused(recipe):
    with pytest.raises(RecipeError, match="wholes"):
        next(settings_of(recipe, {"labels.level": ("all", "wholes")}))


def test_what_needs_the_model_is_not_searched_on_candidates(recipe):
    with pytest.raises(UsageError, match=r"preprocess.*cannot be searched"):
        list(settings_of(recipe, {"preprocess": ((),)}))


def test_a_stopped_search_keeps_the_best_so_far(recipe):
    from napari_graysam.tune import tune_steps

    image, labels = discs()
    begun = []
    steps = tune_steps([image], [Truth(labels)], recipe, grid=GRID, on_start=begun.append)
    for progress in steps:
        if progress.stage == "search":
            break
    next(steps, None)
    steps.close()
    (found,) = begun
    assert found.own in found.tried
    assert found.best is not None


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        ({"labels": np.zeros((4, 4), int)}, "no object"),
        ({}, "nothing is known"),
        ({"labels": np.ones((4, 4))}, "float64"),
        ({"labels": -np.ones((4, 4), int)}, "not negative"),
        ({"objects": [(1, 1)], "nothing": [(1.5, 1)]}, "as an object and as none"),
        ({"labels": np.ones((4, 4), int), "nothing": [(1, 1)]}, "label 1 is painted"),
        ({"labels": np.eye(4, dtype=int), "objects": [(0, 3)]}, "partial"),
        (
            {"labels": np.array([[1, 0, 2]]), "same": [((0, 0), (2, 0))]},
            "said to be one object",
        ),
        ({"labels": np.ones((4, 4), int), "objects": [(9, 1)]}, "outside"),
    ],
)
def test_truths_that_say_nothing_or_contradict_themselves(truth, words):
    with pytest.raises(TruthError, match=words):
        Truth(**truth)


def test_bad_calls_are_refused(recipe):
    image, labels = discs()
    with pytest.raises(TruthError, match=r"\(5, 5\)"):
        tune([image], [Truth(np.ones((5, 5), int))], recipe, grid=GRID)
    with pytest.raises(UsageError, match="1 images and 0"):
        tune([image], [], recipe)
    with pytest.raises(UsageError, match="expected one of ap50"):
        tune([image], [Truth(labels)], recipe, metric="dice")
    with pytest.raises(UsageError, match="0 seconds"):
        run(study_steps([image], [Truth(labels)], recipe, seconds=0))


def test_a_truth_of_one_object_only(recipe):
    image, labels = discs(count=1)
    assert tune([image], [Truth(labels)], recipe, grid=GRID).choice.score > 0


def test_truths_are_read_from_labels_and_clicks(tmp_path):
    clicks = tmp_path / "clicks.yaml"
    clicks.write_text("objects: [[1, 2]]\nsame: [[[1, 2], [3, 4]]]\n")
    found = read_truth(clicks)
    assert found.objects == ((1.0, 2.0),)
    assert found.same == (((1.0, 2.0), (3.0, 4.0)),)
    for text, words in (("a: 1", "no clicks"), ("objects: [[1]]", "is no click")):
        clicks.write_text(text)
        with pytest.raises(TruthError, match=words):
            read_truth(clicks)
    with pytest.raises(TruthError, match="cannot be read"):
        read_truth(tmp_path / "missing.yaml")


def test_the_study_goes_on_from_its_journal_and_refuses_another_image(recipe, tmp_path):
    image, labels = discs()
    journal = tmp_path / "a.journal"
    images, truths = [image, image + 1], [Truth(labels), Truth(labels)]
    first = run(study_steps(images, truths, recipe, seconds=0.01, journal=journal))
    assert len(first.tunings) == 1
    assert first.tunings[0][0] == recipe
    again = run(study_steps(images, truths, recipe, seconds=0.01, journal=journal))
    assert len(again.tunings) + again.pruned == 1
    assert again.pruned or again.tunings[0][0] != recipe
    with pytest.raises(UsageError, match="other images"):
        run(study_steps([image * 2, image], truths, recipe, seconds=1, journal=journal))


def test_the_contact_sheet_shows_every_result():
    view = np.full((40, 60, 3), 100, np.uint8)
    labels = np.zeros((40, 60), int)
    sheet = contact_sheet([("a", view, labels)] * 3)
    assert sheet.shape[1] == 2 * sheet.shape[0] * sheet.shape[1] // (2 * sheet.shape[0])
    assert sheet.dtype == np.uint8
    one = contact_sheet([("a", view, labels)])
    assert sheet.shape == (2 * one.shape[0], 2 * one.shape[1], 3)


def test_the_command_writes_recipe_ranking_plots_and_sheet(tmp_path):
    import tifffile

    paths = []
    for seed in (0, 1):
        image, labels = discs(seed=seed)
        tifffile.imwrite(tmp_path / f"{seed}.tif", image.astype(np.uint8))
        write_labels(tmp_path / "truth" / f"{seed}.labels.tif", labels.astype(np.uint32))
        paths.append(str(tmp_path / f"{seed}.tif"))
    out = tmp_path / "out"
    arguments = ["tune", *paths, "--truth", str(tmp_path / "truth"), "-o", str(out), "--json"]
    arguments += ["-s", "generator.points_per_side=4", "--sheet", "2"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    names = {"tuned.yaml", "tuning.csv", "tuning.png", "tuning.sheet.png"}
    assert {path.rpartition("/")[2] for path in document["files"]} == names
    assert Recipe.from_file(out / "tuned.yaml").generator.points_per_side == 4
    bad = CliRunner().invoke(app, ["tune", paths[0], "-t", paths[1], "-t", paths[0], "-o", "x"])
    assert bad.exit_code == 2


def test_without_a_truth_the_command_says_what_to_give(tmp_path):
    image = tmp_path / "image.tif"
    write_labels(image, np.eye(32, dtype=np.uint8))
    result = CliRunner().invoke(app, ["tune", str(image), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "--truth is missing" in result.output
    assert not (tmp_path / "out").exists()


def test_trials_of_chains_read_the_file_with_their_own_window(tmp_path, monkeypatch):
    seen = []

    def stopped(images, *args, **kwargs):
        seen.extend(images)
        raise UsageError("seen")
        yield

    monkeypatch.setattr("napari_graysam.tune.study_steps", stopped)
    image = tmp_path / "image.tif"
    write_labels(image, np.eye(32, dtype=np.uint8))
    arguments = ["--truth", str(image), "--chains", "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(app, ["tune", str(image), *arguments]).exit_code == 2
    assert seen == [image]
