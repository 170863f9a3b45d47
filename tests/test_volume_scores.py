"""Scores of label volumes and time series, in Python and on the command line."""

from __future__ import annotations

import json
import sys
import weakref
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from typer.testing import CliRunner

import napari_graysam.masks.plane_overlaps
from napari_graysam.cli import app
from napari_graysam.comparison import compare_volumes, score, score_tracks, score_volume
from napari_graysam.errors import LabelsError, TruthError, UsageError
from napari_graysam.files import open_label_planes, read_lineage, write_labels
from napari_graysam.masks import OverlapSum, label_overlaps
from napari_graysam.samples import samples

SAMPLES = Path(__file__).parents[1] / "sample_data"
challenge = pytest.mark.skipif(not find_spec("traccuracy"), reason="needs the extra ctc")
volumes = arrays(np.uint8, (4, 5, 6), elements=st.integers(0, 4))


def boxes(*frames: dict[int, int]) -> np.ndarray:
    """Draw planes of 8 × 40 pixels, with squares of 6 pixels: label to left edge."""
    planes = np.zeros((len(frames), 8, 40), np.uint16)
    for plane, there in zip(planes, frames, strict=True):
        for label, left in there.items():
            plane[1:7, left : left + 6] = label
    return planes


def run(*arguments: object) -> tuple[int, dict, str]:
    done = CliRunner().invoke(app, ["score", *map(str, arguments), "--json"])
    return done.exit_code, json.loads(done.stdout) if done.stdout else {}, done.stderr


@settings(max_examples=60, deadline=None)
@given(volumes, volumes)
def test_a_volume_scores_as_if_it_were_in_memory_at_once(found, truth):
    flat = score(found.reshape(-1, 6), truth.reshape(-1, 6))
    scores = score_volume(iter(found), iter(truth))
    assert scores.volume == flat
    assert scores.planes == tuple(score(a, b) for a, b in zip(found, truth, strict=True))


@settings(max_examples=60, deadline=None)
@given(volumes, volumes)
def test_sums_of_planes_are_the_overlaps_of_the_whole(a, b):
    whole = OverlapSum()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(napari_graysam.masks.plane_overlaps, "SLACK", 0)
        for planes in zip(a, b, strict=True):
            whole.add(*planes)
    found, wanted = whole.total(), label_overlaps(a, b)
    for one, other in zip(found[:2], wanted[:2], strict=True):
        assert one.tolist() == other.tolist()
    for name in ("areas_a", "areas_b", "a", "b", "pixels"):
        assert getattr(found[2], name).tolist() == getattr(wanted[2], name).tolist()


@pytest.mark.parametrize("work", [score_volume, compare_volumes])
def test_few_planes_are_in_memory(work):
    alive: list[weakref.ref] = []

    def planes():
        for number in range(12):
            plane = np.full((8, 9), number)
            alive.append(weakref.ref(plane))
            yield plane
            del plane
            assert sum(one() is not None for one in alive) <= 4

    work(planes(), planes())
    assert len(alive) == 24


def test_one_object_with_two_numbers_is_half_right():
    truth = boxes({1: 0}, {1: 0}, {1: 0}, {1: 0})
    found = boxes({1: 0}, {1: 0}, {1: 0}, {2: 0})
    scores = score_volume(found, truth)
    assert scores.plane_mean.mean_average_precision == 1
    assert scores.volume.average_precision[:6] == (0.5,) * 6
    assert scores.volume.average_precision[6:] == (0.0,) * 4
    assert scores.volume.panoptic_quality == 0.75 / 1.5


def test_planes_that_do_not_fit_are_refused():
    truth = boxes({1: 0}, {1: 0})
    with pytest.raises(TruthError, match="prediction has more planes than the ground truth"):
        score_volume(truth, truth[:1])
    with pytest.raises(TruthError, match="ground truth has more planes than the prediction"):
        score_volume(truth[:1], truth)
    with pytest.raises(TruthError, match=r"Plane 1: The predicted labels have shape \(8, 39\)"):
        score_volume([truth[0], truth[1, :, 1:]], truth)
    with pytest.raises(TruthError, match="no planes"):
        score_volume([], [])


