"""Both arms of a stack compared: label volumes, files and the command."""

from __future__ import annotations

import json
from pathlib import Path

import fake_pipeline
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from typer.testing import CliRunner

from napari_graysam.batch import CompareJob, Outcome, compare_stack, compare_stack_steps
from napari_graysam.cli import app
from napari_graysam.cli.inputs import match_truth
from napari_graysam.comparison import CHANGES, CODES, compare_labels, compare_volumes
from napari_graysam.errors import ImageError, TruthError, UsageError
from napari_graysam.progress import run
from napari_graysam.recipe import Recipe

VALUES = {
    "stack.axis": "z",
    "stack.link": "overlap",
    "stack.linking.gap": 1,
    "preprocess": "[{kind: gamma}]",
}
RECIPE = Recipe().with_values(VALUES)
labels = arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 3))


def tubes(*spans: tuple[int, int, slice]) -> np.ndarray:
    """Draw label volumes of 5 × 4 × 20: number, left edge and planes."""
    volume = np.zeros((5, 4, 20), np.int32)
    for number, left, planes in spans:
        volume[planes, :, left : left + 4] = number
    return volume


def found(comparison) -> dict[str, int]:
    return {change: count for change, count in comparison.counts.items() if count}


ALL = slice(None)


@pytest.mark.parametrize(
    ("raw", "preprocessed", "changes"),
    [
        (tubes((1, 0, ALL)), tubes((9, 0, ALL)), {"kept": 1}),
        (tubes((1, 0, ALL)), tubes((1, 0, slice(3))), {"changed": 1}),
        (tubes((1, 0, ALL)), tubes((1, 0, slice(1))), {"lost": 1, "gained": 1}),
        (tubes((1, 0, ALL)), tubes((1, 0, slice(3)), (2, 0, slice(3, 5))), {"split": 1}),
        (tubes((1, 0, ALL), (2, 4, ALL)), tubes((1, 0, ALL), (1, 4, ALL)), {"merged": 1}),
        (tubes(), tubes((1, 0, ALL)), {"gained": 1}),
        (tubes(), tubes(), {}),
    ],
)
def test_objects_are_matched_by_their_volumes(raw, preprocessed, changes):
    assert found(compare_volumes(iter(raw), iter(preprocessed))) == changes
    swapped = {"gained": "lost", "lost": "gained", "split": "merged", "merged": "split"}
    back = {swapped.get(change, change): count for change, count in changes.items()}
    assert found(compare_volumes(preprocessed, raw)) == back


def test_a_number_that_changes_splits_the_object_and_no_section():
    raw = tubes((1, 0, ALL))
    comparison = compare_volumes(raw, tubes((1, 0, slice(3)), (2, 0, slice(3, 5))))
    assert comparison.planes["kept"].tolist() == [1] * 5
    row = comparison.objects.set_index(["arm", "index"]).loc[("raw", 1)]
    assert row["change"] == "split"
    assert row["partners"] == "1 2"
    assert (row["kept"], row["planes"], row["first"], row["last"]) == (5, 5, 0, 4)
    assert row["iou"] == pytest.approx(0.6)


def test_a_plane_that_is_missing_is_a_section_lost():
    raw, preprocessed = tubes((1, 0, ALL)), tubes((1, 0, ALL))
    preprocessed[2] = 0
    comparison = compare_volumes(raw, preprocessed, axis="t", positions=[2, 4, 6, 8, 10])
    assert found(comparison) == {"kept": 1}
    assert comparison.planes.set_index("t")["lost"].to_dict() == {2: 0, 4: 0, 6: 1, 8: 0, 10: 0}
    row = comparison.objects.set_index("arm").loc["raw"]
    assert (row["kept"], row["lost"], row["delta_voxels"], row["last"]) == (4, 1, -16, 10)


