"""Files of microscopes: read with bioio, or told which package reads them."""

from __future__ import annotations

import pickle
import sys

import dask.array as da
import numpy as np
import pytest

from napari_graysam import read_image
from napari_graysam.errors import ImageError
from napari_graysam.recipe import ImageOptions, Recipe
from napari_graysam.source.kinds import CZI
from napari_graysam.source.pyramid import open_pyramid
from napari_graysam.source.stack import Stack
from napari_graysam.source.vendor import LastPlane, open_vendor

GRAY = np.random.default_rng(0).integers(0, 30_000, (60, 71)).astype(np.uint16)


@pytest.mark.parametrize(
    ("name", "start", "package"),
    [
        ("a.czi", b"ZISRAWFILE" + bytes(200), "bioio-czi"),
        ("a.bin", b"\xda\xce\xbe\x0a" + bytes(200), "bioio-nd2"),
        ("a.lif", b"\x70\0\0\0\x2a\0\0\0" + bytes(200), "bioio-lif"),
        ("a.vsi", bytes(200), "bioio-bioformats"),
    ],
)
@pytest.mark.parametrize("read", [read_image, open_pyramid])
def test_without_its_package_the_error_names_it(tmp_path, monkeypatch, name, start, package, read):
    (tmp_path / name).write_bytes(start)
    monkeypatch.setitem(sys.modules, "bioio", None)
    with pytest.raises(ImageError, match=rf"'napari-graysam\[bioio\]' {package}; or export"):
        read(tmp_path / name)


def test_a_package_that_bioio_lacks_is_named(tmp_path, monkeypatch):
    (tmp_path / "bioio.py").write_text("import no_such_package_of_bioio")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "bioio", raising=False)
    with pytest.raises(ImageError, match=r"cannot be imported.*no_such_package_of_bioio"):
        open_vendor("a.czi", CZI)


def test_a_plane_is_read_once_for_all_that_is_cut_from_it():
    planes = np.random.default_rng(0).integers(0, 99, (2, 3, 40, 50, 3))
    read = []

    def of(block, block_info):
        read.append(block_info[None]["chunk-location"])
        return block

    array = da.from_array(planes, chunks=(1, 1, 40, 50, 3)).map_blocks(of, meta=planes[:0])
    level = LastPlane(array, 2)
    for index in np.ndindex(2, 2):
        rows, columns = slice(20 * index[0], 25 * index[0] + 9), slice(3, 9 + index[1])
        cut = level[1, 2, rows, columns]
        np.testing.assert_array_equal(cut, planes[1, 2, rows, columns])
        cut[:] = -1
    assert read == [(1, 2, 0, 0, 0)]
    cases = (np.s_[0, :, 3:9, 4], np.s_[0, 1], np.s_[..., 0], np.s_[0, 1:2, 3:5, :, 1])
    for index in cases:
        np.testing.assert_array_equal(level[index], planes[index])
    np.testing.assert_array_equal(np.asarray(level), planes)


def test_a_plane_too_large_to_be_kept_is_still_cut(monkeypatch):
    monkeypatch.setattr("napari_graysam.source.vendor.available_memory", lambda: 100)
    level = LastPlane(da.from_array(GRAY, chunks=(10, 71)), 0)
    np.testing.assert_array_equal(level[5:20, 60:], GRAY[5:20, 60:])


@pytest.fixture
def czi(tmp_path):
    """Write a file of two channels and three planes, with the maker's own library."""
    pytest.importorskip("bioio_czi")
    library = pytest.importorskip("pylibCZIrw.czi")
    with library.create_czi(str(tmp_path / "a.czi")) as file:
        for channel in range(2):
            for z in range(3):
                plane = (GRAY + 100 * channel + z)[:, :, None]
                file.write(data=plane, plane={"C": channel, "Z": z, "T": 0})
        file.write_metadata("a", scale_x=0.5e-6, scale_y=0.5e-6, scale_z=2e-6)
    return tmp_path / "a.czi"


def test_a_plane_of_a_czi_file(czi):
    options = ImageOptions(channel=1, plane=2)
    image = read_image(czi, options)
    np.testing.assert_array_equal(image.raw, GRAY + 102)
    assert (image.record["pixel_size"], image.record["pixel_unit"]) == ([0.5, 0.5], "µm")
    pyramid = pickle.loads(pickle.dumps(open_pyramid(czi)))
    assert (pyramid.kind, pyramid.spacing()) == ("vendor", {"z": 2.0})
    plane = pyramid.plane(options)
    np.testing.assert_array_equal(plane[5:20, 60:], GRAY[5:20, 60:] + 102)
    with pytest.raises(ImageError, match=r"2 channels.*image\.channel"):
        read_image(czi)


def test_a_stack_of_a_czi_file(czi):
    stack = Stack(czi, Recipe().with_values({"stack.axis": "z", "image.channel": 0}))
    assert (len(stack), stack.spacing) == (3, 2.0)
    np.testing.assert_array_equal(stack.plane(1).raw, GRAY + 1)


def test_a_damaged_czi_file(tmp_path):
    pytest.importorskip("bioio_czi")
    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE" + bytes(300))
    with pytest.raises(ImageError, match=r"a\.czi"):
        read_image(tmp_path / "a.czi")
