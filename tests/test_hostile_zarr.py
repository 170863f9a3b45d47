"""Zarr stores that are damaged, unfinished or made up: told in one message, and never obeyed."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
import zarr
from zarr_stores import write_image

from napari_graysam import read_image
from napari_graysam.errors import ImageError, OutputError
from napari_graysam.files.zarr_labels import plan_labels, write_zarr_labels
from napari_graysam.source.pyramid import open_pyramid

GRAY = np.random.default_rng(0).integers(1, 60_000, (150, 201)).astype(np.uint16)


@pytest.fixture(params=["0.4", "0.5"])
def store(request, tmp_path) -> Path:
    write_image(tmp_path / "a.zarr", GRAY, version=request.param)
    return tmp_path / "a.zarr"


def edit(store: Path, **changes: Any) -> None:
    """Change the first level's entry, or with ``whole`` the list of multiscales."""
    group = zarr.open_group(store)
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    if "whole" in changes:
        ome["multiscales"] = changes["whole"]
    else:
        ome["multiscales"][0]["datasets"][0] |= changes
    group.attrs.put(attributes)


def notes(path: Path) -> str:
    return " ".join(read_image(path).record["notes"])


def first_chunk(store: Path) -> Path:
    new, old = store / "0/c/0/0", store / "0/0.0"
    return new if new.exists() else old if old.exists() else store / "0/0/0"


# Unfinished copies


def test_chunks_that_are_missing_are_counted(store):
    first_chunk(store).unlink()
    image = read_image(store)
    assert not image.raw[:64, :64].any()
    np.testing.assert_array_equal(image.raw[64:], GRAY[64:])
    assert "1 of the 12 chunks of the image are not in the store" in notes(store)


def test_an_image_whose_finest_level_is_missing_is_unfinished(store):
    shutil.rmtree(store / "0")
    with pytest.raises(ImageError, match=r"'0', which is not there: the copy .* unfinished"):
        read_image(store)


def test_a_lower_level_that_is_missing_is_left_out(store):
    shutil.rmtree(store / "1")
    pyramid = open_pyramid(store)
    assert [level.shape for level in pyramid.levels] == [(150, 201), (38, 51)]
    assert pyramid.pixel_size(1).size == (2.0, 2.0)
    assert "Level 1 ('1') is missing" in notes(store)


@pytest.mark.parametrize("name", ["", "0"])
def test_metadata_that_are_cut_off(store, name):
    for document in ("zarr.json", ".zattrs", ".zgroup", ".zarray"):
        if (store / name / document).exists():
            (store / name / document).write_bytes((store / name / document).read_bytes()[:-20])
    with pytest.raises(ImageError, match=r"bytes\)\. This is no JSON file: .* copy it again"):
        read_image(store)


def test_a_chunk_that_is_cut_off(store):
    chunk = first_chunk(store)
    chunk.write_bytes(chunk.read_bytes()[:100])
    with pytest.raises(ImageError, match=r"a\.zarr/0: .*copy it again"):
        read_image(store)
    assert open_pyramid(store).plane()[64:, :].shape == (86, 201)


# Groups that are no image


def test_a_group_without_multiscales_says_what_it_holds(tmp_path):
    zarr.create_group(tmp_path / "a.zarr")
    with pytest.raises(ImageError, match="holds no image"):
        read_image(tmp_path / "a.zarr")
    zarr.create_array(tmp_path / "a.zarr/raw", shape=(5, 6), dtype="uint8")
    with pytest.raises(ImageError, match=r"no 'multiscales'\. It holds raw; give .*a\.zarr/raw"):
        read_image(tmp_path / "a.zarr")
    assert read_image(tmp_path / "a.zarr/raw").raw.shape == (5, 6)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"plate": {"wells": [{"path": "B/3"}, {"path": "B/4"}]}}, r"2 wells.*/B/3/0"),
        ({"well": {"images": [{"path": "0"}]}}, r"1 fields.*/0"),
        ({"labels": ["cells"]}, r"It holds cells.*/cells"),
        ({"multiscales": [{"datasets": [{"path": "0"}]}] * 2}, r"2 images.*image\.series=0\.\.1"),
    ],
)
def test_plates_wells_and_lists_of_labels_are_named(tmp_path, attributes, said):
    for number, wrapped in enumerate((attributes, {"ome": {"version": "0.5"} | attributes})):
        path = tmp_path / f"{number}.zarr"
        zarr.create_group(path, zarr_format=2 + number).attrs.update(wrapped)
        with pytest.raises(ImageError, match=said):
            read_image(path)


