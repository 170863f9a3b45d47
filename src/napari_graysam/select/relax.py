"""How far the filters must be relaxed until a candidate is an object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_graysam.recipe import GeneratorOptions, LabelOptions
from napari_graysam.select.exclusion import Exclusions
from napari_graysam.select.selection import Selection

# Filters that one change can follow another at; more would go round in circles.
_MOST_CHANGES = 12


def relax(
    select: Callable[[GeneratorOptions, LabelOptions], Selection],
    candidate: int,
    generator: GeneratorOptions,
    labels: LabelOptions,
) -> dict[str, Any] | None:
    """Relax one filter after the other until a candidate is an object.

    Parameters
    ----------
    select
        Makes a selection.
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
        exclusion = Exclusions(select(parts["generator"], parts["labels"])).of(candidate)
        if exclusion is None:
            return changes
        if exclusion.parameter is None or changes.get(exclusion.parameter) == exclusion.relaxed:
            return None
        changes[exclusion.parameter] = exclusion.relaxed
        part, name = exclusion.parameter.split(".")
        parts[part] = parts[part].replace(**{name: exclusion.relaxed})
    return None
