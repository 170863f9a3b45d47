"""What can be segmented of a large image, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_graysam._napari.large.extent import MULTISCALE

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState


def part_choices(state: PanelState) -> list[tuple[str, str]]:
    """Return words and `Kind` of what is offered of a large image; nothing of others."""
    if not state.extent.why_large(state.layer, state.recipe):
        return []
    level = state.recipe.tiles.level
    choices = [("this view, at " + (f"level {level}" if level else "the level shown"), "view")]
    if state.region is not None:
        choices.append(("this region" + (f", at level {level}" if level else ""), "region"))
    return choices


def fits(state: PanelState) -> bool:
    """Whether the plane can be segmented in one piece."""
    return state.extent.why_large(state.layer, state.recipe) in ("", MULTISCALE)
