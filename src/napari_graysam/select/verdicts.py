"""Why a pixel has the object that it has, or none: what became of every candidate there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from napari_graysam.masks.mask import Mask
from napari_graysam.recipe import GeneratorOptions, LabelOptions
from napari_graysam.select.choice import Choice
from napari_graysam.select.labels import top_down
from napari_graysam.select.reasons import Filter, Reasons
from napari_graysam.select.shapes import Shapes

Reason = Literal["object", "covered", "island"] | Filter
Draw = Callable[[Choice, int], Mask]
# Filters that one change can follow another at; more would go round in circles.
_MOST_CHANGES = 12


@dataclass(frozen=True)
class Verdict:
    """What became of one candidate, and why.

    Attributes
    ----------
    candidate
        Its index among the proposals.
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
    kept
        The recipe keeps it by name.
    value, limit
        What was measured and the limit that it missed, where the reason has these.
    by
        Label of the object that covers it, that it is a duplicate of, or that nests with it;
        None where there is none or that one was dropped later.
    by_candidate
        The same, as an index among the proposals.
    parameter
        Dotted path of the parameter that decides, in a recipe; None where none does.
    loosened
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
    kept: bool = False
    value: float | None = None
    limit: float | None = None
    by: int | None = None
    by_candidate: int | None = None
    parameter: str | None = None
    loosened: Any = None
    draw: Callable[[], Mask] | None = field(default=None, repr=False, compare=False)

    @property
    def mask(self) -> Mask:
        """The candidate's pixels, unpacked when asked for."""
        assert self.draw is not None
        return self.draw()


def verdicts_at(choice: Choice, x: int, y: int, draw: Draw) -> list[Verdict]:
    """Explain every candidate that covers a pixel.

    Parameters
    ----------
    choice
        The selection, with all its steps.
    x, y
        Column and row of the pixel.
    draw
        Returns a candidate's mask.

    Returns
    -------
    list of Verdict
        The object seen at the pixel first, then other objects, then what was dropped; each by
        predicted IoU.
    """
    reasons = Reasons(choice)
    here = [label for label, mask in enumerate(choice.masks, start=1) if _inside(mask, x, y)]
    masks = [choice.masks[label - 1] for label in here]
    seen = here[top_down(masks, choice.labels.overlap)[0]] if here else None
    found = []
    for candidate in _covering(choice, x, y, reasons):
        label = reasons.labels.get(candidate)
        said = (
            _dropped(reasons, candidate)
            if label is None
            else _object(label, label in here, seen, choice)
        )
        found.append(_verdict(choice, candidate, draw, label=label, **said))
    rank = {"object": 0, "covered": 1, "island": 2}
    found.sort(key=lambda v: (rank.get(v.reason, 3), -v.predicted_iou, -v.stability))
    return found


def loosening(
    choose: Callable[[GeneratorOptions, LabelOptions], Choice],
    candidate: int,
    generator: GeneratorOptions,
    labels: LabelOptions,
) -> dict[str, Any] | None:
    """Loosen one filter after the other until a candidate is an object.

    Parameters
    ----------
    choose
        Makes a choice.
    candidate
        Index among the proposals.
    generator, labels
        Where to start from.

    Returns
    -------
    dict or None
        Values by dotted path; empty for an object, None where no value would do.
    """
    changes: dict[str, Any] = {}
    parts: dict[str, Any] = {"generator": generator, "labels": labels}
    for _ in range(_MOST_CHANGES):
        drop = Reasons(choose(parts["generator"], parts["labels"])).of(candidate)
        if drop is None:
            return changes
        if drop.parameter is None or changes.get(drop.parameter) == drop.loosened:
            return None
        changes[drop.parameter] = drop.loosened
        part, name = drop.parameter.split(".")
        parts[part] = parts[part].replace(**{name: drop.loosened})
    return None


def _covering(choice: Choice, x: int, y: int, reasons: Reasons) -> list[int]:
    """List the candidates that cover a pixel as cut, and the objects that do when cleaned."""

    def boxed(shapes: Shapes) -> set[int]:
        low, high = shapes.box[:, :2], shapes.box[:, 2:]
        return set(np.flatnonzero(((low <= (x, y)) & ((x, y) < high)).all(axis=1)).tolist())

    covering = {index for index in boxed(choice.cut) if choice.cut.covers(index, x, y)}
    if choice.cleaned is not choice.cut:
        possible = boxed(choice.cleaned).intersection(choice.survivors.tolist())
        covering |= {index for index in possible if choice.cleaned.covers(index, x, y)}
    return sorted(covering)


def _inside(mask: Mask, x: int, y: int) -> bool:
    """Tell whether a mask covers a pixel."""
    x0, y0, x1, y1 = mask.box
    return x0 <= x < x1 and y0 <= y < y1 and bool(mask.bits[y - y0, x - x0])


def _object(label: int, here: bool, seen: int | None, choice: Choice) -> dict[str, Any]:
    """Say how an object shows at the pixel."""
    mask = choice.masks[label - 1]
    name = f"object {label}" + (", kept by the recipe" if mask.kept else "")
    if label == seen:
        return {"reason": "object", "text": name}
    if here or (choice.labels.overlap == "disjoint" and seen is not None):
        return {
            "reason": "covered",
            "text": f"{name}, but object {seen} lies on top of it here",
            "by": seen,
            "by_candidate": int(choice.selected[(seen or 1) - 1]),
        }
    island = max(choice.labels.min_island, choice.generator.min_mask_region_area)
    of_labels = choice.labels.min_island == island
    return {
        "reason": "island",
        "text": f"{name}, but its separate piece here, smaller than {island} px², was removed",
        "limit": island,
        "parameter": "labels.min_island" if of_labels else "generator.min_mask_region_area",
        "loosened": 0,
    }


def _dropped(reasons: Reasons, candidate: int) -> dict[str, Any]:
    """Say which filter dropped a candidate."""
    drop = reasons.of(candidate)
    assert drop is not None
    return dict(vars(drop))


def _verdict(choice: Choice, candidate: int, draw: Draw, **said: Any) -> Verdict:
    """Join what was measured and what was decided."""
    scored = choice.scored
    cleaned = candidate in choice.survivors
    shapes = choice.cleaned if cleaned else choice.cut
    x0, y0, x1, y1 = shapes.box[candidate].tolist()
    x, y = scored.point[candidate].tolist()
    return Verdict(
        candidate=candidate,
        predicted_iou=float(scored.predicted_iou[candidate]),
        stability=float(scored.stability[candidate]),
        area=int(shapes.area[candidate]),
        box=(x0, y0, x1, y1),
        point=(x, y),
        kept=bool(choice.forced[candidate]),
        draw=lambda: draw(choice, candidate),
        **said,
    )
