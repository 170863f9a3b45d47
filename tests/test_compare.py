"""What preprocessing changed."""

import io
import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.figure import Figure
from pydantic import ValidationError

from napari_graysam.comparison import (
    ARMS,
    CHANGES,
    CODES,
    PlotStyle,
    Rules,
    compare_labels,
    compare_masks,
    comparison_csv,
    comparison_figure,
    comparison_json,
    draw_areas,
    draw_ious,
    draw_scores,
    event_box,
    event_table,
    matched_pairs,
    score,
    score_table,
)
from napari_graysam.errors import ImageError
from napari_graysam.masks import Mask, mask_overlaps

SHAPE = (20, 60)
MIRROR = {"gained": "lost", "lost": "gained", "split": "merged", "merged": "split"}
LABELS = hnp.arrays(np.int32, (4, 9), elements=st.integers(0, 4))


def bar(start, stop, **scores):
    """Ten rows high, so that one column is ten pixels."""
    return Mask(np.ones((10, stop - start), bool), (start, 5, stop, 15), **scores)


MASKS = st.lists(
    st.builds(
        lambda x, y, w, h: Mask(np.ones((h, w), bool), (x, y, x + w, y + h)),
        st.integers(0, 8),
        st.integers(0, 6),
        st.integers(1, 6),
        st.integers(1, 5),
    ),
    max_size=6,
)


def changes(raw, preprocessed, rules=None):
    comparison = compare_masks(raw, preprocessed, SHAPE, rules or Rules())
    return [(event.change, event.raw, event.preprocessed) for event in comparison.events]


@pytest.mark.parametrize(
    ("raw", "preprocessed", "expected"),
    [
        pytest.param([bar(0, 10)], [bar(0, 8)], ("kept", (1,), (1,)), id="kept at 0.8"),
        pytest.param([bar(0, 10)], [bar(0, 7)], ("changed", (1,), (1,)), id="changed"),
        pytest.param([bar(0, 10)], [bar(0, 5)], ("changed", (1,), (1,)), id="changed at 0.5"),
        pytest.param([], [bar(0, 10)], ("gained", (), (1,)), id="gained"),
        pytest.param([bar(0, 10)], [], ("lost", (1,), ()), id="lost"),
        pytest.param([bar(0, 20)], [bar(0, 10), bar(11, 20)], ("split", (1,), (1, 2)), id="halves"),
        pytest.param(
            [bar(0, 20)], [bar(0, 14), bar(15, 20)], ("split", (1,), (1, 2)), id="large and small"
        ),
        pytest.param(
            [bar(0, 9), bar(10, 19), bar(20, 30)],
            [bar(0, 30)],
            ("merged", (1, 2, 3), (1,)),
            id="merged",
        ),
    ],
)
def test_each_class(raw, preprocessed, expected):
    assert changes(raw, preprocessed) == [expected]


def test_a_speck_beside_a_large_piece_makes_no_split():
    assert changes([bar(0, 20)], [bar(0, 15), bar(18, 19)]) == [
        ("changed", (1,), (1,)),
        ("gained", (), (2,)),
    ]


def test_parts_must_cover_the_object():
    assert [c for c, *_ in changes([bar(0, 20)], [bar(0, 7), bar(13, 20)])] == [
        "gained",
        "gained",
        "lost",
    ]


def test_neighbours_that_reach_in_are_no_parts():
    assert "split" not in [c for c, *_ in changes([bar(10, 30)], [bar(0, 20), bar(20, 40)])]


def test_a_nested_piece_makes_no_split():
    """Nested pieces cover the same pixels: they do not lie beside each other."""
    assert changes([bar(0, 20)], [bar(0, 15), bar(2, 10)]) == [
        ("changed", (1,), (1,)),
        ("gained", (), (2,)),
    ]


def test_a_kept_object_may_gain_parts():
    assert changes([bar(0, 20)], [bar(0, 20), bar(0, 9), bar(10, 20)]) == [
        ("kept", (1,), (1,)),
        ("gained", (), (2,)),
        ("gained", (), (3,)),
    ]


def test_a_nested_pair_is_matched_level_by_level():
    arm = [bar(0, 20), bar(5, 12)]
    assert changes(arm, arm[::-1]) == [("kept", (1,), (2,)), ("kept", (2,), (1,))]


