import json
import os

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from napari_graysam.atomic import atomic_path
from napari_graysam.errors import ImageError, OutputError
from napari_graysam.files import (
    overlay_rgb,
    read_coco,
    read_label_file,
    read_labels,
    read_recipe_text,
    write_coco,
    write_labels,
    write_overlay,
    write_table,
)
from napari_graysam.masks import Mask
from napari_graysam.masks.overlay import outlines
from napari_graysam.propose import Proposals
from napari_graysam.recipe import ImageOptions, Recipe
from napari_graysam.source.pyramid import open_pyramid
from napari_graysam.source.reading import load, read_image

GRAY = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30) * 100


def names(path):
    return [entry.name for entry in path.iterdir()]


@pytest.fixture
def proposals():
    one = np.ones(1, np.float32)
    corners = np.array([[0, 0, 3, 3]], np.int32)
    return Proposals(
        predicted_iou=one,
        stability=one,
        area=np.array([4]),
        box=np.array([[0, 0, 1, 1]], np.int32),
        point=np.zeros((1, 2), np.float32),
        crop_box=corners,
        crop=np.zeros(1, np.int32),
        logits=np.zeros((1, 4, 4), np.float32),
        image_size=(3, 3),
    )


# Writing whole or not at all


def test_atomic_path_makes_folders_and_replaces(tmp_path):
    target = tmp_path / "new" / "folder" / "result.csv"
    for text in ("first", "second"):
        with atomic_path(target) as temporary:
            assert temporary.parent == target.parent
            assert temporary.suffix == ".csv"
            temporary.write_text(text)
            assert not target.exists() or target.read_text() == "first"
    assert target.read_text() == "second"
    assert names(target.parent) == ["result.csv"]


def test_failure_leaves_what_was_there(tmp_path):
    target = tmp_path / "result.csv"
    target.write_text("old")

    def fail():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["result.csv"]


def test_full_disk_is_one_clear_error(tmp_path):
    def fail():
        with atomic_path(tmp_path / "a.tif") as temporary:
            temporary.write_text("half")
            raise OSError(28, os.strerror(28))

    with pytest.raises(OutputError, match=r"a\.tif: No space left.*free some space"):
        fail()
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
def test_whoever_may_read_other_new_files_may_read_ours(tmp_path, proposals):
    """What `tempfile` makes is its owner's alone (0600)."""
    before = os.umask(0o027)
    try:
        write_labels(tmp_path / "a.tif", np.zeros((2, 2), np.uint32))
        write_table(tmp_path / "a.csv", pd.DataFrame({"index": [1]}))
        Recipe().to_file(tmp_path / "a.yaml")
        proposals.save(tmp_path / "a.npz")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    labels = np.zeros((2, 2), np.uint32)
    with pytest.raises(OutputError, match="is a file, not a folder"):
        write_labels(tmp_path / "file" / "a.tif", labels)
    with pytest.raises(OutputError, match="Is a directory"):
        write_labels(tmp_path, labels)
    with pytest.raises(OutputError, match="shorter"):
        write_labels(tmp_path / "deep" / ("a" * 300 + ".tif"), labels)


# Images


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "i2", "u4", "f4", ">f4", "f8", "u8", "f2"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_of_any_type(tmp_path, dtype, compression):
    array = (GRAY // 400).astype(dtype)
    tifffile.imwrite(
        tmp_path / "a.tif",
        array,
        byteorder=array.dtype.str[0].strip("|") or None,
        compression=compression,
    )
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.raw, array)
    assert image.record["path"] == str(tmp_path / "a.tif")


@pytest.mark.parametrize("metadata", [None, {}], ids=["plain", "described"])
def test_pages_need_a_plane(tmp_path, metadata):
    stack = np.stack([GRAY, GRAY + 1, GRAY + 2])
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        for page in stack:
            file.write(page, contiguous=False, compression="zlib", metadata=metadata)
    with pytest.raises(ImageError, match=r"pages\.tif: .*image\.plane=0\.\.2"):
        read_image(tmp_path / "pages.tif")
    image = read_image(tmp_path / "pages.tif", ImageOptions(plane=2))
    np.testing.assert_array_equal(image.raw, stack[2])
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    with pytest.raises(ImageError, match=r"image\.plane=0\.\.2"):
        read_image(tmp_path / "stack.tif")


