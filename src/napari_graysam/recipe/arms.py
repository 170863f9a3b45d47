"""What a recipe says about the raw and the preprocessed arm: one of them, or both together."""

from __future__ import annotations

from typing import Literal, NamedTuple

ArmsChoice = Literal["raw", "preprocessed", "union", "consensus"]
ArmsThresholds = Literal["same", "matched"]


class BothArms(NamedTuple):
    """How the candidates of both arms become one selection.

    Attributes
    ----------
    consensus
        Only objects that both arms found; otherwise those of either.
    matched
        Whether the preprocessed arm has the threshold of the predicted IoU that keeps as many
        of its candidates as the recipe's keeps of the raw arm's.
    """

    consensus: bool = False
    matched: bool = False
