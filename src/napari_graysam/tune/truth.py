"""What a user knows of an image: labels, some painted objects, or clicks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_graysam.documents import load_yaml
from napari_graysam.errors import TruthError

Metric = Literal["ap50", "ap", "f1", "pq", "found"]
"""Average precision at IoU 0.5, its mean from 0.5 to 0.95, F1, panoptic quality, or the share of
the known objects that was found."""
METRICS: tuple[Metric, ...] = get_args(Metric)
Point: TypeAlias = tuple[float, float]
SUFFIXES = (".yaml", ".yml", ".json")
_KINDS = ("objects", "nothing", "same")
_CLICKS = "a mapping of objects and nothing: [[x, y], …], and same: [[[x, y], [x, y]], …]"


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of one image.

    Parameters
    ----------
    labels
        Integer (H, W); 0 is background, or unknown where ``partial``. None where only clicks
        are known.
    partial
        Only some objects are painted: what lies elsewhere counts neither way.
    objects
        Pixels ``(x, y)`` on objects.
    nothing
        Pixels ``(x, y)`` on no object.
    same
        Pairs of pixels on one object.

    Raises
    ------
    TruthError
        If nothing is known, the labels are none, or clicks contradict them or each other.

    Examples
    --------
    >>> from napari_graysam.tune import Truth
    >>> Truth([[0, 1, 1], [0, 0, 0]], objects=[(1, 0)], nothing=[(0, 1)]).clicks
    2
    """

    labels: NDArray[np.integer] | None = None
    partial: bool = False
    objects: Sequence[Point] = ()
    nothing: Sequence[Point] = ()
    same: Sequence[tuple[Point, Point]] = ()

    def __init__(
        self,
        labels: ArrayLike | None = None,
        partial: bool = False,
        objects: Iterable[Point] = (),
        nothing: Iterable[Point] = (),
        same: Iterable[tuple[Point, Point]] = (),
    ) -> None:
        values = {
            "labels": None if labels is None else _labels(labels),
            "partial": partial,
            "objects": tuple(objects),
            "nothing": tuple(nothing),
            "same": tuple((one, other) for one, other in same),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check()

    @property
    def clicks(self) -> int:
        """Number of statements that clicks make."""
        return len(self.objects) + len(self.nothing) + len(self.same)

    @property
    def count(self) -> int:
        """Number of labelled objects."""
        if self.labels is None:
            return 0
        return int(np.count_nonzero(np.unique(self.labels)))

    def fits(self, shape: tuple[int, ...], name: str = "the image") -> None:
        """Check that it is about an image of that shape.

        Raises
        ------
        TruthError
            If labels have another shape or a click lies outside.
        """
        if self.labels is not None and self.labels.shape != tuple(shape):
            raise TruthError(
                f"the ground truth has shape {self.labels.shape}, {name} {tuple(shape)}: give "
                "labels of the same height and width"
            )
        for x, y in _points(self):
            if not (0 <= x < shape[1] and 0 <= y < shape[0]):
                raise TruthError(
                    f"the click at x {x:g}, y {y:g} lies outside {name} of {shape[1]} × "
                    f"{shape[0]} pixels"
                )

    def _check(self) -> None:
        if self.labels is None and not self.clicks:
            raise TruthError("nothing is known of the image: give labels or clicks")
        if self.labels is not None and not self.labels.any() and not self.clicks:
            raise TruthError(
                "the ground truth has no object: paint at least one, or click on objects and on "
                "background"
            )
        on = {_pixel(point) for point in self.objects}
        on |= {_pixel(point) for pair in self.same for point in pair}
        if both := on & {_pixel(point) for point in self.nothing}:
            x, y = min(both)
            raise TruthError(f"x {x}, y {y} is clicked as an object and as none: remove one")
        if self.labels is not None:
            self._check_labels(self.labels)

    def _check_labels(self, labels: NDArray[np.integer]) -> None:
        self.fits(labels.shape)

        def at(point: Point) -> int:
            x, y = _pixel(point)
            return int(labels[y, x])

        for point in self.nothing:
            if at(point):
                raise TruthError(
                    f"the click at x {point[0]:g}, y {point[1]:g} says that there is no object, "
                    f"but label {at(point)} is painted there: remove one of them"
                )
        for point in () if self.partial else self.objects:
            if not at(point):
                raise TruthError(
                    f"the click at x {point[0]:g}, y {point[1]:g} says that there is an object, "
                    "but the labels have none there: say that they are partial, or remove it"
                )
        for one, other in self.same:
            known = {at(one), at(other)} - ({0} if self.partial else set())
            if len(known) > 1:
                raise TruthError(
                    f"the clicks at {one} and {other} are said to be one object, but the labels "
                    f"have {at(one)} and {at(other)} there: correct one of them"
                )


def read_truth(
    path: str | os.PathLike[str], partial: bool = False, *, image: str | None = None
) -> Truth:
    """Read labels (an image, or objects) or clicks (YAML or JSON).

    Parameters
    ----------
    path
        A label image; COCO, GeoJSON or ImageJ ROIs; or a document with ``objects``, ``nothing``
        and ``same``.
    partial
        The labels show only some of the objects.
    image
        Name of the image, for COCO files of several.

    Raises
    ------
    TruthError
        If it is neither, or nothing is known.
    LabelsError
        If the label image cannot be read.
    """
    from napari_graysam.files import read_labels
    from napari_graysam.files.any_objects import kind_of

    if Path(path).suffix.lower() not in SUFFIXES or kind_of(path):
        return Truth(read_labels(path, image=image), partial)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TruthError(f"{path} cannot be read: {error}") from error
    data = load_yaml(text, str(path), TruthError)
    if not isinstance(data, dict) or not data.keys() <= set(_KINDS):
        raise TruthError(f"{path} holds no clicks: expected {_CLICKS}")
    objects, nothing = (
        [_point(value, path) for value in data.get(kind) or ()] for kind in _KINDS[:2]
    )
    same = [(_point(one, path), _point(other, path)) for one, other in data.get("same") or ()]
    return Truth(objects=objects, nothing=nothing, same=same)


def _point(value: object, path: str | os.PathLike[str]) -> Point:
    numbers = value if isinstance(value, list) else []
    if len(numbers) != 2 or not all(type(v) in (int, float) for v in numbers):
        raise TruthError(f"{path}: {value!r} is no click; expected {_CLICKS}")
    return float(numbers[0]), float(numbers[1])


def _points(truth: Truth) -> list[Point]:
    return [*truth.objects, *truth.nothing, *(point for pair in truth.same for point in pair)]


def _pixel(point: Point) -> tuple[int, int]:
    return int(point[0]), int(point[1])


def _labels(values: ArrayLike) -> NDArray[np.integer]:
    labels = np.asarray(values)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise TruthError(
            f"the ground truth is {labels.dtype} {labels.shape}: expected integer labels (H, W), "
            "0 where there is no object"
        )
    if labels.size and labels.min() < 0:
        raise TruthError(f"the ground truth holds {labels.min()}: labels are not negative")
    return labels
