import shutil
import socket
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import napari_graysam.samples
from napari_graysam.errors import GraysamError
from napari_graysam.preprocess import apply
from napari_graysam.recipe import Recipe, presets
from napari_graysam.samples import Sample, folder, samples

ROOT = Path(__file__).parents[1]
OURS = [name for name, sample in samples().items() if sample.file]
REAL = [name for name, sample in samples().items() if sample.skimage]


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a sample asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_there_are_six_kinds_of_ours_and_some_real_ones():
    assert {"nuclei_uneven", "phase_cells", "membranes"} <= set(OURS)
    assert {"particles", "em_texture", "faint"} <= set(OURS)
    assert {"coins", "cell"} <= set(REAL)


@pytest.mark.parametrize("name", OURS)
def test_ours_have_exact_truth(name):
    image, truth = samples()[name].load(), samples()[name].truth()
    assert image.dtype in (np.uint8, np.uint16)
    assert image.shape == truth.shape
    assert 256 <= min(image.shape) <= max(image.shape) <= 512
    areas = np.bincount(truth.ravel())[1:]
    assert len(areas) >= 20
    assert areas.min() >= 12


@pytest.mark.parametrize("name", REAL)
def test_real_images_are_gray_and_need_no_network(name, offline):
    image = samples()[name].load()
    assert image.ndim == 2
    assert image.dtype == np.uint8
    assert np.ptp(image) > 50
    assert samples()[name].truth() is None


def test_every_sample_says_what_suits_it():
    for name, sample in samples().items():
        assert sample.name == name
        assert sample.preset in presets()
        assert sample.title
        assert len(sample.description) > 30
    readme = (ROOT / "sample_data" / "README.md").read_text(encoding="utf-8")
    for name in OURS:
        line = next(line for line in readme.splitlines() if f"`{name}.tif`" in line)
        assert f"`{samples()[name].preset}`" in line


def test_the_folder_is_small_and_holds_nothing_unlisted():
    files = [path for path in (ROOT / "sample_data").iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 3_000_000
    listed = {samples()[n].file for n in OURS} | {samples()[n].labels for n in OURS}
    assert {path.name for path in files if path.suffix == ".tif"} == listed


def test_bit_depths_and_tiling():
    assert samples()["nuclei_uneven"].load().dtype == np.uint16
    assert (samples()["membranes"].truth() > 0).all()


def test_light_hides_part_of_the_nuclei():
    image, truth = (samples()["nuclei_uneven"].load(), samples()["nuclei_uneven"].truth())
    sums = np.bincount(truth.ravel(), image.ravel().astype(float) - np.median(image))
    brightness = (sums / np.bincount(truth.ravel()))[1:]
    assert np.percentile(brightness, 95) > 5 * np.percentile(brightness, 5)


def test_faint_cells_vanish_in_eight_bits_and_the_preset_reveals_them():
    sample = samples()["faint"]
    image, truth = sample.load().astype(np.float32), sample.truth()
    low, high = np.percentile(image, [0.1, 99.9])
    window = np.clip((image - low) / (high - low), 0, 1).astype(np.float32)
    peaks = [np.median(window[truth == label]) for label in range(1, truth.max() + 1)]
    cells = np.flatnonzero(np.array(peaks) < 0.5) + 1
    assert len(cells) >= 15
    cell = np.isin(truth, cells)

    def levels(view):
        view = np.rint(view * 255)
        return float(np.median(view[cell]) - np.median(view[truth == 0]))

    assert abs(levels(window)) <= 1
    assert levels(apply(window, Recipe.preset(sample.preset).preprocess)) > 30


def package_at(monkeypatch, place):
    place.mkdir(parents=True)
    monkeypatch.setattr(napari_graysam.samples, "files", lambda _: place)
    return place


def test_found_inside_an_installed_package(tmp_path, monkeypatch):
    package = package_at(monkeypatch, tmp_path / "site-packages" / "napari_graysam")
    shutil.copytree(ROOT / "sample_data", package / "sample_data")
    assert folder() == package / "sample_data"
    assert samples()["membranes"].truth().max() > 20


def test_found_beside_the_sources_of_a_checkout(tmp_path, monkeypatch):
    package_at(monkeypatch, tmp_path / "src" / "napari_graysam")
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    assert folder() == tmp_path / "sample_data"


def test_missing_files_are_named(tmp_path, monkeypatch):
    package = package_at(monkeypatch, tmp_path / "site-packages" / "napari_graysam")
    with pytest.raises(GraysamError, match=r"no samples\.yaml in .*site-packages"):
        samples()
    (package / "sample_data").mkdir()
    shutil.copy(ROOT / "sample_data" / "samples.yaml", package / "sample_data")
    with pytest.raises(GraysamError, match=r"faint\.tif is missing"):
        samples()["faint"].load()


def test_a_sample_has_exactly_one_source():
    about = {"name": "x", "title": "x", "description": "x", "preset": "raw"}
    with pytest.raises(ValueError, match="either a file or a skimage name"):
        Sample(**about)
    with pytest.raises(ValueError, match="either a file or a skimage name"):
        Sample(**about, file="x.tif", skimage="coins")


@pytest.mark.parametrize("name", OURS)
def test_the_script_draws_the_same_images(name, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "training"))
    make = import_module("make_samples")
    seed, paint = make.SAMPLES[name]
    image, labels = paint(np.random.default_rng(seed))
    assert (labels == samples()[name].truth()).mean() > 0.999
    stored = samples()[name].load()
    assert image.dtype == stored.dtype
    assert np.corrcoef(image.ravel(), stored.ravel())[0, 1] > 0.95
