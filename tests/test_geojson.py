import json
import uuid

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_graysam.errors import ImageError, OutputError
from napari_graysam.files import read_geojson, write_geojson
from napari_graysam.files.objects import paint_objects
from napari_graysam.files.outlines import outlines, trace
from napari_graysam.files.polygons import fill
from napari_graysam.masks import Mask, label_masks

BITS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))
LABELS = hnp.arrays(
    st.sampled_from([np.uint8, np.uint32]),
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.sampled_from([0, 0, 1, 2, 7, 200]),
)
# A ring that touches itself at a corner from inside, and one around two diagonal holes.
HOOK = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)
HOLES = np.pad(np.array([[0, 1], [1, 0]], bool), 1, constant_values=True)
STAIRS = np.eye(4, dtype=bool)


def inside(x, y, rings):
    """Even-odd rule, one pixel centre and one edge at a time."""
    odd = False
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
            if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
                odd = not odd
    return odd


def pixels(rings, shape):
    height, width = shape
    return np.array(
        [[inside(x + 0.5, y + 0.5, rings) for x in range(width)] for y in range(height)]
    )


def whole(bits):
    return Mask(bits, (0, 0, bits.shape[1], bits.shape[0])).with_bits(bits)


def polygons(feature):
    geometry = feature["geometry"]
    coordinates = geometry["coordinates"]
    return [coordinates] if geometry["type"] == "Polygon" else coordinates


# Outlines


@given(BITS)
def test_pixel_centres_inside_the_outlines_are_the_mask(bits):
    filled = np.zeros(bits.shape, bool)
    for rings in outlines(bits):
        piece = pixels([ring.tolist() for ring in rings], bits.shape)
        assert not (filled & piece).any()
        filled |= piece
    np.testing.assert_array_equal(filled, bits)


@given(BITS)
def test_every_ring_is_simple_and_turns_at_every_corner(bits):
    for rings in outlines(bits):
        for number, ring in enumerate(rings):
            corners = [tuple(corner) for corner in ring.tolist()]
            assert len(set(corners)) == len(corners)
            steps = np.roll(ring, -1, axis=0) - ring
            assert ((steps == 0).sum(axis=1) == 1).all()
            assert ((steps == 0) != (np.roll(steps, 1, axis=0) == 0)).all()
            x, y = ring.T
            area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum()
            assert (area > 0) == (number == 0)


@given(st.lists(BITS, max_size=6))
def test_masks_traced_together_are_as_alone(shapes):
    alone = [[[ring.tolist() for ring in rings] for rings in outlines(bits)] for bits in shapes]
    traced = trace(shapes)
    assert [[[ring.tolist() for ring in rings] for rings in pieces] for pieces in traced] == alone


def test_more_masks_than_one_sheet_holds(monkeypatch):
    monkeypatch.setattr("napari_graysam.files.outlines.MOST_PIXELS", 30)
    shapes = [np.ones((height, width), bool) for height in (1, 4, 9) for width in (5, 2)]
    for bits, pieces in zip(shapes, trace(shapes), strict=True):
        height, width = bits.shape
        assert sorted(pieces[0][0].tolist()) == [[0, 0], [0, height], [width, 0], [width, height]]


def test_corners_that_touch():
    assert [len(rings) for rings in outlines(HOOK)] == [2]
    assert [len(rings) for rings in outlines(HOLES)] == [3]
    assert [len(rings) for rings in outlines(STAIRS)] == [1, 1, 1, 1]
    assert outlines(np.zeros((3, 3), bool)) == []


@given(
    st.lists(
        st.tuples(st.floats(-3, 9, width=16), st.floats(-3, 9, width=16)), min_size=1, max_size=8
    )
)
def test_any_polygon_is_filled_at_pixel_centres(points):
    want = pixels([points], (8, 8))
    mask = fill([[np.array(points)]])
    got = np.zeros((12, 12), bool)
    if mask is not None:
        got[mask.slices] = mask.bits
    np.testing.assert_array_equal(got[:8, :8], want)


def test_polygons_are_united_and_holes_left_out():
    square = np.array([(0, 0), (4, 0), (4, 4), (0, 4)])
    hole = np.array([(1, 1), (3, 1), (3, 3), (1, 3)])
    mask = fill([[square, hole], [square + 2]])
    want = np.zeros((6, 6), bool)
    want[:4, :4] = True
    want[1:3, 1:3] = False
    want[2:6, 2:6] = True
    np.testing.assert_array_equal(mask.full((6, 6)), want)


# Files