# Scales


@pytest.mark.parametrize(
    "scale", [None, [], [0, 1], [-1, 1], ["a", "b"], [True, 1], [0.5], [0.5] * 3, "0.5"]
)
def test_a_wrong_scale_is_told_and_not_used(store, scale):
    edit(store, coordinateTransformations=[{"type": "scale", "scale": scale}])
    image = read_image(store)
    assert image.record["pixel_size"] is None
    assert "expected 2 positive numbers" in notes(store)
    np.testing.assert_array_equal(image.raw, GRAY)


def test_a_missing_scale_is_told(store):
    edit(store, coordinateTransformations=[])
    assert "Level 0 of the image has no scale" in notes(store)


def test_scales_of_levels_that_do_not_fit_their_shapes_are_told(store):
    edit(store, coordinateTransformations=[{"type": "scale", "scale": [0.1, 0.1]}])
    assert "Level 1 has 75 × 101 pixels" in notes(store)
    assert open_pyramid(store).factors(1)[0] == 2


# Made up


@pytest.mark.parametrize(
    "path", ["../../etc", "/etc", "..", "a/../../b", "", "C:/x", "..\\x", "s3://b/x", "a\0b"]
)
def test_a_path_out_of_the_store_is_refused(store, path):
    edit(store, path=path)
    with pytest.raises(ImageError, match="may lead out of the store"):
        read_image(store)


@pytest.mark.parametrize(
    "whole",
    [
        None, [], {}, "x", [5], [{}], [{"datasets": []}], [{"datasets": [{}]}],
        [{"datasets": [{"path": 5}]}], [{"datasets": [{"path": "0"}] * 65}],
        [{"datasets": [{"path": "0"}], "axes": 5}],
        [{"datasets": [{"path": "0"}], "axes": ["z", "y", "x"]}],
        [{"datasets": [{"path": "1"}, {"path": "0"}], "axes": ["y", "x"]}],
    ],
)  # fmt: skip
def test_damaged_metadata_end_in_one_message(store, whole):
    edit(store, whole=whole)
    with pytest.raises(ImageError, match=r"a\.zarr: "):
        read_image(store)


def test_axes_of_other_names_are_named_by_the_user(store):
    axes = [{"name": "row"}, {"name": "column"}]
    edit(store, whole=[{"datasets": [{"path": "0"}], "axes": axes}])
    image = read_image(store)
    assert image.raw.shape == (150, 201)
    assert "name them with image.axes" in notes(store)


class Touch:
    """When unpickled, makes a file."""

    def __reduce__(self):
        return os.mkdir, ("obeyed",)


def old(folder: Path, **changes: Any) -> None:
    """Write an array of format 2 whose only chunk is a pickle."""
    about = {
        "zarr_format": 2, "shape": [2, 2], "chunks": [2, 2], "dtype": "|u1", "compressor": None,
        "fill_value": 0, "order": "C", "filters": None,
    } | changes  # fmt: skip
    folder.mkdir()
    (folder / ".zarray").write_text(json.dumps(about))
    (folder / "0.0").write_bytes(pickle.dumps([Touch(), "|O", (1,)]))