def test_rules_move_the_limits():
    raw, preprocessed = [bar(0, 10)], [bar(0, 7)]
    assert changes(raw, preprocessed, Rules(kept_iou=0.7))[0][0] == "kept"
    assert changes(raw, preprocessed, Rules(match_iou=0.75))[1][0] == "lost"
    with pytest.raises(ValidationError, match="must not exceed kept_iou"):
        Rules(match_iou=0.9)


def swapped(events):
    return sorted(
        (MIRROR.get(event.change, event.change), event.preprocessed, event.raw) for event in events
    )


def assert_mirrored(forth, back):
    assert swapped(forth.events) == sorted((e.change, e.raw, e.preprocessed) for e in back.events)
    mirror = np.array([0, *(CODES[MIRROR.get(change, change)] for change in CHANGES)])
    np.testing.assert_array_equal(mirror[forth.difference], back.difference)
    pairs = {"raw": "preprocessed", "preprocessed": "raw"}
    ours = forth.objects.assign(arm=forth.objects["arm"].map(pairs)).set_index(["arm", "index"])
    theirs = back.objects.set_index(["arm", "index"])
    pd.testing.assert_series_equal(
        -ours["delta_area"].sort_index(), theirs["delta_area"].sort_index()
    )
    pd.testing.assert_series_equal(ours["iou"].sort_index(), theirs["iou"].sort_index())


@settings(max_examples=40)
@given(LABELS, LABELS)
def test_exchanging_label_images_mirrors_the_comparison(a, b):
    assert_mirrored(compare_labels(a, b), compare_labels(b, a))


def distinct(masks):
    """Equal masks of one arm are told apart by position only."""
    return list({mask.box: mask for mask in masks}.values())


@settings(max_examples=40)
@given(MASKS.map(distinct), MASKS.map(distinct))
def test_exchanging_masks_mirrors_splits_and_merges(a, b):
    forth, back = compare_masks(a, b, SHAPE).counts, compare_masks(b, a, SHAPE).counts
    assert {MIRROR.get(change, change): n for change, n in forth.items()} == back


@settings(max_examples=40)
@given(MASKS, MASKS)
def test_every_object_is_in_exactly_one_class(a, b):
    comparison = compare_masks(a, b, SHAPE)
    for arm, masks in zip(ARMS, (a, b), strict=True):
        named = sorted(i for event in comparison.events for i in getattr(event, arm))
        assert named == list(range(1, len(masks) + 1))
        rows = comparison.objects[comparison.objects["arm"] == arm]
        assert rows["index"].tolist() == named
        assert sum(comparison.count_objects(arm).values()) == len(masks)
    covered = sum((mask.full(SHAPE).astype(int) for mask in (*a, *b)), np.zeros(SHAPE, int))
    np.testing.assert_array_equal(comparison.difference > 0, covered > 0)


@given(LABELS)
def test_nothing_changed_between_equal_images(labels):
    comparison = compare_labels(labels, labels)
    assert comparison.counts["kept"] == len(comparison.events) == len(np.unique(labels[labels > 0]))
    assert (comparison.objects["iou"] == 1).all()
    assert (comparison.objects["delta_area"] == 0).all()


def test_objects_are_named_by_their_labels():
    raw, preprocessed = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.uint32)
    raw[5:15, :20] = 70_000
    preprocessed[5:15, :10], preprocessed[5:15, 10:20] = 9, 300
    comparison = compare_labels(raw, preprocessed)
    assert [(e.change, e.raw, e.preprocessed) for e in comparison.events] == [
        ("split", (70_000,), (9, 300))
    ]
    assert comparison.objects["partners"].tolist() == ["9 300", "70000", "70000"]


@given(MASKS, MASKS)
def test_mask_overlaps_count_pixels(a, b):
    overlaps = mask_overlaps(a, b)
    found = dict(zip(zip(overlaps.a, overlaps.b, strict=True), overlaps.pixels, strict=True))
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            assert found.get((i, j), 0) == (one.full(SHAPE) & other.full(SHAPE)).sum()


