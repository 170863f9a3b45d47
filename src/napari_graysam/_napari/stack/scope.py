"""What a run can segment: the plane that is shown, or all of a stack that it belongs to."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Literal, NamedTuple

from napari_graysam.errors import ImageError
from napari_graysam.source.stack_axes import chosen_positions

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_graysam._napari.canvas.source import Source
    from napari_graysam.recipe import Recipe, StackOptions

Axis = Literal["z", "t"]
KINDS: dict[Axis, str] = {"z": "as z-stack", "t": "as time series"}


class Scope(NamedTuple):
    """A stack that the shown plane belongs to.

    Attributes
    ----------
    axis
        What the recipe calls its axis.
    letter
        What the image's options call it; another one where neither is known.
    along
        The layer's axis.
    length
        Planes along it.
    chosen
        How many of them the recipe segments; 0 where it chooses none.
    words
        What is segmented, as a choice beside "this plane".
    """

    axis: Axis
    letter: str
    along: int
    length: int
    chosen: int
    words: str


class StackKey(NamedTuple):
    """Which stack a plane belongs to: results of one are never another's."""

    layer: Hashable
    along: int
    elsewhere: tuple[int, ...]
    region: Hashable | None


def key_of(source: Source, along: int) -> StackKey:
    """Return the stack of a plane along an axis of its layer."""
    index = (*source.index[:along], *source.index[along + 1 :])
    return StackKey(source.layer_id, along, index, source.region_id)


def scopes(source: Source, layer: Layer, recipe: Recipe) -> list[Scope]:
    """Return the stacks that a plane belongs to, one for each way to read them.

    Parameters
    ----------
    source
        The plane that is shown.
    layer
        Its layer; an axis that has no label may be depth or time.
    recipe
        Says which planes are segmented.
    """
    shape = source.placement.shape
    sizes = (layer.data[0] if layer.multiscale else layer.data).shape
    long = [
        (along, letter)
        for along, letter in enumerate(source.letters)
        if letter in ("Z", "T") and along < len(shape) and sizes[along] > 1
    ]
    found = []
    for along, letter in long:
        named = recipe.image.axes is not None or _label(layer, along) == letter
        axes: tuple[Axis, ...] = ("z", "t") if letter == "Z" else ("t", "z")
        for axis in axes[:1] if named or len(long) > 1 else ("z", "t"):
            length = int(sizes[along])
            chosen = _count(length, recipe.stack)
            text = f"all {length} planes" if chosen == length else f"{chosen} of {length} planes"
            if len(long) > 1:
                text += f" along {axis}"
            elif not named:
                text += f", {KINDS[axis]}"
            found.append(Scope(axis, letter, along, length, chosen, text))
    return found


def _label(layer: Layer, along: int) -> str:
    return str(layer.axis_labels[along]).strip().upper()[:1]


def _count(length: int, stack: StackOptions) -> int:
    try:
        return len(chosen_positions(length, stack))
    except ImageError:
        return 0


def asked_scope(found: list[Scope], axis: str) -> Scope | None:
    """Return the stack that a recipe's ``stack.axis`` asks for; None for the plane alone."""
    if axis == "auto":
        return found[0] if len(found) == 1 else None
    return next((scope for scope in found if scope.axis == axis), None)
