"""What the votes answer to prompts of several places: a box, points on and points off an object."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from napari_graysam.model.bundled.prompts import CORNER_FIRST, CORNER_LAST, POINT_OFF, POINT_ON
from napari_graysam.model.bundled.scene import STRIDE, UNIT, Places, Scene, Window

_HALF = math.log(0.5)
_NEVER = -20.0
_REACH, _STEEP = 1.2, 20.0
"""How far a box's object may reach, in halves of its sides, and how steeply it ends there."""


class Drawn(NamedTuple):
    """The answer to one prompt, within the only window where its mask can be.

    Attributes
    ----------
    window
        Of n places.
    rows, columns
        Of the scene, that the window takes.
    log_probability
        (L, n), of each level.
    centre, sharpness
        (L, 2) and (L,), the means of the votes.
    """

    window: Window
    rows: slice
    columns: slice
    log_probability: Tensor
    centre: Tensor
    sharpness: Tensor


def combined(scene: Scene, prompt: Tensor) -> Drawn:
    """Answer a box, several points or both.

    Parameters
    ----------
    scene
        The votes.
    prompt
        (T, 3), of the prompt encoder: x, y, label.
    """
    at, label = prompt[:, :2], prompt[:, 2].long()
    on, off = at[label == POINT_ON], at[label == POINT_OFF]
    corners = torch.stack([at[label == CORNER_FIRST], at[label == CORNER_LAST]])
    rows, columns = (slice(0, count) for count in scene.size)
    places: Window = scene
    answers = []
    if corners.shape[1]:
        box = _Box.of(corners[:, 0] / UNIT)
        # Farther away the box alone allows no more than _NEVER.
        rows, columns = box.around(_REACH - _NEVER / _STEEP, scene.size)
        places = scene.window(rows, columns)
        answers.append(_boxed(places, box))
    if len(on):
        answers.append(places.agreement(*scene.at(on)).amax(0))
    inside = torch.stack(answers).amax(0)
    if len(off):
        inside = torch.minimum(inside, _left(scene, places, on, off))
    centre, sharpness = places.mean(inside.exp()[None])
    return Drawn(places, rows, columns, inside, centre[0], sharpness[0])


class _Box(NamedTuple):
    """The middle (2,) of a box and half its sides (2,), in units of 32 pixels."""

    middle: Tensor
    reach: Tensor

    @classmethod
    def of(cls, corners: Tensor) -> _Box:
        """Return the box of two corners (2, 2)."""
        low, high = corners.amin(0), corners.amax(0)
        return cls((low + high) / 2, ((high - low) / 2).clamp(min=STRIDE / UNIT))

    def around(self, gap: float, size: tuple[int, int]) -> tuple[slice, slice]:
        """Return the rows and columns of (h, w) places up to a gap, from even numbers on."""
        low, high = ((self.middle + sign * gap * self.reach) * (UNIT / STRIDE) for sign in (-1, 1))
        spans = []
        for first, last, count in zip(low.tolist(), high.tolist(), reversed(size), strict=True):
            start = min(max(0, math.floor(first) // 2 * 2), (count - 1) // 2 * 2)
            stop = min(count, math.ceil(last / 2) * 2)
            spans.append(slice(start, max(stop, min(start + 2, count))))
        return spans[1], spans[0]

    def gap(self, place: Tensor) -> Tensor:
        """Return how far places (2, N) lie from the middle; 1 on the border."""
        return ((place - self.middle[:, None]).abs() / self.reach[:, None]).amax(0)


def _boxed(places: Places, box: _Box) -> Tensor:
    """Return the log probabilities (L, N) of what fills a box."""
    gap = box.gap(places.place)
    inside = (gap < 1).float()
    away = (places.vote - box.middle[:, None]) / (0.5 * box.reach[:, None])
    weight = (inside * places.foreground * torch.exp(-away.square().sum(1) / 2))[None]
    for _ in range(2):
        u = places.agreement(*places.mean(weight))
        weight = u.exp() * inside
    # Nothing far outside the box is its object.
    return torch.minimum(u[0], _STEEP * (_REACH - gap))


def _left(scene: Scene, places: Places, on: Tensor, off: Tensor) -> Tensor:
    """Return log probabilities (L, N) of not being what points off the object lie on.

    Where such a point lies on the same object as one on it, places nearer to it are taken.
    """
    centre, sharpness = scene.at(off)
    denied = places.agreement(centre, sharpness).clamp(max=-1e-4)  # (K, L, N)
    free = torch.log(-torch.expm1(denied))
    if not len(on):
        return free.amin(0)
    shared = scene.only(scene.index(on)).agreement(centre, sharpness)
    same = (shared > _HALF).any(-1)  # (K, L)
    near = torch.cdist(places.place.T, on / UNIT).amin(1)
    far = torch.cdist(places.place.T, off / UNIT).T  # (K, N)
    nearer = functional.logsigmoid(UNIT * (far - near))[:, None]
    return torch.where(same[..., None], nearer, free).amin(0)
