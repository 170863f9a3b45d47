"""Images of any size and several levels: what is read, and that no more is read than asked for."""

from __future__ import annotations

import pickle

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from zarr_stores import half, metadata, write_image

from napari_graysam import read_image
from napari_graysam.errors import ImageError
from napari_graysam.recipe import ImageOptions
from napari_graysam.source.pyramid import Pyramid, open_pyramid

RANDOM = np.random.default_rng(0)
FLAT = RANDOM.integers(0, 60_000, (150, 201)).astype(np.uint16)
DEEP = RANDOM.integers(0, 60_000, (2, 3, 70, 81)).astype(np.uint16)


class Counting:
    """An array that notes how many of its values were read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, 0

    def __getitem__(self, index):
        found = self.array[index]
        self.read += found.size
        return found


# Formats


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_levels_axes_and_scale_of_ome_zarr(tmp_path, version):
    levels = write_image(tmp_path / "a.zarr", FLAT, version=version)
    pyramid = open_pyramid(tmp_path / "a.zarr")
    assert (pyramid.axes, pyramid.kind, pyramid.version) == ("YX", "ome-zarr", version)
    assert len(pyramid.levels) == 3
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(pyramid.plane(level=number)[:, :], level)
    assert pyramid.pixel_size(0)[:2] == ((0.5, 0.5), "µm")
    assert pyramid.pixel_size(2)[:2] == ((2.0, 2.0), "µm")
    assert pyramid.factors(1) == (2, pytest.approx(201 / 101))
    assert not pyramid.notes
    assert not pyramid.size_notes


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_one_channel_and_plane_is_read_where_it_is_sliced(tmp_path, version):
    write_image(tmp_path / "a.zarr", DEEP, "czyx", levels=2, version=version)
    pyramid = open_pyramid(tmp_path / "a.zarr")
    options = ImageOptions(channel=1, plane=2)
    assert pyramid.spacing() == {"z": 2.0}
    plane = pyramid.plane(options)
    assert (plane.shape, plane.dtype, plane.chunks) == ((70, 81), np.uint16, (64, 64))
    np.testing.assert_array_equal(plane[10:69, 60:81], DEEP[1, 2, 10:69, 60:81])
    np.testing.assert_array_equal(pyramid.plane(options, 1)[:, 3:5], half(DEEP)[1, 2, :, 3:5])
    with pytest.raises(ImageError, match=r"2 channels.*image\.channel"):
        pyramid.plane()
    with pytest.raises(ImageError, match=r"3 planes.*image\.plane"):
        pyramid.plane(ImageOptions(channel=0))
    with pytest.raises(ImageError, match="Level 2 does not exist"):
        pyramid.plane(options, 2)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_plain_array(tmp_path, zarr_format):
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=FLAT.shape, chunks=(50, 60), dtype=">u2" if zarr_format == 2
        else "uint16", zarr_format=zarr_format,
    )  # fmt: skip
    array[...] = FLAT
    pyramid = open_pyramid(tmp_path / "a.zarr")
    assert (pyramid.axes, pyramid.kind) == (None, "zarr")
    read = pyramid.plane()[5:140, 7:]
    np.testing.assert_array_equal(read, FLAT[5:140, 7:])
    assert read.dtype == np.dtype(np.uint16)


def test_a_sharded_array_with_named_axes(tmp_path):
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=DEEP[0].shape, chunks=(1, 16, 16), shards=(1, 64, 64),
        dtype="uint16", dimension_names=["z", "y", "x"],
    )  # fmt: skip
    array[...] = DEEP[0]
    plane = open_pyramid(tmp_path / "a.zarr").plane(ImageOptions(plane=1))
    np.testing.assert_array_equal(plane[:, :], DEEP[0, 1])


def test_a_level_is_an_image_of_its_own_scale(tmp_path):
    write_image(tmp_path / "a.zarr", FLAT)
    pyramid = open_pyramid(tmp_path / "a.zarr" / "1")
    assert (pyramid.axes, pyramid.pixel_size()[:2]) == ("YX", ((1.0, 1.0), "µm"))
    assert pyramid.group is None


@pytest.mark.parametrize("tile", [(64, 64), None])
@pytest.mark.parametrize("compression", ["zlib", None])
def test_a_tiff_with_levels(tmp_path, tile, compression):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        about = {"axes": "CYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
        how = {"tile": tile, "compression": compression, "photometric": "minisblack"}
        file.write(DEEP[:, 0], subifds=1, metadata=about, **how)
        file.write(half(DEEP[:, 0]), subfiletype=1, **how)
    pyramid = open_pyramid(path)
    assert (pyramid.axes, len(pyramid.levels), pyramid.kind) == ("CYX", 2, "tiff")
    assert pyramid.pixel_size(1)[1] == "µm"
    assert pyramid.pixel_size(1)[0] == pytest.approx((0.5, 0.25 * 81 / 41))
    for number, whole in enumerate((DEEP[:, 0], half(DEEP[:, 0]))):
        plane = pyramid.plane(ImageOptions(channel=1), number)
        np.testing.assert_array_equal(plane[3:30, 20:], whole[1, 3:30, 20:])


def test_a_tiff_of_colours_is_gray(tmp_path):
    colours = RANDOM.integers(0, 256, (80, 90, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", colours, tile=(32, 32), compression="zlib")
    plane = open_pyramid(tmp_path / "a.tif").plane()
    np.testing.assert_array_equal(plane[:, :], read_image(tmp_path / "a.tif").raw)
    assert plane.dtype == np.dtype(np.float32)


@pytest.mark.parametrize("photometric", ["miniswhite", "palette"])
def test_a_tiff_whose_values_are_translated_is_read_as_a_whole(tmp_path, photometric):
    colormap = np.stack([np.arange(256), np.arange(256), np.arange(256)]).astype(np.uint16) * 257
    small = RANDOM.integers(0, 256, (60, 70)).astype(np.uint8)
    more = {"colormap": colormap} if photometric == "palette" else {}
    how = {"photometric": photometric, "tile": (32, 32), "compression": "zlib"}
    tifffile.imwrite(tmp_path / "a.tif", small, **how, **more)
    plane = open_pyramid(tmp_path / "a.tif").plane()
    np.testing.assert_array_equal(plane[:, :], read_image(tmp_path / "a.tif").raw)


def test_other_files_have_one_level(tmp_path):
    np.save(tmp_path / "a.npy", FLAT)
    pyramid = open_pyramid(tmp_path / "a.npy")
    assert len(pyramid.levels) == 1
    assert isinstance(pyramid.levels[0], np.memmap)
    np.testing.assert_array_equal(pyramid.plane()[1:3, 2:9], FLAT[1:3, 2:9])


@pytest.mark.parametrize("make", [np.asarray, lambda a: da.from_array(a, chunks=40), Counting])
def test_arrays_and_lists_of_levels(make):
    levels = [make(FLAT), make(half(FLAT))]
    pyramid = open_pyramid(levels)
    assert [level.shape for level in pyramid.levels] == [(150, 201), (75, 101)]
    np.testing.assert_array_equal(pyramid.plane(level=1)[4:9, :7], half(FLAT)[4:9, :7])
    np.testing.assert_array_equal(open_pyramid(make(FLAT)).plane()[4:9, :7], FLAT[4:9, :7])
    assert open_pyramid(pyramid) is pyramid


def test_the_levels_of_a_napari_layer():
    from napari.layers import Image

    layer = Image([FLAT, half(FLAT)], multiscale=True)
    pyramid = open_pyramid(layer.data)
    assert len(pyramid.levels) == 2
    np.testing.assert_array_equal(pyramid.plane(level=1)[:, :], half(FLAT))


def test_only_what_is_asked_for_is_read():
    array = Counting(DEEP)
    pyramid = open_pyramid([array, Counting(half(DEEP))])
    plane = pyramid.plane(ImageOptions(axes="CZYX", channel=0, plane=1))
    assert array.read == 0
    plane[2:12, 5:25]
    assert array.read == 200
    assert np.asarray(plane).shape == (70, 81)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([FLAT, FLAT], "one shape"),
        ([half(FLAT), FLAT], "from fine to coarse"),
        ([FLAT, half(FLAT).astype(np.uint8)], "one type"),
        ([FLAT, DEEP[0]], "same axes"),
        ([FLAT[0], FLAT[0, ::2]], "rows and columns"),
        ([FLAT.astype(complex)], "complex"),
    ],
)
def test_arrays_that_are_no_levels(levels, message):
    with pytest.raises(ImageError, match=message):
        open_pyramid(levels)


def test_an_image_is_opened_again_in_another_process(tmp_path, monkeypatch):
    write_image(tmp_path / "a.zarr", FLAT)
    tifffile.imwrite(tmp_path / "a.tif", FLAT, tile=(32, 32), compression="zlib")
    monkeypatch.chdir(tmp_path)
    for name in ("a.zarr", "a.zarr/0", "a.tif"):
        sent = pickle.dumps(open_pyramid(name))
        with monkeypatch.context() as elsewhere:
            elsewhere.chdir("/")
            again = pickle.loads(sent)
            np.testing.assert_array_equal(again.plane()[3:9, 4:8], FLAT[3:9, 4:8])
    again = pickle.loads(pickle.dumps(Pyramid((FLAT,), "YX", ((0.5, 0.5),), ("µm", "µm"))))
    assert again.pixel_size()[:2] == ((0.5, 0.5), "µm")


# The ordinary reader


def test_a_small_image_is_read_as_any_other(tmp_path):
    levels = write_image(tmp_path / "a.zarr", DEEP, "czyx")
    options = ImageOptions(channel=1, plane=2)
    image = read_image(tmp_path / "a.zarr", options)
    np.testing.assert_array_equal(image.raw, DEEP[1, 2])
    assert image.record["pixel_size"] == [0.5, 0.5]
    assert (image.record["pixel_unit"], image.record["axes"]) == ("µm", "CZYX")
    image = read_image(tmp_path / "a.zarr" / "1", options)
    np.testing.assert_array_equal(image.raw, levels[1][1, 2])
    assert image.record["pixel_size"] == [1.0, 1.0]


def test_several_images_in_one_group_are_chosen_by_number(tmp_path):
    attributes = {"bioformats2raw.layout": 3}
    zarr.create_group(tmp_path / "a.zarr", zarr_format=2).attrs.update(attributes)
    write_image(tmp_path / "a.zarr" / "0", FLAT, version="0.4")
    np.testing.assert_array_equal(read_image(tmp_path / "a.zarr").raw, FLAT)
    write_image(tmp_path / "a.zarr" / "1", FLAT[::-1], version="0.4")
    with pytest.raises(ImageError, match=r"2 images.*image\.series=0\.\.1"):
        read_image(tmp_path / "a.zarr")
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.zarr", ImageOptions(series=1)).raw, FLAT[::-1]
    )
    with pytest.raises(ImageError, match="does not exist"):
        read_image(tmp_path / "a.zarr", ImageOptions(series=2))


@pytest.mark.parametrize(
    ("axes", "letters"), [(None, "TCZYX"), (["t", "c", "z", "y", "x"], "TCZYX")]
)
def test_versions_that_name_no_axes_or_no_units(tmp_path, axes, letters):
    write_image(tmp_path / "a.zarr", DEEP[None], "tczyx", version="0.4")
    group = zarr.open_group(tmp_path / "a.zarr")
    image = dict(metadata("tczyx", 3, version="0.4")["multiscales"][0])
    del image["axes"]
    group.attrs["multiscales"] = [image | ({"axes": axes} if axes else {})]
    pyramid = open_pyramid(tmp_path / "a.zarr")
    assert pyramid.axes == letters
    assert pyramid.pixel_size().size is None