def test_deltas_are_preprocessed_minus_raw():
    raw = [bar(0, 10, predicted_iou=0.5, stability=0.9), bar(20, 40, predicted_iou=0.6)]
    preprocessed = [
        bar(0, 9, predicted_iou=0.75, stability=0.8),
        bar(20, 30, predicted_iou=0.8),
        bar(31, 40, predicted_iou=0.9),
    ]
    table = compare_masks(raw, preprocessed, SHAPE).objects.set_index(["arm", "index"])
    for arm in ARMS:
        row = table.loc[(arm, 1)]
        assert row["iou"] == pytest.approx(0.9)
        assert row["delta_area"] == -10
        assert row["delta_predicted_iou"] == pytest.approx(0.25)
        assert row["delta_stability"] == pytest.approx(-0.1)
    assert table.loc[("raw", 2), "delta_predicted_iou"] == pytest.approx(0.25)
    assert table.loc[("raw", 2), "iou"] == pytest.approx(0.5)
    assert table.loc[("preprocessed", 3), "delta_area"] == -10
    assert table["event"].tolist() == [1, 2, 1, 2, 2]


def test_the_difference_shows_small_objects_on_large_ones():
    comparison = compare_masks([bar(0, 40)], [bar(0, 40), bar(10, 14)], SHAPE)
    assert comparison.difference.dtype == np.uint8
    assert comparison.difference[10, 12] == CODES["gained"] == 3
    assert comparison.difference[10, 30] == CODES["kept"] == 1
    assert comparison.difference[0, 0] == 0


def test_shapes_must_agree():
    with pytest.raises(ImageError, match=r"\(2, 3\).*\(3, 2\)"):
        compare_labels(np.zeros((2, 3), int), np.zeros((3, 2), int))


def test_nothing_against_nothing():
    comparison = compare_masks([], [], SHAPE)
    full = compare_masks([bar(0, 5)], [bar(0, 5)], SHAPE)
    assert set(comparison.counts.values()) == {0}
    assert comparison.objects.dtypes.to_dict() == full.objects.dtypes.to_dict()
    assert comparison.to_dict()["mean_iou"] is None


@pytest.fixture
def example():
    raw, preprocessed = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.uint32)
    raw[5:15, :10] = preprocessed[5:15, :10] = 1
    raw[5:15, 20:40] = 2
    preprocessed[5:15, 20:30], preprocessed[5:15, 30:40], preprocessed[:4, 50:] = 2, 3, 4
    return raw, preprocessed, compare_labels(raw, preprocessed)


def test_json_says_what_changed(example):
    raw, preprocessed, comparison = example
    scores = {"raw": score(raw, raw), "preprocessed": score(preprocessed, raw)}
    content = json.loads(comparison_json(comparison, scores, image="cells.tif"))
    assert content["counts"] == {
        "kept": 1,
        "changed": 0,
        "gained": 1,
        "lost": 0,
        "split": 1,
        "merged": 0,
    }
    assert content["objects"]["preprocessed"]["split"] == 2
    assert content["events"][1] == {"change": "gained", "raw": [], "preprocessed": [4], "iou": None}
    assert content["scores"]["raw"]["f1"] == 1
    assert content["image"] == "cells.tif"


def test_csv_holds_every_object(example):
    _, _, comparison = example
    table = pd.read_csv(io.StringIO(comparison_csv(comparison)), dtype={"partners": "str"})
    assert list(table.columns) == list(comparison.objects.columns)
    assert table["change"].tolist() == ["kept", "split", "kept", "split", "split", "gained"]


def test_areas_are_in_micrometres_too_where_pixels_have_a_size(example):
    raw, preprocessed, in_pixels = example
    comparison = compare_labels(raw, preprocessed, pixel_size=(0.5, 2))
    table = pd.read_csv(io.StringIO(comparison_csv(comparison)))
    assert table["area_um2"].tolist() == table["area"].tolist()
    comparison = compare_labels(raw, preprocessed, pixel_size=(0.5, 0.5))
    table = pd.read_csv(io.StringIO(comparison_csv(comparison)))
    assert table["area_um2"].tolist() == (table["area"] / 4).tolist()
    split = event_table(comparison).set_index("change").loc["split"]
    assert split[["area_raw", "area_raw_um2", "area_preprocessed_um2"]].tolist() == [200, 50, 50]
    gained = event_table(comparison).set_index("change").loc["gained"]
    assert gained[["area_raw_um2", "area_preprocessed_um2"]].tolist() == [0, 10]
    assert json.loads(comparison_json(comparison))["pixel_size_um"] == [0.5, 0.5]
    assert not any("um2" in name for name in event_table(in_pixels))
    axis = Figure().subplots()
    draw_areas(axis, comparison, PlotStyle())
    assert axis.get_xlabel() == "Object area (µm²)"
    low, high = axis.get_xlim()
    assert low < 10 < 50 < high < 200


