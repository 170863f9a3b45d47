"""Time series are linked by laptrack where the recipe says so."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import fake_pipeline
import numpy as np
import pandas as pd
import pytest
from test_link import discs, identities, painted

from napari_graysam.batch import segment_stack
from napari_graysam.errors import UsageError
from napari_graysam.recipe import LinkOptions, Recipe
from napari_graysam.samples import samples
from napari_graysam.stack import Bridge
from napari_graysam.stack.laptracking import track_planes


def test_objects_are_followed_that_do_not_overlap():
    planes = [discs((2, 50, 50 - 5 * t, 3), (7, 20, 8 + 8 * t, 3)) for t in range(6)]
    links = track_planes(planes, LinkOptions(max_distance=9))
    for t, plane in enumerate(painted(planes, links)):
        assert (plane[20, 8 + 8 * t], plane[50, 50 - 5 * t]) == (1, 2)
    assert links.count == 2
    assert track_planes(planes, LinkOptions(max_distance=6)).count == 7
    assert track_planes(planes, LinkOptions(max_distance=6)).max_distance == 6
    # Without a distance, their diameter.
    usual = track_planes(planes, LinkOptions())
    assert usual.count == 7
    assert usual.max_distance == pytest.approx(6, abs=0.4)


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("gap", [0, 1, 2])
def test_gaps_are_bridged(gap, missing):
    planes = [discs((1, 20, 20 + 3 * t, 6)) for t in range(7)]
    planes[3 : 3 + missing] = [discs()] * missing
    links = track_planes(planes, LinkOptions(gap=gap))
    assert links.bridges == ((Bridge(1, 2, 3 + missing),) if gap >= missing else ())
    assert links.count == (1 if gap >= missing else 2)


def division():
    whole = [discs((4, 32, 32, 9)) for _ in range(3)]
    return whole + [discs((1, 26 - 4 * t, 32, 6), (2, 38 + 4 * t, 32, 6)) for t in range(3)]


def test_splits_and_merges_are_lineage():
    planes = division()
    assert track_planes(planes, LinkOptions(splits=True)).lineage == ((1, 2), (1, 3))
    assert track_planes(planes, LinkOptions(merges=True)).lineage == ()
    assert track_planes(planes[::-1], LinkOptions(merges=True)).lineage == ((1, 3), (2, 3))
    assert track_planes(planes, LinkOptions()).lineage == ()


def test_short_objects_are_removed_but_not_short_children():
    planes = division()[:4]
    planes[1] = np.maximum(planes[1], discs((9, 10, 10, 4)))
    links = track_planes(planes, LinkOptions(splits=True, min_extent=2))
    assert links.count == 3
    assert links.ids[1][9] == 0


@pytest.mark.parametrize("n", [0, 1, 3])
def test_empty_frames_have_no_objects(n):
    links = track_planes([np.zeros((8, 9), np.uint8)] * n, LinkOptions())
    assert [ids.tolist() for ids in links.ids] == [[0]] * n


def test_the_sample_is_tracked():
    sample = samples()["dividing_cells"]
    truth = sample.truth().astype(int)
    links = track_planes(truth, LinkOptions(splits=True))
    numbers, objects = identities(truth, links)
    assert (numbers == 1).all()
    assert (objects == 1).all()
    assert len(links.lineage) == 4


def test_a_stack_is_linked_filled_and_tabled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_pipeline.install(monkeypatch)
    stack = np.stack([20 + 200 * (discs((1, 30, 8 + 6 * t, 5)) > 0) for t in range(7)])
    stack[3] = 20
    values = {"stack.axis": "t", "stack.link": "laptrack", "stack.linking.max_distance": 13}
    outcome = segment_stack(stack.astype(np.uint8), Recipe().with_values(values), tmp_path)
    tracks = pd.read_csv(outcome.files["tracks"])
    assert tracks["ID"].tolist() == [1] * 7
    assert tracks["x"].tolist() == pytest.approx([8 + 6 * t for t in range(7)])
    rows = pd.read_csv(outcome.files["planes"])
    assert rows["source"].tolist().index("interpolated") == 3


def test_the_provenance_has_the_distance_that_the_recipe_leaves_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_pipeline.install(monkeypatch)
    plane = 20 + 200 * (discs((1, 30, 20, 8)) > 0).astype(np.uint8)
    for link, expected in (("laptrack", [pytest.approx(16, abs=0.4)]), ("overlap", [])):
        recipe = Recipe().with_values({"stack.axis": "t", "stack.link": link})
        files = segment_stack(np.stack([plane] * 3), recipe, tmp_path, name=link).files
        provenance = json.loads(files["provenance"].read_bytes())
        assert provenance["stack"]["max_distance_px"] == expected


def test_what_is_not_possible_is_said_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stack = np.zeros((3, 16, 16), np.uint8)
    recipe = Recipe().with_values({"stack.axis": "z", "stack.link": "laptrack"})
    with pytest.raises(UsageError, match=r"laptrack links along t.*stack.link=overlap"):
        segment_stack(stack, recipe, tmp_path)
    monkeypatch.setitem(sys.modules, "laptrack", None)
    monkeypatch.setattr("napari_graysam.stack.laptracking.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'pip install "napari-graysam\[tracking\]"'):
        segment_stack(stack, recipe.with_values({"stack.axis": "t"}), tmp_path)
    assert not list(tmp_path.iterdir())
