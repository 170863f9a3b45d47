"""The source archive and the wheel: what is in them, and what they say of themselves."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

from napari_graysam.documents import load_yaml
from napari_graysam.samples import samples

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
REPOSITORY = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]


def build(folder, target, place):
    """Build one archive of a folder of sources, without network, and return its path."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(place)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (made,) = place.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Build the source archive and return the folder it unpacks to."""
    place = tmp_path_factory.mktemp("source")
    with tarfile.open(build(ROOT, "sdist", place)) as archive:
        archive.extractall(place, filter="data")
    return place / f"napari_graysam-{PROJECT['project']['version']}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    with zipfile.ZipFile(build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return BytesParser().parsebytes(wheel.read(name))


def test_the_source_archive_is_what_git_knows_and_nothing_else(source):
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    known = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True)
    if known.returncode:
        pytest.skip("not in a git repository")
    packed = {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if path.is_symlink() or path.is_file()
    }
    assert packed == {*filter(None, known.stdout.split("\0")), "PKG-INFO"}
    for name in ("LICENSE", "docs/recipes.md", "sample_data/faint.tif", "tests/run"):
        assert (source / name).read_bytes() == (ROOT / name).read_bytes()
    assert (source / "tests" / "run").stat().st_mode & 0o100


@pytest.mark.slow
def test_the_source_archive_makes_the_same_wheel(source, wheel, tmp_path):
    with zipfile.ZipFile(build(source, "wheel", tmp_path)) as again:
        assert {file.filename: file.CRC for file in again.filelist} == {
            file.filename: file.CRC for file in wheel.filelist
        }


def test_the_wheel_has_every_file_of_the_program_once(wheel):
    names = wheel.namelist()
    assert len(names) == len(set(names))
    package = ROOT / "src" / "napari_graysam"
    for file in package.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            name = f"napari_graysam/{file.relative_to(package).as_posix()}"
            assert wheel.read(name) == file.read_bytes()
    for needed in ("napari.yaml", "py.typed", "model/bundled/graysam-small.safetensors"):
        assert f"napari_graysam/{needed}" in names
    for sample in samples().values():
        for file in filter(None, (sample.file, sample.labels, sample.tracks)):
            assert f"napari_graysam/sample_data/{file}" in names
    assert {name.split("/", 1)[0] for name in names} == {
        "napari_graysam",
        f"napari_graysam-{PROJECT['project']['version']}.dist-info",
    }
    for licence in ("LICENSE", "NOTICE"):
        assert any(name.endswith(f".dist-info/licenses/{licence}") for name in names)


def test_napari_and_the_shell_find_the_program(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    entries = wheel.read(name).decode()
    assert "[napari.manifest]\nnapari-graysam = napari_graysam:napari.yaml" in entries
    assert "[console_scripts]\ngraysam = napari_graysam.cli:main" in entries


def test_every_address_of_the_project_is_in_its_repository(metadata):
    addresses = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL"))
    wanted = {"Homepage", "Documentation", "Source", "Bug Tracker", "User Support"}
    assert wanted <= addresses.keys()
    for address in addresses.values():
        assert address == REPOSITORY or address.startswith(f"{REPOSITORY}/")
        if "/blob/HEAD/" in address:
            assert (ROOT / address.split("/blob/HEAD/")[1]).is_file()


def test_the_readme_of_the_package_is_the_readme_with_absolute_links(metadata):
    assert metadata["Description-Content-Type"] == "text/markdown"
    shown = metadata.get_payload(decode=True).decode()
    links = re.findall(r"\]\(([^)]+)\)", shown)
    assert all(re.match(r"https://|#", link) for link in links)
    within = [link.removeprefix(f"{REPOSITORY}/") for link in links if link.startswith(REPOSITORY)]
    assert any(link.endswith(".jpg") for link in within)
    for link in within:
        kind, _, target = link.partition("/HEAD/")
        assert kind == ("raw" if Path(target).suffix in {".jpg", ".png"} else "blob")
        assert (ROOT / target.partition("#")[0]).is_file()
    for kind in ("raw", "blob"):
        shown = shown.replace(f"]({REPOSITORY}/{kind}/HEAD/", "](")
    assert shown.strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()


def test_versions_are_one(metadata):
    citation = load_yaml((ROOT / "CITATION.cff").read_text(encoding="utf-8"), "CITATION.cff")
    recipe = load_yaml((ROOT / "packaging/recipe.yaml").read_text(encoding="utf-8"), "recipe")
    version = PROJECT["project"]["version"]
    assert (
        metadata["Version"] == str(citation["version"]) == recipe["context"]["version"] == version
    )
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_conda_recipe_asks_for_the_same_packages(metadata):
    """Names differ where conda-forge has others; bounds never do."""
    renamed = {"matplotlib-base": "matplotlib", "py-opencv": "opencv-python-headless"}
    renamed |= {"pytorch": "torch", "sam-2": "sam2"}
    recipe = load_yaml((ROOT / "packaging/recipe.yaml").read_text(encoding="utf-8"), "recipe")
    there = {}
    for line in recipe["requirements"]["run"]:
        name, _, bound = line.partition(" ")
        there[renamed.get(name, name)] = bound
    here = {"python": metadata["Requires-Python"]}
    for line in PROJECT["project"]["dependencies"]:
        name, bound = re.fullmatch(r"([\w.-]+)(?:\[\w+\])?(.*)", line).groups()
        here[name] = bound
    assert there.pop("distributed") == here["dask"]
    assert there == here
    assert (
        f"hatchling {PROJECT['build-system']['requires'][0].removeprefix('hatchling')}"
        in (recipe["requirements"]["host"])
    )
