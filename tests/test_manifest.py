from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from napari_graysam.documents import load_yaml
from napari_graysam.samples import samples

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / "src" / "napari_graysam" / "napari.yaml"


@pytest.fixture(scope="module")
def manifest():
    import npe2

    return npe2.PluginManifest.from_file(ROOT / "napari.yaml")


def test_the_manifest_at_the_top_is_the_packaged_one(manifest):
    assert manifest.name == "napari-graysam"
    packaged, top = (
        load_yaml(path.read_text(encoding="utf-8"), path.name)
        for path in (MANIFEST, ROOT / "napari.yaml")
    )
    assert packaged == top


def test_every_command_can_be_imported(manifest):
    for command in manifest.contributions.commands:
        assert command.id.startswith("napari-graysam.")
        module, _, attribute = command.python_name.partition(":")
        assert callable(EntryPoint("x", f"{module}:{attribute}", "x").load())


def test_every_contribution_has_a_command(manifest):
    known = {command.id for command in manifest.contributions.commands}
    assert {sample.command for sample in manifest.contributions.sample_data} <= known


def test_open_sample_offers_every_sample(manifest):
    offered = {entry.key: entry for entry in manifest.contributions.sample_data}
    assert list(offered) == list(samples())
    for name, sample in samples().items():
        assert offered[name].display_name == sample.title
        assert offered[name].command == f"napari-graysam.sample.{name}"


def test_samples_open_as_layers(manifest):
    from napari.layers import Image, Labels, Layer

    commands = {command.id: command for command in manifest.contributions.commands}
    for entry in manifest.contributions.sample_data:
        opener = EntryPoint("x", commands[entry.command].python_name, "x").load()
        layers = [Layer.create(*layer) for layer in opener()]
        sample = samples()[entry.key]
        assert isinstance(layers[0], Image)
        assert layers[0].name == sample.title
        assert layers[0].data.shape == sample.load().shape
        about = layers[0].metadata["napari-graysam"]
        assert (about["sample"], about["preset"]) == (entry.key, sample.preset)
        if sample.axis is not None:
            assert all(layer.axis_labels == (sample.axis, "y", "x") for layer in layers)
            assert all(tuple(layer.scale) == sample.scale() for layer in layers)
            first = "second" if sample.axis == "t" else "micrometer"
            units = [first, "micrometer", "micrometer"]
            assert all([str(unit) for unit in layer.units] == units for layer in layers)
        if sample.labels is None:
            assert len(layers) == 1
        else:
            assert isinstance(layers[1], Labels)
            assert not layers[1].visible
            assert (layers[1].data == sample.truth()).all()
