"""File ▸ Open Sample: the sample images as layers."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari_graysam._napari.canvas.layers import KEY
from napari_graysam.samples import samples

LayerData = tuple[Any, dict[str, Any], str]


def open_sample(name: str) -> list[LayerData]:
    """Return a sample image and, where it is known, its hidden ground truth.

    Parameters
    ----------
    name
        A key of `napari_graysam.samples.samples`.

    Returns
    -------
    layers
        An Image layer, followed by a Labels layer if the sample has a ground truth. Both say in
        ``metadata["napari-graysam"]`` which sample they are and which recipe preset suits it.
    """
    sample = samples()[name]
    about = {"sample": name, "description": sample.description, "preset": sample.preset}
    placed: dict[str, Any] = {}
    scale = sample.scale()
    if sample.axis is not None and scale is not None:
        unit = "second" if sample.axis == "t" else "micrometer"
        placed = {
            "axis_labels": (sample.axis, "y", "x"),
            "scale": scale,
            "units": (unit, "micrometer", "micrometer"),
        }
    image = {"name": sample.title, "metadata": {KEY: about}, **placed}
    layers: list[LayerData] = [(sample.load(), image, "image")]
    truth = sample.truth()
    if truth is not None:
        hidden = {
            "name": f"{sample.title}: ground truth",
            "visible": False,
            "metadata": {KEY: {**about, "ground_truth": True}},
            **placed,
        }
        layers.append((truth, hidden, "labels"))
    return layers


def __getattr__(name: str) -> partial[list[LayerData]]:
    """Return the command that opens a sample; the manifest names commands like their samples."""
    if name not in samples():
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return partial(open_sample, name)
