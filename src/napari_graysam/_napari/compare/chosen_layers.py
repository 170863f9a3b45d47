"""Which two layers are compared, and with which ground truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_graysam._napari.compare.choices import LayerChoice
from napari_graysam._napari.compare.pairing import (
    arm_of,
    labels_layers,
    pair_among,
    problem_with,
    truth_among,
)
from napari_graysam.comparison import ARMS, Arm

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer


class ChosenLayers:
    """The chosen layers; chooses what belongs together until the user does.

    Parameters
    ----------
    viewer
        Whose layers are offered.
    choices, truth
        The combo boxes.
    on_changed
        Called when another layer is chosen.
    """

    def __init__(
        self,
        viewer: Viewer,
        choices: dict[Arm, LayerChoice],
        truth: LayerChoice,
        on_changed: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._choices = choices
        self._truth = truth
        self._by_user = False
        self._gone = ""
        for choice in (*choices.values(), truth):
            choice.layer_changed.connect(on_changed)
            choice.activated.connect(self._on_user)

    @property
    def layers(self) -> dict[Arm, Labels]:
        """The layers to compare, the first one under ``"raw"``; only those that are chosen."""
        chosen = {arm: choice.layer for arm, choice in self._choices.items()}
        return {arm: layer for arm, layer in chosen.items() if layer is not None}

    @property
    def truth(self) -> Labels | None:
        """The ground truth."""
        return self._truth.layer

    @property
    def names(self) -> dict[Arm, str]:
        """What the arms are called: raw and preprocessed, or first and second."""
        arms = {arm: arm_of(layer) for arm, layer in self.layers.items()}
        if all(arms.get(arm) == arm for arm in ARMS):
            return {arm: arm for arm in ARMS}
        return {"raw": "first", "preprocessed": "second"}

    @property
    def problem(self) -> str:
        """What keeps the layers from being compared; empty if nothing does."""
        layers = self.layers
        problem = problem_with(layers.get("raw"), layers.get("preprocessed"), self.truth)
        return self._gone + problem if problem and len(layers) < len(ARMS) else problem

    def follow(self) -> None:
        """Offer the layers that there are, and choose two that belong together."""
        offered = labels_layers(self._viewer.layers)
        gone = [layer.name for layer in self.layers.values() if layer not in offered]
        if gone:
            self._gone = " and ".join(f"“{name}”" for name in gone) + " left the viewer. "
        for choice in (*self._choices.values(), self._truth):
            choice.offer(offered)
        if not (self._by_user or self._gone):
            pair = pair_among(self._viewer.layers)
            if None not in pair:
                for choice, layer in zip(self._choices.values(), pair, strict=True):
                    choice.layer = layer
        self._choose_truth()

    def _choose_truth(self) -> None:
        """Choose a ground truth that lies on both layers, such as a sample's."""
        truth, layers = truth_among(self._viewer.layers), self.layers
        if self._by_user or self.truth is not None or truth in (None, *layers.values()):
            return
        if not problem_with(layers.get("raw"), layers.get("preprocessed"), truth):
            self._truth.layer = truth

    def _on_user(self, index: int) -> None:
        self._by_user, self._gone = True, ""
