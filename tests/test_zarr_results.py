"""The commands on OME-Zarr images, and labels in OME-Zarr among their results."""

from __future__ import annotations

import json
from pathlib import Path

import fake_pipeline
import fsspec
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from typer.testing import CliRunner
from zarr_stores import half, write_image

from napari_graysam.cli import app
from napari_graysam.files import read_labels
from napari_graysam.files.zarr_labels import label_names, plan_labels, write_zarr_labels
from napari_graysam.outputs.zarr import remove_store
from napari_graysam.source.pyramid import open_pyramid

PIXELS, TRUTH = fake_pipeline.spots(bright=3, dim=2)
STACK = ("--set", "stack.axis=z", "--set", "stack.link=overlap")


@pytest.fixture(autouse=True)
def _pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pipeline.install(monkeypatch)
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    write_image(tmp_path / "data/cells.zarr", PIXELS, levels=2)
    return tmp_path / "data/cells.zarr"


def graysam(*arguments: object, status: int = 0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("given", "name"),
    [("cells.zarr", "cells"), ("cells.zarr/0", "cells_0"), ("", "cells"), ("*.zarr", "cells")],
)
def test_an_ome_zarr_image_is_segmented_as_its_tiff(image, tmp_path, given, name):
    graysam("segment", image.parent / given, "-o", tmp_path / "out")
    tifffile.imwrite(tmp_path / "same.tif", PIXELS)
    graysam("segment", tmp_path / "same.tif", "-o", tmp_path / "out")
    found = read_labels(tmp_path / "out" / f"{name}.labels.tif")
    np.testing.assert_array_equal(found, read_labels(tmp_path / "out/same.labels.tif"))
    assert found.max() == 5
    provenance = json.loads((tmp_path / "out" / f"{name}.provenance.json").read_text())
    assert provenance["image"]["pixel_size"] == [0.5, 0.5]


def test_labels_in_a_store_of_their_own(image, tmp_path):
    before = files_of(image)
    command = ("segment", image, "-o", tmp_path / "out", "--write", "labels,zarr", "--json")
    (one,) = json.loads(graysam(*command).stdout)["images"]
    place = tmp_path / "out/cells.zarr/labels/cells"
    assert one["files"]["zarr"] == str(place)
    labels = read_labels(tmp_path / "out/cells.labels.tif")
    np.testing.assert_array_equal(read_labels(place), labels)
    pyramid = open_pyramid(place)
    assert [level.shape for level in pyramid.levels] == [labels.shape, half(labels).shape]
    assert pyramid.pixel_size(1)[:2] == ((1.0, 1.0), "µm")
    about = zarr.open_group(place, mode="r").attrs["ome"]["image-label"]
    assert (place / about["source"]["image"]).resolve() == image.resolve()
    assert [row["label-value"] for row in about["properties"]] == [0, 1, 2, 3, 4, 5]
    assert about["properties"][2]["area"] == int((labels == 2).sum())
    assert files_of(image) == before
    assert json.loads(graysam(*command).stdout)["skipped"] == 1
    assert json.loads(graysam(*command, "--set", "image.window.high=99").stdout)["done"] == 1
    (place / "zarr.json").unlink()
    assert json.loads(graysam(*command, status=0).stdout)["done"] == 1


def test_a_store_of_labels_is_no_image_and_goes_with_its_result(image, tmp_path):
    out = tmp_path / "out"
    graysam("segment", image, "-o", out, "--write", "zarr")
    result = graysam("segment", out, "-o", tmp_path / "more", status=1)
    assert "This is a folder" in result.stderr
    result = graysam("segment", out / "cells.zarr", "-o", tmp_path / "more", status=2)
    assert "is a result of graysam" in result.stderr
    graysam("segment", image, "-o", out, "--write", "labels", "--set", "image.gray=max",
            "--set", "image.window.high=98")  # fmt: skip
    assert not (out / "cells.zarr").exists()


def test_other_labels_in_the_store_of_a_result_stay(image, tmp_path):
    command = ("segment", image, "-o", tmp_path)
    graysam(*command, "--write", "zarr")
    store = tmp_path / "cells.zarr"
    write_zarr_labels(store, "corrected", TRUTH, plan_labels(shape=TRUTH.shape))
    graysam(*command, "--write", "labels", "--set", "image.window.high=98")
    assert label_names(store) == ["corrected"]
    assert not (store / "labels/cells").exists()
    np.testing.assert_array_equal(read_labels(store), TRUTH)


