"""Labels in OME-Zarr: what viewers and validators read, and that nobody's labels are lost."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import zarr
from zarr_stores import half, write_image

from napari_graysam import read_image
from napari_graysam.errors import ImageError, LabelsError, OutputError
from napari_graysam.files import read_label_file, read_labels
from napari_graysam.files.zarr_labels import (
    create_labels,
    label_names,
    plan_labels,
    write_zarr_labels,
)
from napari_graysam.locks import Lock
from napari_graysam.source.pyramid import open_pyramid

GRAY = np.random.default_rng(0).integers(0, 60_000, (150, 201)).astype(np.uint16)
LABELS = (np.add.outer(np.arange(150) // 50 * 3, np.arange(201) // 67) + 1).astype(np.uint32)
LABELS[::7] = 0
COUNT = int(LABELS.max())
TABLE = pd.DataFrame(
    {"index": np.arange(1, COUNT + 1), "area": [n + 0.5 for n in range(COUNT)], "score": np.nan}
)


def small_plan(like=None, **more):
    """Plan labels of many small blocks."""
    more.setdefault("block", 64)
    more.setdefault("chunk", 32)
    return plan_labels(like, **more) if like is not None else plan_labels(**more)


@pytest.fixture(params=["0.4", "0.5"])
def image(request, tmp_path):
    path = tmp_path / "image.zarr"
    write_image(path, GRAY, version=request.param)
    return path


def appended(path, labels=LABELS, name="cells", **more):
    plan = small_plan(open_pyramid(path))
    more.setdefault("table", TABLE)
    return write_zarr_labels(path, name, labels, plan, into_image=True, **more)


# Readers


def test_labels_have_the_levels_of_their_image_and_only_its_values(image):
    path = appended(image)
    pyramid, labels = open_pyramid(image), open_pyramid(path)
    assert [level.shape for level in labels.levels] == [level.shape for level in pyramid.levels]
    assert labels.scales == pyramid.scales
    assert labels.dtype == np.uint32
    for number, level in enumerate((LABELS, half(LABELS), half(half(LABELS)))):
        read = labels.plane(level=number)[:, :]
        assert set(np.unique(read)) <= set(range(COUNT + 1))
        if number == 0:
            np.testing.assert_array_equal(read, level)
        else:
            assert (read == level).mean() > 0.97


# Of napari-ome-zarr's reader; the second with pandas 3.1.
@pytest.mark.filterwarnings("ignore:color_dict did not provide a default color")
@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_napari_shows_image_labels_and_the_row_of_every_label(image):
    from napari.layers import Labels
    from napari_ome_zarr import napari_get_reader

    appended(image)
    layers = napari_get_reader(str(image))()
    assert [kind for _, _, kind in layers if kind == "labels"] == ["labels"]
    data, options, _ = next(layer for layer in layers if layer[2] == "labels")
    layer = Labels(data, multiscale=True, **options)
    np.testing.assert_array_equal(np.asarray(layer.data[0]), LABELS)
    np.testing.assert_allclose(layer.scale, (0.5, 0.5))
    features = layer.features.set_index("index")
    assert features.loc[3, "area"] == 2.5
    assert pd.isna(features.loc[0, "area"])
    colours = {tuple(layer.get_color(label)) for label in range(1, COUNT + 1)}
    assert len(colours) == COUNT
    assert layer.get_color(0) is None or layer.get_color(0)[3] == 0


def test_without_an_index_the_number_of_a_row_is_the_label(image):
    """Another version of that reader passes the properties on as they are."""
    from napari.layers import Labels

    attributes = dict(zarr.open_group(appended(image), mode="r").attrs)
    about = attributes.get("ome", attributes)["image-label"]
    rows = pd.DataFrame(about["properties"]).sort_values("label-value").drop(columns="label-value")
    layer = Labels(LABELS, features=rows)
    assert layer.get_status((60, 80), world=True)["value"].count("area: 4.5") == 1
    assert LABELS[60, 80] == 5


def test_ome_zarr_models_accept_image_and_labels(image):
    path = appended(image)
    if (path / "zarr.json").exists():
        from ome_zarr_models.v05 import Image, ImageLabel, Labels

        found = Labels.from_zarr(zarr.open_group(image / "labels", mode="r"))
        assert found.label_paths == ["cells"]
    else:
        from ome_zarr_models.v04 import Image, ImageLabel, Labels
        from pydantic_zarr import v2

        # Newer versions of pydantic than these models ask for do not find it themselves.
        for model in (Labels, Image, ImageLabel):
            model.model_rebuild(_types_namespace=vars(v2))
    Image.from_zarr(zarr.open_group(image, mode="r"))
    group = ImageLabel.from_zarr(zarr.open_group(path, mode="r"))
    ome = getattr(group.attributes, "ome", group.attributes)
    assert ome.image_label.source.image == "../../"
    assert [one.label_value for one in ome.image_label.colors] == list(range(COUNT + 1))
    assert [one.label_value for one in ome.image_label.properties] == list(range(COUNT + 1))


def test_a_store_of_labels_only_names_its_image(tmp_path):
    from ome_zarr_models.v05 import ImageLabel

    (tmp_path / "data").mkdir()
    write_image(tmp_path / "data/image.zarr", GRAY)
    plan = small_plan(open_pyramid(tmp_path / "data/image.zarr"))
    path = write_zarr_labels(
        tmp_path / "out/cells.zarr", "cells", LABELS, plan, source=tmp_path / "data/image.zarr"
    )
    assert path == tmp_path / "out/cells.zarr/labels/cells"
    group = ImageLabel.from_zarr(zarr.open_group(path, mode="r"))
    source = group.attributes.ome.image_label.source.image
    assert (path / source).resolve() == (tmp_path / "data/image.zarr").resolve()


def test_a_store_of_labels_only_stands_for_its_labels(tmp_path):
    plan = small_plan(shape=LABELS.shape, pixel_size=(0.5, 0.5))
    write_zarr_labels(tmp_path / "a.zarr", "cells", LABELS, plan)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.zarr"), LABELS)
    assert read_label_file(tmp_path / "a.zarr").pixel_size == (0.5, 0.5)
    with pytest.raises(ImageError, match=r"holds labels; give"):
        read_image(tmp_path / "a.zarr")
    write_zarr_labels(tmp_path / "a.zarr", "nuclei", LABELS, plan)
    with pytest.raises(LabelsError, match="several labels, cells, nuclei; give one"):
        read_labels(tmp_path / "a.zarr")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.zarr/labels/nuclei"), LABELS)


def test_what_a_killed_process_left_does_not_stay(tmp_path):
    with create_labels(tmp_path / "a.zarr", "cells", small_plan(shape=(64, 64))) as writer:
        rest = tmp_path / "a.zarr/labels/.cells.unfinished/0/c/0/0.1234.partial"
        writer.write_block(0, 0, np.ones((64, 64), np.uint32))
        rest.parent.mkdir(parents=True, exist_ok=True)
        rest.write_bytes(b"half")
        path = writer.finish(1)
    assert not list(path.rglob("*.partial"))
    assert read_labels(path).all()


def test_labels_lie_where_their_image_lies(tmp_path):
    path = tmp_path / "image.zarr"
    write_image(path, GRAY, levels=1)
    group = zarr.open_group(path)
    ome = dict(group.attrs["ome"])
    steps = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    steps.append({"type": "translation", "translation": [10.0, 20.0]})
    group.attrs["ome"] = ome
    labels = open_pyramid(appended(path))
    assert labels.translations == ((10.0, 20.0),)
    assert len(labels.levels) == 1


def test_a_large_image_of_one_level_gets_labels_of_several(tmp_path):
    plan = plan_labels(open_pyramid(np.zeros((2000, 3000), np.uint8)), pixel_size=(0.5, 0.25))
    assert plan.shapes == ((2000, 3000), (1000, 1500), (500, 750))
    assert plan.scales == ((0.5, 0.25), (1.0, 0.5), (2.0, 1.0))


def test_a_volume(tmp_path):
    deep = np.stack([LABELS, LABELS[::-1], np.zeros_like(LABELS)])
    plan = small_plan(shape=deep.shape, axes="ZYX", pixel_size=(0.5, 0.5), spacing=2.0)
    path = write_zarr_labels(tmp_path / "a.zarr", "cells", deep, plan)
    read = open_pyramid(path)
    assert (read.axes, read.spacing(), read.pixel_size().size) == ("ZYX", {"z": 2.0}, (0.5, 0.5))
    np.testing.assert_array_equal(read.levels[0][:], deep)


# Blocks


def test_a_block_is_whole_or_refused(tmp_path):
    plan = small_plan(shape=LABELS.shape)
    with create_labels(tmp_path / "a.zarr", "cells", plan) as writer:
        for y0, x0, size in ((10, 0, (64, 64)), (0, 0, (64, 63)), (128, 192, (30, 9))):
            with pytest.raises(OutputError, match="not on the grid of 64 × 64"):
                writer.write_block(y0, x0, np.ones(size, np.uint32))
        writer.write_block(128, 192, np.full((22, 9), 5, np.uint32))
        writer.write_block(0, 0, np.full((128, 64), 4, np.uint32))
        assert writer.blocks.arrays[0][149, 200] == 5
        assert writer.blocks.arrays[0][127, 63] == 4


def test_blocks_are_written_by_other_processes(tmp_path):
    plan = small_plan(shape=LABELS.shape)
    with create_labels(tmp_path / "a.zarr", "cells", plan) as writer:
        for y0, y1, x0, x1 in writer.blocks.places():
            code = (
                "import pickle, sys, numpy as np\n"
                "blocks, y, x, array = pickle.load(sys.stdin.buffer)\n"
                "blocks.write_block(y, x, array)"
            )
            sent = pickle.dumps((writer.blocks, y0, x0, LABELS[y0:y1, x0:x1]))
            if (y0, x0) == (64, 64):
                subprocess.run([sys.executable, "-c", code], input=sent, check=True)
            else:
                pickle.loads(sent)[0].write_block(y0, x0, LABELS[y0:y1, x0:x1])
        path = writer.finish(COUNT)
    np.testing.assert_array_equal(open_pyramid(path).levels[0][:], LABELS)


def test_lower_levels_never_read_the_whole_image(tmp_path, monkeypatch):
    from napari_graysam.files.zarr_labels import blocks

    monkeypatch.setattr(blocks, "PIECE", 1000)
    plan = small_plan(open_pyramid([GRAY, half(GRAY), half(half(GRAY))]))
    path = write_zarr_labels(tmp_path / "a.zarr", "cells", LABELS, plan)
    read = open_pyramid(path)
    np.testing.assert_array_equal(read.levels[1][:], half(LABELS)[:, : read.levels[1].shape[1]])


# Others' labels


def test_labels_of_others_stay(image):
    first = appended(image, name="nuclei")
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    appended(image)
    assert label_names(image) == ["nuclei", "cells"]
    with pytest.raises(OutputError, match=r"cells is there already.*--overwrite"):
        appended(image, LABELS * 0)
    assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == before
    assert open_pyramid(image / "labels/cells").levels[0][:].max() == COUNT
    appended(image, LABELS * 0, overwrite=True)
    assert open_pyramid(image / "labels/cells").levels[0][:].max() == 0
    assert label_names(image) == ["nuclei", "cells"]
    assert sorted(path.name for path in (image / "labels").iterdir() if path.is_dir()) == [
        "cells", "nuclei",
    ]  # fmt: skip


def test_an_image_is_not_changed_unasked(image):
    plan = small_plan(open_pyramid(image))
    with pytest.raises(OutputError, match="is an image and is not changed unasked"):
        write_zarr_labels(image, "cells", LABELS, plan)
    assert not (image / "labels").exists()


def test_what_is_no_store_is_refused(tmp_path):
    plan = small_plan(shape=LABELS.shape)
    (tmp_path / "a.txt").write_text("mine")
    for store in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(OutputError, match="no Zarr store"):
            write_zarr_labels(store, "cells", LABELS, plan)
    with pytest.raises(OutputError, match="no OME-Zarr image"):
        write_zarr_labels(tmp_path, "cells", LABELS, plan, into_image=True)
    with pytest.raises(OutputError, match="address"):
        write_zarr_labels("s3://bucket/a.zarr", "cells", LABELS, plan)
    for name in ("../cells", "a/b", ".cells", "", "__cells"):
        with pytest.raises(OutputError, match="cannot be called"):
            write_zarr_labels(tmp_path / "b.zarr", name, LABELS, plan)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_read_only_store_is_named(image, monkeypatch):
    plan = small_plan(open_pyramid(image))
    before = sorted(image.rglob("*"))

    def refuse(*args, **more):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.mkdir", refuse)
        with pytest.raises(OutputError, match=r"Read-only file system\. The place is read-only"):
            write_zarr_labels(image, "cells", LABELS, plan, into_image=True)
    assert sorted(image.rglob("*")) == before


def test_unfinished_labels_are_no_labels_and_are_continued(image):
    pyramid = open_pyramid(image)
    plan = small_plan(pyramid)
    y0, y1, x0, x1 = next(iter(create_places(plan)))
    with create_labels(image, "cells", plan, into_image=True, token="one") as writer:
        assert not writer.continued
        writer.write_block(y0, x0, LABELS[y0:y1, x0:x1])
    assert label_names(image) == []
    assert not (image / "labels/cells").exists()
    with create_labels(image, "cells", plan, into_image=True, token="one") as writer:
        assert writer.continued
        np.testing.assert_array_equal(writer.blocks.arrays[0][y0:y1, x0:x1], LABELS[y0:y1, x0:x1])
    with create_labels(image, "cells", plan, into_image=True, token="other") as writer:
        assert not writer.continued
        assert not writer.blocks.arrays[0][:].any()
        writer.finish(0)
    assert label_names(image) == ["cells"]
    assert sorted(path.name for path in (image / "labels").iterdir() if path.is_dir()) == ["cells"]


def create_places(plan):
    from napari_graysam.files.zarr_labels import LabelBlocks

    return LabelBlocks("", plan).places()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_readers_of_consolidated_metadata_see_the_labels(tmp_path, version):
    write_image(tmp_path / "a.zarr", GRAY, version=version)
    with pytest.warns() if version == "0.5" else _nothing():
        zarr.consolidate_metadata(tmp_path / "a.zarr")
    appended(tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="r", use_consolidated=True)
    np.testing.assert_array_equal(group["labels/cells/0"][:], LABELS)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_consolidated_metadata_that_cannot_be_renewed_are_told(tmp_path, version):
    write_image(tmp_path / "a.zarr", GRAY, version=version)
    with pytest.warns() if version == "0.5" else _nothing():
        zarr.consolidate_metadata(tmp_path / "a.zarr")
    appended(tmp_path / "a.zarr")
    document = "zarr.json" if version == "0.5" else ".zattrs"
    (tmp_path / "a.zarr/labels/cells" / document).write_text('{"cut')
    with pytest.raises(OutputError, match=r"but not in its consolidated metadata.*are damaged"):
        appended(tmp_path / "a.zarr", name="nuclei")
    assert label_names(tmp_path / "a.zarr") == ["cells", "nuclei"]


def _nothing():
    from contextlib import nullcontext

    return nullcontext()


# Two processes


def test_two_processes_do_not_write_the_same_labels(tmp_path):
    plan = small_plan(shape=LABELS.shape)
    with create_labels(tmp_path / "a.zarr", "cells", plan):
        code = (
            "import sys\n"
            "from napari_graysam.files.zarr_labels import create_labels, plan_labels\n"
            "create_labels(sys.argv[1], 'cells', plan_labels(shape=(9, 9)))"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "a.zarr")]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert found.returncode
        assert f"are being written by process {os.getpid()} on" in found.stderr
        create_labels(tmp_path / "a.zarr", "nuclei", plan).close()
    create_labels(tmp_path / "a.zarr", "cells", plan).close()


def test_labels_that_another_process_finishes_meanwhile_stay(image, monkeypatch):
    enter, others = Lock.__enter__, []

    def after_another(lock):
        if not others:
            others.append(lock)
            appended(image)
        return enter(lock)

    monkeypatch.setattr(Lock, "__enter__", after_another)
    with pytest.raises(OutputError, match="is there already"):
        appended(image, np.ones_like(LABELS))
    np.testing.assert_array_equal(read_labels(image / "labels/cells"), LABELS)
    assert not list((image / "labels").glob("*.lock"))


def test_labels_may_be_called_as_the_lock_of_their_list(image, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("waits for itself"))
    appended(image, name="names")
    appended(image, name="list-of-names")
    assert label_names(image) == ["names", "list-of-names"]


@pytest.mark.parametrize("born", ["same", "other"])
def test_the_lock_of_a_process_that_has_ended_is_taken_over(tmp_path, born):
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    # Another process may have the number by now; it was born at another time.
    pid = int(ended.stdout) if born == "same" else os.getpid()
    holder = {"pid": pid, "host": socket.gethostname(), "born": 1.0, "token": "x"}
    (tmp_path / "a.lock").write_text(json.dumps(holder))
    with Lock(tmp_path / "a.lock", "It"):
        assert json.loads((tmp_path / "a.lock").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ['{"pid": 1, "host": "elsewhere"}', "", "[]"])
def test_the_lock_of_another_machine_or_nobody_is_respected(tmp_path, content):
    (tmp_path / "a.lock").write_text(content)
    with pytest.raises(OutputError, match=r"if it has ended, delete .*a\.lock"):
        Lock(tmp_path / "a.lock", "It").__enter__()
    assert (tmp_path / "a.lock").read_text() == content


def test_a_stale_lock_is_taken_over_by_one_of_many(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    holder = {"pid": 2**22 + 1, "host": socket.gethostname(), "born": 1.0, "token": "x"}
    (tmp_path / "a.lock").write_text(json.dumps(holder))

    def attempt(_):
        try:
            return Lock(tmp_path / "a.lock", "It").__enter__()
        except OutputError:
            return None

    with ThreadPoolExecutor(8) as pool:
        locks = [lock for lock in pool.map(attempt, range(16)) if lock]
    assert len(locks) == 1
    locks[0].release()
    assert list(tmp_path.iterdir()) == []
