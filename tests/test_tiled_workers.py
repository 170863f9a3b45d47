"""Images in tiles by several processes, which are killed at times; with the bundled model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import psutil
import pytest

from napari_graysam.batch import segment_tiled
from napari_graysam.batch.cluster import Cluster
from napari_graysam.batch.shared import Watch
from napari_graysam.batch.tasks import Ended, share
from napari_graysam.errors import SchedulerError, WorkersError
from napari_graysam.progress import Progress
from napari_graysam.recipe import Recipe
from napari_graysam.source.pyramid import open_pyramid

RECIPE = Recipe().with_values({
    "tiles.use": "always", "tiles.size": 128, "tiles.halo": 24, "generator.points_per_side": 6,
    "generator.pred_iou_thresh": 0.5, "generator.stability_score_thresh": 0.5,
})  # fmt: skip
TILES = 9


def squares() -> np.ndarray:
    random = np.random.default_rng(1)
    image = random.normal(30, 4, (260, 270))
    for y in range(10, 250, 34):
        for x in range(10, 250, 34):
            side = random.integers(12, 22)
            image[y : y + side, x : x + side] += random.integers(90, 180)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    out = tmp_path_factory.mktemp("plain")
    outcome = segment_tiled(squares(), RECIPE, out, name="squares")
    assert outcome.objects >= 20
    return labels_in(out)


def labels_in(out: Path) -> np.ndarray:
    return np.asarray(open_pyramid(out / "squares.zarr" / "labels" / "squares").plane()[:, :])


def workers_of(pid: int) -> list[psutil.Process]:
    """Return the processes that Dask started for work."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        if any("spawn_main" in part or "multiprocessing" in part for part in child.cmdline()):
            found.append(child)
    return [one for one in found if "resource_tracker" not in " ".join(one.cmdline())]


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_nothing(tmp_path: Path, expected: np.ndarray) -> None:
    killed: list[int] = []

    def kill(report) -> None:
        step = report.step
        if not killed and step is not None and step.stage == "tiles" and step.done == 2:
            victim = workers_of(os.getpid())[0]
            victim.send_signal(signal.SIGKILL)
            killed.append(victim.pid)

    outcome = segment_tiled(
        squares(), RECIPE, tmp_path, name="squares", workers=2, on_progress=kill
    )
    assert killed
    assert outcome.status == "done"
    np.testing.assert_array_equal(labels_in(tmp_path), expected)


@pytest.mark.slow
def test_a_run_whose_process_is_killed_goes_on_with_the_same_labels(
    tmp_path: Path, expected: np.ndarray
) -> None:
    np.save(tmp_path / "squares.npy", squares())
    RECIPE.to_file(tmp_path / "recipe.yaml")
    out = tmp_path / "out"
    command = [
        sys.executable, "-m", "napari_graysam.cli", "segment", str(tmp_path / "squares.npy"),
        "--recipe", str(tmp_path / "recipe.yaml"), "--out", str(out),
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    found = out / "squares.tiles" / "found"
    deadline = time.monotonic() + 200
    while len(list(found.glob("r*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert 3 <= len(list(found.glob("r*.npz"))) < TILES
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "tiles are there" in again.stderr
    np.testing.assert_array_equal(labels_in(out), expected)


class Doubling:
    """Doubles numbers in a worker; some fail once, some always, some end their process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, number: int):
        yield Progress("double", 0, 1)
        marker = self.folder / str(number)
        if number == 3 and not marker.exists():
            marker.touch()
            raise ValueError("once")
        if number == 5:
            raise ValueError("always")
        if number == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        (self.folder / f"flying {number}").touch()
        return 2 * number


@pytest.mark.slow
def test_tasks_that_fail_or_end_their_worker_stop_no_others(tmp_path: Path) -> None:
    with Cluster(2, None) as cluster:
        ended = {
            e.item: e for e in share(Doubling(tmp_path), range(9), cluster) if isinstance(e, Ended)
        }
    assert {n: e.value for n, e in ended.items() if not e.error} == {
        n: 2 * n for n in (0, 1, 2, 3, 4, 6, 8)
    }
    assert "always" in ended[5].error
    assert "worker process died several times" in ended[7].error


class Deadly:
    """Ends the process that works on it, whatever the item."""

    def __call__(self, number: int):
        yield Progress("end", 0, 1)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_run_whose_every_task_ends_its_worker_is_given_up() -> None:
    ended = []
    with Cluster(2, None) as cluster:
        events = share(Deadly(), range(400), cluster)
        with pytest.raises(WorkersError, match=r"fewer workers.* 3 times in a row; what was"):
            ended.extend(event for event in events if isinstance(event, Ended))
    assert len(ended) == 2


@pytest.mark.slow
def test_processes_of_our_own_that_have_all_ended_are_not_waited_for_as_others() -> None:
    class Client:
        status = "running"
        workers: ClassVar[dict[str, object]] = {"one": {}}

        def scheduler_info(self) -> dict[str, object]:
            return {"workers": self.workers}

    for scheduler, said in ((None, "fewer --workers"), ("tcp://host:8786", "waiting for one")):
        client = Client()
        watch = Watch(client, scheduler)
        assert watch.look() == ""
        client.workers = {}
        assert said in watch.look()
        assert watch.look() == ""


def test_a_scheduler_that_goes_ends_the_run_in_one_sentence(tmp_path: Path) -> None:
    from distributed import LocalCluster

    local = LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
    )  # fmt: skip
    try:
        with Cluster(None, local.scheduler_address) as cluster:
            events = share(Doubling(tmp_path), range(100, 4000), cluster)
            next(event for event in events if isinstance(event, Ended))
            local.close()
            with pytest.raises(SchedulerError, match="is gone; what was finished stays"):
                for _ in events:
                    pass
    finally:
        local.close()


@pytest.mark.slow
def test_a_script_without_a_guard_runs_once(tmp_path: Path) -> None:
    """Workers import nothing of the program: one that opens a window opens no other."""
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np\n"
        "from napari_graysam import Recipe\n"
        "from napari_graysam.batch import segment_tiled\n"
        "print('once', flush=True)\n"
        "values = {'tiles.size': 64, 'tiles.halo': 16, 'generator.points_per_side': 4}\n"
        "image = np.eye(96, dtype=np.uint8)\n"
        "recipe = Recipe().with_values(values)\n"
        "print(segment_tiled(image, recipe, 'out', name='eye', workers=2).status)\n"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.stdout.split() == ["once", "done"], done.stderr
