"""COCO files of other programs: polygons and run lengths, several images, what is no mask."""

import json

import numpy as np
import pytest
import tifffile
from pycocotools import mask as pycoco
from test_cli import graysam

from napari_graysam.errors import LabelsError
from napari_graysam.files import read_coco, read_labels
from napari_graysam.files.coco_reader import read_coco_objects
from napari_graysam.tune import read_truth

# pycocotools 2.0.11 does not know NumPy's copy keyword yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SHAPE = (6, 8)
SQUARE = [1, 0, 4, 0, 4, 2, 1, 2]
"""Outline of rows 0 and 1, columns 1 to 3."""
CORNER = {"size": [6, 8], "counts": [38, 2, 4, 2, 2]}
"""Rows 2 and 3 of the last two columns: 6 · 6 + 2 pixels before, 4 between."""


def annotation(number, segmentation, image=1, **more):
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "segmentation": segmentation,
        "area": 6.0,
        "bbox": [0.5, 0.5, 2.0, 3.0],
        "iscrowd": 0,
        **more,
    }


def write(path, annotations, images=None, **more):
    images = images or [{"id": 1, "file_name": "train/a.png", "height": 6, "width": 8}]
    content = {"images": images, "annotations": annotations, "categories": [], **more}
    path.write_text(json.dumps(content))
    return path


def expected(*numbers):
    labels = np.zeros(SHAPE, int)
    labels[:2, 1:4], labels[2:4, 6:] = numbers
    return labels


def test_polygons_and_run_lengths_of_both_kinds(tmp_path):
    rle = pycoco.frPyObjects(CORNER, *CORNER["size"])
    text = {"size": CORNER["size"], "counts": rle["counts"].decode()}
    for runs in (CORNER, text):
        path = write(tmp_path / "a.json", [annotation(7, [SQUARE]), annotation(3, runs)])
        labels = read_labels(path)
        np.testing.assert_array_equal(labels, expected(7, 3))
        assert labels.dtype == np.uint32
        np.testing.assert_array_equal(labels == 3, pycoco.decode(text))


def test_polygons_of_one_object_are_united(tmp_path):
    far = [6, 4, 8, 4, 8, 6, 6, 6]
    path = write(tmp_path / "a.json", [annotation(1, [SQUARE, far])])
    (mask,) = read_coco(path)
    theirs = pycoco.decode(pycoco.merge(pycoco.frPyObjects([SQUARE, far], *SHAPE)))
    np.testing.assert_array_equal(mask.full(SHAPE), theirs)


def test_what_is_no_mask_is_left_out_with_a_note(tmp_path):
    objects = read_coco_objects(
        write(
            tmp_path / "a.json",
            [
                annotation(1, [SQUARE], score=0.25, category_id=2),
                annotation(2, CORNER, iscrowd=1),
                annotation(3, [], keypoints=[1, 1, 2]),
                annotation(4, [[0, 0, 3, 3]]),
                annotation(5, {"size": [6, 8], "counts": [48]}),
                {"id": 6, "image_id": 1, "bbox": [0, 0, 3, 3], "category_id": 1},
            ],
            categories=[{"id": 1, "name": "cell"}, {"id": 2, "name": "nucleus"}],
        )
    )
    assert objects.labels == (1,)
    assert objects.masks[0].predicted_iou == 0.25
    assert objects.measurements[0]["category"] == "nucleus"
    assert objects.notes == (
        "1 of 6 annotations are crowds, regions of many objects, and were left out.",
        "2 of 6 annotations have no mask, but perhaps a box or keypoints, and were left out.",
        "2 of 6 annotations hold no pixel and were left out.",
    )


def test_ids_that_are_no_labels_are_numbered_anew(tmp_path):
    objects = read_coco_objects(
        write(tmp_path / "a.json", [annotation(0, [SQUARE]), annotation(2**40, CORNER)])
    )
    assert objects.labels == (1, 2)
    assert "numbered from 1" in objects.notes[0]


