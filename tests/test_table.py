"""The object table."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pandas.testing import assert_frame_equal
from skimage.measure import regionprops

from napari_graysam.masks import Mask, nest, paint
from napari_graysam.select.geometry import GEOMETRY, measure_geometry
from napari_graysam.select.label_table import label_table
from napari_graysam.select.table import COLUMNS, PHYSICAL, column_values, object_table
from napari_graysam.units import in_micrometres

SHAPE = (60, 80)


def rectangle(x, y, width, height, **fields):
    return Mask(np.ones((height, width), bool), (x, y, x + width, y + height), **fields)


def disc(x, y, radius):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    bits = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return Mask(np.zeros(SHAPE, bool), (0, 0, SHAPE[1], SHAPE[0])).with_bits(bits)


def table_of(masks, raw=None):
    labels = paint(masks, SHAPE)
    return object_table(masks, labels, np.zeros(SHAPE) if raw is None else raw)


def test_index_is_the_label_and_visible_area_its_pixels():
    masks = nest([disc(30, 30, 20), disc(30, 30, 8), rectangle(60, 5, 4, 6)])
    labels = paint(masks, SHAPE)
    table = object_table(masks, labels, np.zeros(SHAPE))
    assert table["index"].tolist() == [1, 2, 3]
    assert table["area"].tolist() == [mask.area for mask in masks]
    assert table["visible_area"].tolist() == [(labels == i).sum() for i in (1, 2, 3)]
    assert table["visible_area"][0] == masks[0].area - masks[1].area
    assert table["parent"].tolist() == [0, 1, 0]
    assert table["depth"].tolist() == [0, 1, 0]


def test_a_covered_mask_has_no_visible_pixel():
    assert table_of([rectangle(3, 3, 4, 4)] * 2)["visible_area"].tolist() == [16, 0]


def test_place_and_scores():
    mask = rectangle(
        10,
        20,
        5,
        3,
        predicted_iou=0.75,
        stability=0.875,
        point=(12.5, 21.0),
        crop_box=(8, 16, 40, 48),
        source="preprocessed",
    )
    row = table_of([mask]).iloc[0].to_dict()
    expected = {
        "bbox_x0": 10,
        "bbox_y0": 20,
        "bbox_x1": 15,
        "bbox_y1": 23,
        "centroid_x": 12.0,
        "centroid_y": 21.0,
        "predicted_iou": 0.75,
        "stability_score": 0.875,
        "point_x": 12.5,
        "point_y": 21.0,
        "crop_x0": 8,
        "crop_y0": 16,
        "crop_x1": 40,
        "crop_y1": 48,
        "source": "preprocessed",
        "touching_border": False,
    }
    assert {name: row[name] for name in expected} == expected


def test_shape_of_a_disc():
    row = table_of([disc(40, 30, 20)]).iloc[0]
    assert row["eccentricity"] == pytest.approx(0, abs=0.05)
    assert row["solidity"] > 0.95
    assert row["perimeter"] == pytest.approx(2 * np.pi * 20, rel=0.05)
    assert row["equivalent_diameter"] == pytest.approx(40, rel=0.02)


def test_shape_of_a_line_and_of_an_angle():
    angle = np.zeros((20, 20), bool)
    angle[:2] = angle[:, :2] = True
    table = table_of([rectangle(5, 5, 20, 1), Mask(angle, (30, 30, 50, 50))])
    assert table["eccentricity"][0] == pytest.approx(1)
    assert table["solidity"][0] == pytest.approx(1)
    assert table["solidity"][1] < 0.5


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_tiny_objects_have_finite_shapes(size):
    row = table_of([rectangle(5, 5, *size)]).iloc[0]
    assert np.isfinite(
        row[["eccentricity", "solidity", "perimeter", "equivalent_diameter"]].astype(float)
    ).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, bool, ">u2"])
def test_intensity_is_of_the_raw_image_inside_the_mask(dtype):
    raw = np.zeros(SHAPE, dtype)
    raw[:, 40:] = 1
    bits = np.ones((2, 4), bool)
    bits[:, 0] = False
    row = table_of([Mask(bits, (38, 10, 42, 12))], raw).iloc[0]
    assert row["intensity_mean"] == pytest.approx(2 / 3)
    assert (row["intensity_min"], row["intensity_max"]) == (0, 1)
    assert row["intensity_std"] == pytest.approx(np.sqrt(2) / 3)


def test_intensity_is_summed_without_overflow():
    row = table_of([rectangle(0, 0, 80, 60)], np.full(SHAPE, 65535, np.uint16)).iloc[0]
    assert (row["intensity_mean"], row["intensity_std"]) == (65535, 0)


def test_unknown_pixels_are_left_out():
    raw = np.full(SHAPE, 7.0)
    raw[:, :10] = np.nan
    raw[0, 10] = np.inf
    table = table_of([rectangle(8, 0, 4, 4), rectangle(0, 0, 4, 4)], raw)
    assert table["intensity_max"][0] == 7
    assert table["intensity_mean"][0] == 7
    assert table.loc[1, "intensity_mean":"intensity_std"].isna().all()


@pytest.mark.parametrize(
    ("place", "touching"),
    [((0, 5), True), ((5, 0), True), ((76, 5), True), ((5, 56), True), ((75, 55), False)],
)
def test_touching_border(place, touching):
    assert bool(table_of([rectangle(*place, 4, 4)])["touching_border"][0]) is touching


def test_an_empty_table_has_the_same_columns_and_dtypes():
    empty, full = table_of([]), table_of([disc(30, 30, 9)])
    assert len(empty) == 0
    assert list(full.columns) == list(COLUMNS)
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


# As scikit-image measures


REGIONPROPS = {
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "perimeter": "perimeter",
    "equivalent_diameter": "equivalent_diameter_area",
}


def assert_as_regionprops(masks):
    measured = measure_geometry(masks, list(GEOMETRY))
    for index, mask in enumerate(masks):
        (region,) = regionprops(mask.bits.astype(np.uint8))
        expected = {name: getattr(region, other) for name, other in REGIONPROPS.items()}
        y, x = region.centroid
        expected |= {"centroid_x": x + mask.box[0], "centroid_y": y + mask.box[1]}
        for name, value in expected.items():
            # Near 0, scikit-image's eccentricity is the root of a rounding error.
            assert measured[name][index] == pytest.approx(value, rel=1e-9, abs=1e-6), name


@given(
    st.lists(
        hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)).filter(np.any),
        min_size=1,
        max_size=4,
    )
)
def test_geometry_of_any_masks_is_regionprops(shapes):
    assert_as_regionprops(
        [Mask(bits, (3, 5, 3 + bits.shape[1], 5 + bits.shape[0])) for bits in shapes]
    )


def test_geometry_of_analytic_shapes_is_regionprops():
    y, x = np.mgrid[-30:31, -30:31]
    tilted = ((x + y) / 40) ** 2 + ((x - y) / 15) ** 2 <= 1
    ring = (x**2 + y**2 <= 900) & (x**2 + y**2 >= 400)
    star = np.abs(x) * np.abs(y) <= 60
    pieces = (np.hypot(x - 15, y) < 9) | (np.hypot(x + 15, y + 9) < 12)
    line = np.eye(61, dtype=bool)
    shapes = [x**2 + y**2 <= 900, tilted, ring, star, pieces, line, np.ones((61, 61), bool)]
    assert_as_regionprops([Mask(bits, (0, 0, 61, 61)) for bits in shapes])


def test_a_disc_and_a_square_are_not_eccentric_at_all():
    masks = [disc(40, 30, 20), rectangle(2, 2, 7, 7)]
    assert measure_geometry(masks, ["eccentricity"])["eccentricity"].tolist() == [0, 0]


@pytest.mark.parametrize("column", list(GEOMETRY))
def test_one_column_alone_is_the_table_s(column):
    masks = [disc(40, 30, 20), rectangle(5, 5, 20, 1)]
    assert column_values(masks, column, None).tolist() == table_of(masks)[column].tolist()


# Micrometres


def test_areas_and_lengths_in_micrometres():
    masks = [disc(40, 30, 20), rectangle(2, 2, 7, 7)]
    labels = paint(masks, SHAPE)
    table = object_table(masks, labels, np.zeros(SHAPE), (0.5, 0.5))
    assert list(table) == [*COLUMNS, *(new for new, old in PHYSICAL.items() if old in COLUMNS)]
    assert table["area_um2"].tolist() == (table["area"] / 4).tolist()
    assert table["visible_area_um2"].tolist() == (table["visible_area"] / 4).tolist()
    assert table["perimeter_um"].tolist() == (table["perimeter"] / 2).tolist()
    assert table["equivalent_diameter_um"].tolist() == (table["equivalent_diameter"] / 2).tolist()
    assert list(object_table([], labels * 0, np.zeros(SHAPE), (0.5, 0.5))) == list(table)


def test_pixels_that_are_not_square_have_no_perimeter():
    table = object_table([rectangle(2, 2, 7, 4)], np.zeros(SHAPE, int), np.zeros(SHAPE), (2, 0.5))
    assert table["area_um2"].tolist() == [28]
    assert table["equivalent_diameter_um"].tolist() == pytest.approx([np.sqrt(4 * 28 / np.pi)])
    assert "perimeter_um" not in table


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        ((2, 3), "µm", (2, 3)),
        ((2, 3), "um", (2, 3)),
        ((2, 3), None, (2, 3)),
        ((250, 500), "nm", (0.25, 0.5)),
        ((0.001, 0.002), "mm", (1, 2)),
        ((2, 2), "pixel", None),
        ((2, 2), "furlong", None),
        ((0, 2), "µm", None),
        ((2, float("nan")), "µm", None),
        (None, "µm", None),
    ],
)
def test_units_of_files_in_micrometres(size, unit, expected):
    assert in_micrometres(size, unit) == (None if expected is None else pytest.approx(expected))


# Labels that were edited


def test_a_label_image_without_table_is_measured():
    masks = [disc(40, 30, 9), rectangle(2, 2, 7, 4)]
    labels = np.array([0, 9, 4])[paint(masks, SHAPE)]
    table = label_table(labels, pixel_size=(0.5, 0.5)).set_index("index")
    whole = table_of(masks)
    assert table.index.tolist() == [4, 9]
    for name in ("area", "centroid_x", "bbox_x1", "perimeter", "solidity"):
        assert table.loc[[9, 4], name].tolist() == whole[name].tolist()
    assert table.loc[4, "area_um2"] == 7
    assert "intensity_mean" not in table


def test_foreign_columns_are_kept_beside_the_measured_ones():
    known = pd.DataFrame({"index": [0, 1, 2], "score": [0.0, 0.5, 0.25], "area": [9, 9, 9]})
    table = label_table(np.array([[0, 2, 2]]), known)
    assert table[["index", "area", "score"]].to_numpy().tolist() == [[2, 2, 0.25]]


def test_edited_objects_are_measured_anew_and_erased_ones_left_out():
    masks = [disc(40, 30, 9), rectangle(2, 2, 7, 4), rectangle(60, 2, 5, 5), rectangle(3, 40, 2, 2)]
    labels = paint(masks, SHAPE)
    before = object_table(masks, labels, np.full(SHAPE, 7.0))
    assert_frame_equal(label_table(labels, before), before)
    labels[2, 2] = 0  # The second object loses a pixel,
    labels[labels == 3] = 0  # the third all of them,
    labels[50:52, 50:53] = 8  # and a new one is painted.
    after = label_table(labels, before).set_index("index")
    assert after.index.tolist() == [1, 2, 4, 8]
    old = before.set_index("index").loc[[1, 4]]
    assert after.loc[[1, 4], "intensity_mean"].tolist() == old["intensity_mean"].tolist()
    assert after.loc[2, ["area", "visible_area"]].tolist() == [27, 27]
    assert after.loc[8, ["area", "bbox_x0", "bbox_y1"]].tolist() == [6, 50, 52]
    assert after.loc[[2, 8], ["intensity_mean", "predicted_iou", "parent"]].isna().all(axis=None)
    assert after["parent"].dropna().tolist() == [0, 0]
    assert after["parent"].dtype == "Int64"


def test_a_covered_object_stays_in_the_table():
    masks = [rectangle(3, 3, 4, 4)] * 2
    labels = paint(masks, SHAPE)
    before = object_table(masks, labels, np.zeros(SHAPE))
    assert label_table(labels, before)["area"].tolist() == [16, 16]