def test_a_damaged_store_of_results_is_named(image, tmp_path):
    command = ("segment", image, "-o", tmp_path, "--write", "zarr")
    graysam(*command)
    (tmp_path / "cells.zarr/zarr.json").write_text("{")
    result = graysam(*command, "--overwrite", status=1)
    assert "If it holds results only, delete it." in result.stderr


@pytest.mark.parametrize("command", ["segment", "compare"])
@pytest.mark.parametrize("kind", ["zarr", "series", "foreign", "array", "folder"])
def test_what_is_no_store_of_results_is_never_written_into(tmp_path, command, kind):
    end = "" if command == "segment" else ".preprocessed"
    store = tmp_path / f"cells{end}.zarr"
    if kind == "series":
        zarr.open_group(store, mode="w").create_array("0", shape=(4, 4), dtype="u1")
    elif kind == "foreign":
        group = zarr.open_group(store, mode="w").create_group("labels")
        group.create_group(f"cells{end}").attrs["ome"] = {"version": "0.5"}
    elif kind == "array":
        zarr.create_array(store, shape=(4, 4), dtype="u1")
    elif kind == "folder":
        store.mkdir()
        (store / "notes.txt").write_text("mine")
    else:
        write_image(store, PIXELS)
    tifffile.imwrite(tmp_path / "cells.tif", PIXELS)
    before = files_of(tmp_path)
    for more in ((), ("--overwrite",)):
        result = graysam(
            command, tmp_path / "cells.tif", "-o", tmp_path, "-w", "labels,zarr",
            "-r", "low-contrast", *more, status=1,
        )  # fmt: skip
        assert "choose another folder (--out) or another name (--name)" in result.stderr
        assert files_of(tmp_path) == before


def test_an_image_in_the_folder_of_results_is_no_result(image):
    command = ("segment", image, "-o", image.parent, "--json")
    before = files_of(image)
    result = graysam(*command, "--write", "labels,zarr", status=1)
    assert "is an image and is not changed unasked" in result.stdout
    for expected in ("done", "skipped"):
        assert json.loads(graysam(*command).stdout)["images"][0]["status"] == expected
    graysam("segment", image.parent, "-o", image.parent.parent / "all")
    assert files_of(image) == before


def test_labels_in_an_image_do_not_go_with_results_of_its_name(image, tmp_path):
    graysam("segment", image, "-o", tmp_path / "out", "--write", "into-image")
    before = files_of(image)
    remove_store(image.parent, "cells")
    assert files_of(image) == before


@pytest.mark.parametrize(
    "options", [("--set", "image.axes=XY"), (*STACK, "--set", "image.axes=ZXY")]
)
def test_labels_do_not_lie_across_their_image(tmp_path, options):
    axes = "zyx" if "image.axes=ZXY" in options else "yx"
    pixels = PIXELS if axes == "yx" else np.stack([PIXELS] * 3)
    write_image(tmp_path / "cells.zarr", pixels, axes, levels=2)
    before = files_of(tmp_path / "cells.zarr")
    command = ("segment", tmp_path / "cells.zarr", "-o", tmp_path / "out", "-w", "into-image")
    result = graysam(*command, *options, "--overwrite", status=1)
    assert f"whose axes are {axes.upper()}, for columns" in result.stderr
    assert files_of(tmp_path / "cells.zarr") == before


def test_labels_of_a_tiff_have_a_store_as_well(tmp_path):
    tifffile.imwrite(tmp_path / "cells.tif", PIXELS)
    graysam("segment", tmp_path / "cells.tif", "-o", tmp_path, "--write", "zarr")
    assert read_labels(tmp_path / "cells.zarr/labels/cells").max() == 5


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_go_into_the_image_when_asked(tmp_path, version):
    image = tmp_path / "cells.zarr"
    write_image(image, PIXELS, levels=2, version=version)
    before = files_of(image)
    out = ("-o", tmp_path / "out", "--json")
    command = ("segment", image, *out, "--write", "into-image")
    (one,) = json.loads(graysam(*command).stdout)["images"]
    assert one["files"]["into-image"] == str(image / "labels/cells")
    assert label_names(image) == ["cells"]
    after = files_of(image)
    assert {path: after[path] for path in before} == before
    assert read_labels(image / "labels/cells").max() == 5
    assert json.loads(graysam(*command).stdout)["skipped"] == 1
    more = ("segment", image, *out, "--write", "table,into-image")
    (one,) = json.loads(graysam(*more).stdout)["images"]
    assert (one["status"], one["files"]["into-image"]) == ("done", str(image / "labels/cells"))
    assert files_of(image) == after
    result = graysam(*more, "--pixel-size", "3", status=1)
    assert "is there already" in result.stdout
    other = (*command, "--set", "image.window.high=99")
    result = graysam(*other, status=1)
    assert "is there already" in result.stdout
    assert "--overwrite" in result.stdout
    assert files_of(image) == after
    assert json.loads(graysam(*other, "--overwrite").stdout)["done"] == 1
    assert label_names(image) == ["cells"]
    graysam(*command, "--name", "nuclei")
    assert label_names(image) == ["cells", "nuclei"]


