from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import fake_pipeline
import pytest
import tifffile

from napari_graysam import outputs, pipeline
from napari_graysam.batch import CompareJob, Outcome, Report, SegmentJob, batch_steps
from napari_graysam.errors import (
    DeviceError,
    ModelError,
    OutputError,
    SchedulerError,
    UsageError,
)
from napari_graysam.files import read_labels
from napari_graysam.model import CATALOG
from napari_graysam.progress import Progress
from napari_graysam.recipe import Recipe
from napari_graysam.source.reading import read_image

RECIPE = Recipe()


@pytest.fixture(autouse=True)
def _pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pipeline.install(monkeypatch)


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.tif" for name in "abc"]
    for number, path in enumerate(paths):
        tifffile.imwrite(path, fake_pipeline.spots(bright=number + 1, dim=0)[0])
    return paths


def everything(steps) -> tuple[list[Report], list[Outcome]]:
    reports = []
    while True:
        try:
            reports.append(next(steps))
        except StopIteration as stop:
            return reports, stop.value


def run(*args, **options) -> list[Outcome]:
    return everything(batch_steps(*args, **options))[1]


def test_every_image_gets_its_results_in_order(images: list[Path], tmp_path: Path) -> None:
    outcomes = run(images, SegmentJob(RECIPE, tmp_path / "out"))
    assert [outcome.path for outcome in outcomes] == images
    assert [outcome.objects for outcome in outcomes] == [1, 2, 3]
    for outcome in outcomes:
        assert outcome.status == "done"
        assert outcome.unmasked == pytest.approx(1 - outcome.objects * 100 / 64**2)
        assert read_labels(outcome.files["labels"]).max() == outcome.objects
        assert all(path.is_file() for path in outcome.files.values())


def test_reports_count_images_and_name_the_stage(images: list[Path], tmp_path: Path) -> None:
    reports, _ = everything(batch_steps(images, SegmentJob(RECIPE, tmp_path / "out")))
    assert {report.total for report in reports} == {3}
    assert [r.done for r in reports] == sorted(r.done for r in reports)
    assert [r.outcome.path for r in reports if r.outcome] == images
    stages = {r.step.stage for r in reports if r.step and r.path == images[1]}
    assert {"read", "load", "propose"} <= stages


def test_a_bad_image_does_not_stop_the_others(images: list[Path], tmp_path: Path) -> None:
    images[1].write_bytes(b"no image")
    outcomes = run(images, SegmentJob(RECIPE, tmp_path / "out"))
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done"]
    assert str(images[1]) in outcomes[1].error
    assert outcomes[1].trace == ""
    assert not list((tmp_path / "out").glob("b.*"))