def test_ome_axes_and_pixel_size_are_used(tmp_path):
    array = np.arange(2 * 3 * 20 * 30, dtype=np.uint16).reshape(2, 3, 20, 30)
    size = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", array, metadata={"axes": "ZCYX", **size})
    with pytest.raises(ImageError, match=r"image\.channel=0\.\.2"):
        read_image(tmp_path / "a.ome.tif", ImageOptions(plane=1))
    image = read_image(tmp_path / "a.ome.tif", ImageOptions(plane=1, channel=2))
    np.testing.assert_array_equal(image.raw, array[1, 2])
    assert image.record["pixel_size"] == [0.5, 0.25]
    assert image.record["pixel_unit"] == "µm"


def test_imagej_hyperstack(tmp_path):
    array = np.arange(2 * 3 * 4 * 20 * 30, dtype=np.uint16).reshape(2, 3, 4, 20, 30)
    tifffile.imwrite(
        tmp_path / "a.tif",
        array,
        imagej=True,
        resolution=(4, 2),
        metadata={"axes": "TZCYX", "unit": "um"},
    )
    image = read_image(tmp_path / "a.tif", ImageOptions(plane=5, channel=1))
    np.testing.assert_array_equal(image.raw, array[1, 2, 1])
    assert image.record["pixel_size"] == [0.5, 0.25]


def test_axes_of_the_recipe_overrule_the_file(tmp_path):
    array = np.arange(3 * 20 * 30, dtype=np.uint16).reshape(3, 20, 30)
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, metadata={"axes": "ZYX"})
    image = read_image(tmp_path / "a.tif", ImageOptions(axes="CYX", channel=1))
    np.testing.assert_array_equal(image.raw, array[1])


