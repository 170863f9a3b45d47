import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from roifile import ROI_TYPE, ImagejRoi, roiread
from test_geojson import HOLES, HOOK, LABELS, STAIRS, pixels, whole

from napari_graysam.errors import ImageError, OutputError
from napari_graysam.files import read_rois, write_rois
from napari_graysam.files.objects import paint_objects
from napari_graysam.masks import Mask, label_masks


def imagej_fill(roi, shape):
    """Pixels whose centre lies inside, as ImageJ's PolygonFiller finds them."""
    return pixels([ring.tolist() for ring in roi.coordinates(multi=True)], shape)


@given(labels=LABELS)
def test_imagej_fills_exactly_the_labels(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("rois") / "a.zip"
    masks, numbers = label_masks(labels)
    write_rois(path, masks, labels.shape, labels=numbers)
    if numbers:
        painted = np.zeros(labels.shape, int)
        for roi in roiread(path):
            painted[imagej_fill(roi, labels.shape)] = int(roi.name)
        np.testing.assert_array_equal(painted, labels)
    objects = read_rois(path)
    assert (objects.shape, objects.labels, objects.notes) == (labels.shape, numbers, ())
    np.testing.assert_array_equal(paint_objects(objects), labels)


def test_what_the_file_holds(tmp_path):
    path = tmp_path / "a.zip"
    square = Mask(np.ones((3, 2), bool), (40_000, 5, 40_002, 8))
    recipe = {"schema_version": 1, "name": "mine"}
    table = pd.DataFrame({"index": [70_000], "predicted_iou": [0.75], "area": [6]})
    write_rois(
        path,
        [square, whole(HOOK), whole(STAIRS), whole(HOLES)],
        (100, 50_000),
        recipe,
        labels=[70_000, 3, 4, 5],
        table=table,
        position=2,
    )
    first, *others = roiread(path)
    assert first.roitype == ROI_TYPE.TRACED
    assert (first.left, first.top, first.right, first.bottom) == (40_000, 5, 40_002, 8)
    assert [roi.name for roi in others] == ["00003", "00004", "00005"]
    assert all(roi.composite and roi.roitype == ROI_TYPE.RECT for roi in others)
    assert all(roi.position == 2 for roi in (first, *others))
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist()[0] == "70000.roi"
        assert json.loads(archive.comment)["recipe"] == recipe
    again = tmp_path / "b.zip"
    objects = _on_large_canvas(path)
    assert objects.measurements[0] == {"predicted_iou": 0.75, "area": 6.0}
    assert objects.recipe == recipe
    write_rois(again, objects.masks, (100, 50_000), recipe, labels=objects.labels)
    assert [roi.coordinates(multi=True)[0].tolist() for roi in roiread(again)] == [
        roi.coordinates(multi=True)[0].tolist() for roi in roiread(path)
    ]


def _on_large_canvas(path):
    """Read a file whose image is larger than segmentation allows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_graysam.source.gray.LARGEST_SIDE", 10**6)
        return read_rois(path)


def test_a_long_recipe_is_kept_beside_the_regions(tmp_path):
    recipe = {"schema_version": 1, "description": "x" * 70_000}
    write_rois(tmp_path / "a.zip", [whole(HOOK)], (3, 3), recipe)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.comment == b""
        assert archive.namelist()[0] == "0001.roi"
    assert read_rois(tmp_path / "a.zip").recipe == recipe


def test_files_of_imagej(tmp_path):
    box = {"left": 2, "top": 1, "right": 6, "bottom": 5}
    point = ImagejRoi.frompoints([[1, 1]], name="point")
    point.roitype = ROI_TYPE.POINT
    rois = [
        ImagejRoi(roitype=ROI_TYPE.RECT, name="box", **box),
        ImagejRoi(roitype=ROI_TYPE.OVAL, name="oval", **box),
        ImagejRoi.frompoints([[0.4, 0.4], [3.6, 0.4], [3.6, 2.6], [0.4, 2.6]], name="free"),
        point,
    ]
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for roi in rois:
            archive.writestr(f"{roi.name}.roi", roi.tobytes())
        archive.writestr("readme.txt", "hello")
    objects = read_rois(path, (20, 30))
    assert (objects.shape, objects.labels) == ((20, 30), (1, 2, 3))
    assert objects.masks[0].box == (2, 1, 6, 5)
    assert objects.masks[0].area == 16
    oval = np.array([[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]], bool)
    np.testing.assert_array_equal(objects.masks[1].bits, oval)
    assert objects.masks[2].box == (0, 0, 4, 3)
    assert any("1 of 4 ROIs are points" in note for note in objects.notes)


def test_damaged_files(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK nonsense")
    with pytest.raises(ImageError, match=r"a\.zip: not a whole ZIP"):
        read_rois(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(ImageError, match=r"no ImageJ ROIs"):
        read_rois(path)
    good = ImagejRoi.frompoints([[0, 0], [3, 0], [3, 3]]).tobytes()
    for bad in (b"", b"x" * 100, good[:70], good[:16] + b"\xff\xff" + good[18:]):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("one.roi", bad)
        with pytest.raises(ImageError, match=r"one\.roi in it is no ImageJ ROI or is damaged"):
            read_rois(path)
    with pytest.raises(ImageError, match="no such file"):
        read_rois(tmp_path / "no.zip")


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match=r"60535.*GeoJSON"):
        write_rois(tmp_path / "a.zip", [], (10, 70_000))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        write_rois(tmp_path / "file" / "a.zip", [], (2, 2))
    assert not (tmp_path / "a.zip").exists()