@pytest.mark.parametrize("color", [False, True])
def test_the_picture_shows_three_panels_and_the_counts(example, color):
    raw, preprocessed, comparison = example
    view = np.full((*SHAPE, 3) if color else SHAPE, 90, np.uint8)
    figure = comparison_figure(
        comparison,
        {"raw": raw, "preprocessed": preprocessed},
        {"raw": view, "preprocessed": view},
        title="cells.tif",
    )
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:2] == ["raw: 2 objects", "preprocessed: 4 objects"]
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"kept 1", "gained 1", "split 1", "lost 0"} <= set(entries)
    panels = [axis.images[0].get_array() for axis in figure.axes]
    objects = [len(np.unique(panel.reshape(-1, 3), axis=0)) for panel in panels]
    # Background, and a fill and an outline of each object or class.
    assert objects == [1 + 2 * 2, 1 + 2 * 4, 1 + 2 * 3]
    file = io.BytesIO()
    figure.savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")


def test_the_picture_gives_only_pairs_one_colour():
    raw, preprocessed = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.uint32)
    raw[5:15, :10], raw[5:15, 20:30], raw[5:15, 40:46] = 1, 2, 9
    preprocessed[5:15, :10], preprocessed[5:15, 20:27], preprocessed[5:15, 50:] = 2, 5, 1
    comparison = compare_labels(raw, preprocessed)
    assert {event.change for event in comparison.events} == {"kept", "changed", "lost", "gained"}
    views = dict.fromkeys(ARMS, np.zeros(SHAPE, np.uint8))
    figure = comparison_figure(comparison, {"raw": raw, "preprocessed": preprocessed}, views)
    panels = [axis.images[0].get_array() for axis in figure.axes[:2]]
    times = panels[0].shape[1] // SHAPE[1]

    def colors(row, column):
        return [tuple(panel[row * times, column * times].tolist()) for panel in panels]

    kept, changed = colors(10, 5), colors(10, 23)
    assert kept[0] == kept[1] != changed[0] == changed[1]
    lost, gained = colors(10, 43)[0], colors(10, 55)[1]
    assert len({kept[0], changed[0], lost, gained, (0, 0, 0)}) == 5


def test_the_picture_names_other_arms(example):
    raw, preprocessed, comparison = example
    views = {arm: np.zeros(SHAPE, np.uint8) for arm in ARMS}
    labels = {"raw": raw, "preprocessed": preprocessed}
    names = {"raw": "first", "preprocessed": "second"}
    figure = comparison_figure(comparison, labels, views, names=names)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["first: 2 objects", "second: 4 objects", "what differs"]


def test_the_picture_of_a_large_image_stays_small():
    labels = np.zeros((2000, 5000), np.uint32)
    labels[100:900, 100:4000] = 1
    comparison = compare_labels(labels, labels)
    arms = {"raw": labels, "preprocessed": labels}
    views = {arm: np.zeros(labels.shape, np.uint8) for arm in ARMS}
    figure = comparison_figure(comparison, arms, views)
    assert all(max(axis.images[0].get_array().shape) <= 800 for axis in figure.axes)


@pytest.fixture
def scored():
    """A kept pair, a changed pair, a split and a gained object, with scores by label."""
    raw, preprocessed = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.uint32)
    raw[5:15, :10], raw[5:15, 12:22], raw[5:15, 30:50] = 4, 7, 9
    preprocessed[5:15, :10], preprocessed[5:15, 12:18] = 3, 2
    preprocessed[5:15, 30:40], preprocessed[5:15, 40:50], preprocessed[:3, 55:] = 5, 6, 8
    tables = (
        pd.DataFrame({"index": [7, 4], "predicted_iou": [0.7, 0.4], "stability_score": [0.9, 0.8]}),
        pd.DataFrame({"index": [3], "predicted_iou": [0.6], "stability_score": [0.95]}),
    )
    return compare_labels(raw, preprocessed, tables=tables)


def test_label_images_take_their_scores_from_tables(scored):
    table = scored.objects.set_index(["arm", "index"])
    assert table.loc[("raw", 4), "predicted_iou"] == 0.4
    assert table.loc[("raw", 4), "delta_predicted_iou"] == pytest.approx(0.2)
    assert table.loc[("raw", 7), "stability_score"] == 0.9
    assert np.isnan(table.loc[("preprocessed", 2), "predicted_iou"])