def test_both_arms_go_into_the_image(image, tmp_path):
    command = ("compare", image, "-r", "low-contrast", "-o", tmp_path / "out")
    graysam(*command, "--write", "into-image")
    assert label_names(image) == ["cells.raw", "cells.preprocessed"]
    result = graysam(*command, "--write", "into-image", "--set", "image.window.high=99", status=1)
    assert "is there already" in result.stderr


@pytest.mark.parametrize("name", ["cells.tif", "cells.zarr/0"])
def test_what_is_no_ome_zarr_image_gets_no_labels(image, tmp_path, name):
    tifffile.imwrite(image.parent / "cells.tif", PIXELS)
    before = files_of(image)
    result = graysam(
        "segment", image.parent / name, "-o", tmp_path / "out", "-w", "into-image", status=1
    )
    assert "is none. Use --write zarr" in result.stderr
    assert files_of(image) == before


def test_labels_do_not_go_into_an_image_at_an_address(image, tmp_path):
    memory = fsspec.filesystem("memory")
    memory.put(str(image), "/bucket/cells.zarr", recursive=True)
    result = graysam(
        "segment", "memory://bucket/cells.zarr", "-o", tmp_path / "out", "-w", "into-image",
        status=1,
    )  # fmt: skip
    assert "is none" in result.stderr


# Stacks


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    write_image(tmp_path / "deep.zarr", np.stack([PIXELS] * 3), "zyx", levels=2)
    return tmp_path / "deep.zarr"


def test_a_stack_in_ome_zarr_gives_a_volume(stack, tmp_path):
    out = tmp_path / "out"
    command = ("segment", stack, "-o", out, *STACK, "-w", "zarr,into-image", "--json")
    (one,) = json.loads(graysam(*command).stdout)["images"]
    volume = tifffile.imread(out / "deep.labels.tif")
    assert volume.shape == (3, *PIXELS.shape)
    for place in (out / "deep.zarr/labels/deep", stack / "labels/deep"):
        pyramid = open_pyramid(place)
        np.testing.assert_array_equal(pyramid.levels[0][:], volume)
        assert (pyramid.axes, len(pyramid.levels)) == ("ZYX", 2)
        assert (pyramid.spacing(), pyramid.pixel_size().size) == ({"z": 2.0}, (0.5, 0.5))
    assert set(one["files"]) >= {"labels", "zarr", "into-image"}
    rows = zarr.open_group(stack / "labels/deep", mode="r").attrs["ome"]["image-label"]
    table = pd.read_csv(out / "deep.objects.csv").set_index("id")
    assert rows["properties"][3]["voxels"] == table.loc[3, "voxels"]
    assert not list(out.rglob("*planes/*.zarr"))
    assert json.loads(graysam(*command).stdout)["skipped"] == 1
    (out / "deep.zarr/labels/deep/zarr.json").write_text("{")
    assert json.loads(graysam(*command).stdout)["done"] == 1
    volumes = open_pyramid(out / "deep.zarr/labels/deep")
    np.testing.assert_array_equal(volumes.levels[0][:], volume)
    result = graysam(*command, "--set", "image.window.high=99", status=1)
    assert "is there already" in result.stdout
    graysam(*command, "--set", "image.window.high=99", "--overwrite")


def test_labels_of_some_planes_do_not_go_into_the_image(stack, tmp_path):
    command = ("segment", stack, "-o", tmp_path / "out", *STACK, "--set", "stack.first=1")
    result = graysam(*command, "--write", "into-image", status=1)
    assert "2 are segmented" in result.stderr
    graysam(*command, "--write", "zarr")
    place = tmp_path / "out/deep.zarr/labels/deep"
    assert open_pyramid(place).shape == (2, *PIXELS.shape)
