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
from napari_graysam.source.stack import Stack

ROOT = Path(__file__).parents[1]
OURS = [name for name, sample in samples().items() if sample.file and not sample.axis]
STACKS = [name for name, sample in samples().items() if sample.axis]
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
    for name in OURS + STACKS:
        line = next(line for line in readme.splitlines() if f"`{name}.tif`" in line)
        assert f"`{samples()[name].preset}`" in line


def test_the_folder_is_small_and_holds_nothing_unlisted():
    files = [path for path in (ROOT / "sample_data").iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 3_000_000
    assert max(path.stat().st_size for path in files) <= 600_000
    listed = {name for n in OURS + STACKS for name in (samples()[n].file, samples()[n].labels)}
    assert {path.name for path in files if path.suffix == ".tif"} == listed


def test_there_is_a_stack_through_depth_and_one_through_time():
    assert {samples()[name].axis for name in STACKS} == {"z", "t"}


@pytest.mark.parametrize("name", STACKS)
def test_stacks_say_their_axis_and_sizes_like_any_file(name):
    sample = samples()[name]
    stack = Stack(ROOT / "sample_data" / sample.file, Recipe().with_values({"stack.axis": "auto"}))
    assert stack.axis == sample.axis
    assert (stack.spacing, *stack.pixel_size) == sample.scale()
    assert sample.load().shape == sample.truth().shape == (len(stack), *stack.shape)
    assert sample.load().dtype == np.uint16


def test_files_of_samples_have_a_place():
    sample = samples()["nuclei_stack"]
    with sample.path() as image, sample.path("labels") as labels:
        assert (image.name, labels.name) == (sample.file, sample.labels)
        assert image.is_file()
    with pytest.raises(GraysamError, match="coins has no file of its own"):
        samples()["coins"].path()


def planes_of(truth):
    """Say in which planes each object is."""
    every = [set(np.unique(plane).tolist()) - {0} for plane in truth]
    numbers = sorted(set().union(*every))
    return {n: [p for p, there in enumerate(every) if n in there] for n in numbers}


@pytest.mark.parametrize("name", STACKS)
def test_one_object_of_a_stack_misses_one_plane_where_it_is_not_to_be_seen(name):
    image, truth = samples()[name].load(), samples()[name].truth()
    broken = {n: p for n, p in planes_of(truth).items() if p[-1] - p[0] + 1 != len(p)}
    assert len(broken) == 1
    number, planes = broken.popitem()
    (missing,) = set(range(planes[0], planes[-1])) - set(planes)
    around = (truth[missing - 1] == number) & (truth[missing + 1] == number)
    dark, light = image[missing][around].mean() - 100, image[missing - 1][around].mean() - 100
    assert dark < 0.3 * light
    assert (truth[missing][around] == 0).all()


@pytest.mark.parametrize("name", STACKS)
def test_two_objects_of_a_stack_touch(name):
    truth = samples()[name].truth()
    touching = (
        (truth[:, :, 1:] != truth[:, :, :-1]) & (truth[:, :, 1:] > 0) & (truth[:, :, :-1] > 0)
    )
    assert touching.sum() > 20


def test_nuclei_vary_in_size_and_lie_at_all_depths():
    truth = samples()["nuclei_stack"].truth()
    voxels = np.bincount(truth.ravel())[1:]
    assert len(voxels) >= 20
    assert voxels.max() > 3 * voxels.min()
    assert (truth > 0).any((1, 2)).all()


def test_two_cells_divide_where_the_lineage_says():
    sample = samples()["dividing_cells"]
    truth, tracks = sample.truth(), sample.lineage()
    there = planes_of(truth)
    assert {t.label: (t.first, t.last) for t in tracks} == {
        label: (planes[0], planes[-1]) for label, planes in there.items()
    }
    mothers = [t.parent for t in tracks if t.parent]
    for track in tracks:
        if track.parent:
            assert there[track.parent][-1] == track.first - 1
            mother = np.argwhere(truth[track.first - 1] == track.parent).mean(0)
            child = np.argwhere(truth[track.first] == track.label).mean(0)
            assert np.linalg.norm(child - mother) < 15
    assert all(np.count_nonzero(np.array(mothers) == one) == 2 for one in mothers)
    assert len(set(mothers)) == 2


def test_the_lineage_is_only_of_time_series():
    assert samples()["nuclei_stack"].lineage() == samples()["faint"].lineage() == ()


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


@pytest.mark.parametrize("name", STACKS)
def test_the_script_draws_the_same_stacks(name, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "training"))
    seed, draw = import_module("make_samples").STACKS[name]
    drawn, sample = draw(np.random.default_rng(seed)), samples()[name]
    assert (drawn.labels == sample.truth()).mean() > 0.999
    assert np.corrcoef(drawn.image.ravel(), sample.load().ravel())[0, 1] > 0.95
    assert drawn.tracks == sample.lineage()