@settings(max_examples=80, deadline=None)
@given(labels, labels)
def test_every_object_and_section_has_one_class(raw, preprocessed):
    comparison = compare_volumes(raw, preprocessed)
    for arm, volume in (("raw", raw), ("preprocessed", preprocessed)):
        of_arm = comparison.objects[comparison.objects["arm"] == arm]
        assert of_arm["index"].tolist() == (np.unique(volume)[np.unique(volume) > 0]).tolist()
        assert of_arm["voxels"].tolist() == np.bincount(volume.ravel())[of_arm["index"]].tolist()
        sections = sum(len(np.setdiff1d(plane, [0])) for plane in volume)
        assert of_arm["planes"].sum() == sections == of_arm[list(CHANGES)].to_numpy().sum()
        assert sections == comparison.planes[arm].sum()


@settings(max_examples=80, deadline=None)
@given(labels, labels)
def test_one_plane_is_compared_as_an_image(raw, preprocessed):
    comparison = compare_volumes(raw[:1], preprocessed[:1])
    image = compare_labels(raw[0], preprocessed[0])
    # Groups that compete for an object and cover as many pixels are chosen between by size here,
    # and by place in images.
    regrouped = [one.counts["split"] + one.counts["merged"] for one in (comparison, image)]
    assert comparison.counts == image.counts or min(regrouped) > 0
    difference = comparison.difference(raw[0], preprocessed[0])
    assert ((difference > 0) == ((raw[0] > 0) | (preprocessed[0] > 0))).all()
    for event in comparison.events:
        for arm, there in (("raw", event.raw), ("preprocessed", event.preprocessed)):
            only = {"raw": raw, "preprocessed": preprocessed}[arm][0]
            other = {"raw": preprocessed, "preprocessed": raw}[arm][0]
            alone = np.isin(only, there) & (other == 0)
            assert (difference[alone] == CODES[event.change]).all()


def test_of_groups_that_compete_the_smaller_one_wins_in_either_arm():
    one = np.array([[2, 1, 1, 1, 2], *[[1] * 5] * 3])[None]
    other = np.array([[2, 0, 1, 1, 2], *[[2] * 5] * 3])[None]
    assert found(compare_volumes(one, other)) == {"gained": 1, "merged": 1}
    assert found(compare_volumes(other, one)) == {"lost": 1, "split": 1}


def test_the_smaller_object_is_painted_on_top():
    raw, preprocessed = tubes((1, 0, ALL)), tubes((1, 2, slice(1)))
    comparison = compare_volumes(raw, preprocessed)
    row = comparison.difference(raw[0], preprocessed[0])[0]
    assert row[:7].tolist() == [CODES["lost"]] * 2 + [CODES["gained"]] * 4 + [0]


def test_arms_that_do_not_fit_are_refused():
    raw = tubes((1, 0, ALL))
    with pytest.raises(ImageError, match="preprocessed arm has 4 planes"):
        compare_volumes(raw, raw[:4])
    with pytest.raises(ImageError, match="Plane 0: the raw labels have shape"):
        compare_volumes(raw, raw[:, :, 1:])


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find bright regions, and in the preprocessed arm dim ones too."""
    fake_pipeline.install(monkeypatch)

    def steps(image, recipe, *, cache=None):
        source = "preprocessed" if recipe.preprocess else "raw"
        return fake_pipeline.segment_steps(image, recipe, source=source)

    monkeypatch.setattr("napari_graysam.pipeline.segment_steps", steps)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write three bright squares and two dim ones through four planes, and their labels."""
    image, truth = fake_pipeline.spots()
    for name, plane in (("cells.tif", image), ("cells.labels.tif", truth)):
        tifffile.imwrite(tmp_path / name, np.stack([plane] * 4), ome=True, metadata={"axes": "ZYX"})
    return tmp_path / "cells.tif"


def folder_of(path: Path, planes) -> None:
    path.mkdir(parents=True)
    for number, plane in enumerate(planes):
        tifffile.imwrite(path / f"{number:02}.tif", plane)