def test_an_unforeseen_error_is_named_with_class_and_trace(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(image, recipe, **_):
        if "b.tif" in image.record["path"]:
            raise ZeroDivisionError("by zero")
        return fake_pipeline.segment_steps(image, recipe)

    monkeypatch.setattr("napari_graysam.pipeline.segment_steps", broken)
    outcomes = run(images, SegmentJob(RECIPE, tmp_path / "out"))
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done"]
    assert "unexpected ZeroDivisionError: by zero" in outcomes[1].error
    assert "in broken" in outcomes[1].trace


def test_complete_results_are_skipped_until_something_changes(
    images: list[Path], tmp_path: Path
) -> None:
    job = SegmentJob(RECIPE, tmp_path / "out")
    run(images, job)

    def statuses(**options) -> list[str]:
        return [outcome.status for outcome in run(images, options.pop("job", job), **options)]

    assert statuses() == ["skipped"] * 3
    assert statuses(overwrite=True) == ["done"] * 3
    (tmp_path / "out" / "a.objects.csv").unlink()
    tifffile.imwrite(images[1], fake_pipeline.spots(bright=1, dim=1)[0])
    later = images[2].stat().st_mtime + 3600
    os.utime(images[2], (later, later))
    assert statuses() == ["done", "done", "skipped"]
    other = SegmentJob(RECIPE.with_values({"generator.points_per_side": 16}), tmp_path / "out")
    assert statuses(job=other) == ["done"] * 3


def test_the_model_is_not_loaded_for_skipped_or_unreadable_images(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = SegmentJob(RECIPE, tmp_path / "out")
    run(images, job)

    def never(options):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("napari_graysam.batch.attempt.load_steps", never)
    outcomes = run([*images, tmp_path / "missing.tif"], job)
    assert [outcome.status for outcome in outcomes] == ["skipped"] * 3 + ["failed"]


@pytest.mark.parametrize("error", [ModelError, DeviceError])
def test_a_model_that_cannot_be_loaded_ends_the_batch(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def broken(options):
        raise error("not to be had")
        yield

    monkeypatch.setattr("napari_graysam.batch.attempt.load_steps", broken)
    with pytest.raises(error, match="not to be had"):
        run(images, SegmentJob(RECIPE, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_folder_is_refused_with_what_to_give_instead(images: list[Path], tmp_path: Path) -> None:
    (outcome,) = run([tmp_path], SegmentJob(RECIPE, tmp_path / "out"))
    assert outcome.status == "failed"
    assert str(tmp_path) in outcome.error
    assert "This is a folder; give the images in it" in outcome.error


@pytest.mark.parametrize("other", ["a.png", "A.tif", "sub/a.tif"])
def test_two_images_of_one_stem_are_refused(tmp_path: Path, other: str) -> None:
    with pytest.raises(UsageError, match=r"a\.tif.*same name") as caught:
        run([tmp_path / "a.tif", tmp_path / other], SegmentJob(RECIPE, tmp_path / "out"))
    assert str(tmp_path / other) in str(caught.value)


@pytest.mark.parametrize("inside", ["", "deeper/still"])
def test_an_output_folder_that_is_a_file_is_refused_first(
    images: list[Path], tmp_path: Path, inside: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        next(batch_steps(images, SegmentJob(RECIPE, tmp_path / "file" / inside)))


def test_closing_leaves_only_whole_files(images: list[Path], tmp_path: Path) -> None:
    steps = batch_steps(images, SegmentJob(RECIPE, tmp_path / "out"))
    for report in steps:
        if report.path == images[1] and report.step == Progress("propose", 0, 1):
            break
    steps.close()
    names = {path.name.partition(".")[0] for path in (tmp_path / "out").iterdir()}
    assert names == {"a"}
    done = pipeline.fingerprint_of(read_image(images[0]), RECIPE)
    assert outputs.is_complete(tmp_path / "out", "a", done)


def test_a_failed_write_leaves_the_image_incomplete(images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out" / "b.overlay.png").mkdir(parents=True)
    outcomes = run(images, SegmentJob(RECIPE, tmp_path / "out"))
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done"]
    assert "b.overlay.png" in outcomes[1].error
    assert not (tmp_path / "out" / "b.recipe.yaml").exists()
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_compare_counts_changes_and_scores_both_arms(tmp_path: Path) -> None:
    image, truth = fake_pipeline.spots(bright=3, dim=2)
    tifffile.imwrite(tmp_path / "x.tif", image)
    tifffile.imwrite(tmp_path / "y.tif", image)
    tifffile.imwrite(tmp_path / "x.labels.tif", truth)
    paths = [tmp_path / "x.tif", tmp_path / "y.tif"]
    truths = {paths[0]: tmp_path / "x.labels.tif"}
    x, y = run(paths, CompareJob(RECIPE, tmp_path / "out", truths))
    assert x.changes == y.changes
    assert (x.changes["kept"], x.changes["gained"], x.changes["lost"]) == (3, 2, 0)
    assert x.scores["raw"]["average_precision"]["0.50"] == pytest.approx(3 / 5)
    assert x.scores["preprocessed"]["average_precision"]["0.50"] == 1
    assert y.scores is None
    assert read_labels(x.files["raw.labels"]).max() == 3


def test_a_comparison_is_skipped_with_its_counts_until_something_changes(tmp_path: Path) -> None:
    image, truth = fake_pipeline.spots(bright=3, dim=2)
    paths = [tmp_path / "x.tif", tmp_path / "y.tif"]
    for path in paths:
        tifffile.imwrite(path, image)
        tifffile.imwrite(path.with_suffix(".labels.tif"), truth)
    truths = {path: path.with_suffix(".labels.tif") for path in paths}
    job = CompareJob(RECIPE, tmp_path / "out", truths)
    first = run(paths, job)
    again = run(paths, job)
    for one, other in zip(first, again, strict=True):
        assert (one.status, other.status) == ("done", "skipped")
        assert (other.changes, other.scores) == (one.changes, one.scores)

    def statuses(job: CompareJob = job) -> list[str]:
        return [outcome.status for outcome in run(paths, job)]

    assert statuses(replace(job, truth={})) == ["skipped"] * 2
    assert statuses(replace(job, kinds=("labels",))) == ["skipped"] * 2
    for name in ("x.comparison.csv", "y.preprocessed.objects.csv"):
        (tmp_path / "out" / name).unlink()
    assert statuses() == ["done"] * 2
    tifffile.imwrite(truths[paths[0]], fake_pipeline.spots(bright=3, dim=1)[1])
    assert statuses() == ["done", "skipped"]
    other = RECIPE.with_values({"generator.points_per_side": 16})
    assert statuses(replace(job, recipe=other)) == ["done"] * 2
    assert statuses() == ["done"] * 2


def test_both_arms_use_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def watched(*args: Any, cache: Any, **options: Any) -> Any:
        folders.append((cache.folder, cache.folder_budget))
        return fake_pipeline.compare_steps(*args, **options)

    folders: list[tuple[Path, int]] = []
    monkeypatch.setattr("napari_graysam.pipeline.compare_steps", watched)
    tifffile.imwrite(tmp_path / "x.tif", fake_pipeline.spots()[0])
    job = CompareJob(RECIPE, tmp_path / "out", cache=tmp_path / "cache", cache_size=7)
    assert [outcome.status for outcome in run([tmp_path / "x.tif"], job)] == ["done"]
    assert folders == [(tmp_path / "cache", 7)]


def test_relative_paths_of_a_recipe_mean_the_same_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = CATALOG[1].config
    (tmp_path / named).parent.mkdir(parents=True)
    (tmp_path / named).write_text("a file of the name of a config of the catalogue")
    recipe = RECIPE.with_values({"model.checkpoint": "own.pt", "model.config": named})
    job = SegmentJob(recipe, Path("out")).absolute()
    assert job.folder == tmp_path / "out"
    assert job.recipe.model.checkpoint == str(tmp_path / "own.pt")
    assert job.recipe.model.config == named
    own = SegmentJob(recipe.with_values({"model.config": "x.yaml"}), Path("out")).absolute()
    assert own.recipe.model.config == str(tmp_path / "x.yaml")


def test_an_unreachable_scheduler_is_named(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_graysam.batch.cluster.CONNECT_S", 0.5)
    job = SegmentJob(RECIPE, tmp_path / "out")
    with pytest.raises(SchedulerError, match=r"tcp://127\.0\.0\.1:9"):
        run(images, job, scheduler="tcp://127.0.0.1:9")


@pytest.mark.parametrize(
    "address", ["localhost", "tcp://localhost", "localhost:", ":8786", "tcp://a:b", "", "tls://"]
)
def test_an_address_without_a_port_is_refused_with_one(
    images: list[Path], tmp_path: Path, address: str
) -> None:
    with pytest.raises(UsageError, match=r"a port, such as tcp://\w+:8786"):
        run(images, SegmentJob(RECIPE, tmp_path / "out"), scheduler=address)


def test_what_answers_but_is_no_scheduler_is_named(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_graysam.batch.cluster.CONNECT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(SchedulerError, match=address):
            run(images, SegmentJob(RECIPE, tmp_path / "out"), scheduler=address)


@pytest.mark.parametrize("where", [{"workers": 2}, {"scheduler": "tcp://127.0.0.1:9"}])
def test_no_cluster_starts_for_what_is_complete(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: dict[str, Any]
) -> None:
    def record(paths: list[Path], *_: Any, **__: Any) -> Iterator[tuple[Path, Outcome]]:
        asked.append(list(paths))
        yield from ((path, Outcome(path, "done")) for path in paths)

    asked: list[list[Path]] = []
    monkeypatch.setattr("napari_graysam.batch.run.on_dask", record)
    job = SegmentJob(RECIPE, tmp_path / "out")
    run(images, job)
    assert [outcome.status for outcome in run(images, job, **where)] == ["skipped"] * 3
    assert asked == []
    tifffile.imwrite(images[0], fake_pipeline.spots(bright=1, dim=1)[0])
    (tmp_path / "out" / "b.recipe.yaml").unlink()
    outcomes = run(images, job, **where)
    assert [outcome.status for outcome in outcomes] == ["done", "done", "skipped"]
    assert asked == [images[:2]]
    run(images, job, overwrite=True, **where)
    assert asked[1:] == [images]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """One worker in this process, so that it uses the pipeline without a model."""
    from distributed import LocalCluster

    monkeypatch.setattr("napari_graysam.batch.shared.LOOK_S", 0.05)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        yield cluster


def during_the_first_image(monkeypatch: pytest.MonkeyPatch, action: Callable[[], Any]) -> None:
    """Do something while a worker works on an image, which then never ends."""
    started, never = Event(), Event()

    def stuck(*_: Any, **__: Any) -> Any:
        started.set()
        never.wait(20)
        return fake_pipeline.segment_steps(*_, **__)

    def act() -> None:
        started.wait(20)
        action()

    monkeypatch.setattr("napari_graysam.pipeline.segment_steps", stuck)
    Thread(target=act, daemon=True).start()


def test_a_scheduler_works_on_images(images: list[Path], tmp_path: Path, cluster: Any) -> None:
    job = SegmentJob(RECIPE, tmp_path / "out")
    outcomes = run(images, job, scheduler=cluster.scheduler_address)
    assert [outcome.objects for outcome in outcomes] == [1, 2, 3]


def test_no_workers_left_is_said_once(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any
) -> None:
    job = SegmentJob(RECIPE, tmp_path / "out")
    during_the_first_image(monkeypatch, lambda: cluster.scale(0))
    steps = batch_steps(images, job, scheduler=cluster.scheduler_address)
    assert "no workers left" in next(steps).note
    monkeypatch.setattr("napari_graysam.pipeline.segment_steps", fake_pipeline.segment_steps)
    cluster.scale(1)
    reports, outcomes = everything(steps)
    assert {outcome.status for outcome in outcomes} <= {"done", "skipped"}
    assert not any(report.note for report in reports)


def test_a_scheduler_that_dies_ends_the_batch_in_one_sentence(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any
) -> None:
    during_the_first_image(monkeypatch, lambda: cluster.sync(cluster.scheduler.close))
    job = SegmentJob(RECIPE, tmp_path / "out")
    with pytest.raises(SchedulerError, match="is gone"):
        run(images, job, scheduler=cluster.scheduler_address)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs process groups")
def test_an_interrupt_of_workers_is_one_line(tmp_path: Path) -> None:
    for number in range(40):
        tifffile.imwrite(tmp_path / f"{number}.tif", fake_pipeline.spots()[0])
    command = [sys.executable, "-m", "napari_graysam.cli", "segment", str(tmp_path), "--workers"]
    command += ["2", "--out", str(tmp_path / "out"), "--set", "generator.points_per_side=8"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, process_group=0) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("out/*.recipe.yaml")) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    lines = [line for line in told.splitlines() if "objects" not in line]
    assert lines == ["error: stopped; what was finished stays"]
    while alive(process.pid) and time.monotonic() < deadline + 60:
        time.sleep(0.05)
    assert not alive(process.pid)


@pytest.mark.slow
def test_workers_give_the_same_labels_as_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    paths = [tmp_path / f"{name}.tif" for name in "ab"]
    for number, path in enumerate(paths):
        tifffile.imwrite(path, fake_pipeline.spots(bright=number + 2)[0])
    missing = tmp_path / "missing.tif"
    recipe = RECIPE.with_values(
        {
            "generator.points_per_side": 6,
            "generator.pred_iou_thresh": 0.0,
            "generator.stability_score_thresh": 0.0,
            "model.device": "cpu",
        }
    )
    alone = run(paths, SegmentJob(recipe, tmp_path / "alone"))
    shared = run([missing, *paths], SegmentJob(recipe, tmp_path / "shared"), workers=2)
    assert [outcome.status for outcome in shared] == ["failed", "done", "done"]
    assert [outcome.path for outcome in shared] == [missing, *paths]
    for one, other in zip(alone, shared[1:], strict=True):
        assert one.objects == other.objects
        assert one.objects > 0
        assert (read_labels(one.files["labels"]) == read_labels(other.files["labels"])).all()
