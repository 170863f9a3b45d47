"""COCO files of stacks: a plane is an image, an object keeps its number."""

from __future__ import annotations

import json
from pathlib import Path

import fake_pipeline
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from napari_graysam.cli import app
from napari_graysam.errors import LabelsError
from napari_graysam.files import read_coco, read_labels, write_coco_stack
from napari_graysam.samples import samples


def stack() -> np.ndarray:
    volume = np.zeros((3, 6, 9), np.uint32)
    volume[:, 1:4, 1:4] = 7
    volume[1:, 2:6, 5:8] = 2
    return volume


def test_planes_read_back_with_the_numbers_of_the_objects(tmp_path):
    truth = samples()["nuclei_stack"].truth()[8:12]
    names = [f"cells.tif/z{number:04}" for number in range(8, 12)]
    path = tmp_path / "cells.coco.json"
    write_coco_stack(path, iter(truth), names, (192, 192), {"name": "x"}, positions=range(8, 12))
    for name, plane in zip(names, truth, strict=True):
        assert (read_labels(path, image=Path(name).name) == plane).all()
    content = json.loads(path.read_text())
    assert content["info"]["recipe"] == {"name": "x"}
    assert [image["position"] for image in content["images"]] == [8, 9, 10, 11]
    with pytest.raises(LabelsError, match="It holds 4 images"):
        read_coco(path)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_decodes_the_masks(tmp_path):
    from pycocotools.coco import COCO

    path = tmp_path / "cells.coco.json"
    write_coco_stack(path, stack(), ["a", "b", "c"], (6, 9), {}, axis="t")
    found = COCO(str(path))
    for image, plane in zip(found.getImgIds(), stack(), strict=True):
        labels = np.zeros((6, 9), np.uint32)
        for annotation in found.loadAnns(found.getAnnIds(image)):
            labels[found.annToMask(annotation) > 0] = annotation["track_id"]
        assert (labels == plane).all()


def test_annotations_have_ids_of_their_own_and_what_the_table_says(tmp_path):
    rows = [(7, 0, 0.9, 0.8, "model"), (7, 1, np.nan, np.nan, "interpolated")]
    columns = ["id", "z", "predicted_iou", "stability_score", "source"]
    path = tmp_path / "cells.coco.json"
    table = pd.DataFrame(rows, columns=columns)
    write_coco_stack(path, stack(), ["a", "b", "c"], (6, 9), {}, table=table)
    found = json.loads(path.read_text())["annotations"]
    assert [one["id"] for one in found] == [1, 2, 3, 4, 5]
    assert [one["track_id"] for one in found] == [7, 2, 7, 2, 7]
    assert [one["image_id"] for one in found] == [1, 2, 2, 3, 3]
    first, missed = found[0], found[2]
    assert (first["area"], first["bbox"], first["predicted_iou"]) == (9, [1, 1, 3, 3], 0.9)
    assert first["attributes"] == {"track_id": 7, "source": "model"}
    assert missed["attributes"] == {"track_id": 7, "source": "interpolated"}
    assert "predicted_iou" not in missed


def test_no_file_is_left_where_a_plane_cannot_be_read(tmp_path):
    def planes():
        yield stack()[0]
        raise LabelsError("plane 1 is damaged")

    with pytest.raises(LabelsError, match="plane 1 is damaged"):
        write_coco_stack(tmp_path / "x.coco.json", planes(), ["a", "b", "c"], (6, 9), {})
    assert list(tmp_path.iterdir()) == []


def test_empty_planes_are_images(tmp_path):
    path = tmp_path / "x.coco.json"
    write_coco_stack(path, np.zeros((2, 4, 4), int), ["a", "b"], (4, 4), {})
    content = json.loads(path.read_text())
    assert (len(content["images"]), content["annotations"]) == (2, [])


def test_the_command_writes_it_where_it_is_wanted(monkeypatch, tmp_path):
    fake_pipeline.install(monkeypatch)
    np.save(tmp_path / "cells.npy", np.stack([fake_pipeline.spots()[0]] * 3))
    call = ["segment", str(tmp_path / "cells.npy"), "--out", str(tmp_path / "out"), "--json"]
    call += ["--set", "stack.axis=z", "--set", "stack.link=overlap"]

    def status(*more: str) -> str:
        done = CliRunner().invoke(app, [*call, *more])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)["images"][0]["status"]

    path = tmp_path / "out" / "cells.coco.json"
    assert status("--write", "labels") == "done"
    assert not path.exists()
    assert status("--write", "labels,coco") == "done"
    content = json.loads(path.read_text())
    assert [image["file_name"] for image in content["images"]] == [
        "cells.npy/z0000", "cells.npy/z0001", "cells.npy/z0002",
    ]  # fmt: skip
    assert [one["track_id"] for one in content["annotations"]] == [1, 2, 3, 4, 5] * 3
    assert all(one["predicted_iou"] == 0.9 for one in content["annotations"])
    assert status("--write", "labels,coco") == "skipped"
    path.unlink()
    assert status("--write", "labels,coco") == "done"
    assert path.exists()