def graysam(*arguments: object, status: int = 0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    return result


def test_the_command_compares_all_planes(fake: None, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "recipe.yaml").write_text(RECIPE.to_yaml())
    call = ("compare", file, "--recipe", tmp_path / "recipe.yaml", "--out", out)
    call += ("--truth", tmp_path / "cells.labels.tif", "--json")
    (image,) = json.loads(graysam(*call).stdout)["images"]
    assert image["status"] == "done"
    assert {change: n for change, n in image["changes"].items() if n} == {"kept": 3, "gained": 2}
    assert image["scores"]["raw"]["average_precision"]["0.50"] == pytest.approx(0.6)
    assert image["scores"]["preprocessed"]["average_precision"]["0.50"] == 1
    objects = pd.read_csv(out / "cells.comparison.csv")
    assert (objects["planes"] == 4).all()
    assert pd.read_csv(out / "cells.comparison.planes.csv")["gained"].tolist() == [2] * 4
    changes = tifffile.imread(out / "cells.comparison.tif")
    truth = tifffile.imread(tmp_path / "cells.labels.tif")
    expected = np.array([0, *[CODES["kept"]] * 3, *[CODES["gained"]] * 2], np.uint8)
    assert (changes == expected[truth]).all()
    with Image.open(out / "cells.comparison.png") as picture:
        assert picture.width > 800
    content = json.loads((out / "cells.comparison.json").read_text())
    assert content["scores"]["raw"]["plane_mean"]["recall"] == pytest.approx(0.6)
    before = {path: path.read_bytes() for path in out.glob("cells.*") if path.is_file()}
    (again,) = json.loads(graysam(*call).stdout)["images"]
    assert again["status"] == "skipped"
    assert (again["changes"], again["scores"]) == (image["changes"], image["scores"])
    (out / "cells.comparison.tif").unlink()
    (again,) = json.loads(graysam(*call).stdout)["images"]
    assert again["status"] == "done"
    assert {path: path.read_bytes() for path in before} == before
    left = graysam("segment", *sorted(out.glob("*.tif")), "--out", tmp_path / "x", status=2)
    assert "is a result of graysam" in left.stderr


def test_notes_on_either_arm_are_kept_and_name_it(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steps(image, recipe, *, cache=None):
        arm = "preprocessed" if recipe.preprocess else "raw"
        result = yield from fake_pipeline.segment_steps(image, recipe, source=arm)
        result.provenance["selection"] = {"notes": ["of both", f"of {arm}"]}
        return result

    fake_pipeline.install(monkeypatch)
    monkeypatch.setattr("napari_graysam.pipeline.segment_steps", steps)
    outcome = compare_stack(file, RECIPE, tmp_path / "out")
    assert outcome.notes == ("of both", "raw: of raw", "preprocessed: of preprocessed")


def test_a_truth_of_all_planes_serves_those_that_are_chosen(
    fake: None, file: Path, tmp_path: Path
) -> None:
    recipe = RECIPE.with_values({"stack.first": 1, "stack.step": 2})
    truth = tmp_path / "cells.labels.tif"
    outcome = compare_stack(file, recipe, tmp_path / "out", truth=truth)
    assert outcome.status == "done"
    assert outcome.scores["preprocessed"]["n_planes"] == 2
    assert outcome.scores["preprocessed"]["recall"] == 1
    tifffile.imwrite(truth, np.ones((3, 64, 64), np.uint8), photometric="minisblack")
    with pytest.raises(TruthError, match="2 that are segmented or all; got 3"):
        compare_stack(file, recipe, tmp_path / "out", truth=truth)


def test_a_truth_that_does_not_fit_is_refused_before_any_work(
    fake: None, file: Path, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "three.tif", np.ones((3, 8, 8), np.uint8), photometric="minisblack")
    folder_of(tmp_path / "small", [np.ones((64, 64), np.uint8)] * 3 + [np.ones((64, 60), np.uint8)])
    folder_of(tmp_path / "two", [np.ones((64, 64), np.uint8)] * 2)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.to_yaml())
    for name, said in (
        ("nowhere.tif", "There is no such file"),
        ("three.tif", "or all; got 3"),
        ("two", "or all; got 2"),
        ("small", "plane 3 has shape (64, 60), but the planes of the image have (64, 64)"),
    ):
        call = ("compare", file, "--recipe", recipe, "--truth", tmp_path / name)
        stderr = " ".join(graysam(*call, "--out", tmp_path / "out", status=1).stderr.split())
        assert said in stderr
        assert "unexpected" not in stderr
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["zarr", "folder"])
def test_a_truth_may_be_zarr_or_a_folder_of_planes(
    fake: None, file: Path, tmp_path: Path, kind: str
) -> None:
    planes = tifffile.imread(tmp_path / "cells.labels.tif")
    truth = tmp_path / f"truth.{kind}"
    if kind == "zarr":
        zarr.save_array(truth, planes)
    else:
        folder_of(truth, planes)
    outcome = compare_stack(file, RECIPE, tmp_path / "out", truth=truth)
    assert outcome.scores["preprocessed"]["average_precision"]["0.50"] == 1
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.to_yaml())
    call = ("compare", file, "--recipe", recipe, "--truth", truth, "--json")
    (image,) = json.loads(graysam(*call, "--out", tmp_path / "out").stdout)["images"]
    assert (image["status"], image["scores"]) == ("skipped", outcome.scores)


