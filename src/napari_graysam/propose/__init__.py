"""From a view to proposals: every candidate mask of the model, with scores, unfiltered."""

from napari_graysam.propose.generator import propose
from napari_graysam.propose.proposals import Proposals, rescore

__all__ = ["Proposals", "propose", "rescore"]