def test_objects_know_their_boxes(scored):
    table = scored.objects.set_index(["arm", "index"])
    row = table.loc[("preprocessed", 8)]
    assert [row["bbox_x0"], row["bbox_y0"], row["bbox_x1"], row["bbox_y1"]] == [55, 0, 60, 3]
    number = int(table.loc[("raw", 7), "event"])
    assert event_box(scored, number) == (12, 5, 22, 15)


def test_pairs_are_the_objects_with_one_partner(scored):
    pairs = matched_pairs(scored)
    assert pairs["change"].tolist() == ["kept", "changed"]
    assert pairs[["index_raw", "index_preprocessed"]].to_numpy().tolist() == [[4, 3], [7, 2]]
    assert pairs["iou"].tolist() == pytest.approx([1, 0.6])
    assert pairs["area_preprocessed"].tolist() == [100, 60]
    assert pairs["predicted_iou_raw"].tolist() == [0.4, 0.7]


def test_the_table_of_scores_subtracts_raw_from_preprocessed():
    truth = np.zeros(SHAPE, int)
    truth[:10, :10], truth[:10, 20:30] = 1, 2
    half = np.where(truth == 1, truth, 0)
    table = score_table({"raw": score(half, truth), "preprocessed": score(truth, truth)})
    table = table.set_index("measure")
    assert table.loc["AP at IoU 0.50"].tolist() == [0.5, 1, 0.5]
    assert table.loc["Found objects"].tolist() == [1, 2, 1]
    assert table.loc["F1 at IoU 0.5", "difference"] == pytest.approx(1 - 2 / 3)
    assert sum("AP at IoU" in measure for measure in table.index) == 10


def test_plots_count_every_object_and_every_pair(scored):
    figure = Figure()
    areas, ious, scores = figure.subplots(1, 3)
    style = PlotStyle(text="#ff0000", names={"raw": "before", "preprocessed": "after"})
    draw_areas(areas, scored, style)
    draw_ious(ious, scored, style)
    draw_scores(scores, scored, style)
    names = [text.get_text() for text in areas.get_legend().get_texts()]
    assert names == ["before (3)", "after (5)"]
    # The bars of the changed pairs are stacked on those of the kept ones.
    assert sum(bar.get_height() for bar in ious.patches) == 2
    points = np.concatenate([points.get_offsets() for points in scores.collections])
    assert points.tolist() == [[0.4, 0.6]]
    assert {label.get_color() for label in areas.get_xticklabels()} == {"#ff0000"}


@pytest.mark.parametrize("sides", [(4, 14), (4, 40), (2, 250)])
def test_areas_of_any_range_have_ticks_apart_from_each_other(sides):
    image = np.zeros((300, 600), int)
    image[: sides[0], : sides[0]], image[:, 300:][: sides[1], : sides[1]] = 1, 2
    figure = Figure(figsize=(3.4, 1.3), layout="constrained")
    axis = figure.subplots()
    draw_areas(axis, compare_labels(image, image), PlotStyle())
    figure.draw_without_rendering()
    low, high = axis.get_xlim()
    ticks = [*axis.xaxis.get_major_ticks(), *axis.xaxis.get_minor_ticks()]
    shown = [one.label1 for one in ticks if low <= one.get_loc() <= high and one.label1.get_text()]
    boxes = sorted(one.get_window_extent().extents[[0, 2]].tolist() for one in shown)
    assert len(boxes) >= 2
    assert all(one[1] < other[0] for one, other in pairwise(boxes))
    assert all(float(one.get_text()).is_integer() for one in axis.get_yticklabels())


def test_plots_of_nothing_say_so():
    nothing = compare_masks([], [], SHAPE)
    axes = Figure().subplots(1, 3)
    for axis, draw in zip(axes, (draw_areas, draw_ious, draw_scores), strict=True):
        draw(axis, nothing, PlotStyle())
        assert "no " in axis.texts[0].get_text()


def test_the_names_of_changes_need_no_large_library():
    code = (
        "import sys; from napari_graysam.comparison import ARMS, COLORS, Rules\n"
        "assert not {'pandas', 'matplotlib', 'torch', 'skimage'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