def test_a_folder_of_planes_is_the_truth_of_the_stack_of_its_name(tmp_path: Path) -> None:
    images = [tmp_path / "a.tif", tmp_path / "b.tif"]
    truths = [tmp_path / "truth" / name for name in ("a", "b_labels")]
    for truth in truths:
        folder_of(truth, np.ones((2, 4, 4), np.uint8))
    asked = [str(truth) for truth in truths]
    assert match_truth(images, asked, stacks=True) == dict(zip(images, truths, strict=True))
    with pytest.raises(UsageError, match=r"no labels for .*b\.tif; .* or b for a folder"):
        match_truth(images, asked[:1], stacks=True)
    tifffile.imwrite(truths[0] / "b.tif", np.ones((2, 4, 4), np.uint8), photometric="minisblack")
    assert match_truth(images[1:], asked[:1], stacks=True) == {images[1]: truths[0] / "b.tif"}


def test_an_arm_that_fails_is_named(fake: None, tmp_path: Path) -> None:
    (tmp_path / "cells.tif").write_bytes(b"II*\0 no stack")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.to_yaml())
    call = ("compare", tmp_path / "cells.tif", "--recipe", recipe, "--out", tmp_path / "out")
    assert "cells.tif" in graysam(*call, status=1).stderr
    assert not list((tmp_path / "out").glob("cells.comparison.*"))


def test_one_plane_of_a_stack_is_compared(fake: None, file: Path, tmp_path: Path) -> None:
    recipe = RECIPE.with_values({"stack.first": 2, "stack.last": 2})
    truth = tmp_path / "one.tif"
    tifffile.imwrite(truth, tifffile.imread(tmp_path / "cells.labels.tif")[2])
    outcome = compare_stack(file, recipe, tmp_path / "out", truth=truth)
    assert outcome.changes["gained"] == 2
    assert outcome.scores["preprocessed"]["recall"] == 1
    assert pd.read_csv(outcome.files["planes"])["z"].tolist() == [2]


def test_both_arms_of_all_stacks_share_one_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clusters = []

    def steps(paths, job, *, overwrite, cluster):
        clusters.append(cluster)
        yield from ()
        return [Outcome(path, "failed", "stopped here") for path in paths]

    monkeypatch.setattr("napari_graysam.batch.stack_compare.stack_steps", steps)
    paths = [tmp_path / "a.tif", tmp_path / "b.tif"]
    work = compare_stack_steps(paths, CompareJob(RECIPE, tmp_path / "out"), workers=2)
    assert [outcome.error for outcome in run(work)] == ["stopped here"] * 2
    assert len(clusters) == 2
    assert clusters[0] is clusters[1] is not None
