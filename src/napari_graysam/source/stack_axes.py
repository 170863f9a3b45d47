"""Which planes of an image are one stack: along z or along t."""

from __future__ import annotations

from typing import Literal

import numpy as np

from napari_graysam.errors import ImageError
from napari_graysam.recipe import StackOptions
from napari_graysam.source.axes import CHOICES, Layout, guess

Axis = Literal["z", "t"]
NAMES = {"Z": "z", "T": "t"}


def stack_axes(shape: tuple[int, ...], axes: str | None, stack: StackOptions) -> str:
    """Return the letter of every axis of a stack.

    Parameters
    ----------
    shape
        Of the image.
    axes
        As the recipe or the file names them, ``?`` for one whose meaning the file does not tell;
        None where nothing is known.
    stack
        ``axis`` names one that is not known.

    Raises
    ------
    ImageError
        The axes cannot be told; the message lists the choices.
    """
    axes = axes or guess(shape) or ("?YX" if len(shape) == 3 else None)
    if axes is None:
        known = [one for one in CHOICES.get(len(shape), ()) if set(one) & set("ZT")]
        raise ImageError(
            f"The axes of an array of shape {shape} are not known; name them, such as "
            + " or ".join(f"image.axes={one}" for one in known or ("TZCYX",))
        )
    if "?" not in axes:
        return axes
    free = [letter for letter in "ZT" if letter not in axes]
    wanted = stack.axis.upper() if stack.axis in ("z", "t") else None
    if wanted in free:
        return axes.replace("?", wanted)
    if wanted and free:
        return axes.replace("?", free[0])
    raise ImageError(
        f"Nothing says whether the {shape[axes.index('?')]} planes of shape {shape} lie along z "
        "or t: choose stack.axis=z or stack.axis=t"
    )


def stack_planes(layout: Layout, stack: StackOptions) -> tuple[Axis, list[int]]:
    """Return the axis of a stack, and the number of the plane at each position along it.

    Numbers count along all leading axes together, as ``image.plane`` does.

    Raises
    ------
    ImageError
        There is no such axis, one plane only, or a second long axis without a choice.
    """
    long = [letter for letter in "ZT" if layout.size(letter) > 1]
    where = f"The image of shape {layout.shape} with axes {layout.axes}"
    if not long:
        raise ImageError(
            f"{where} is one plane only, no stack: leave stack.axis out, name its axes with "
            "image.axes, or write planes that lie in files of their own into one TIFF file, all "
            "of the same height and width"
        )
    letter = long[0] if stack.axis == "auto" else stack.axis.upper()
    if stack.axis == "auto" and len(long) > 1:
        choices = " or ".join(
            f"stack.axis={NAMES[one]} with stack.at=N (0..{layout.size(other) - 1})"
            for one, other in (("Z", "T"), ("T", "Z"))
        )
        raise ImageError(f"{where} is long in z and in t; choose {choices}")
    if letter not in long:
        raise ImageError(
            f"{where} has no planes along {NAMES[letter]}: choose stack.axis={NAMES[long[0]]}, or "
            "name its axes with image.axes if the file is wrong"
        )
    others = [one for one in long if one != letter]
    at = _position(where, layout, others[0], stack) if others else 0
    if not others and stack.at:
        raise ImageError(f"{where} has no second axis for stack.at={stack.at}: leave it out")
    counts = [layout.shape[i] for i in layout.leading]
    letters = [layout.axes[i] for i in layout.leading]
    numbers = []
    for position in range(layout.size(letter)):
        here = [position if one == letter else at if one in others else 0 for one in letters]
        numbers.append(int(np.ravel_multi_index(here, counts)))
    return ("z" if letter == "Z" else "t"), numbers


def _position(where: str, layout: Layout, other: str, stack: StackOptions) -> int:
    last = layout.size(other) - 1
    if stack.at is None or stack.at > last:
        given = "" if stack.at is None else f", and stack.at={stack.at} does not exist"
        raise ImageError(
            f"{where} is long in {NAMES[other]} as well{given}: choose one stack with stack.at=N "
            f"(0..{last}), its position along {NAMES[other]}"
        )
    return stack.at


def chosen_positions(count: int, stack: StackOptions) -> range:
    """Return the positions along the axis that ``first``, ``last`` and ``step`` choose.

    Raises
    ------
    ImageError
        There are none.

    Examples
    --------
    >>> list(chosen_positions(9, StackOptions(first=2, step=3)))
    [2, 5, 8]
    """
    first = 0 if stack.first is None else stack.first
    last = count - 1 if stack.last is None else stack.last
    if not first <= last < count:
        raise ImageError(
            f"stack.first={first} and stack.last={last} choose no planes of {count}: expected "
            f"0 ≤ first ≤ last ≤ {count - 1}"
        )
    if stack.step > 1 and first < last < first + stack.step:
        raise ImageError(
            f"stack.step={stack.step} leaves one plane of {first}..{last}: expected at most "
            f"{last - first}"
        )
    return range(first, last + 1, stack.step)
