"""What the comparison of both arms of a stack leaves in a folder, beside the results of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path, write_text
from napari_graysam.comparison import (
    CHANGES,
    StackComparison,
    VolumeScores,
    compare_labels,
    comparison_figure,
)
from napari_graysam.documents import dump_json
from napari_graysam.files import LabelPlanes, write_table
from napari_graysam.masks import ARMS, Arm
from napari_graysam.outputs.volume import write_volume

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_graysam.source.stack import Stack

Views = Callable[[int], Mapping[Arm, NDArray[np.uint8]]]
ENDINGS = {
    "csv": "comparison.csv",
    "planes": "comparison.planes.csv",
    "changes": "comparison.tif",
    "png": "comparison.png",
    "json": "comparison.json",
}
"""The JSON is written last: where it is, the others are whole."""


def stack_comparison_files(folder: Path, name: str) -> dict[str, Path]:
    """Return the paths of a comparison by kind."""
    return {kind: folder / f"{name}.{ending}" for kind, ending in ENDINGS.items()}


def write_stack_comparison(
    comparison: StackComparison,
    stack: Stack,
    folder: Path,
    name: str,
    labels: Mapping[Arm, LabelPlanes],
    views: Views,
    about: Mapping[str, Any],
    scores: Mapping[Arm, VolumeScores] | None = None,
) -> dict[str, Path]:
    """Write the comparison of both arms of a stack, plane by plane.

    Parameters
    ----------
    comparison
        What differs.
    stack
        What was segmented.
    folder, name
        The files are ``NAME.comparison.csv`` (objects), ``NAME.comparison.planes.csv``,
        ``NAME.comparison.tif`` (what became of the objects, as of `StackComparison.difference`),
        ``NAME.comparison.png`` (the plane with most changes) and ``NAME.comparison.json``.
    labels
        The label volume of each arm.
    views
        Returns what each arm's model saw of a plane, by its position along the axis.
    about
        Goes into the JSON, with its ``digest``.
    scores
        Each arm's scores against a ground truth.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    paths = stack_comparison_files(folder, name)
    paths["json"].unlink(missing_ok=True)
    write_table(paths["csv"], comparison.objects)
    write_table(paths["planes"], comparison.planes)
    changes = _painted(comparison, labels)
    write_volume(paths["changes"], changes, np.uint8, stack, str(about["digest"]))
    with atomic_path(paths["png"]) as temporary:
        stack_figure(comparison, labels, views, name).savefig(temporary)
    content = {**comparison.to_dict(), **about}
    if scores is not None:
        content["scores"] = {arm: scores[arm].to_dict() for arm in ARMS}
    write_text(paths["json"], dump_json(content))
    return paths


def _painted(
    comparison: StackComparison, labels: Mapping[Arm, LabelPlanes]
) -> Iterator[NDArray[np.uint8]]:
    for raw, preprocessed in zip(labels["raw"], labels["preprocessed"], strict=True):
        yield comparison.difference(raw, preprocessed)


def busiest_plane(planes: Sequence[Mapping[Any, Any]]) -> int:
    """Return the number of the plane with most changes among its sections; of equals the middle.

    Parameters
    ----------
    planes
        As in `StackComparison.to_dict`.
    """
    others = [change for change in CHANGES if change != "kept"]
    changes = np.array([sum(plane[change] for change in others) for plane in planes])
    most = np.flatnonzero(changes == changes.max())
    return int(most[most.size // 2])


def stack_figure(
    comparison: StackComparison,
    labels: Mapping[Arm, LabelPlanes],
    views: Views,
    name: str,
) -> Figure:
    """Draw the plane with most changes, in both arms and what became of its sections."""
    number = busiest_plane(comparison.planes.to_dict("records"))
    position = comparison.positions[number]
    found = {arm: labels[arm][number] for arm in ARMS}
    counts = ", ".join(f"{change} {count}" for change, count in comparison.counts.items())
    return comparison_figure(
        compare_labels(found["raw"], found["preprocessed"], comparison.rules),
        found,
        views(position),
        title=f"{name}: all planes: {counts}\n"
        f"{comparison.axis} {position}, the plane with most changes:",
    )