def new(folder: Path, **changes: Any) -> None:
    """Write an array of format 3 without any chunk."""
    chunk = changes.pop("chunk", [64, 64])
    about = {
        "zarr_format": 3, "node_type": "array", "shape": [100, 100], "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 0, "attributes": {},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    } | changes  # fmt: skip
    folder.mkdir()
    (folder / "zarr.json").write_text(json.dumps(about))


PICKLE = {"id": "pickle", "protocol": 5}
SHARDED = {
    "name": "sharding_indexed",
    "configuration": {"chunk_shape": [64, 64], "codecs": [{"name": "numcodecs.pickle"}]},
}
CASES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "objects": (old, {"dtype": "|O", "filters": [PICKLE]}, r"'\|O'.*could run code"),
    "pickled numbers": (old, {"filters": [PICKLE]}, "'pickle', which is not read"),
    "pickle compressor": (old, {"compressor": PICKLE}, "'pickle', which is not read"),
    "records": (old, {"dtype": [["a", "<u2"]]}, "expected integers"),
    "texts": (old, {"dtype": "<U3"}, "expected integers"),
    "complex": (old, {"dtype": "<c8"}, "expected integers"),
    "a made-up type": (old, {"dtype": "__import__('os')"}, "expected integers"),
    "no shape": (old, {"shape": None}, "The shape of the array is None"),
    "filters of another kind": (old, {"filters": 5}, r"a\.zarr"),
    "a huge chunk": (old, {"chunks": [10**9, 10**9], "shape": [10**9, 10**9]}, "A chunk of 10"),
    "pickle in a shard": (new, {"codecs": [SHARDED]}, "'pickle', which is not read"),
    "an unknown codec": (new, {"codecs": [{"name": "x" * 999}]}, "which is not read"),
    "codecs of another kind": (new, {"codecs": {"name": "bytes"}}, "are no list"),
    "a type of its own": (new, {"data_type": {"name": "struct"}}, "expected integers"),
    "a huge image": (new, {"shape": [2**39, 2**39]}, "a side longer than 32767"),
    "many chunks": (new, {"shape": [2**30, 2**30], "chunk": [1, 1]}, "a side longer than"),
    "beyond numbers": (new, {"shape": [2**62, 2**62]}, "The store is damaged or made up"),
    "negative": (new, {"shape": [-5, 5]}, "The store is damaged or made up"),
    "fractions": (new, {"shape": [5.5, 5]}, "The store is damaged or made up"),
    "yes": (new, {"shape": [True, 5]}, "The store is damaged or made up"),
    "empty chunks": (new, {"chunk": [0, 5]}, "The store is damaged or made up"),
    "chunks of other axes": (new, {"chunk": [5]}, "other axes"),
    "many axes": (new, {"shape": [1] * 99, "chunk": [1] * 99}, "at most 8 whole numbers"),
    "an irregular grid": (new, {"chunk_grid": {"name": "rectilinear"}}, "no regular grid"),
    "transformers": (new, {"storage_transformers": [{"name": "x"}]}, "storage transformers"),
    "another node": (new, {"node_type": "table"}, "neither a group nor an array"),
    "another format": (new, {"zarr_format": 4}, "neither a group nor an array"),
    "attributes": (new, {"attributes": [1]}, "no mapping"),
}
PREPARE = """
import zarr, numpy, psutil
from napari_graysam import read_image
from napari_graysam.source.pyramid import open_pyramid
array = zarr.create_array({}, shape=(9, 9), dtype="u1")
array[...] = 1
array[...]
"""


