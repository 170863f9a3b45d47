"""Repeated selection from the same proposals: what a moving slider asks for."""

from __future__ import annotations

from napari_graysam.propose import Proposals
from napari_graysam.recipe import GeneratorOptions, LabelOptions
from napari_graysam.select.masks import Mask
from napari_graysam.select.selection import select


class Tuner:
    """Selects masks among proposals again and again, remembering what does not change.

    Parameters
    ----------
    proposals
        Of one image, kept down to floors below any threshold that will be asked for.
    """

    def __init__(self, proposals: Proposals) -> None:
        self.proposals = proposals

    def select(
        self, generator: GeneratorOptions, labels: LabelOptions, source: str = "raw"
    ) -> tuple[Mask, ...]:
        """Return what `napari_graysam.select.select` returns for the same arguments."""
        return select(self.proposals, generator, labels, source)
