from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import fake_pipeline
import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

from napari_graysam.batch import SegmentJob, segment_stack, stack_steps
from napari_graysam.cli import app
from napari_graysam.errors import ImageError, OutputError
from napari_graysam.pipeline import segment
from napari_graysam.progress import run
from napari_graysam.recipe import Recipe
from napari_graysam.source.stack import Stack

RECIPE = Recipe().with_values({"stack.axis": "z", "stack.link": "overlap"})


def planes() -> np.ndarray:
    """Two discs through five planes; the second is missing in plane 2, a third is in plane 4."""
    y, x = np.ogrid[:64, :64]
    stack = np.full((5, 64, 64), 20, np.uint8)
    for number, plane in enumerate(stack):
        plane[(y - 16) ** 2 + (x - 16 - number) ** 2 < 64] = 220
        if number != 2:
            plane[(y - 46) ** 2 + (x - 44) ** 2 < 81] = 200
    stack[4][(y - 12) ** 2 + (x - 50) ** 2 < 36] = 210
    return stack


class Counting:
    """An array that is read plane by plane, and says how often."""

    def __init__(self, array: np.ndarray) -> None:
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self._array, self.reads = array, []

    def __getitem__(self, index):
        assert isinstance(index[0], int), "more than one plane at once"
        self.reads.append(index[0])
        return self._array[index]

    def __array__(self, *args, **kwargs):
        raise AssertionError("the whole stack at once")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pipeline.install(monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cells.tif"
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(path, planes(), ome=True, compression="zlib", metadata=metadata)
    return path


def graysam(*arguments: object, status: int = 0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    return result


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.*") if path.is_file()}


def test_the_command_writes_a_volume_and_tables(fake: None, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = ("--set", "stack.axis=auto", "--set", "stack.link=overlap")
    result = graysam("segment", file, "--out", out, *settings, "--json")
    assert json.loads(result.stdout)["images"][0]["objects"] == 3
    with tifffile.TiffFile(out / "cells.labels.tif") as volume:
        assert (volume.series[0].axes, volume.series[0].dtype) == ("ZYX", np.uint32)
        assert 'PhysicalSizeZ="2.0"' in volume.ome_metadata
        labels = volume.asarray()
    assert [np.unique(plane).tolist() for plane in labels] == [
        [0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2, 3],
    ]  # fmt: skip
    assert np.array_equal(labels[2] == 2, labels[1] == 2)
    rows = pd.read_csv(out / "cells.planes.csv")
    assert len(rows) == 11
    assert rows.query("id == 2")["z"].tolist() == [0, 1, 2, 3, 4]
    assert rows.query("source != 'model'")[["id", "z", "label", "source"]].to_numpy().tolist() == [
        [2, 2, 0, "interpolated"]
    ]
    filled = rows.query("source == 'interpolated'").iloc[0]
    assert filled["area"] == filled["visible_area"] == (labels[2] == 2).sum()
    assert filled["intensity_mean"] == 20
    assert np.isnan(filled["predicted_iou"])
    provenance = json.loads((out / "cells.provenance.json").read_text())
    assert provenance["stack"]["filled"] == {"interpolated": 1}
    objects = pd.read_csv(out / "cells.objects.csv").set_index("id")
    for number in (1, 2, 3):
        count = int((labels == number).sum())
        assert objects.loc[number, "voxels"] == count
        assert objects.loc[number, "volume_um3"] == pytest.approx(count * 0.5)
    columns = ["first_z", "last_z", "planes", "filled", "extent"]
    assert objects.loc[2, columns].tolist() == [0, 4, 5, 1, 5]
    again = graysam("segment", file, "--out", out, *settings)
    assert "skipped" in again.stderr


def test_a_time_series_has_tracks_with_speeds(fake: None, tmp_path: Path) -> None:
    recipe = RECIPE.with_values({"stack.axis": "t", "stack.spacing": 10})
    outcome = segment_stack(planes(), recipe, tmp_path, name="film")
    tracks = pd.read_csv(outcome.files["tracks"])
    first = tracks[tracks["ID"] == 1]
    assert first["t"].tolist() == [0, 1, 2, 3, 4]
    assert (first["parent"] == 1).all()
    objects = pd.read_csv(outcome.files["objects"]).set_index("id")
    assert objects.loc[1, "speed"] == pytest.approx(1)
    assert objects.loc[1, "displacement"] == pytest.approx(4)


def test_a_gap_that_is_not_filled_takes_time_all_the_same(fake: None, tmp_path: Path) -> None:
    stack = planes()
    stack[2][:32] = 20
    path = tmp_path / "film.tif"
    metadata = {"axes": "TYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "TimeIncrement": 10}
    tifffile.imwrite(path, np.repeat(stack, 2, axis=0), ome=True, metadata=metadata)
    recipe = RECIPE.with_values({"stack.axis": "t", "stack.linking.fill": "none", "stack.step": 2})
    outcome = segment_stack(path, recipe, tmp_path / "out")
    first = pd.read_csv(outcome.files["objects"]).set_index("id").loc[1]
    assert first[["planes", "filled", "extent"]].tolist() == [4, 0, 9]
    # Four pixels of half a micrometre in eight frames of ten seconds.
    assert first["speed"] == pytest.approx(0.5)
    assert first["speed_um_s"] == pytest.approx(2 / 80)


def test_all_parents_of_a_merge_are_in_the_table(fake: None, tmp_path: Path) -> None:
    y, x = np.ogrid[:64, :64]
    stack = np.full((4, 64, 64), 20, np.uint8)
    for plane, apart in zip(stack, (14, 13, 0, 0), strict=True):
        for side in (-1, 1):
            plane[(y - 32) ** 2 + (x - 32 - side * apart) ** 2 < 150] = 200
    stack[2:, 26:39, 14:51] = 200
    recipe = RECIPE.with_values({"stack.axis": "t", "stack.linking.merges": True})
    outcome = segment_stack(stack, recipe, tmp_path)
    objects = pd.read_csv(outcome.files["objects"], dtype={"parents": str}).set_index("id")
    assert objects.loc[3, "parents"] == "1 2"
    tracks = pd.read_csv(outcome.files["tracks"])
    assert set(tracks.query("ID == 3")["parent"]) == {1}


def test_planes_are_those_segmented_one_by_one(tmp_path: Path) -> None:
    recipe = RECIPE.with_values({"stack.link": "none", "generator.points_per_side": 6})
    stack = planes()
    outcome = segment_stack(stack, recipe, tmp_path)
    volume = tifffile.imread(outcome.files["labels"])
    found = 0
    for number, plane in enumerate(volume):
        alone = recipe.with_values(
            {"stack.axis": "none", "image.axes": "ZYX", "image.plane": number}
        )
        labels = segment(stack, alone).labels
        assert np.array_equal(labels > 0, plane > 0)
        assert len(np.unique(np.stack([labels, plane]).reshape(2, -1), axis=1).T) == len(
            np.unique(labels)
        )
        found += len(np.unique(labels)) - 1
    assert outcome.objects == found > 0


def test_planes_are_read_one_by_one(fake: None, tmp_path: Path) -> None:
    array = Counting(planes())
    outcome = segment_stack(array, RECIPE, tmp_path)
    assert outcome.objects == 3
    # Once for the window, once to segment, and what was filled once more to measure it.
    assert sorted(array.reads) == sorted([*range(5), *range(5), 2])


def test_a_stopped_run_goes_on_with_the_same_files(
    fake: None, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def to_end(out: str):
        return run(stack_steps([file], SegmentJob(RECIPE, tmp_path / out)))

    to_end("whole")
    calls = []

    def stopping(image, recipe, **more):
        calls.append(image.record["plane"])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return fake_pipeline.segment_steps(image, recipe, **more)

    monkeypatch.setattr("napari_graysam.pipeline.segment_steps", stopping)
    with pytest.raises(KeyboardInterrupt):
        to_end("stopped")
    assert not contents(tmp_path / "stopped")
    to_end("stopped")
    assert calls == [0, 1, 2, 3, 3, 4]
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


KILLED = """
import sys
from pathlib import Path
import fake_pipeline, pytest
from napari_graysam.batch import SegmentJob, stack_steps
from napari_graysam.progress import run
from napari_graysam.recipe import Recipe

fake_pipeline.install(pytest.MonkeyPatch())
recipe = Recipe().with_values({"stack.axis": "z", "stack.link": "overlap"})
(outcome,) = run(stack_steps([Path(sys.argv[1])], SegmentJob(recipe, Path(sys.argv[2]))))
sys.exit(outcome.status != "done")
"""


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_files(tmp_path: Path) -> None:
    file = tmp_path / "cells.tif"
    tifffile.imwrite(file, np.tile(planes(), (6, 1, 1)), ome=True, metadata={"axes": "ZYX"})
    places = os.pathsep.join([str(Path(__file__).parent), *sys.path])

    def start(out: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", KILLED, str(file), str(tmp_path / out)]
        return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": places})

    def done() -> int:
        return len(list((tmp_path / "killed").glob("*.planes/*.recipe.yaml")))

    for _ in range(3):
        before = done()
        with start("killed") as process:
            while done() < before + 3:
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
        assert before + 3 <= done() < 30
    for out in ("killed", "whole"):
        with start(out) as process:
            assert process.wait(300) == 0
    everything = [
        {
            path.relative_to(tmp_path / out): path.read_bytes()
            for path in (tmp_path / out).rglob("*.*")
            if path.is_file()
        }
        for out in ("killed", "whole")
    ]
    assert everything[0] == everything[1]


def damaged(file: Path, number: int) -> bytes:
    """Damage a plane of a file, and return what the file was."""
    before = file.read_bytes()
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[number]
        offset, count = page.dataoffsets[0], page.databytecounts[0]
    with open(file, "r+b") as handle:
        handle.seek(offset)
        handle.write(b"\xff" * count)
    return before


@pytest.mark.parametrize("window", ["stack", "plane"])
def test_a_damaged_plane_is_named_and_the_others_are_kept(
    fake: None, file: Path, tmp_path: Path, window: str
) -> None:
    damaged(file, 2)
    recipe = RECIPE.with_values({"stack.window": window})
    (outcome,) = run(stack_steps([file], SegmentJob(recipe, tmp_path / "out")))
    assert outcome.status == "failed"
    assert "1 of 5 planes failed" in outcome.error
    assert "plane z=2" in outcome.error
    assert "The others are kept" in outcome.error
    assert outcome.error.count(str(file)) == 1
    assert not (tmp_path / "out" / "cells.labels.tif").exists()
    kept = sorted(path.name for path in (tmp_path / "out" / "cells.planes").glob("*.labels.tif"))
    assert kept == [f"z000{number}.labels.tif" for number in (0, 1, 3, 4)]


def test_what_all_planes_lack_is_said_once(
    fake: None, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments, **options):
        raise OutputError("the disk is gone")

    monkeypatch.setattr("napari_graysam.pipeline.segment_steps", refuse)
    (outcome,) = run(stack_steps([file], SegmentJob(RECIPE, tmp_path / "out")))
    assert "5 of 5 planes failed: z0000 and 4 more: the disk is gone." in outcome.error
    assert "The others are kept" not in outcome.error
    assert outcome.error.count("the disk is gone") == 1


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc")
def test_a_folder_that_cannot_be_made_is_refused_once_before_any_work(
    fake: None, file: Path
) -> None:
    for out in ("/proc/x", "/proc/x/deeper"):
        refused = graysam("segment", file, "--out", out, "--set", "stack.axis=z", status=1)
        assert " ".join(refused.stderr.split()).count(f"cannot write to {out}") == 1
        assert "planes failed" not in refused.stderr


def test_a_window_without_a_damaged_plane_is_told_and_made_anew_after_its_repair(
    fake: None, tmp_path: Path
) -> None:
    file = tmp_path / "cells.tif"
    stack = planes()
    stack[2] += 20
    tifffile.imwrite(file, stack, ome=True, compression="zlib", metadata={"axes": "ZYX"})
    whole = damaged(file, 2)
    refused = graysam("segment", file, "--out", tmp_path / "out", "--set", "stack.axis=z", status=1)
    assert "measured without plane z=2" in " ".join(refused.stderr.split())
    of_planes = tmp_path / "out" / "cells.planes"
    window = json.loads((of_planes / "z0001.provenance.json").read_bytes())["image"]
    assert window["window"]["high"] == 220
    assert window["stack"]["window_without"] == ["plane z=2"]
    file.write_bytes(whole)
    graysam("segment", file, "--out", tmp_path / "out", "--set", "stack.axis=z")
    graysam("segment", file, "--out", tmp_path / "never damaged", "--set", "stack.axis=z")
    assert contents(tmp_path / "out") == contents(tmp_path / "never damaged")
    window = json.loads((of_planes / "z0001.provenance.json").read_bytes())["image"]
    assert window["window"]["high"] == 240


def test_stacks_share_one_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_graysam.batch import cluster

    starts, connect = [], cluster.connect
    monkeypatch.setattr(cluster, "connect", lambda *how: starts.append(how) or connect(*how))
    files = [tmp_path / "one.tif", tmp_path / "two.tif"]
    for file in files:
        tifffile.imwrite(file, planes()[:3], metadata={"axes": "ZYX"}, imagej=True)
    settings = ["--set", "stack.axis=z", "--set", "generator.points_per_side=4"]
    graysam("segment", *files, *settings, "--out", tmp_path / "shared", "--workers", 2)
    assert starts == [(2, None)]
    graysam("segment", *files, *settings, "--out", tmp_path / "alone")
    assert len(starts) == 1
    for name in ("one", "two"):
        shared, alone = (
            tifffile.imread(tmp_path / out / f"{name}.labels.tif") for out in ("shared", "alone")
        )
        assert shared.shape == (3, 64, 64)
        np.testing.assert_array_equal(shared, alone)


def test_empty_planes_are_planes(fake: None, tmp_path: Path) -> None:
    outcome = segment_stack(np.zeros((3, 32, 32), np.uint8), RECIPE, tmp_path)
    assert (outcome.status, outcome.objects) == ("done", 0)
    assert not tifffile.imread(outcome.files["labels"]).any()


@pytest.mark.parametrize(
    ("shape", "values", "said"),
    [
        ((32, 32), {}, "one plane only"),
        ((1, 32, 32), {"image.axes": "ZYX"}, "one plane only"),
        ((5, 32, 32), {"stack.axis": "auto"}, "stack.axis=z or stack.axis=t"),
        ((2, 5, 32, 32), {"image.axes": "TZYX", "stack.axis": "auto"}, "choose stack.axis=z with"),
        ((2, 5, 32, 32), {"image.axes": "TZYX"}, r"stack.at=N \(0..1\)"),
        ((2, 5, 32, 32), {}, "image.axes=TZYX"),
        ((5, 32, 32), {"image.axes": "TYX"}, "choose stack.axis=t"),
        ((5, 32, 32), {"image.plane": 1}, "leave one out"),
        ((5, 32, 32), {"stack.first": 4, "stack.last": 2}, "first ≤ last"),
        ((5, 32, 32), {"stack.step": 5}, "leaves one plane of 0..4: expected at most 4"),
    ],
)
def test_what_is_no_stack_is_refused_with_the_choices(shape, values, said) -> None:
    with pytest.raises(ImageError, match=said):
        Stack(np.zeros(shape, np.uint8), RECIPE.with_values(values))


def test_a_large_stack_of_imagej_that_is_cut_off_is_not_called_one_plane(tmp_path: Path) -> None:
    array = np.zeros((5, 64, 64), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        first, second = file.pages[0].offset, file.pages[1].offset
        count = len(file.pages[0].tags)
    data = bytearray((tmp_path / "a.tif").read_bytes()[:second])
    # Of more than 4 GiB ImageJ lists one page only.
    data[first + 2 + 12 * count : first + 6 + 12 * count] = bytes(4)
    (tmp_path / "a.tif").write_bytes(data)
    assert len(Stack(tmp_path / "a.tif", RECIPE)) == 5
    (tmp_path / "a.tif").write_bytes(data[:10_000])
    with pytest.raises(ImageError, match=r"cut off: ImageJ wrote 5 planes, of which 2 are there"):
        Stack(tmp_path / "a.tif", RECIPE)


def test_planes_of_different_sizes_are_refused() -> None:
    with pytest.raises(ImageError, match=r"plane 0 has .8, 8., plane 1 .8, 9."):
        Stack([np.zeros((8, 8)), np.zeros((8, 9))], RECIPE)


def test_the_window_is_of_the_stack_or_of_the_plane() -> None:
    array = np.stack([np.arange(64.0).reshape(8, 8), 10 * np.arange(64.0).reshape(8, 8)])
    stack = Stack(array, RECIPE)
    assert stack.plane(0).record["window"]["high"] > 600
    alone = Stack(array, RECIPE.with_values({"stack.window": "plane"}))
    assert [alone.plane(n).record["window"]["high"] for n in (0, 1)] == [63, 630]
    assert alone.plane(0).record["stack"]["window"] == "plane"


def test_one_stack_of_several_is_chosen() -> None:
    array = np.arange(2 * 3 * 16).reshape(2, 3, 4, 4)
    values = {"image.axes": "TZYX", "stack.at": 1}
    stack = Stack(array, RECIPE.with_values(values))
    assert [stack.plane(n).raw.tolist() for n in stack.positions] == array[1].tolist()


def test_results_of_a_plane_and_of_the_stack_never_overwrite_each_other_unasked(
    fake: None, file: Path, tmp_path: Path
) -> None:
    out, whole = tmp_path / "out", ("--set", "stack.axis=z")
    plane = ("--set", "image.plane=1")
    graysam("segment", file, "--out", out, *plane)
    before = contents(out)
    refused = graysam("segment", file, "--out", out, *whole, status=1)
    assert "{stem}_stack" in refused.stderr
    assert contents(out) == before
    graysam("segment", file, "--out", out, *whole, "--overwrite")
    assert len(json.loads((out / "cells.coco.json").read_text())["images"]) == 5
    assert not (out / "cells.overlay.png").exists()
    before = contents(out)
    assert "all along z" in graysam("segment", file, "--out", out, *plane, status=1).stderr
    assert contents(out) == before
    graysam("segment", file, "--out", out, *plane, "--overwrite")
    assert not (out / "cells.planes.csv").exists()


def test_one_plane_says_that_it_is_no_stack() -> None:
    recipe = RECIPE.with_values({"generator.points_per_side": 2})
    assert any("whole stacks" in note for note in segment(planes()[0], recipe).notes)


def test_other_planes_of_an_opened_stack_have_their_own_distance() -> None:
    values = {"stack.axis": "z", "stack.spacing": 2, "stack.first": 1}
    stack = Stack(np.zeros((9, 8, 8), np.uint8), Recipe().with_values(values))
    other = stack.choosing(Recipe().with_values({"stack.last": 6, "stack.step": 3}).stack)
    assert (list(other.positions), other.spacing) == ([0, 3, 6], 6)
    assert (stack.positions[0], stack.spacing) == (1, 2)
    with pytest.raises(ImageError, match="choose no planes of 9"):
        stack.choosing(Recipe().with_values({"stack.first": 9}).stack)


def test_planes_in_files_of_their_own_are_told_how_to_become_a_stack(tmp_path: Path) -> None:
    folder = tmp_path / "planes"
    folder.mkdir()
    for number, rows in enumerate((8, 6)):
        tifffile.imwrite(folder / f"{number}.tif", np.ones((rows, 8), np.uint8))
    call = ["segment", str(folder), "--set", "stack.axis=z", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, call)
    said = " ".join(result.output.split())
    assert result.exit_code == 1
    assert said.count("is one plane only") == 2
    assert "write planes that lie in files of their own into one TIFF file" in said