@challenge
@pytest.mark.parametrize(
    ("found", "seg", "det", "tra", "lnk"),
    [
        (boxes({1: 0}, {1: 0}), 1, 1, 1, 1),
        (boxes({5: 0}, {5: 0}), 1, 1, 1, 1),
        (boxes({1: 0}, {}), 0.5, 0.5, 1 - 11.5 / 21.5, 0),
        (boxes({1: 0}, {2: 0}), 1, 1, 1 - 1.5 / 21.5, 0),
        (boxes({1: 0, 2: 20}, {1: 0}), 1, 1 - 1 / 20, 1 - 1 / 21.5, 1),
        (boxes({1: 2}, {1: 2}), 0.5, 1, 1, 1),
        (boxes({1: 3}, {1: 3}), 0, 0, 0, 0),
        (boxes({}, {}), 0, 0, 0, 0),
    ],
)
def test_tracks_score_as_the_challenge_weighs_errors(found, seg, det, tra, lnk):
    scores = score_tracks(found, boxes({1: 0}, {1: 0}))
    assert scores.seg == pytest.approx(seg)
    assert (scores.det, scores.tra, scores.lnk) == pytest.approx((det, tra, lnk))


@challenge
def test_a_division_counts_as_links():
    truth = boxes({1: 10}, {2: 0, 3: 20})
    found = boxes({1: 10}, {2: 0, 3: 20})
    lineage = [(1, 2), (1, 3)]
    assert score_tracks(found, truth, lineage, lineage).tra == 1
    without = score_tracks(found, truth, (), lineage)
    assert without.missed_links == 2
    assert without.tra == pytest.approx(1 - 3 / 33)
    wrong = score_tracks(boxes({1: 10}, {1: 0, 3: 20}), truth, (), lineage)
    assert (wrong.missed_links, wrong.wrong_links) == (1, 1)


@challenge
def test_a_gap_is_bridged_by_one_link():
    truth = boxes({1: 0}, {}, {1: 0})
    assert score_tracks(truth, truth).tra == 1
    broken = score_tracks(boxes({1: 0}, {}, {2: 0}), truth)
    assert (broken.missed_links, broken.missed_detections) == (1, 0)


@challenge
def test_lineages_that_cannot_be_are_refused():
    truth = boxes({1: 0}, {1: 0, 2: 20})
    with pytest.raises(TruthError, match="prediction name 7, which is in no frame"):
        score_tracks(truth, truth, [(7, 1)], ())
    with pytest.raises(TruthError, match="ground truth: 2, a child of 1, is there from frame 1"):
        score_tracks(truth, truth, (), [(1, 2)])
    with pytest.raises(TruthError, match="empty"):
        score_tracks(truth, truth * 0)


def test_without_traccuracy_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "traccuracy", None)
    truth = boxes({1: 0}, {1: 0})
    with pytest.raises(UsageError, match=r'pip install "napari-graysam\[ctc\]"'):
        score_tracks(truth, truth)
    film = SAMPLES / "dividing_cells.labels.tif"
    code, _, said = run(film, film, "--tracks")
    assert code == 2
    assert "napari-graysam[ctc]" in said
    code, found, said = run(film, film)
    assert code == 0
    assert "napari-graysam[ctc]" in said
    assert found["images"]["dividing_cells"]["average_precision"]["0.50"] == 1
    assert "napari-graysam[ctc]" not in run(film, film, "--no-tracks")[2]


@challenge
def test_tables_of_tracks_are_found_and_read(tmp_path):
    sample = samples()["dividing_cells"]
    tifffile.imwrite(tmp_path / "film.labels.tif", sample.truth())
    rows = "".join(f"{t.label},{t.first},{t.parent or t.label}\n" for t in sample.lineage())
    (tmp_path / "film.tracks.csv").write_text("ID,t,parent\n" + rows)
    truth = SAMPLES / "dividing_cells.labels.tif"
    code, found, _ = run(tmp_path / "film.labels.tif", truth)
    assert code == 0
    assert found["images"]["film"]["tracks"]["tra"] == 1
    (tmp_path / "film.tracks.csv").write_text("ID,t,parent\n")
    _, found, _ = run(tmp_path / "film.labels.tif", truth)
    assert found["images"]["film"]["tracks"]["missed_links"] == 4
    (tmp_path / "film.tracks.csv").unlink()
    assert "tracks" not in run(tmp_path / "film.labels.tif", truth)[1]["images"]["film"]
    code, _, said = run(tmp_path / "film.labels.tif", truth, "--tracks")
    assert code == 2
    assert "no table of tracks beside" in said


