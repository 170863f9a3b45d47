"""Files as people have them: every test writes one and knows what is in it."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_graysam.errors import ImageError, LabelsError
from napari_graysam.files.label_values import pieces
from napari_graysam.files.labels import read_labels
from napari_graysam.recipe import ImageOptions
from napari_graysam.source.folder import image_files
from napari_graysam.source.reading import load, read_image

GRAY = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30) * 100
SMALL = (GRAY // 256).astype(np.uint8)
RGB = np.stack([SMALL, SMALL[::-1], SMALL[:, ::-1]], axis=-1)
LARGE = np.random.default_rng(0).integers(0, 4000, (104, 140)).astype(np.uint16)


def notes(image):
    return " ".join(image.record["notes"])


def size(path, **options):
    record = read_image(path, ImageOptions(**options)).record
    return record["pixel_size"], record["pixel_unit"]


# Codecs and colour spaces


@pytest.mark.parametrize("compression", ["lzw", "packbits", "deflate", "zstd", "lzma"])
@pytest.mark.parametrize("predictor", [False, True])
def test_compressed_tiff(tmp_path, compression, predictor):
    predictor = predictor and compression != "packbits"
    tifffile.imwrite(tmp_path / "a.tif", GRAY, compression=compression, predictor=predictor)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").raw, GRAY)


@pytest.mark.parametrize("photometric", ["minisblack", "rgb", "ycbcr"])
def test_jpeg_in_tiff(tmp_path, photometric):
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    array = smooth if photometric == "minisblack" else np.dstack([smooth, 255 - smooth, smooth])
    stored = np.asarray(Image.fromarray(array).convert("YCbCr")) if photometric[0] == "y" else array
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, compression="jpeg")
    read = load(tmp_path / "a.tif")
    assert read.axes == ("YX" if array.ndim == 2 else "YXS")
    assert np.abs(read.array.astype(int) - array).mean() < 4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, bool])
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_where_zero_is_white_the_view_is_as_it_should_be_seen(tmp_path, dtype, compression):
    seen = (GRAY > 3000) if dtype is bool else (GRAY // 256).astype(dtype)
    stored = {"u": np.iinfo, "i": np.iinfo}.get(seen.dtype.kind)
    stored = (
        ~seen
        if seen.dtype.kind in "ib"
        else -seen
        if stored is None
        else np.iinfo(dtype).max - seen
    )
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite", compression=compression)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.raw, seen)
    assert "inverted" in notes(image)
    if dtype is not bool and dtype is not np.float32 and dtype is not np.int16:
        np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), stored)


def test_inks_become_colours(tmp_path):
    inks = np.zeros((20, 30, 4), np.uint8)
    inks[..., 0], inks[..., 3] = 255, SMALL
    for name, array in (("a.tif", inks), ("p.tif", np.moveaxis(inks, -1, 0))):
        planar = "contig" if array is inks else "separate"
        tifffile.imwrite(
            tmp_path / name, array, photometric="separated", planarconfig=planar, compression="lzw"
        )
        stored = load(tmp_path / name)
        assert stored.axes == "YXS"
        assert not stored.array[..., 0].any()
        np.testing.assert_array_equal(stored.array[..., 2], 255 - SMALL)


def test_luma_and_colour_differences_become_colours(tmp_path):
    ycbcr = np.asarray(Image.fromarray(RGB).convert("YCbCr"))
    tifffile.imwrite(tmp_path / "a.tif", ycbcr, photometric="ycbcr", compression="lzw")
    assert np.abs(load(tmp_path / "a.tif").array.astype(int) - RGB).max() <= 3


@pytest.mark.parametrize("space", ["cielab", "icclab", "itulab", "cfa", "logluv"])
def test_other_colour_spaces_are_refused_by_name(tmp_path, space):
    array = SMALL if space == "cfa" else RGB
    tifffile.imwrite(tmp_path / "a.tif", array, photometric=space, metadata=None)
    with pytest.raises(ImageError, match=rf"a\.tif: Its colour space is {space.upper()}.*RGB"):
        read_image(tmp_path / "a.tif")


def test_a_palette_colours_pictures_but_neither_labels_nor_imagej_stacks(tmp_path):
    colormap = np.zeros((3, 256), np.uint16)
    colormap[0] = np.arange(256)[::-1] * 257
    kind = {"photometric": "palette", "colormap": colormap}
    tifffile.imwrite(tmp_path / "a.tif", SMALL, **kind)
    stored = load(tmp_path / "a.tif")
    assert stored.axes == "YXS"
    np.testing.assert_array_equal(stored.array[..., 0], 255 - SMALL)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), SMALL)
    metadata = {"LUTs": [(colormap // 257).astype(np.uint8)]}
    tifffile.imwrite(tmp_path / "i.tif", SMALL, imagej=True, metadata=metadata)
    np.testing.assert_array_equal(read_image(tmp_path / "i.tif").raw, SMALL)


# Which image of a file


@pytest.mark.parametrize("thumbnail", ["gray", "colour", "said", "last"])
def test_a_thumbnail_is_not_the_image(tmp_path, thumbnail):
    small = LARGE[::8, ::8]
    if thumbnail == "colour":
        small = np.dstack([small // 16] * 3).astype(np.uint8)
    pages = [(small, {"subfiletype": 1} if thumbnail == "said" else {}), (LARGE, {})]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page, kind in pages[:: -1 if thumbnail == "last" else 1]:
            photometric = "rgb" if page.ndim == 3 else "minisblack"
            file.write(page, photometric=photometric, metadata=None, **kind)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.raw, LARGE)
    assert thumbnail == "last" or "reduced cop" in notes(image)


def test_levels_of_a_pyramid_are_not_images(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        file.write(LARGE, subifds=2)
        for step in (2, 4):
            file.write(LARGE[::step, ::step], subfiletype=1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif").raw, LARGE)


def test_unrelated_images_are_a_choice(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in (GRAY, LARGE, GRAY[:, :7]):
            file.write(page, metadata=None)
    with pytest.raises(ImageError, match=r"3 images.*image\.series=N: 0 \(20 × 30 uint16.*; 2"):
        read_image(tmp_path / "a.tif")
    for series, page in enumerate((GRAY, LARGE, GRAY[:, :7])):
        image = read_image(tmp_path / "a.tif", ImageOptions(series=series))
        np.testing.assert_array_equal(image.raw, page)
        assert image.record["series"] == series
    with pytest.raises(ImageError, match=r"series=3 does not exist.*image\.series=0\.\.2"):
        read_image(tmp_path / "a.tif", ImageOptions(series=3))


def test_positions_of_ome_are_a_choice_each_with_its_own_pixel_size(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        file.write(GRAY, metadata={"axes": "YX", "Name": "well A"})
        physical = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        file.write(GRAY + 1, metadata={"axes": "YX", **physical})
    with pytest.raises(ImageError, match=r"2 images.*well A"):
        read_image(tmp_path / "a.ome.tif")
    image = read_image(tmp_path / "a.ome.tif", ImageOptions(series=1))
    np.testing.assert_array_equal(image.raw, GRAY + 1)
    assert size(tmp_path / "a.ome.tif", series=1) == ([0.5, 0.5], "µm")
    assert size(tmp_path / "a.ome.tif", series=0) == (None, None)


def test_a_file_of_one_image_has_no_second(tmp_path):
    np.save(tmp_path / "a.npy", GRAY)
    read_image(tmp_path / "a.npy", ImageOptions(series=0))
    with pytest.raises(ImageError, match="holds 1 image,"):
        read_image(tmp_path / "a.npy", ImageOptions(series=1))


def ome(path, array, text):
    space = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    rows, columns = array.shape
    tifffile.imwrite(
        path,
        array,
        metadata=None,
        description=(
            f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{space}"><Image ID="Image:0">'
            f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="{columns}" '
            f'SizeY="{rows}" {text}</Pixels></Image></OME>'
        ).encode(),
    )


@pytest.mark.parametrize("renamed", [False, True])
def test_a_lost_companion_is_named(tmp_path, renamed):
    text = 'SizeZ="1" SizeC="2" SizeT="1">' + "".join(
        f'<TiffData IFD="0" FirstC="{c}" PlaneCount="1"><UUID FileName="c{c}.ome.tif">urn:uuid:{c}'
        "</UUID></TiffData>"
        for c in (0, 1)
    )
    for c in (0, 1):
        ome(tmp_path / f"c{c}.ome.tif", GRAY + c, text)
    image = read_image(tmp_path / "c0.ome.tif", ImageOptions(channel=1))
    np.testing.assert_array_equal(image.raw, GRAY + 1)
    if renamed:
        (tmp_path / "c0.ome.tif").rename(tmp_path / "new.ome.tif")
    else:
        (tmp_path / "c1.ome.tif").unlink()
    name, missing = ("new.ome.tif", "c0.ome.tif") if renamed else ("c0.ome.tif", "c1.ome.tif")
    with pytest.raises(ImageError, match=f"{name}: .*'{missing}' is not beside") as caught:
        read_image(tmp_path / name, ImageOptions(channel=1))
    assert "<tifffile" not in str(caught.value)


def test_warnings_of_the_reader_come_without_its_objects(tmp_path):
    text = 'SizeZ="2" SizeC="1" SizeT="1"><TiffData IFD="0" PlaneCount="2"/>'
    ome(tmp_path / "a.ome.tif", GRAY, text)
    image = read_image(tmp_path / "a.ome.tif", ImageOptions(plane=0))
    assert "index out of range" in notes(image)
    assert "<tifffile" not in notes(image)


# The size of a pixel


@pytest.mark.parametrize("unit", ["um", "\\u00B5m", "micron", "µm"])
def test_units_of_imagej(tmp_path, unit):
    metadata = {"unit": unit.replace("µ", "\\u00B5")}
    tifffile.imwrite(tmp_path / "a.tif", GRAY, imagej=True, resolution=(4, 2), metadata=metadata)
    assert size(tmp_path / "a.tif") == ([0.5, 0.25], "µm")


@pytest.mark.parametrize(("unit", "each"), [("CENTIMETER", 10_000), ("INCH", 25_400)])
def test_resolution_of_plain_tiff(tmp_path, unit, each):
    tifffile.imwrite(
        tmp_path / "a.tif", GRAY, resolution=(40_000, 20_000), resolutionunit=unit, metadata=None
    )
    found, sign = size(tmp_path / "a.tif")
    assert found == pytest.approx([each / 20_000, each / 40_000])
    assert sign == "µm"


def test_dots_per_inch_of_print_are_no_measure(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GRAY, resolution=(72, 72), resolutionunit="INCH")
    Image.fromarray(SMALL).save(tmp_path / "a.jpg", dpi=(300, 300))
    for name, dpi in (("a.tif", "72"), ("a.jpg", "300")):
        assert size(tmp_path / name) == (None, None)
        assert f"{dpi} dots per inch" in notes(read_image(tmp_path / name))
    tifffile.imwrite(tmp_path / "b.tif", GRAY)
    assert not read_image(tmp_path / "b.tif").record["notes"]


def test_resolution_of_png(tmp_path):
    Image.fromarray(SMALL).save(tmp_path / "a.png", dpi=(25_400, 12_700))
    found, unit = size(tmp_path / "a.png")
    assert found == pytest.approx([2, 1], rel=1e-4)
    assert unit == "µm"


@pytest.mark.parametrize("bad", ["0", "NaN", "-1", "0,5", "inf", ""])
def test_a_bad_pixel_size_is_unknown_and_the_image_is_read(tmp_path, bad):
    text = (
        f'SizeZ="1" SizeC="1" SizeT="1" PhysicalSizeX="{bad}" PhysicalSizeY="0.5">'
        '<TiffData IFD="0"/>'
    )
    ome(tmp_path / "a.ome.tif", GRAY, text)
    image = read_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.raw, GRAY)
    assert image.record["pixel_size"] is None
    assert "no positive number" in notes(image)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (("0.5", "µm"), ("0.0005", "mm"), ([0.5, 0.5], "µm")),
        (("2", "nm"), ("0.003", "µm"), ([3, 2], "nm")),
        (("2", "nm"), ("3", "nm"), ([3, 2], "nm")),
        (("2", "pixel"), ("3", "pixel"), (None, None)),
    ],
)
def test_both_axes_get_one_unit(tmp_path, x, y, expected):
    text = (
        f'SizeZ="1" SizeC="1" SizeT="1" PhysicalSizeX="{x[0]}" PhysicalSizeXUnit="{x[1]}" '
        f'PhysicalSizeY="{y[0]}" PhysicalSizeYUnit="{y[1]}"><TiffData IFD="0"/>'
    )
    ome(tmp_path / "a.ome.tif", GRAY, text)
    assert size(tmp_path / "a.ome.tif") == expected


# Kinds of files


@pytest.mark.parametrize(
    ("name", "start", "message"),
    [
        (
            "a.czi",
            b"ZISRAWFILE",
            "Zeiss CZI.*pip install .* bioio-czi; or export.*OME-TIFF",
        ),
        ("a.nd2", b"\xda\xce\xbe\x0a", "Nikon ND2.*bioio-nd2"),
        ("a.lif", b"\x70\0\0\0\x2a\0\0\0", "Leica LIF.*bioio-lif"),
        ("no suffix", b"ZISRAWFILE", "Zeiss CZI"),
        ("a.h5", b"\x89HDF\r\n", "HDF5"),
        ("a.heic", b"\0\0\0\x18ftypheic", "HEIC.*PNG"),
        ("a.dcm", b"\0" * 128 + b"DICM", "DICOM"),
        ("a.dm4", b"\0\0\0\4", "Gatan DM4"),
    ],
)
def test_known_kinds_that_are_not_read_are_named(tmp_path, name, start, message):
    (tmp_path / name).write_bytes(start + bytes(64))
    with pytest.raises(ImageError, match=f"{name}: This is .*{message}"):
        read_image(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.gif", {}), ("a.webp", {"lossless": True}), ("a.jp2", {}), ("a.j2k", {})],
)
def test_more_kinds_of_pictures(tmp_path, name, options):
    Image.fromarray(SMALL).save(tmp_path / name, **options)
    np.testing.assert_array_equal(read_image(tmp_path / name).raw, SMALL)


def test_jpeg_2000_keeps_its_depth(tmp_path):
    import imagecodecs

    for name, array in (("a.jp2", GRAY), ("c.jp2", np.dstack([GRAY, GRAY + 1, GRAY + 2]))):
        (tmp_path / name).write_bytes(imagecodecs.jpeg2k_encode(array, level=0))
        np.testing.assert_array_equal(load(tmp_path / name).array, array)


def test_frames_are_a_stack(tmp_path):
    frames = [Image.fromarray(SMALL + number * 10) for number in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match=r"image\.plane=0\.\.2"):
        read_image(tmp_path / "a.gif")
    for number in range(3):
        image = read_image(tmp_path / "a.gif", ImageOptions(plane=number))
        np.testing.assert_allclose(image.raw, SMALL + number * 10, atol=0.01)


def netpbm(kind, array, most):
    head = b"P%d # comment 7\n%d %d\n" % (kind, array.shape[1], array.shape[0])
    head += b"" if kind in (1, 4) else b"%d\n" % most
    if kind < 4:
        return head + b" ".join(b"%d" % value for value in array.ravel())
    if kind == 4:
        return head + np.packbits(array.astype(bool), axis=1).tobytes()
    return head + array.astype(">u2" if most > 255 else "u1").tobytes()


@pytest.mark.parametrize("most", [15, 255, 4095, 65535])
@pytest.mark.parametrize("kind", [2, 3, 5, 6])
def test_pgm_and_ppm_keep_their_values(tmp_path, kind, most):
    array = np.random.default_rng(0).integers(0, most, (20, 30, 3)[: 2 + (kind in (3, 6))])
    (tmp_path / "a.pgm").write_bytes(netpbm(kind, array, most))
    np.testing.assert_array_equal(load(tmp_path / "a.pgm").array, array)


@pytest.mark.parametrize("kind", [1, 4])
def test_in_pbm_one_is_black(tmp_path, kind):
    array = (np.arange(20 * 30).reshape(20, 30) % 7 > 3).astype(int)
    (tmp_path / "a.pbm").write_bytes(netpbm(kind, array, 1))
    np.testing.assert_array_equal(load(tmp_path / "a.pbm").array, 1 - array)


def test_the_first_picture_of_a_camera_file_is_read(tmp_path):
    first, second = Image.fromarray(SMALL), Image.fromarray(SMALL.T)
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    image = read_image(tmp_path / "a.jpg")
    assert image.raw.shape == SMALL.shape
    assert "MPO" in notes(image)


def test_two_channels_at_the_end_show_both_readings(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((52, 69, 2), np.uint8), photometric="minisblack")
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "a.tif")
    for reading in ("image.axes=ZYX and image.plane=N (0..51)", "image.axes=YXC"):
        assert reading in str(caught.value)


# Orientation and missing pixels


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("name", ["a.tif", "z.tif", "a.jpg", "a.png", "a.webp"])
def test_orientation_is_followed_and_recorded(tmp_path, tag, name):
    block = np.kron(np.arange(6).reshape(2, 3) * 40, np.ones((16, 16))).astype(np.uint8)
    if name.endswith("tif"):
        compression = "lzw" if name == "z.tif" else None
        extra = [(274, "H", 1, tag, True)]
        tifffile.imwrite(tmp_path / name, block, extratags=extra, compression=compression)
    else:
        exif = Image.Exif()
        exif[0x0112] = tag
        Image.fromarray(block).save(tmp_path / name, exif=exif, quality=100)
    expected = {
        1: block, 2: block[:, ::-1], 3: block[::-1, ::-1], 4: block[::-1], 5: block.T,
        6: np.rot90(block, -1), 7: block[::-1, ::-1].T, 8: np.rot90(block),
    }[tag]  # fmt: skip
    image = read_image(tmp_path / name)
    np.testing.assert_allclose(image.raw, expected, atol=3)
    assert image.record["orientation"] == tag
    assert ("orientation" in notes(image)) == (tag > 1)


def test_orientation_exchanges_the_sides_of_a_pixel(tmp_path):
    extra = [(274, "H", 1, 6, True)]
    metadata = {"unit": "um"}
    tifffile.imwrite(
        tmp_path / "a.tif", GRAY, imagej=True, resolution=(4, 2), extratags=extra, metadata=metadata
    )
    assert size(tmp_path / "a.tif") == ([0.25, 0.5], "µm")


@pytest.mark.parametrize(
    ("dtype", "value"), [("f4", -9999), ("i2", -9999), ("u2", 0), ("f8", 1e30)]
)
def test_pixels_that_gdal_lacks_are_invalid(tmp_path, dtype, value):
    array = (GRAY // 2 + 1).astype(dtype)
    array[:3] = value
    text = f"{value}\0"
    tifffile.imwrite(tmp_path / "a.tif", array, extratags=[(42113, "s", 0, text, True)])
    image = read_image(tmp_path / "a.tif")
    assert not image.valid[:3].any()
    assert image.valid[3:].all()
    np.testing.assert_array_equal(image.raw[3:], array[3:])
    assert image.record["window"]["low"] >= array[3:].min()
    assert "GDAL_NODATA" in notes(image)


@pytest.mark.parametrize("text", ["nan", "-9999", "words"])
def test_a_missing_value_that_no_pixel_has_changes_nothing(tmp_path, text):
    tifffile.imwrite(tmp_path / "a.tif", GRAY, extratags=[(42113, "s", 0, text, True)])
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.raw, GRAY)
    assert image.raw.dtype == GRAY.dtype


# Label images


def test_floats_that_are_whole_are_labels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GRAY.astype(np.float32), imagej=True)
    labels = read_labels(tmp_path / "a.tif")
    np.testing.assert_array_equal(labels, GRAY)
    assert labels.dtype.kind == "u"


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 1e20])
def test_other_floats_are_no_labels(tmp_path, value):
    np.save(tmp_path / "a.npy", np.array([[0, value]]))
    with pytest.raises(LabelsError, match="Labels must be"):
        read_labels(tmp_path / "a.npy")


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float32])
def test_connected_pieces_of_a_mask_are_objects(tmp_path, dtype):
    mask = np.zeros((9, 9), dtype)
    mask[:2, :2] = mask[2, 2] = mask[6:, 6:] = 1 if dtype is bool else 255
    np.save(tmp_path / "a.npy", mask)
    labels = read_labels(tmp_path / "a.npy", connected=True)
    assert labels.max() == 2
    np.testing.assert_array_equal(labels > 0, mask > 0)
    assert labels[0, 0] == labels[2, 2] != labels[8, 8]
    assert pieces(mask.astype(np.uint8)) == 2
    assert pieces(labels) == pieces(np.zeros((3, 3), int)) == 1


# Folders


def test_images_of_a_folder(tmp_path):
    for name in ("b.TIF", "a.png", "c.txt", ".d.png", "a.labels.tif", "a.overlay.png"):
        (tmp_path / name).write_bytes(b"")
    for name in ("in/e.jpg", "in/f.zarr/.zgroup", "in/f.zarr/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in image_files(tmp_path)] == ["a.png", "b.TIF"]
    found = image_files(tmp_path, recursive=True)
    assert [str(path.relative_to(tmp_path).as_posix()) for path in found] == [
        "a.png",
        "b.TIF",
        "in/e.jpg",
        "in/f.zarr",
    ]


def test_a_folder_without_images(tmp_path):
    with pytest.raises(ImageError, match=re.escape("holds no image file") + ".*--recursive"):
        image_files(tmp_path)
    (tmp_path / "zarr.json").write_text("{}")
    assert image_files(tmp_path) == [tmp_path]
