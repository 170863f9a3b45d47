"""Whether two results are of the same image and region, by content and not by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.layers import about

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_graysam.results import Segmentation

Identity = tuple[str, str]
"""Digests of the image with its window, and of the region."""


def comparable(one: Segmentation, other: Segmentation) -> bool:
    """Whether the results of two runs are of the same image and region."""
    return _identity(one.provenance) == _identity(other.provenance)


def comparable_layers(one: Layer, other: Layer) -> bool:
    """Whether two layers may be compared: unless both say that they are of different images."""
    first, second = (_identity(about(layer).get("provenance")) for layer in (one, other))
    return first is None or second is None or first == second


def _identity(provenance: Any) -> Identity | None:
    """Return what was segmented; None where it is not known."""
    try:
        fingerprint = provenance["fingerprint"]
        return fingerprint["stages"]["image"], fingerprint["inputs"]["region"]
    except (KeyError, TypeError):
        return None
