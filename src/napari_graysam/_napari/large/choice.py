"""What can be segmented of a large image, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_graysam._napari.canvas.part import plane_shape
from napari_graysam._napari.canvas.source import read_source
from napari_graysam._napari.large.extent import MULTISCALE
from napari_graysam._napari.panel.sections.run_view import duration
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState


def part_choices(state: PanelState, arms: int) -> list[tuple[str, str]]:
    """Return words and `Kind` of what is offered of a large image; nothing of others.

    Parameters
    ----------
    state
        The panel's.
    arms
        How many a run segments, which the time depends on.
    """
    if not state.extent.why_large(state.layer, state.recipe):
        return []
    level = state.recipe.tiles.level
    choices = [("this view, at " + (f"level {level}" if level else "the level shown"), "view")]
    if state.region is not None:
        choices.append(("this region" + (f", at level {level}" if level else ""), "region"))
    if state.recipe.tiles.use != "never":
        choices.append((_whole(state, arms), "whole"))
    return choices


def fits(state: PanelState) -> bool:
    """Whether the plane can be segmented in one piece."""
    return state.extent.why_large(state.layer, state.recipe) in ("", MULTISCALE)


def _whole(state: PanelState, arms: int) -> str:
    """Name the whole image, its tiles, and the time by what the last points took."""
    from napari_graysam.recipe import for_image
    from napari_graysam.tiles.extent import likely_grid

    recipe, layer = state.recipe, state.layer
    assert layer is not None
    try:
        source = read_source(state.viewer, layer, recipe.image)
        shape = plane_shape(layer, source.placement.axes, recipe.tiles.level)
        grid, known = likely_grid(shape, recipe)
    except GraysamError:
        return "whole image"
    tiles = f"{len(grid):,} tile{'s' * (len(grid) > 1)}"
    text = f"{tiles if known else f'about {tiles}'}"
    pace = state.memory.pace
    if pace is not None and pace.model == recipe.model:
        from napari_graysam.tiles.points import count_points

        sized = for_image(recipe, (min(grid.size, max(shape)),) * 2)
        points = count_points(shape, grid.size, sized.generator)
        text += f", about {duration(pace.seconds * points * arms)}"
    level = f", at level {recipe.tiles.level}" if recipe.tiles.level else ""
    return f"whole image{level} ({text})"