@challenge
def test_folders_of_frames_are_series_where_tracks_are_asked_for(tmp_path):
    sample = samples()["dividing_cells"]
    for number, plane in enumerate(sample.truth()):
        tifffile.imwrite(tmp_path / f"man_track{number:03}.tif", plane)
    rows = "".join(" ".join(map(str, track)) + "\n" for track in sample.lineage())
    (tmp_path / "man_track.txt").write_text(rows)
    truth = SAMPLES / "dividing_cells.labels.tif"
    code, found, _ = run(truth, tmp_path)
    assert code == 0
    assert found["images"]["dividing_cells"]["tracks"]["tra"] == 1
    code, found, _ = run(tmp_path, tmp_path, "--tracks")
    assert (code, len(found["images"])) == (0, 1)


def test_lineages_of_both_kinds_and_neither(tmp_path):
    (tmp_path / "a.csv").write_text("ID,t,x,y,z,parent,root\n1,0,0,0,0,1,1\n2,1,0,0,0,1,1\n")
    (tmp_path / "b.txt").write_text("1 0 0 0\n2 1 1 1\n")
    assert read_lineage(tmp_path / "a.csv") == read_lineage(tmp_path / "b.txt") == ((1, 2),)
    for text in ("ID,t\n1,0\n", "1 0 0\n", "cells"):
        (tmp_path / "c.txt").write_text(text)
        with pytest.raises(LabelsError, match=r"c\.txt.*no table of tracks"):
            read_lineage(tmp_path / "c.txt")


def test_volumes_are_read_plane_by_plane(tmp_path):
    truth = samples()["nuclei_stack"].truth()
    planes = open_label_planes(SAMPLES / "nuclei_stack.labels.tif")
    assert planes is not None
    assert len(planes) == len(truth)
    assert (planes[3] == truth[3]).all()
    assert (planes[-1] == truth[-1]).all()
    assert all((a == b).all() for a, b in zip(planes, truth, strict=True))
    with pytest.raises(IndexError):
        planes[24]
    np.save(tmp_path / "t.npy", truth.reshape(2, 12, 192, 192))
    four = open_label_planes(tmp_path / "t.npy")
    assert four is not None
    assert all((a == b).all() for a, b in zip(four, truth, strict=True))


def test_zarr_arrays_are_volumes(tmp_path):
    zarr = pytest.importorskip("zarr")
    truth = samples()["nuclei_stack"].truth()
    store = zarr.create_array(tmp_path / "t.zarr", shape=truth.shape, dtype="uint16")
    store[:] = truth
    planes = open_label_planes(tmp_path / "t.zarr")
    assert planes is not None
    assert all((a == b).all() for a, b in zip(planes, truth, strict=True))
    code, found, _ = run(tmp_path / "t.zarr", SAMPLES / "nuclei_stack.labels.tif")
    assert code == 0
    assert found["images"]["t"]["average_precision"]["0.95"] == 1


def test_one_plane_and_colours_are_no_volumes(tmp_path):
    write_labels(tmp_path / "one.tif", np.eye(8, dtype=int))
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    np.save(tmp_path / "rgb.npy", np.zeros((8, 8, 3), np.uint8))
    assert all(open_label_planes(path) is None for path in tmp_path.iterdir())


def test_a_damaged_plane_is_named(tmp_path):
    tifffile.imwrite(
        tmp_path / "v.tif", np.full((3, 8, 8), 0.5, np.float32), photometric="minisblack"
    )
    planes = open_label_planes(tmp_path / "v.tif")
    assert planes is not None
    with pytest.raises(LabelsError, match=r"v\.tif, plane 2: Labels must be integers"):
        planes[2]


def test_the_command_scores_a_volume_and_the_mean_of_its_planes():
    volume = SAMPLES / "nuclei_stack.labels.tif"
    code, found, _ = run(volume, volume)
    assert code == 0
    scores = found["images"]["nuclei_stack"]
    assert scores["n_true"] == 24
    assert scores["n_planes"] == 24
    assert scores["average_precision"]["0.95"] == 1
    assert scores["plane_mean"]["n_true"] > 200
    done = CliRunner().invoke(app, ["score", str(volume), str(volume)])
    assert "planes AP50" in " ".join(done.stdout.split())


def test_the_command_names_what_does_not_fit(tmp_path):
    volume = SAMPLES / "nuclei_stack.labels.tif"
    code, _, said = run(volume, SAMPLES / "dividing_cells.labels.tif")
    assert code == 1
    assert "has 24 planes" in said
    assert "has 20" in said
    assert "give a label volume" in said
    assert "is no label volume" in run(volume, SAMPLES / "faint.labels.tif")[2]
    assert "--connected is for label images" in run(volume, volume, "--connected")[2]
    flat = SAMPLES / "faint.labels.tif"
    assert "--tracks needs a time series" in run(flat, flat, "--tracks")[2]
