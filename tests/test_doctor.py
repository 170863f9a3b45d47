"""The doctor: every check is made, and broken installations are seen."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors.torch import save_file

from napari_graysam import doctor
from napari_graysam.doctor import Check, diagnose
from napari_graysam.model import BUNDLED, find_entry
from napari_graysam.model.build import build_image_model


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Set up a healthy machine with nothing but the bundled model, and ways to break it."""
    bundled = tmp_path / "package" / BUNDLED.filename
    bundled.parent.mkdir()
    save_file(build_image_model(BUNDLED.config).state_dict(), bundled)
    cache = tmp_path / "cache" / "models"
    monkeypatch.setattr("napari_graysam.model.weights.bundled_path", lambda: bundled)
    monkeypatch.setattr("napari_graysam.model.weights.cache_folder", lambda: cache)
    monkeypatch.setattr(doctor, "cache_folder", lambda: cache)
    monkeypatch.delenv("GRAYSAM_MODELS", raising=False)
    names = ("napari-graysam", "torchvision", "sam2", "napari", "PySide6", "opencv-python-headless")
    versions = dict.fromkeys(names, "1.2.3")
    broken: set[str] = set()

    def version(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    def run(command: list[str], **_: object) -> SimpleNamespace:
        module = command[-1].split(";")[0].removeprefix("import ")
        if module in broken:
            return SimpleNamespace(returncode=1, stdout="", stderr="…\nRuntimeError: no nms")
        return SimpleNamespace(returncode=0, stdout="1.2.3\n", stderr="")

    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr(subprocess, "run", run)
    return SimpleNamespace(bundled=bundled, cache=cache, versions=versions, broken=broken)


def checks() -> dict[str, Check]:
    return {check.name: check for check in diagnose()}


def test_a_healthy_machine_passes_every_check(machine):
    found = checks()
    assert {
        "python", "napari-graysam", "torch", "torchvision", "sam2", "OpenCV", "Qt", "napari",
        "device", "bundled model", "official models", "cache folder", "disk space", "memory",
    } == set(found)  # fmt: skip
    assert {check.status for name, check in found.items() if name not in ("memory", "device")} == {
        "ok"
    }
    assert "million parameters" in found["bundled model"].detail


def test_torchvision_of_another_build_is_only_a_warning(machine):
    machine.broken.add("torchvision")
    check = checks()["torchvision"]
    assert check.status == "warn"
    assert "RuntimeError: no nms" in check.detail
    del machine.versions["torchvision"]
    assert checks()["torchvision"].status == "ok"


def test_two_opencvs_are_a_clash_and_none_is_a_failure(machine):
    machine.versions["opencv-python"] = "4.9"
    check = checks()["OpenCV"]
    assert check.status == "warn"
    assert "opencv-python-headless, opencv-python" in check.detail
    machine.broken.add("cv2")
    assert checks()["OpenCV"].status == "fail"


@pytest.mark.parametrize(
    ("name", "title"), [("PySide6", "Qt"), ("napari", "napari"), ("napari-graysam",) * 2]
)
def test_what_only_the_window_needs_is_a_warning(machine, name, title):
    del machine.versions[name]
    check = checks()[title]
    assert check.status == "warn"
    assert "pip install" in check.advice


def test_missing_bundled_weights_are_a_failure(machine):
    machine.bundled.unlink()
    check = checks()["bundled model"]
    assert check.status == "fail"
    assert "again" in check.advice


def test_a_damaged_model_on_disk_is_a_failure(machine):
    machine.cache.mkdir(parents=True)
    (machine.cache / find_entry("sam2.1_hiera_tiny").filename).write_bytes(b"half")
    found = checks()
    assert found["sam2.1_hiera_tiny"].status == "fail"
    assert "is not the published" in found["sam2.1_hiera_tiny"].detail
    assert "official models" not in found


def test_a_cache_folder_that_cannot_be_written_is_a_warning(machine):
    machine.cache.parent.write_text("a file where the folder should be")
    check = checks()["cache folder"]
    assert check.status == "warn"
    assert "GRAYSAM_MODELS" in check.advice


def test_a_model_folder_that_is_not_there_is_a_warning(machine, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAYSAM_MODELS", str(tmp_path / "absent"))
    check = checks()["model folder"]
    assert check.status == "warn"
    assert "absent does not exist" in check.detail


@pytest.mark.parametrize(("free", "status"), [(10**8, "warn"), (10**11, "ok")])
def test_scarce_memory_and_disk_space_are_warnings(machine, monkeypatch, free, status):
    import psutil

    usage = SimpleNamespace(free=free, available=free, total=10**11)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: usage)
    found = checks()
    assert found["memory"].status == found["disk space"].status == status


def test_an_examination_that_breaks_is_a_failure_and_the_others_go_on(machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "sam2.modeling.sam2_base", None)
    found = checks()
    assert found["sam2"].status == "fail"
    assert found["memory"].detail


def test_no_graphical_library_and_no_torchvision_is_imported():
    code = (
        "import sys; from napari_graysam import doctor\n"
        "doctor._try = lambda code: (True, '1')\n"
        "for name in ('_opencv', '_torchvision', '_napari', '_qt'):\n"
        "    list(getattr(doctor, name)())\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "assert not names & {'napari', 'qtpy', 'PyQt6', 'PySide6', 'torchvision', 'cv2'}, names"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
