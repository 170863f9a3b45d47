"""Why a pixel has the object that it has, or none: what became of every candidate there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from napari_graysam.masks import Mask
from napari_graysam.masks.painting import stacking_order
from napari_graysam.masks.regions import covers
from napari_graysam.select.exclusion import Exclusions, Filter
from napari_graysam.select.selection import Selection
from napari_graysam.select.shapes import Shapes

Reason = Literal["object", "covered", "island"] | Filter
Draw = Callable[[Selection, int], Mask]


@dataclass(frozen=True)
class Explanation:
    """What became of one candidate, and why.

    Attributes
    ----------
    candidate
        Its index among the proposals; -1 of an object that a pin or a second look added.
    predicted_iou, stability
        Its scores.
    area
        Its pixels, cleaned where it got that far.
    box
        ``(x0, y0, x1, y1)`` in image pixels, half-open.
    point
        ``(x, y)`` of its prompt, in image pixels.
    reason
        ``"object"``: seen at the pixel. ``"covered"``: an object, but here another one is
        seen. ``"island"``: an object whose piece here was removed. Otherwise the first filter
        that dropped it.
    text
        The reason in words.
    label
        Its label, if it is an object.
    pinned
        The recipe asks for this very candidate.
    value, limit
        What was measured and the limit that it missed, where the reason has these.
    by
        Label of the object that covers it, that it is a duplicate of, or that nests with it;
        None where there is none or that one was dropped later.
    by_candidate
        The same, as an index among the proposals.
    parameter
        Dotted path of the parameter that decides, in a recipe; None where none does.
    relaxed
        The nearest value of the parameter at which this filter lets it pass.
    """

    candidate: int
    predicted_iou: float
    stability: float
    area: int
    box: tuple[int, int, int, int]
    point: tuple[float, float]
    reason: Reason
    text: str
    label: int | None = None
    pinned: bool = False
    value: float | None = None
    limit: float | None = None
    by: int | None = None
    by_candidate: int | None = None
    parameter: str | None = None
    relaxed: Any = None
    draw: Callable[[], Mask] | None = field(default=None, repr=False, compare=False)

    @property
    def mask(self) -> Mask:
        """The candidate's pixels, unpacked when asked for."""
        assert self.draw is not None
        return self.draw()


def explain_at(selection: Selection, x: int, y: int, draw: Draw) -> list[Explanation]:
    """Explain every candidate that covers a pixel.

    Parameters
    ----------
    selection
        The selection, with all its steps.
    x, y
        Column and row of the pixel.
    draw
        Returns a candidate's mask.

    Returns
    -------
    list of Explanation
        The object seen at the pixel first, then other objects, then what was dropped; each by
        predicted IoU.
    """
    exclusions = Exclusions(selection)
    here = [label for label, mask in enumerate(selection.masks, start=1) if covers(mask, x, y)]
    masks = [selection.masks[label - 1] for label in here]
    seen = here[stacking_order(masks, selection.labels.overlap)[0]] if here else None
    found = []
    for candidate in _covering(selection, x, y, exclusions):
        label = exclusions.labels.get(candidate)
        said = (
            _dropped(exclusions, candidate)
            if label is None
            else _object(label, label in here, seen, selection)
        )
        found.append(_explanation(selection, candidate, draw, label=label, **said))
    added = [label for label in here if not selection.masks[label - 1].candidates]
    found += [_added(label, seen, selection) for label in added]
    rank = {"object": 0, "covered": 1, "island": 2}
    found.sort(key=lambda v: (rank.get(v.reason, 3), -v.predicted_iou, -v.stability))
    return found


def _covering(selection: Selection, x: int, y: int, exclusions: Exclusions) -> list[int]:
    """List the candidates that cover a pixel as cut, and the objects that do when cleaned."""

    def boxed(shapes: Shapes) -> set[int]:
        low, high = shapes.box[:, :2], shapes.box[:, 2:]
        return set(np.flatnonzero(((low <= (x, y)) & ((x, y) < high)).all(axis=1)).tolist())

    covering = {index for index in boxed(selection.cut) if selection.cut.covers(index, x, y)}
    if selection.cleaned is not selection.cut:
        possible = boxed(selection.cleaned).intersection(selection.survivors.tolist())
        covering |= {index for index in possible if selection.cleaned.covers(index, x, y)}
    return sorted(covering)


def _object(label: int, here: bool, seen: int | None, selection: Selection) -> dict[str, Any]:
    """Say how an object shows at the pixel."""
    mask = selection.masks[label - 1]
    how = ", pinned" if mask.pin >= 0 else ", kept by the recipe" if mask.pinned else ""
    how += "" if mask.candidates or mask.pin >= 0 else f", {mask.source}"
    of = [one for one in selection.regroupings if label in one.labels(selection.masks)]
    how += "".join(f", merged from {len(one.before)} masks" for one in of if one.kind == "merged")
    name = f"object {label}{how}"
    if label == seen:
        return {"reason": "object", "text": name}
    if here or (selection.labels.overlap == "disjoint" and seen is not None):
        return {
            "reason": "covered",
            "text": f"{name}, but object {seen} lies on top of it here",
            "by": seen,
            "by_candidate": _candidate(selection, seen or 1),
        }
    island = max(selection.labels.min_island, selection.generator.min_mask_region_area)
    of_labels = selection.labels.min_island == island
    return {
        "reason": "island",
        "text": f"{name}, but its separate piece here, smaller than {island} px², was removed",
        "limit": island,
        "parameter": "labels.min_island" if of_labels else "generator.min_mask_region_area",
        "relaxed": 0,
    }


def _candidate(selection: Selection, label: int) -> int | None:
    """Return the candidate that an object is; None of one that a pin added."""
    candidate = int(selection.selected[label - 1])
    return candidate if candidate >= 0 else None


def _added(label: int, seen: int | None, selection: Selection) -> Explanation:
    """Explain an object that is no candidate: a pin added it, or a second look."""
    mask = selection.masks[label - 1]
    said = _object(label, True, seen, selection)
    return Explanation(
        candidate=-1,
        predicted_iou=mask.predicted_iou,
        stability=mask.stability,
        area=mask.area,
        box=mask.box,
        point=mask.point,
        label=label,
        draw=lambda: mask,
        **said,
    )


def _dropped(exclusions: Exclusions, candidate: int) -> dict[str, Any]:
    """Say which filter dropped a candidate."""
    drop = exclusions.of(candidate)
    assert drop is not None
    return dict(vars(drop))


def _explanation(selection: Selection, candidate: int, draw: Draw, **said: Any) -> Explanation:
    """Join what was measured and what was decided."""
    scored, shapes = selection.scored, selection.shapes_of(candidate)
    x0, y0, x1, y1 = shapes.box[candidate].tolist()
    x, y = scored.point[candidate].tolist()
    return Explanation(
        candidate=candidate,
        predicted_iou=float(scored.predicted_iou[candidate]),
        stability=float(scored.stability[candidate]),
        area=int(shapes.area[candidate]),
        box=(x0, y0, x1, y1),
        point=(x, y),
        pinned=bool(selection.pinned[candidate]),
        draw=lambda: draw(selection, candidate),
        **said,
    )
