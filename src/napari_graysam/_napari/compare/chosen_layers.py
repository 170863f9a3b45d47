"""Which two layers are compared, and with which ground truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        self._by_user = self._truth_by_user = False
        self._gone = ""
        for choice in (*choices.values(), truth):
            choice.layer_changed.connect(on_changed)
        for choice in choices.values():
            choice.activated.connect(self._on_user)
        truth.activated.connect(self._on_truth)

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
        problem = problem_with(
            layers.get("raw"), layers.get("preprocessed"), self.truth, self._viewer.dims
        )
        return self._gone + problem if problem and len(layers) < len(ARMS) else problem

    def choose(self, layers: Mapping[Arm, Labels]) -> None:
        """Choose both layers, as the user would."""
        self._by_user, self._gone = True, ""
        for arm, layer in layers.items():
            self._choices[arm].layer = layer
        if not self._truth_by_user:
            self._choose_truth()

    def follow(self) -> None:
        """Offer the layers that there are, and choose two that belong together.

        What the user chose stays chosen until it leaves the viewer; then the newest pair is
        followed again.
        """
        offered = labels_layers(self._viewer.layers)
        gone = [layer.name for layer in self.layers.values() if layer not in offered]
        if gone:
            self._by_user = False
            self._gone = " and ".join(f"“{name}”" for name in gone) + " left the viewer. "
        if self.truth is not None and self.truth not in offered:
            self._truth_by_user = False
        for choice in (*self._choices.values(), self._truth):
            choice.offer(offered)
        if not self._by_user:
            pair = pair_among(self._viewer.layers)
            if None not in pair:
                self._gone = ""
                for choice, layer in zip(self._choices.values(), pair, strict=True):
                    choice.layer = layer
        if not self._truth_by_user:
            self._choose_truth()

    def _choose_truth(self) -> None:
        """Choose a ground truth that lies on both layers, such as a sample's, or none."""
        if self.truth is not None and self._fits(self.truth):
            return
        truth = truth_among(self._viewer.layers)
        self._truth.layer = truth if truth is not None and self._fits(truth) else None

    def _fits(self, truth: Labels) -> bool:
        """Whether the chosen layers can be scored against a ground truth."""
        first, second = self.layers.get("raw"), self.layers.get("preprocessed")
        return truth not in (first, second) and not problem_with(
            first, second, truth, self._viewer.dims
        )

    def _on_user(self, index: int) -> None:
        self._by_user, self._gone = True, ""

    def _on_truth(self, index: int) -> None:
        self._truth_by_user = True