def test_what_is_made_up_is_never_obeyed(tmp_path):
    for name, (make, changes, _) in CASES.items():
        (tmp_path / name).mkdir()
        make(tmp_path / name / "a.zarr", **changes)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/zarr.json").write_text("[" * 100_000)
    calls = {name: f"read_image({name + '/a.zarr'!r})" for name in CASES}
    calls["deep"] = "read_image('deep')"
    calls["part of a huge image"] = (
        "assert open_pyramid('a huge image/a.zarr').plane()[2**38 : 2**38 + 3, 5:9].sum() == 0"
    )
    found = hostile.outcomes(PREPARE, calls, tmp_path)
    assert found.pop("part of a huge image") == ((), "")
    assert "nested too deeply" in found.pop("deep").text
    for name, outcome in found.items():
        assert "ImageError" in outcome.errors, (name, outcome)
        assert re.search(CASES[name][2], outcome.text), (name, outcome.text)


# Addresses


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://bucket/a.zarr", "pip install s3fs"),
        ("gs://bucket/a.zarr", "pip install gcsfs"),
        ("nowhere://bucket/a.zarr", "not known"),
        ("memory://nothing.zarr", "no Zarr image"),
    ],
)
def test_an_address_without_its_package_says_what_to_install(monkeypatch, address, said):
    for package in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImageError, match=said):
        open_pyramid(address)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_at_an_address_is_read(tmp_path, version):
    import fsspec

    write_image(tmp_path / "a.zarr", GRAY, version=version)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "a.zarr"), f"/{version}/a.zarr", recursive=True)
    pyramid = open_pyramid(f"memory://{version}/a.zarr")
    assert (len(pyramid.levels), pyramid.pixel_size().size) == (3, (0.5, 0.5))
    np.testing.assert_array_equal(pyramid.plane()[9:140, 5:], GRAY[9:140, 5:])


# Writing into a damaged store


@pytest.mark.parametrize("what", ["file", "cut off", "no list", "unreadable"])
def test_labels_are_not_written_into_a_damaged_store(tmp_path, what):
    store = tmp_path / "a.zarr"
    write_image(store, GRAY)
    if what == "file":
        (store / "labels").write_text("mine")
    else:
        attributes = {"ome": {"version": "0.5", "labels": {"a": 1}}}
        zarr.create_group(store / "labels").attrs.update(attributes)
    if what == "cut off":
        (store / "labels/zarr.json").write_bytes(b'{"zarr_format": 3, "node')
    if what == "unreadable":
        (store / "labels/zarr.json").unlink()
        (store / "labels/zarr.json").mkdir()
    before = hostile.listing(store)
    labels, plan = np.ones(GRAY.shape, np.uint32), plan_labels(open_pyramid(store))
    with pytest.raises(OutputError, match="labels"):
        write_zarr_labels(store, "cells", labels, plan, into_image=True)
    assert hostile.listing(store) == before


def test_a_link_among_labels_is_not_followed(tmp_path):
    write_image(tmp_path / "a.zarr", GRAY)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/text").write_text("mine")
    (tmp_path / "a.zarr/labels").mkdir()
    os.symlink(tmp_path / "mine", tmp_path / "a.zarr/labels/.cells.unfinished")
    os.symlink(tmp_path / "mine", tmp_path / "a.zarr/labels/nuclei")
    labels, plan = np.ones(GRAY.shape, np.uint32), plan_labels(open_pyramid(tmp_path / "a.zarr"))
    for name in ("cells", "nuclei"):
        with pytest.raises(OutputError, match=r"is a link|is there already"):
            write_zarr_labels(tmp_path / "a.zarr", name, labels, plan, into_image=True)
        with pytest.raises(OutputError, match="is a link"):
            write_zarr_labels(
                tmp_path / "a.zarr", name, labels, plan, into_image=True, overwrite=True
            )
    assert (tmp_path / "mine/text").read_text() == "mine"


@pytest.mark.parametrize("name", ["cells.ozx", "cells.zarr.zip"])
def test_a_zipped_store_says_that_it_is_to_be_unpacked(tmp_path, name):
    import zipfile

    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("zarr.json", "{}")
    with pytest.raises(ImageError, match=r"zipped Zarr store.*folder NAME\.zarr"):
        open_pyramid(tmp_path / name)