def test_colour_tiff(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb")
    assert read_image(tmp_path / "a.tif").record["axes"] == "YXS"
    planar = np.moveaxis(rgb, -1, 0)
    tifffile.imwrite(tmp_path / "p.tif", planar, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(
        read_image(tmp_path / "p.tif").raw, read_image(tmp_path / "a.tif").raw
    )


def test_large_stack_is_not_loaded_whole(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((50, 64, 64), np.uint8))
    assert isinstance(load(tmp_path / "a.tif").array, np.memmap)


@pytest.mark.parametrize("array", [GRAY, (GRAY // 256).astype(np.uint8), GRAY > 3000])
def test_gray_png_keeps_its_depth(tmp_path, array):
    Image.fromarray(array).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").raw, array)


def test_sixteen_bit_colour_png_keeps_its_depth(tmp_path):
    bgr = np.stack([GRAY, GRAY + 1, GRAY + 2], axis=-1)
    cv2.imwrite(str(tmp_path / "a.png"), bgr)
    for channel, expected in enumerate((GRAY + 2, GRAY + 1, GRAY)):
        image = read_image(tmp_path / "a.png", ImageOptions(channel=channel))
        np.testing.assert_array_equal(image.raw, expected)


def test_palette_and_alpha_png(tmp_path):
    indices = Image.fromarray((np.arange(600).reshape(20, 30) % 2).astype(np.uint8), "P")
    indices.putpalette([255, 0, 0, 0, 0, 255])
    indices.save(tmp_path / "palette.png")
    image = read_image(tmp_path / "palette.png", ImageOptions(channel=2))
    np.testing.assert_array_equal(image.raw, np.asarray(indices) * 255)
    gray = Image.fromarray((GRAY // 256).astype(np.uint8))
    for mode in ("LA", "RGBA"):
        gray.convert(mode).save(tmp_path / "alpha.png")
        image = read_image(tmp_path / "alpha.png")
        np.testing.assert_array_equal(image.raw, np.asarray(gray))
        assert any("alpha" in note for note in image.record["notes"])


@pytest.mark.parametrize("suffix", ["jpg", "bmp"])
def test_jpeg_and_bmp(tmp_path, suffix):
    array = np.full((16, 16), 77, np.uint8)
    Image.fromarray(array).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}").raw, array)


def test_kind_is_told_by_content_not_name(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").raw, GRAY)
    np.save(tmp_path / "b.npy", GRAY)
    np.testing.assert_array_equal(read_image(tmp_path / "b.npy").raw, GRAY)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.tif", b"", "empty"),
        ("text.png", b"<html>not found</html>", "no image.*expected TIFF, PNG"),
        ("header.tif", b"II*\0\x08\0\0\0", "holds no image"),
        ("pickle.npy", b"\x93NUMPY\x01\x00", "not a TIFF.* or damaged"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path, caplog, name, content, message):
    (tmp_path / name).write_bytes(content)
    for read in (read_image, read_labels):
        with pytest.raises(ImageError, match=f"{name}: .*{message}") as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not caplog.records


@pytest.mark.parametrize(
    "name", ["a.tif", "z.tif", "a.png", "a.jpg", "a.bmp", "rgb16.png", "a.npy"]
)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_truncated_files_are_refused(tmp_path, name, part):
    array = np.random.default_rng(0).integers(0, 65535, (100, 100), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array)
    tifffile.imwrite(tmp_path / "z.tif", array, compression="zlib", rowsperstrip=10)
    Image.fromarray(array).save(tmp_path / "a.png")
    Image.fromarray((array // 256).astype(np.uint8)).save(tmp_path / "a.jpg")
    Image.fromarray((array // 256).astype(np.uint8)).save(tmp_path / "a.bmp")
    cv2.imwrite(str(tmp_path / "rgb16.png"), np.stack([array] * 3, axis=-1))
    np.save(tmp_path / "a.npy", array)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ImageError, match=name):
        read_image(tmp_path / name)


@pytest.mark.parametrize("kind", [{"imagej": True}, {"ome": True}, {"compression": "zlib"}, {}])
@pytest.mark.parametrize("part", [0.5, 0.65])
def test_a_stack_that_is_cut_off_is_no_smaller_stack(tmp_path, kind, part):
    path = tmp_path / "a.tif"
    array = np.random.default_rng(0).integers(0, 65535, (5, 64, 64), np.uint16)
    tifffile.imwrite(path, array, metadata={"axes": "ZYX"}, **kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    for read in (read_image, read_labels, open_pyramid):
        with pytest.raises(ImageError, match=r"a\.tif: The file is cut off: its page \d lies at"):
            read(path)


def test_missing_folder_and_unreadable(tmp_path, monkeypatch):
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "missing.tif")
    with pytest.raises(ImageError, match="folder"):
        read_image(tmp_path)
    path = tmp_path / "locked.npy"
    np.save(path, GRAY)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ImageError, match=r"locked\.npy: .*Permission denied"):
        read_image(path)


def test_object_arrays_are_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{}]]), allow_pickle=True)
    with pytest.raises(ImageError, match="Python objects"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("name", "shape"),
    [("long.png", (2, 70_000)), ("wide.tif", (70_000, 2)), ("b.tif", (2**14,) * 2)],
)
def test_large_real_files_are_read(tmp_path, monkeypatch, name, shape):
    """Neither Pillow's bound for pictures nor OpenCV's for sides holds for labels."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    blank = np.zeros(shape, np.uint8)
    if name.endswith("png"):
        Image.fromarray(blank).save(tmp_path / name)
    else:
        tifffile.imwrite(tmp_path / name, blank, compression="zlib")
    read = read_labels(tmp_path / name)
    assert read.shape == shape
    assert not read.any()


# Labels


label_images = hnp.arrays(
    np.uint32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1)),
)


@given(labels=label_images, recipe=st.sampled_from(["name: a\nimage: {}\n", "µ <&> ü: '1'\n" * 90]))
def test_labels_and_recipe_round_trip(tmp_path_factory, labels, recipe):
    path = tmp_path_factory.getbasetemp() / "round.labels.tif"
    write_labels(path, labels, recipe=recipe)
    read = read_labels(path)
    np.testing.assert_array_equal(read, labels)
    assert read.dtype == np.uint32
    assert read_recipe_text(path) == recipe


@pytest.mark.parametrize("most", [7, 70_000])
def test_labels_keep_the_pixel_size(tmp_path, most):
    labels = np.full((9, 8), most, np.uint32)
    write_labels(tmp_path / "a.tif", labels, recipe="x", pixel_size=(0.5, 0.25), unit="µm")
    record = read_image(tmp_path / "a.tif").record
    assert record["pixel_size"] == pytest.approx([0.5, 0.25])
    assert record["pixel_unit"] == "µm"


def test_label_files_tell_the_pixel_size_without_ome_too(tmp_path):
    size = {"pixel_size": (500, 250), "unit": "nm"}
    write_labels(tmp_path / "a.tif", np.ones((4, 4), np.uint32), recipe="x", **size)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_ome
        page = file.pages.first
        assert (page.dtype, page.compression) == (np.uint32, 8)
        assert page.tags["ResolutionUnit"].value == 3  # Centimetres.
        assert page.get_resolution("micrometer") == pytest.approx((4, 2))


TABLE = pd.DataFrame(
    {
        "index": [3, 7],
        "area": [10, 20],
        "predicted_iou": [0.5, np.nan],
        "source": ["raw", "preprocessed"],
        "touching_border": [True, False],
        "comment": ["µ <&> ü", ""],
    }
)


def test_label_files_carry_table_and_placement(tmp_path):
    labels = np.array([[3, 0], [7, 7]])
    placement = {"scale": [2.0, 3.0]}
    write_labels(tmp_path / "a.tif", labels, recipe="name: x", table=TABLE, placement=placement)
    file = read_label_file(tmp_path / "a.tif")
    np.testing.assert_array_equal(file.labels, labels)
    pd.testing.assert_frame_equal(file.attachment.table, TABLE)
    assert file.attachment.placement == placement
    assert (file.recipe, file.pixel_size) == ("name: x", None)
    write_labels(tmp_path / "b.tif", labels, table=TABLE[:0])
    assert len(read_label_file(tmp_path / "b.tif").attachment.table) == 0


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.tif"])
def test_labels_of_others_carry_nothing(tmp_path, name):
    image = np.arange(12, dtype=np.uint16).reshape(3, 4)
    {"png": cv2.imwrite, "npy": np.save, "tif": tifffile.imwrite}[name[2:]](
        str(tmp_path / name), image
    )
    file = read_label_file(tmp_path / name)
    np.testing.assert_array_equal(file.labels, image)
    assert (file.recipe, *file.attachment) == ("", None, None)


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        (b'{"kind": "napari-graysam labels", "table": {"area": [1]}}', "table in it is damaged"),
        (b'{"kind": "napari-graysam labels", "table": 3}', "table in it is damaged"),
        (b'{"kind": "other", "table": 3}', None),
        (b"[" * 100_000, None),
        (b"\xff\x00", None),
    ],
)
def test_damaged_tables_and_other_programs_tags(tmp_path, tag, message):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.eye(4, dtype=np.uint32), extratags=[(65000, 7, len(tag), tag, True)])
    if message is None:
        assert read_label_file(path).attachment.table is None
        return
    with pytest.raises(ImageError, match=rf"a\.tif: .*{message}"):
        read_label_file(path)
    np.testing.assert_array_equal(read_labels(path), np.eye(4))


def test_file_without_recipe(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GRAY)
    with pytest.raises(ImageError, match="carries no recipe"):
        read_recipe_text(tmp_path / "a.tif")
    (tmp_path / "b.tif").write_text("hello")
    with pytest.raises(ImageError, match="not a TIFF"):
        read_recipe_text(tmp_path / "b.tif")


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.npy"])
def test_labels_of_every_kind_of_file(tmp_path, name):
    save = {"tif": tifffile.imwrite, "npy": np.save}.get(name[2:])
    if save:
        save(tmp_path / name, GRAY)
    else:
        Image.fromarray(GRAY).save(tmp_path / name)
    np.testing.assert_array_equal(read_labels(tmp_path / name), GRAY)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((20, 30, 3), np.uint8), "colours"),
        (np.full((20, 30), 0.5), "integers.*float64"),
        (np.zeros((20, 30), bool), "integers.*bool"),
        (np.full((20, 30), -1), "negative"),
        (np.zeros((5, 20, 30), int), "one plane"),
    ],
)
def test_what_are_no_labels_is_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ImageError, match=f"a.npy: .*{message}"):
        read_labels(tmp_path / "a.npy")


def test_palette_picture_is_no_label_image(tmp_path):
    Image.fromarray(np.eye(6, dtype=np.uint8), "P").save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="colours"):
        read_labels(tmp_path / "a.png")


# COCO


@st.composite
def masks_in_an_image(draw):
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    x0, y0 = draw(st.integers(0, columns)), draw(st.integers(0, rows))
    x1, y1 = draw(st.integers(x0, columns)), draw(st.integers(y0, rows))
    bits = draw(hnp.arrays(bool, (y1 - y0, x1 - x0)))
    return Mask(bits, (x0, y0, x1, y1), 0.75, 0.5, (1.5, 2.0), (0, 0, 3, 4), 0, 1, "raw"), (
        rows,
        columns,
    )


# pycocotools 2.0.11 does not know NumPy's copy keyword yet.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@given(masks_in_an_image())
def test_coco_round_trip_and_pycocotools_see_the_same_pixels(tmp_path_factory, drawn):
    mask, shape = drawn
    path = tmp_path_factory.getbasetemp() / "round.coco.json"
    write_coco(path, [mask.replace(parent=-1), mask], "a.tif", shape, {"name": "x"})
    annotation = json.loads(path.read_text())["annotations"][1]
    np.testing.assert_array_equal(coco_mask.decode(annotation["segmentation"]), mask.full(shape))
    assert (
        annotation["segmentation"]["counts"].encode()
        == coco_mask.encode(np.asfortranarray(mask.full(shape), np.uint8))["counts"]
    )
    whole, part = read_coco(path)
    assert (whole.parent, part.parent) == (-1, 0)
    np.testing.assert_array_equal(part.bits, mask.bits)
    for field in ("box", "predicted_iou", "stability", "point", "crop_box", "depth", "source"):
        assert getattr(part, field) == getattr(mask, field)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_file_is_read_by_pycocotools(tmp_path, capsys):
    mask = Mask(np.ones((8, 10), bool), (3, 4, 13, 12), 0.9, 0.95, (5.0, 6.0), (0, 0, 40, 30))
    write_coco(tmp_path / "a.json", [mask], "a.tif", (30, 40), {"name": "x"})
    coco = COCO(tmp_path / "a.json")
    (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert annotation["bbox"] == [3, 4, 10, 8]
    assert annotation["area"] == 80
    assert annotation["iscrowd"] == 0
    assert annotation["parent"] == 0
    assert annotation["crop_box"] == [0, 0, 40, 30]
    assert annotation["point_coords"] == [[5.0, 6.0]]
    assert annotation["predicted_iou"] == 0.9
    assert annotation["stability_score"] == 0.95
    np.testing.assert_array_equal(coco.annToMask(annotation), mask.full((30, 40)))
    assert coco_mask.toBbox(annotation["segmentation"]).tolist() == [3, 4, 10, 8]
    assert coco.loadImgs([1])[0]["file_name"] == "a.tif"
    assert coco.dataset["info"]["recipe"] == {"name": "x"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: [], "not a COCO file"),
        (lambda c: {"images": []}, "not a COCO file"),
        (lambda c: c["annotations"][0].pop("parent") and c, "'parent' is missing"),
        (lambda c: c["annotations"][0].update(segmentation=[[0, 0, 1, 1]]) or c, "run-length"),
        (lambda c: c["annotations"][0].update(area=5) or c, "disagree"),
        (lambda c: c["annotations"][0].update(bbox=[2, 2, 2, 2]) or c, "outside of the image"),
        (lambda c: c["annotations"][0]["segmentation"].update(counts="0") or c, "do not fill"),
        (lambda c: c["annotations"][0]["segmentation"].update(counts="µ") or c, "not a COCO"),
    ],
)
def test_foreign_coco_is_refused(tmp_path, change, message):
    path = tmp_path / "a.json"
    write_coco(path, [Mask(np.ones((2, 2), bool), (0, 0, 2, 2))], "a.tif", (3, 3), {})
    content = json.loads(path.read_text())
    content["annotations"][0]["parent"] = 1
    path.write_text(json.dumps(change(content)))
    with pytest.raises(ImageError, match=f"a.json: .*{message}"):
        read_coco(path)


def test_corrupt_and_missing_json_are_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"images": [')
    with pytest.raises(ImageError, match="no JSON"):
        read_coco(tmp_path / "a.json")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ImageError, match="no JSON"):
        read_coco(tmp_path / "b.json")
    with pytest.raises(ImageError, match="no such file"):
        read_coco(tmp_path / "c.json")


# Tables and overlays


def test_table_round_trip(tmp_path):
    table = pd.DataFrame({"index": [1, 2], "area": [10, 20], "predicted_iou": [1 / 3, 0.1]})
    write_table(tmp_path / "a.csv", table)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a.csv"), table)
    assert names(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("level", [0, 90, 255])
def test_outlines_show_on_any_brightness_and_background_stays(level):
    view = np.full((40, 40, 3), level, np.uint8)
    labels = np.zeros((40, 40), np.uint32)
    for number in range(1, 17):
        y, x = divmod(number - 1, 4)
        labels[y * 10 + 1 : y * 10 + 9, x * 10 + 1 : x * 10 + 9] = number
    picture = overlay_rgb(view, labels)
    np.testing.assert_array_equal(picture[labels == 0], view[labels == 0])
    contrast = np.abs(picture[outlines(labels)].astype(int) - level).max(axis=-1)
    assert contrast.min() > 60


def test_touching_objects_differ_in_colour_and_have_an_outline_between():
    labels = np.repeat([[1] * 5 + [2] * 5], 10, axis=0)
    picture = overlay_rgb(np.zeros((10, 10, 3), np.uint8), labels)
    assert np.abs(picture[5, 4].astype(int) - picture[5, 5]).max() > 100
    assert not np.array_equal(picture[5, 4], picture[5, 2])


def test_overlay_of_nothing_is_the_view():
    view = np.random.default_rng(0).integers(0, 255, (9, 8, 3), np.uint8)
    np.testing.assert_array_equal(overlay_rgb(view, np.zeros((9, 8), int)), view)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1, 5000), (1, 1667)), ((4097, 300), (1366, 100)), ((2048, 9), (2048, 9))],
)
def test_large_overlays_are_reduced(tmp_path, shape, expected):
    view = np.full((*shape, 3), 9, np.uint8)
    labels = np.zeros(shape, np.uint16)
    labels[:, shape[1] // 2 :] = 1
    write_overlay(tmp_path / "a.png", view, labels)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == expected[::-1]
        pixels = np.asarray(picture)
    width = expected[1]
    assert (pixels[:, : width // 2 - 1] == 9).all()
    assert (pixels[:, width // 2 + 1 :].max(axis=-1) > 9).all()


@pytest.mark.parametrize(("shape", "expected"), [((60, 100), (360, 600)), ((600, 90), (600, 90))])
def test_small_overlays_are_enlarged(tmp_path, shape, expected):
    view = np.full((*shape, 3), 9, np.uint8)
    write_overlay(tmp_path / "a.png", view, np.ones(shape, np.uint16))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == expected[::-1]