@given(labels=LABELS)
def test_labels_come_back(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("geojson") / "a.geojson"
    masks, numbers = label_masks(labels)
    write_geojson(path, masks, labels.shape, labels=numbers)
    objects = read_geojson(path)
    assert objects.shape == labels.shape
    assert objects.labels == numbers
    assert objects.notes == ()
    np.testing.assert_array_equal(paint_objects(objects), labels)


def test_what_qupath_reads(tmp_path):
    path = tmp_path / "a.geojson"
    recipe = {"schema_version": 1, "name": "mine"}
    table = pd.DataFrame(
        {
            "index": [5, 4],
            "predicted_iou": [0.75, 0.5],
            "intensity_std": [np.nan, 2.0],
            "source": ["raw", "raw"],
        }
    )
    masks = [whole(HOOK), whole(STAIRS)]
    write_geojson(path, masks, (6, 8), recipe, labels=[4, 5], table=table, object_type="detection")
    content = json.loads(path.read_text())
    assert content["type"] == "FeatureCollection"
    assert content["napari-graysam"]["recipe"] == recipe
    hook, stairs = content["features"]
    for feature in (hook, stairs):
        assert feature["type"] == "Feature"
        uuid.UUID(feature["id"])
        assert feature["properties"]["objectType"] == "detection"
        assert "classification" not in feature["properties"]
        for polygon in polygons(feature):
            assert all(ring[0] == ring[-1] for ring in polygon)
            assert all(isinstance(value, int) for ring in polygon for xy in ring for value in xy)
    assert hook["id"] != stairs["id"]
    assert hook["geometry"]["type"] == "Polygon"
    assert len(hook["geometry"]["coordinates"]) == 2
    assert stairs["geometry"]["type"] == "MultiPolygon"
    assert hook["properties"]["name"] == "4"
    assert hook["properties"]["measurements"] == {"predicted_iou": 0.5, "intensity_std": 2.0}
    assert stairs["properties"]["measurements"] == {"predicted_iou": 0.75}
    objects = read_geojson(path)
    assert objects.recipe == recipe
    assert [mask.predicted_iou for mask in objects.masks] == [0.5, 0.75]
    assert objects.measurements[0] == {"predicted_iou": 0.5, "intensity_std": 2.0}
    again = tmp_path / "b.geojson"
    write_geojson(again, masks, (6, 8), recipe, labels=[4, 5], table=table, object_type="detection")
    assert again.read_bytes() == path.read_bytes()


def test_overlapping_masks_keep_scores_and_parents(tmp_path):
    outer = Mask(np.ones((6, 6), bool), (0, 0, 6, 6), predicted_iou=0.75)
    inner = Mask(np.ones((2, 2), bool), (2, 2, 4, 4), stability=0.5, parent=0, depth=1)
    table = pd.DataFrame(
        {
            "index": [1, 2],
            "predicted_iou": [0.75, 1.0],
            "stability_score": [1.0, 0.5],
            "parent": [0, 1],
            "depth": [0, 1],
        }
    )
    write_geojson(tmp_path / "a.geojson", [outer, inner], (6, 6), table=table)
    objects = read_geojson(tmp_path / "a.geojson")
    for want, got in zip((outer, inner), objects.masks, strict=True):
        np.testing.assert_array_equal(got.full((6, 6)), want.full((6, 6)))
        assert (got.predicted_iou, got.stability) == (want.predicted_iou, want.stability)
        assert (got.parent, got.depth) == (want.parent, want.depth)
    assert paint_objects(objects)[3, 3] == 2


def qupath(name, coordinates, kind="Polygon", **properties):
    return {
        "type": "Feature",
        "id": str(uuid.uuid4()),
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"objectType": "annotation", "name": name, **properties},
    }


def test_files_of_qupath(tmp_path):
    square = [[[1.5, 1.5], [4.5, 1.5], [4.5, 4.5], [1.5, 4.5], [1.5, 1.5]]]
    old = [{"name": "Area", "value": 9.0}, {"name": "Bad", "value": "NaN"}]
    features = [
        qupath("Tumor", square, classification={"name": "Tumor", "color": [200, 0, 0]}),
        qupath("Stroma", [[[20, 20], [22, 20], [22, 21]]], measurements=old),
        qupath("line", [[0, 0], [3, 3]], kind="LineString"),
    ]
    path = tmp_path / "a.geojson"
    for content in ({"type": "FeatureCollection", "features": features}, features):
        path.write_text(json.dumps(content))
        objects = read_geojson(path)
        assert objects.labels == (1, 2)
        assert objects.shape == (21, 22)
        assert objects.measurements[1] == {"Area": 9.0}
        np.testing.assert_array_equal(objects.masks[0].box, (1, 1, 4, 4))
        assert any("21 × 22" in note for note in objects.notes)
        assert any("LineString" in note for note in objects.notes)
        assert any("numbered" in note for note in objects.notes)
    objects = read_geojson(path, (10, 12))
    assert (objects.shape, objects.labels) == ((10, 12), (1,))
    assert any("1 of 2 objects have no pixel" in note for note in objects.notes)


def test_a_feature_without_geometry_is_left_out_with_a_note(tmp_path):
    square = {"type": "Polygon", "coordinates": [[[1, 1], [4, 1], [4, 4], [1, 4], [1, 1]]]}
    features = [
        {"type": "Feature", "geometry": None, "properties": {"objectType": "annotation"}},
        {"type": "Feature", "geometry": square, "properties": {"name": "7"}},
        {"type": "Feature", "properties": {}},
    ]
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    objects = read_geojson(path, (6, 6))
    assert objects.labels == (7,)
    assert objects.masks[0].area == 9
    assert objects.notes == ("2 of 3 features have no geometry and were left out.",)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("{}", "no GeoJSON"),
        ("3", "no GeoJSON"),
        ('[{"type": "Feature"}]', "None of its 1 features has a geometry"),
        ('[{"type": "Feature", "geometry": 3}]', "Feature 1 has no geometry"),
        ('[{"geometry": {"type": "Polygon", "coordinates": [["a"]]}}]', "positions"),
        ('[{"geometry": {"type": "Polygon", "coordinates": [[[0, NaN]]]}}]', "finite"),
        (
            '[{"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [9e8, 0], [0, 9e8]]]}}]',
            "810,000,000,000,000,000 pixels.* of memory",
        ),
        ('{"type": "FeatureCollection", "features": [], "napari-graysam": 1}', "damaged"),
        (
            '{"type": "FeatureCollection", "features": [], "napari-graysam": {"image": {}}}',
            "size is damaged",
        ),
    ],
)
def test_damaged_files(tmp_path, text, why):
    path = tmp_path / "a.geojson"
    path.write_text(text)
    with pytest.raises(ImageError, match=rf"a\.geojson: .*{why}"):
        read_geojson(path)


def test_places_that_cannot_be_read_or_written(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read_geojson(tmp_path / "no.geojson")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        write_geojson(tmp_path / "file" / "a.geojson", [], (2, 2))
