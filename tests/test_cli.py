from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_pipeline
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from napari_graysam.cli import app
from napari_graysam.cli.inputs import expand, expand_images
from napari_graysam.cli.options import make_recipe
from napari_graysam.comparison import score as score_labels
from napari_graysam.errors import RecipeError, UsageError
from napari_graysam.files import (
    read_label_file,
    read_labels,
    write_coco,
    write_geojson,
    write_rois,
)
from napari_graysam.masks import label_masks
from napari_graysam.model import CATALOG
from napari_graysam.recipe import Recipe, presets


@pytest.fixture(autouse=True)
def _pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_pipeline.install(monkeypatch)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("GRAYSAM_MODELS", str(tmp_path / "models"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pixels, truth = fake_pipeline.spots(bright=3, dim=2)
    tifffile.imwrite(tmp_path / "cells.tif", pixels)
    (tmp_path / "truth").mkdir()
    tifffile.imwrite(tmp_path / "truth" / "cells.tif", truth)
    return tmp_path / "cells.tif"


def graysam(*arguments: object, status: int = 0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result


def process(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "napari_graysam.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


# --- segment ---------------------------------------------------------------------------------


def test_segment_writes_six_files_and_tells_of_them_on_stderr(image: Path, tmp_path: Path) -> None:
    result = graysam("segment", image, "--out", tmp_path / "out")
    assert result.stdout == ""
    assert "5 objects" in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cells.coco.json",
        "cells.labels.tif",
        "cells.objects.csv",
        "cells.overlay.png",
        "cells.provenance.json",
        "cells.recipe.yaml",
    ]


def test_segment_json_is_one_document(image: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.tif"
    result = graysam("segment", missing, image, "-o", tmp_path / "out", "--json", status=1)
    document = json.loads(result.stdout)
    assert (document["done"], document["skipped"], document["failed"]) == (1, 0, 1)
    failed, done = document["images"]
    assert failed["path"] == str(missing)
    assert "no such file" in failed["error"]
    assert done["objects"] == 5
    assert read_labels(done["files"]["labels"]).max() == 5


def test_quiet_says_nothing_but_errors(image: Path, tmp_path: Path) -> None:
    assert graysam("segment", image, "-o", tmp_path / "out", "--quiet").output == ""
    result = graysam("segment", "nothing.tif", "-o", tmp_path / "out", "-q", status=1)
    assert result.stderr.strip() == "error: nothing.tif: There is no such file; check the path."


def test_libraries_that_print_do_not_spoil_json(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chatty(gray, recipe, **_):
        print("hello from a library")
        return fake_pipeline.segment_steps(gray, recipe)

    monkeypatch.setattr("napari_graysam.pipeline.segment_steps", chatty)
    result = graysam("segment", image, "-o", tmp_path / "out", "--json")
    assert json.loads(result.stdout)["done"] == 1
    assert "hello" in result.stderr


def test_segment_resumes_and_overwrites(image: Path, tmp_path: Path) -> None:
    command = ("segment", image, "-o", tmp_path / "out", "--json")
    assert json.loads(graysam(*command).stdout)["done"] == 1
    assert json.loads(graysam(*command).stdout)["skipped"] == 1
    assert json.loads(graysam(*command, "--overwrite").stdout)["done"] == 1


def test_results_of_an_earlier_run_are_no_images(image: Path, tmp_path: Path) -> None:
    command = ("segment", tmp_path / "*.[tp][in][fg]", "-o", tmp_path)
    graysam(*command)
    foreign = tmp_path / "mine.labels.tif"
    foreign.write_bytes(image.read_bytes())
    result = graysam(*command, "--json")
    assert [Path(one["path"]).name for one in json.loads(result.stdout)["images"]] == [
        "cells.tif",
        "mine.labels.tif",
    ]
    assert "cells.labels.tif and 1 more" in result.stderr
    assert "is a result of graysam" in graysam(
        "segment", tmp_path / "cells.labels.tif", "-o", tmp_path, status=2
    ).stderr  # fmt: skip


def test_a_batch_ends_with_a_summary(image: Path, tmp_path: Path) -> None:
    command = ("segment", image, tmp_path / "missing.tif", "-o", tmp_path / "out")
    assert "2 images: 1 done, 1 failed" in graysam(*command, status=1).stderr
    assert "2 images: 1 skipped, 1 failed" in graysam(*command, status=1).stderr


@pytest.fixture
def days(image: Path, tmp_path: Path) -> Path:
    """A folder with two images of one name, in subfolders."""
    for number, day in enumerate(("day 1", "day 2")):
        (tmp_path / "data" / day).mkdir(parents=True)
        pixels, _ = fake_pipeline.spots(bright=number + 1, dim=0)
        tifffile.imwrite(tmp_path / "data" / day / "x.tif", pixels)
    return tmp_path / "data"


@pytest.mark.parametrize("given", [["", "--recursive"], ["*/x.tif"], ["**/*.tif"]])
def test_subfolders_are_kept_below_out(days: Path, tmp_path: Path, given: list[str]) -> None:
    out = tmp_path / "out"
    result = graysam("segment", days / given[0], *given[1:], "-o", out, "--json")
    images = json.loads(result.stdout)["images"]
    assert [one["name"] for one in images] == ["day 1/x", "day 2/x"]
    for number, day in enumerate(("day 1", "day 2"), start=1):
        assert read_labels(out / day / "x.labels.tif").max() == number
    again = graysam("segment", days / given[0], *given[1:], "-o", out, "--json")
    assert json.loads(again.stdout)["skipped"] == 2


def test_results_are_named_by_a_pattern(days: Path, tmp_path: Path) -> None:
    command = ("segment", days, "--recursive", "-o", tmp_path / "out")
    graysam(*command, "--name", "{parent}_{stem}_{suffix}", "--set", "image.plane=0")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"day 1_x_tif.labels.tif", "day 2_x_tif.labels.tif"} <= names
    for wrong, message in (
        ("{stem}_{place}", "there is no {place}; there are {stem}"),
        ("{stem", "is no pattern"),
        ("{stem.parent}", "there is no {stem.parent}"),
        ("{stem}_c{channel}", "--set image.channel=N"),
        ("../{stem}", "leads out of --out"),
        ("{stem:d}", "is no pattern"),
        ("{folder}/", "no name"),
        ("all", "same name (all.…)"),
        ("{stem}", "--name '{parent}_{stem}'"),
    ):
        assert message in graysam(*command, "--name", wrong, status=2).stderr


@pytest.mark.parametrize("command", ["segment", "compare"])
def test_another_plane_does_not_overwrite_the_first(tmp_path: Path, command: str) -> None:
    planes = [fake_pipeline.spots(bright=number, dim=0)[0] for number in (1, 2, 3)]
    tifffile.imwrite(tmp_path / "s.tif", np.stack(planes), photometric="minisblack")
    call = (command, tmp_path / "s.tif", "-r", "raw", "-o", tmp_path / "out", "--set")
    labels = "s.labels.tif" if command == "segment" else "s.raw.labels.tif"
    graysam(*call, "image.plane=1")
    result = graysam(*call, "image.plane=2", status=1)
    assert "s.tif, plane 2 would overwrite the results of" in result.stderr
    assert "s.tif, plane 1," in result.stderr
    assert "--name '{stem}_z{plane}'" in result.stderr
    assert read_labels(tmp_path / "out" / labels).max() == 2
    graysam(*call, "image.plane=2", "--name", "{stem}_z{plane:02}")
    named = tmp_path / "out" / labels.replace("s.", "s_z02.", 1)
    assert read_labels(named).max() == 3
    graysam(*call, "image.plane=2", "--overwrite")
    assert read_labels(tmp_path / "out" / labels).max() == 3


def test_write_chooses_the_files(image: Path, tmp_path: Path) -> None:
    command = ("segment", image, "-o", tmp_path / "out", "--json", "--write")
    (one,) = json.loads(graysam(*command, "table, geojson").stdout)["images"]
    assert list(one["files"]) == ["objects", "geojson", "provenance", "recipe"]
    assert {path.suffixes[-1] for path in (tmp_path / "out").iterdir()} == {
        ".csv", ".geojson", ".json", ".yaml",
    }  # fmt: skip
    assert json.loads(graysam(*command, "geojson").stdout)["skipped"] == 1
    assert json.loads(graysam(*command, "rois").stdout)["done"] == 1
    result = graysam(*command, "labels,pdf", status=2)
    assert (
        "--write labels,pdf: there is no output 'pdf'; there are labels, objects" in result.stderr
    )


def test_a_pixel_size_gives_micrometres(image: Path, tmp_path: Path) -> None:
    command = ("segment", image, "-o", tmp_path / "out", "--json")
    graysam(*command)
    assert "area_um2" not in pd.read_csv(tmp_path / "out" / "cells.objects.csv")
    done = graysam(*command, "--pixel-size", "0.5,0.25")
    assert json.loads(done.stdout)["done"] == 1
    table = pd.read_csv(tmp_path / "out" / "cells.objects.csv")
    assert (table["area_um2"] == table["area"] * 0.125).all()
    assert set(table["pixel_height_um"]) == {0.5}
    assert set(table["pixel_width_um"]) == {0.25}
    assert read_label_file(tmp_path / "out" / "cells.labels.tif").pixel_size == (0.5, 0.25)
    assert json.loads(graysam(*command, "--pixel-size", "0.5,0.25").stdout)["skipped"] == 1
    for wrong in ("0", "-1", "nan", "1,2,3", "0.3µm", ""):
        result = graysam(*command, f"--pixel-size={wrong}", status=2)
        assert f"--pixel-size {wrong}: expected positive micrometres" in result.stderr


def test_a_pixel_size_takes_the_place_of_the_files(tmp_path: Path) -> None:
    pixels, _ = fake_pipeline.spots()
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, pixels, resolution=(20_000, 20_000), resolutionunit="CENTIMETER")
    result = graysam("segment", path, "-o", tmp_path, "--pixel-size", "0.2", "--json")
    (one,) = json.loads(result.stdout)["images"]
    assert one["notes"] == [
        "The size of a pixel was given, 0.2 × 0.2 µm; the file says 0.5 × 0.5 µm."
    ]
    tifffile.imwrite(path, pixels, resolution=(72, 72), resolutionunit="INCH")
    result = graysam("segment", path, "-o", tmp_path, "--pixel-size", "0.2", "--json")
    assert json.loads(result.stdout)["images"][0]["notes"] == []


def test_a_result_names_its_image_window_versions_and_weights(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    graysam("segment", "cells.tif", "-o", "out")
    about = json.loads((tmp_path / "out" / "cells.provenance.json").read_text())
    assert about["image"]["path"] == str(image)
    assert about["image"]["window"] == {"kind": "percentiles", "low": 0, "high": 255}
    assert about["fingerprint"]["inputs"]["versions"]["napari-graysam"]
    assert len(about["fingerprint"]["inputs"]["model"]["weights"]) == 64


def test_the_recipe_that_was_asked_for_is_written(image: Path, tmp_path: Path) -> None:
    graysam(
        "segment", image, "-o", tmp_path, "-r", "particles",
        "--model", "sam2.1-hiera-tiny", "--set", "generator.points_per_side=16",
    )  # fmt: skip
    written = Recipe.from_file(tmp_path / "cells.recipe.yaml")
    assert written.preprocess == Recipe.preset("particles").preprocess
    assert written.model.name == "sam2.1_hiera_tiny"
    assert written.generator.points_per_side == 16


# --- bad input -------------------------------------------------------------------------------


def bad_files(folder: Path) -> dict[str, Path]:
    """Files that are no image, by what is wrong with them."""
    whole = folder / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(whole)
    contents = {
        "empty.tif": b"",
        "truncated.png": whole.read_bytes()[:900],
        "text.tif": b"this is no image",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    np.save(folder / "nothing.npy", np.zeros((0, 5)))
    np.save(folder / "nan.npy", np.full((8, 8), np.nan))
    np.save(folder / "four.npy", np.zeros((2, 3, 8, 8)))
    (folder / "folder").mkdir()
    names = [*contents, "nothing.npy", "nan.npy", "four.npy", "folder", "missing.tif"]
    return {name: folder / name for name in names}


def test_every_bad_image_is_named_in_one_line_and_the_good_one_is_done(
    image: Path, tmp_path: Path
) -> None:
    bad = bad_files(tmp_path)
    result = graysam("segment", *bad.values(), image, "-o", tmp_path / "out", status=1)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(bad)
    for path, line in zip(bad.values(), errors, strict=True):
        assert str(path) in line
        assert "unexpected" not in line
    assert {path.name.partition(".")[0] for path in (tmp_path / "out").iterdir()} == {"cells"}


def test_a_parameter_to_set_is_told_with_the_option_that_sets_it(tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", np.zeros((5, 64, 64)))
    result = graysam("segment", tmp_path / "stack.npy", "-o", tmp_path / "out", status=1)
    assert "image.axes=ZYX" in result.stderr
    assert "--set image.axes=" in result.stderr
    axes = ("--set", "image.axes=ZYX")
    result = graysam("segment", tmp_path / "stack.npy", *axes, "-o", tmp_path / "out", status=1)
    assert "--set image.plane=" in result.stderr


def test_an_out_that_is_a_file_fails_once(image: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    result = graysam("segment", image, "-o", tmp_path / "out", status=1)
    assert len(result.stderr.splitlines()) == 1
    assert "is a file" in result.stderr
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "generator.points_per_side"], ["KEY=VALUE"]),
        (["--set", "generator.points_per_sid=16"], ["points_per_sid", "points_per_side"]),
        (["--set", "generator.points_per_side=many"], ["generator.points_per_side", "many"]),
        (["--set", "generator.pred_iou_thresh=7"], ["generator.pred_iou_thresh", "7"]),
        (["--recipe", "particels"], ["particels", "particles", ".yaml"]),
        (["--recipe", "missing.yaml"], ["missing.yaml"]),
        (["--model", "sam3"], ["--model sam3"]),
        (["--workers", "2", "--scheduler", "tcp://a:1"], ["--workers", "--scheduler"]),
        (["--workers", "0"], ["--workers"]),
        (["--nonsense"], ["--nonsense"]),
    ],
)
def test_wrong_usage_has_status_2_and_says_what_is_wrong(
    image: Path, tmp_path: Path, options: list[str], words: list[str]
) -> None:
    result = graysam("segment", image, "-o", tmp_path / "out", *options, status=2)
    for word in words:
        assert word in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("command", "values"),
    [
        ("compare", ["tiles.use=always", "stack.axis=z"]),
        ("compare", ["tiles.level=1", "stack.axis=z"]),
        ("segment", ["tiles.use=always", "stack.axis=z"]),
    ],
)
def test_tiles_are_refused_where_there_are_none(
    image: Path, tmp_path: Path, command: str, values: list[str]
) -> None:
    settings = [word for value in values for word in ("--set", value)]
    chosen = ("-r", "low-contrast", "-o", tmp_path / "out")
    result = graysam(command, image, *chosen, *settings, status=2)
    assert "tiles.use" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_typo_in_a_recipe_file_has_status_2(image: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("generator: {points_per_syde: 16}\n")
    result = graysam("segment", image, "-o", tmp_path / "out", "-r", recipe, "--json", status=2)
    assert "points_per_syde" in result.stderr
    document = json.loads(result.stdout)
    assert document["kind"] == "RecipeError"
    assert "points_per_side" in document["error"]


def test_two_images_of_one_stem_have_status_2(image: Path, tmp_path: Path) -> None:
    result = graysam("segment", image, tmp_path / "cells.png", "-o", tmp_path / "out", status=2)
    assert "same name" in result.stderr


def test_an_unexpected_error_shows_its_traceback_only_with_debug(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(gray, recipe, **_):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("napari_graysam.pipeline.segment_steps", broken)
    plain = graysam("segment", image, "-o", tmp_path / "out", status=1)
    assert "unexpected ZeroDivisionError: by zero" in plain.stderr
    result = CliRunner().invoke(app, ["segment", str(image), "-o", str(tmp_path), "--debug"])
    assert result.exit_code == 1
    assert "in broken" in result.stderr


def test_stopping_by_hand_has_status_130(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(gray, recipe, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_graysam.pipeline.segment_steps", stopped)
    result = graysam("segment", image, "-o", tmp_path / "out", "--json", status=130)
    assert result.stdout == ""
    assert not (tmp_path / "out").exists()


# --- inputs and recipes ----------------------------------------------------------------------


def test_patterns_are_expanded_once_sorted_and_without_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.tif", "a.tif", "c.png", "[x].tif"):
        Path(name).write_text("")
    Path("d.tif").mkdir()
    assert expand(["*.tif"]) == [Path("[x].tif"), Path("a.tif"), Path("b.tif")]
    assert expand(["b.tif", "?.tif", "./a.tif"]) == [Path("b.tif"), Path("a.tif")]
    assert expand(["[x].tif"]) == [Path("[x].tif")]
    assert expand(["*.jpg", "gone.tif"]) == [Path("*.jpg"), Path("gone.tif")]


def test_a_model_by_name_replaces_a_checkpoint_of_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("model: {checkpoint: own.pt, config: own.yaml, device: cpu}\n")
    made = make_recipe(str(file), "facebook/sam2-hiera-large")
    assert made.model.name == "sam2_hiera_large"
    assert made.model.checkpoint is None
    assert made.model.config is None
    assert made.model.device == "cpu"


def test_the_last_of_equal_settings_wins_and_values_may_hold_equals_signs() -> None:
    made = make_recipe(None, None, ["name=a", "name=b=c"])
    assert made.name == "b=c"
    with pytest.raises(UsageError):
        make_recipe(None, None, ["=3"])
    with pytest.raises(RecipeError):
        make_recipe(None, None, ["nothing.here=3"])


# --- compare ---------------------------------------------------------------------------------


@pytest.mark.parametrize("truth", ["truth", "truth/cells.tif", "truth/*.tif"])
def test_compare_counts_changes_and_scores(image: Path, tmp_path: Path, truth: str) -> None:
    result = graysam(
        "compare",
        image,
        "-r",
        "particles",
        "-o",
        tmp_path / "out",
        "-t",
        tmp_path / truth,
        "--json",
    )
    (one,) = json.loads(result.stdout)["images"]
    assert (one["changes"]["kept"], one["changes"]["gained"]) == (3, 2)
    assert one["scores"]["raw"]["average_precision"]["0.50"] == pytest.approx(0.6)
    assert one["scores"]["preprocessed"]["average_precision"]["0.50"] == 1
    assert (tmp_path / "out" / "cells.comparison.png").is_file()
    assert (tmp_path / "out" / "cells.raw.labels.tif").is_file()


def test_compare_prints_a_table(image: Path, tmp_path: Path) -> None:
    result = graysam(
        "compare", image, "-r", "particles", "-o", tmp_path / "out", "-t", tmp_path / "truth"
    )
    header, row = (
        line.split() for line in result.stdout.splitlines() if line and "─" not in line.strip()
        and line.strip()
    )  # fmt: skip
    assert header[-6:] == ["kept", "changed", "gained", "lost", "split", "merged"]
    assert row == ["cells", "0.600", "1.000", "3", "0", "2", "0", "0", "0"]


def test_a_compare_that_was_stopped_goes_on_and_shows_the_whole_table(
    image: Path, tmp_path: Path
) -> None:
    other = tmp_path / "more.tif"
    tifffile.imwrite(other, fake_pipeline.spots(bright=1, dim=1)[0])
    command = ("compare", "-r", "particles", "-o", tmp_path / "out")
    graysam(*command, image)
    result = graysam(*command, image, other)
    assert "cells.tif: skipped" in result.stderr
    assert "2 images: 1 done, 1 skipped" in result.stderr
    rows = [line.split() for line in result.stdout.splitlines() if "─" not in line and line.strip()]
    assert rows[1:] == [["cells", "3", "0", "2", "0", "0", "0"], ["more", "1", "0", "1", *"000"]]
    document = json.loads(graysam(*command, image, other, "--workers", 2, "--json").stdout)
    assert (document["skipped"], document["images"][0]["changes"]["gained"]) == (2, 2)


def test_compare_takes_the_options_of_many_images(image: Path, tmp_path: Path) -> None:
    command = ("compare", image, "-r", "particles", "-o", tmp_path / "out")
    both = graysam(*command, "--workers", 2, "--scheduler", "tcp://a:1", status=2)
    assert "exclude each other" in both.stderr
    assert "a port" in graysam(*command, "--scheduler", "localhost", status=2).stderr
    graysam(*command, "--cache", tmp_path / "cache", "--cache-size", 1)
    assert (tmp_path / "cache").is_dir()


def test_a_failed_compare_prints_no_table(tmp_path: Path) -> None:
    missing = tmp_path / "missing.tif"
    result = graysam("compare", missing, "-r", "particles", "-o", tmp_path / "out", status=1)
    assert result.stdout == ""
    assert str(missing) in result.stderr


def test_compare_refuses_a_truth_of_other_images(image: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.tif"
    second.write_bytes(image.read_bytes())
    result = graysam(
        "compare", image, second, "-r", "raw", "-o", tmp_path / "out", "-t", tmp_path / "truth",
        status=2,
    )  # fmt: skip
    assert str(second) in result.stderr
    assert str(image) not in result.stderr


def test_coco_names_the_image_file_in_both_arms(image: Path, tmp_path: Path) -> None:
    graysam("compare", image, "-r", "particles", "-o", tmp_path, "--name", "sub/{stem}_a")
    arms = [
        json.loads((tmp_path / "sub" / f"cells_a.{arm}.coco.json").read_text())["images"]
        for arm in ("raw", "preprocessed")
    ]
    assert arms[0] == arms[1] == [{"id": 1, "file_name": "cells.tif", "height": 64, "width": 64}]


@pytest.mark.parametrize("name", ["truth.json", "truth.geojson", "truth.zip"])
def test_compare_takes_objects_as_truth(image: Path, tmp_path: Path, name: str) -> None:
    write = {"truth.json": write_coco, "truth.geojson": write_geojson, "truth.zip": write_rois}
    masks, _ = label_masks(read_labels(tmp_path / "truth" / "cells.tif"))
    shape: tuple = (64, 64)
    if name == "truth.json":
        write[name](tmp_path / name, masks, "cells.tif", shape, {})
    else:
        write[name](tmp_path / name, masks, shape)
    call = ("compare", image, "-r", "raw", "-o", tmp_path / "out", "--json", "-t")
    (one,) = json.loads(graysam(*call, tmp_path / name).stdout)["images"]
    assert one["scores"]["preprocessed"]["average_precision"]["0.50"] == 1


def test_compare_refuses_a_truth_that_two_images_share(days: Path, tmp_path: Path) -> None:
    (tmp_path / "truth" / "x.tif").write_bytes((tmp_path / "truth" / "cells.tif").read_bytes())
    call = ("compare", days, "--recursive", "-r", "raw", "-o", tmp_path / "out", "--truth")
    result = graysam(*call, tmp_path / "truth", status=2)
    assert str(days / "day 2" / "x.tif") in result.stderr


def test_compare_needs_a_recipe(image: Path, tmp_path: Path) -> None:
    result = graysam("compare", image, "-o", tmp_path / "out", status=2)
    assert "--recipe" in result.stderr


# --- score -----------------------------------------------------------------------------------


def write_labels(path: Path, *squares: int) -> np.ndarray:
    labels = np.zeros((32, 32), np.uint16)
    for number, at in enumerate(squares, start=1):
        labels[at : at + 4, at : at + 4] = number
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, labels)
    return labels


def test_score_of_two_files(tmp_path: Path) -> None:
    found = write_labels(tmp_path / "a.labels.tif", 0, 8)
    truth = write_labels(tmp_path / "a.tif", 0, 8, 16)
    result = graysam("score", tmp_path / "a.labels.tif", tmp_path / "a.tif", "--json")
    document = json.loads(result.stdout)
    assert document["images"] == {"a": score_labels(found, truth).to_dict()}
    assert document["mean"]["recall"] == pytest.approx(2 / 3)


def test_score_of_two_folders_pairs_by_stem(tmp_path: Path) -> None:
    write_labels(tmp_path / "found" / "a.labels.tif", 0)
    write_labels(tmp_path / "found" / "b.labels.tif", 0)
    Image.new("RGB", (32, 32)).save(tmp_path / "found" / "a.overlay.png")
    write_labels(tmp_path / "truth" / "a.tif", 0)
    write_labels(tmp_path / "truth" / "b.tif", 0, 8)
    result = graysam("score", tmp_path / "found", tmp_path / "truth")
    rows = {
        line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line.split()
    }
    assert rows["a"][1] == "1.000"
    assert rows["b"][1] == "0.500"
    assert rows["mean"][1] == "0.750"


def test_score_pairs_names_by_what_follows_them(tmp_path: Path) -> None:
    write_labels(tmp_path / "found" / "f00.labels.tif", 0)
    write_labels(tmp_path / "found" / "f01.labels.tif", 0)
    write_labels(tmp_path / "truth" / "f00_mask.tif", 0)
    write_labels(tmp_path / "truth" / "f01_cp_masks.tif", 0)
    tifffile.imwrite(tmp_path / "truth" / "f00.tif", np.ones((32, 32), np.uint8))
    result = graysam("score", tmp_path / "found", tmp_path / "truth", "--json")
    scores = json.loads(result.stdout)["images"]
    assert {name: one["f1"] for name, one in scores.items()} == {"f00": 1.0, "f01": 1.0}


def test_score_of_a_mask_asks_for_connected_components(tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "a.labels.tif", 0, 8, 16)
    tifffile.imwrite(tmp_path / "a.tif", np.where(labels > 0, 255, 0).astype(np.uint8))
    files = tmp_path / "a.labels.tif", tmp_path / "a.tif"
    result = graysam("score", *files, "--json")
    assert "a.tif: one label in 3 pieces" in result.stderr
    assert "--connected" in result.stderr
    result = graysam("score", *files, "--json", "--connected")
    assert json.loads(result.stdout)["images"]["a"]["f1"] == 1.0
    assert "pieces" not in result.stderr


@pytest.mark.parametrize("recursive", [False, True])
def test_folders_mean_their_images(tmp_path: Path, recursive: bool) -> None:
    for name in ("a.png", "b.labels.tif", "in/c.png", "note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    given = [str(tmp_path), str(tmp_path / "a.png")]
    found = expand_images(given, recursive=recursive)
    assert [path.name for path in found] == ["a.png", "c.png"][: 1 + recursive]


def test_segment_takes_folders(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("in/a.png", "in/b.png"):
        (tmp_path / name).write_bytes(b"no image")
    folder, out = tmp_path, tmp_path / "out"
    result = graysam("segment", folder, "--recursive", "--out", out, "--json", status=1)
    assert [Path(one["path"]).name for one in json.loads(result.stdout)["images"]] == [
        "a.png",
        "b.png",
    ]
    result = graysam("segment", folder, "--out", out, status=1)
    assert "--recursive" in result.stderr


def test_score_names_what_has_no_partner_and_scores_the_rest(tmp_path: Path) -> None:
    for name in ("found/a.labels.tif", "found/x.labels.tif", "truth/a.tif", "truth/y.tif"):
        write_labels(tmp_path / name, 0)
    result = graysam("score", tmp_path / "found", tmp_path / "truth", "--json", status=1)
    assert list(json.loads(result.stdout)["images"]) == ["a"]
    assert "x.labels.tif" in result.stderr
    assert "y.tif" in result.stderr


def test_score_of_a_file_and_a_folder_is_wrong_usage(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", 0)
    graysam("score", tmp_path / "a.tif", tmp_path, status=2)


def test_score_of_different_shapes_says_so(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", 0)
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((5, 7), np.uint8))
    result = graysam("score", tmp_path / "a.tif", tmp_path / "b.tif", status=1)
    assert "(5, 7)" in result.stderr


# --- models, recipe, doctor ------------------------------------------------------------------


def test_models_lists_the_catalogue() -> None:
    document = json.loads(graysam("models", "--json").stdout)
    assert [entry["name"] for entry in document] == [entry.name for entry in CATALOG]
    assert document == json.loads(graysam("models", "list", "--json").stdout)
    table = graysam("models").stdout
    assert all(entry.name in table for entry in CATALOG)


def test_models_list_json_gives_the_address_of_every_file() -> None:
    listed = json.loads(graysam("models", "list", "--json").stdout)
    assert {model["name"]: model["url"] for model in listed} == {
        entry.name: entry.url for entry in CATALOG
    }


def test_models_path_and_verify(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "sam2.1_hiera_tiny.pt"
    result = graysam("models", "path", "sam2.1_hiera_tiny", status=1)
    assert "graysam models download sam2.1_hiera_tiny" in result.stderr
    file.write_bytes(b"something else")
    assert graysam("models", "path", "sam2.1-hiera-tiny").stdout == f"{file}\n"
    assert str(tmp_path / "models") in graysam("models", "path").stdout.splitlines()
    result = graysam("models", "verify", "sam2.1_hiera_tiny", "--json", status=1)
    assert "SHA-256" in json.loads(result.stdout)[0]["error"]
    graysam("models", "verify", "sam2_hiera_large", status=1)
    graysam("models", "path", "nonsense", status=2)


def test_models_download_finds_what_is_here_and_names_what_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_graysam.errors import DownloadError

    def fetch(entry):
        if "large" in entry.name:
            raise DownloadError("no connection")
        return tmp_path / entry.filename
        yield

    monkeypatch.setattr("napari_graysam.model.fetch", fetch)
    names = ("sam2_hiera_large", "sam2_hiera_tiny")
    result = graysam("models", "download", *names, "--json", status=1)
    large, tiny = json.loads(result.stdout)
    assert large["error"] == "no connection"
    assert tiny["path"] == str(tmp_path / "sam2_hiera_tiny.pt")


def test_recipe_lists_presets() -> None:
    assert json.loads(graysam("recipe", "--json").stdout) == presets()
    assert all(name in graysam("recipe").stdout for name in presets())


def test_recipe_show_prints_a_recipe_that_reads_back(tmp_path: Path) -> None:
    for arguments in (["membranes"], ["membranes", "--full"]):
        text = graysam("recipe", "show", *arguments).stdout
        assert Recipe.from_yaml(text) == Recipe.preset("membranes")
        document = json.loads(graysam("recipe", "show", *arguments, "--json").stdout)
        assert Recipe.from_dict(document) == Recipe.preset("membranes")
    changed = graysam("recipe", "show", "membranes", "-s", "generator.points_per_side=5").stdout
    assert Recipe.from_yaml(changed).generator.points_per_side == 5


def test_recipe_show_explains_every_generator_parameter() -> None:
    text = graysam("recipe", "show", "--explain").stdout
    facts = json.loads(graysam("recipe", "show", "--explain", "--json").stdout)
    by_path = {fact["path"]: fact for fact in facts}
    for name in type(Recipe().generator).model_fields:
        assert f"generator.{name} = " in text
        assert by_path[f"generator.{name}"]["description"]
    assert by_path["generator.crop_n_layers"]["default"] == 0
    own = json.loads(graysam("recipe", "show", "particles", "--explain", "--json").stdout)
    preset = Recipe.preset("particles")
    values = {fact["path"]: fact["value"] for fact in own}
    assert values["preprocess.0.kind"] == preset.preprocess[0].kind
    assert values["generator.pred_iou_thresh"] == preset.generator.pred_iou_thresh


def test_recipe_new_writes_once_and_check_judges(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    graysam("recipe", "new", file, "-r", "particles", "-s", "name=mine")
    assert Recipe.from_file(file) == Recipe.preset("particles").replace(name="mine")
    graysam("recipe", "new", file, status=2)
    assert Recipe.from_file(file).name == "mine"
    graysam("recipe", "new", file, "--overwrite")
    assert Recipe.from_file(file) == Recipe.preset()
    graysam("recipe", "check", file, "raw")
    (tmp_path / "bad.yaml").write_text("generator: {points: 3}")
    result = graysam("recipe", "check", "raw", tmp_path / "bad.yaml", "--json", status=2)
    document = json.loads(result.stdout)
    assert document["raw"] is None
    assert "generator.points" in document[str(tmp_path / "bad.yaml")]


@pytest.mark.parametrize(("worst", "status"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_doctor_shows_every_check(monkeypatch: pytest.MonkeyPatch, worst: str, status: int) -> None:
    from napari_graysam.doctor import Check

    checks = [Check("torch", "ok", "2.9"), Check("disk", worst, "0 GB free", "Free some space.")]
    monkeypatch.setattr("napari_graysam.doctor.diagnose", lambda: checks)
    text = graysam("doctor", status=status).stdout
    assert all(word in text for word in ("torch", "2.9", "disk", "Free some space."))
    document = json.loads(graysam("doctor", "--json", status=status).stdout)
    assert [check["status"] for check in document] == ["ok", worst]


# --- the process -----------------------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from napari_graysam.cli import app\n"
        "try: app(['segment', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'cv2', 'pandas', 'dask', 'distributed', 'skimage', 'napari', 'numpy',"
        " 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "--scheduler" in done.stdout
    assert done.stderr.strip() == "[]"


def test_version_and_help() -> None:
    assert graysam("--version").stdout.startswith("graysam ")
    text = graysam("--help").stdout
    for command in ("demo", "segment", "compare", "score", "models", "recipe", "doctor"):
        assert command in text
    assert "--install-completion" in text


def test_a_process_has_pure_stdout_and_its_status(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("generator: {points: 3}")
    done = process("recipe", "check", "raw", "bad.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert set(json.loads(done.stdout)) == {"raw", "bad.yaml"}
    assert "generator.points" in done.stderr
    assert "Traceback" not in done.stderr
    done = process("segment", "missing.tif", "--out", "out", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout)["failed"] == 1
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yaml"]


def test_a_shell_completes_presets(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "_GRAYSAM_COMPLETE": "complete_bash",
        "COMP_WORDS": "graysam segment --recipe parti",
        "COMP_CWORD": "3",
    }
    code = "import sys; sys.argv = ['graysam']; from napari_graysam.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == ["particles"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to a process")
def test_ctrl_c_ends_a_run_and_leaves_nothing_half_written(image: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "napari_graysam.cli", "segment", str(image)]
    settings = ["--out", str(tmp_path / "out"), "--set", "generator.points_per_side=512"]
    with subprocess.Popen(
        [*command, *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as running:
        try:
            time.sleep(15)
            running.send_signal(signal.SIGINT)
            _, errors = running.communicate(timeout=90)
        finally:
            running.kill()
    assert running.returncode == 130, errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()