def test_the_image_is_chosen_by_its_name(tmp_path):
    images = [
        {"id": number, "file_name": f"set/{name}", "height": 6, "width": 8}
        for number, name in ((5, "a.png"), (9, "b.png"))
    ]
    path = write(
        tmp_path / "all.json",
        [annotation(1, [SQUARE], image=5), annotation(2, CORNER, image=9)],
        images,
    )
    for name, number in (("a.png", 1), ("b", 2), ("b.tif", 2)):
        assert set(np.unique(read_labels(path, image=name))) == {0, number}
    with pytest.raises(LabelsError, match=r"holds 2 images \(a\.png, b\.png\); name the one"):
        read_labels(path)
    with pytest.raises(LabelsError, match=r"none of which is named c\.png"):
        read_labels(path, image="c.png")


def test_an_image_of_sa_1b_and_one_without_a_size(tmp_path):
    one = annotation(4, CORNER, predicted_iou=0.5)
    del one["image_id"]
    path = tmp_path / "sa.json"
    path.write_text(json.dumps({"image": {"image_id": 3, "file_name": "a"}, "annotations": [one]}))
    objects = read_coco_objects(path)
    assert (objects.shape, objects.labels) == (SHAPE, (4,))
    images = [{"id": 1, "file_name": "a"}]
    path = write(tmp_path / "b.json", [annotation(1, [SQUARE])], images)
    assert read_labels(path, shape=(9, 9)).shape == (9, 9)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3]], "annotation 1 is damaged, or neither"),
        ([1, 2, 3, 4, 5, 6], "annotation 1 is damaged, or neither"),
        ("text", "annotation 1 is damaged, or neither"),
        ([[0, 0, float("nan"), 1, 2, 2]], "not finite"),
        ({"size": [6, 8], "counts": [3, 2]}, "damaged"),
        ({"size": [6, 8], "counts": [-3, 51]}, "damaged"),
        ({"size": [6, 8], "counts": "µ"}, "damaged"),
        ({"size": [6, 8], "counts": "O"}, "damaged"),
        ({"size": [5, 8], "counts": [10, 30]}, r"Object 1 is of an image of \(5, 8\)"),
        ({"counts": [48]}, "'size' is missing|damaged"),
    ],
)
def test_damaged_masks_are_named(tmp_path, segmentation, message):
    path = write(tmp_path / "a.json", [annotation(1, segmentation)])
    with pytest.raises(LabelsError, match=rf"a\.json: .*({message})"):
        read_coco(path)


def test_lists_and_other_json_are_refused(tmp_path):
    for text in ("[]", "{}", '{"images": [], "annotations": []}', '{"images": 3}'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(LabelsError, match=r"a\.json: "):
            read_labels(tmp_path / "a.json")


def test_tune_takes_the_labels_of_its_image(tmp_path):
    images = [{"id": n, "file_name": f"{n}.png", "height": 6, "width": 8} for n in (1, 2)]
    annotations = [annotation(1, [SQUARE]), annotation(2, CORNER, image=2)]
    path = write(tmp_path / "all.json", annotations, images)
    (tmp_path / "clicks.json").write_text('{"objects": [[1, 2]]}')
    for name, labels in (("1.png", expected(1, 0)), ("2.tif", expected(0, 2))):
        np.testing.assert_array_equal(read_truth(path, image=name).labels, labels)
    assert read_truth(tmp_path / "clicks.json").objects == ((1.0, 2.0),)


def test_score_takes_coco_of_one_image_and_of_all(tmp_path):
    found = tmp_path / "found"
    found.mkdir()
    for name, number in (("a", 1), ("b", 2)):
        labels = expected(1, 0) if number == 1 else expected(0, 2)
        tifffile.imwrite(found / f"{name}.labels.tif", labels.astype(np.uint16))
    images = [
        {"id": number, "file_name": f"{name}.png", "height": 6, "width": 8}
        for number, name in ((1, "a"), (2, "b"))
    ]
    annotations = [
        annotation(1, [SQUARE]),
        annotation(2, CORNER, iscrowd=1),
        annotation(3, CORNER, image=2),
    ]
    truth = write(tmp_path / "truth.json", annotations, images)
    result = graysam("score", found, truth, "--json")
    document = json.loads(result.stdout)
    assert document["images"].keys() == {"a", "b"}
    assert document["mean"]["f1"] == 1
    assert "1 of 2 annotations are crowds" in result.stderr
    one = graysam("score", found / "b.labels.tif", truth, "--json")
    assert json.loads(one.stdout)["mean"]["n_true"] == 1
    images[1]["file_name"] = "c.png"
    result = graysam("score", found, write(truth, annotations, images), status=1)
    assert "b.labels.tif" in result.stderr
