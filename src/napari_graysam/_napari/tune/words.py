"""How the dock says what was searched and found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_graysam._napari.forms.wording import choice_text
from napari_graysam.recipe import Recipe

if TYPE_CHECKING:
    from napari_graysam._napari.tune.compute import Found
    from napari_graysam.tune import Metric

METRICS: dict[Metric, tuple[str, str]] = {
    "ap50": ("Objects found and none too many", "Average precision (AP) at IoU 0.5"),
    "ap": ("The same, with exact outlines", "Mean of the average precision at IoU 0.5 to 0.95"),
    "f1": ("Balance of missed and false objects", "F1 at IoU 0.5"),
    "pq": ("Found objects times their overlap", "Panoptic quality (PQ) at IoU 0.5"),
    "found": ("All known objects found", "Recall at IoU 0.5; further objects cost nothing"),
}
"""What each metric asks for, and its name in the field."""
_SUPPRESSION = "suppression"
_BEYOND = ("image.window", "preprocess", "rgb", "generator.points_per_side", "model.frame_scale")
"""What a search over preprocessing changes."""


def title_of(path: str) -> str:
    """Return a searched parameter's title."""
    if path == _SUPPRESSION:
        path = "labels.suppression"
    part, _, name = path.rpartition(".")
    owner = getattr(Recipe(), part) if part else Recipe()
    return str(type(owner).model_fields[name].title or name)


def value_text(value: Any) -> str:
    """Return a value of the search in a word or two."""
    if isinstance(value, tuple):
        return " ".join(value_text(one) for one in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return choice_text(value)


def score_name(found: Found) -> str:
    """Return what the scores are: a metric, the share of right clicks, or their mean."""
    known, metric = found.request.known, found.request.metric
    if known.labels is None:
        return "right clicks"
    return f"mean of {metric} and right clicks" if known.clicks else metric


def changed(found: Found, index: int) -> str:
    """Say how a setting differs from the panel's recipe; empty where it does not."""
    tuning = found.tuning
    asked, recipe = found.request.recipe, found.recipe(index)
    names = list(tuning.grid)
    own = tuning.values[tuning.own]
    told = []
    if recipe.preprocess != asked.preprocess:
        steps = ", ".join(value_text(step.kind) for step in recipe.preprocess) or "none"
        told.append(f"preprocessing: {steps}")
    for path in _BEYOND:
        before, after = _at(asked, path), _at(recipe, path)
        if path != "preprocess" and before != after:
            text = "" if hasattr(after, "model_fields") else f" {value_text(after)}"
            told.append(f"{title_of(path).lower()}{text or ' changed'}")
    for name, before, after in zip(names, own, tuning.values[index], strict=True):
        if before != after:
            title = title_of(name)
            told.append(f"{title[0].lower()}{title[1:]} {value_text(after)}")
    return "; ".join(told)


def _at(recipe: Recipe, path: str) -> Any:
    part, _, name = path.rpartition(".")
    return getattr(getattr(recipe, part) if part else recipe, name)


def sentence(found: Found) -> str:
    """Say what the search ended with, and why."""
    choice, name = found.tuning.choice, score_name(found)
    change = changed(found, choice.index)
    words = [f"{name} {choice.score:.2f}: the recipe stays as it is"]
    if change:
        words = [f"{name} {found.before:.2f} → {choice.score:.2f}: {change}"]
    words.append(choice.reason)
    if found.trials:
        words.append(f"{found.trials} preprocessings tried")
    start = "Cancelled; the best so far: " if found.stopped else ""
    return f"{start}{'; '.join(words)}."
