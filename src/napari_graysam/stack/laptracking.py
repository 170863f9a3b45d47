"""Objects of a time series are linked by the package laptrack, by the distance of their centres."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import UsageError
from napari_graysam.recipe import LinkOptions
from napari_graysam.stack.chains import PlaneObjects
from napari_graysam.stack.linking import numbered
from napari_graysam.stack.links import Bridge, Links

if TYPE_CHECKING:
    import pandas as pd


def check_laptrack(axis: str) -> None:
    """Refuse what `track_planes` cannot do, before any work is done.

    Raises
    ------
    UsageError
        If laptrack is not installed, or the axis is not ``t``.
    """
    if axis != "t":
        raise UsageError(
            f"stack.link=laptrack links along t, and the stack is segmented along {axis}: choose "
            "stack.link=overlap or prompt, or stack.axis=t"
        )
    if find_spec("laptrack") is None:
        raise UsageError(
            "stack.link=laptrack needs the package laptrack, which is not installed: "
            'pip install "napari-graysam[tracking]", or choose stack.link=overlap'
        )


def track_planes(planes: Iterable[NDArray[np.integer]], options: LinkOptions) -> Links:
    """Link the objects of the frames of a time series by solving linear assignment problems.

    `laptrack <https://laptrack.readthedocs.io>`_ links centres from frame to frame, then the
    ends of tracks across gaps, and with ``splits`` (``merges``) with the middle of others
    (Jaqaman et al. 2008); the cost is the squared distance.

    Parameters
    ----------
    planes
        Label images, (H, W) each; 0 is background. They are read once, in order.
    options
        ``max_distance``, ``gap``, ``splits``, ``merges`` and ``min_extent`` are used: objects are
        removed if all that they are related to by splits and merges reaches through fewer planes.

    Returns
    -------
    Links
        The object of every label, and the largest distance, also where `options` leave it open.

    Raises
    ------
    UsageError
        If laptrack is not installed.
    LabelsError
        If a plane is not a label image, or not of the first one's shape.

    See Also
    --------
    link_planes : By overlap, without a further package.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.stack import LinkOptions
    >>> from napari_graysam.stack.laptracking import track_planes
    >>> planes = [np.pad(np.ones((3, 3), int), ((2, 2), (4 * t, 8 - 4 * t))) for t in range(3)]
    >>> track_planes(planes, LinkOptions(max_distance=5)).count
    1
    """
    check_laptrack("t")
    stack, points = _measured(planes)
    if points.empty:
        return Links(tuple(np.zeros(objects.largest + 1, np.uint32) for objects in stack))
    farthest = options.max_distance or usual_distance(points["area"].to_numpy())
    tracks, lineage = _tracks(points, options, farthest)
    extents = points.assign(tree=tracks["tree_id"]).groupby("tree")["frame"].agg(np.ptp) + 1
    kept = extents[tracks["tree_id"]].to_numpy() >= options.min_extent
    # Objects are numbered in the order in which they first appear.
    first = tracks["track_id"][kept].drop_duplicates().to_numpy()
    number = {int(track): n for n, track in enumerate(first, start=1)}
    ids = np.array([number.get(int(track), 0) for track in tracks["track_id"]], np.uint32)
    tables = []
    for objects in stack:
        table = np.zeros(objects.largest + 1, np.uint32)
        table[objects.labels] = ids[objects.start : objects.start + objects.count]
        tables.append(table)
    pairs = [(number[a], number[b]) for a, b in lineage if a in number and b in number]
    bridges = _bridges(points["frame"].to_numpy(), ids)
    return Links(tuple(tables), bridges, tuple(sorted(pairs)), farthest)


def _measured(planes: Iterable[NDArray[np.integer]]) -> tuple[list[PlaneObjects], pd.DataFrame]:
    """Return the objects of all planes, and their frames, centres and areas in that order."""
    import pandas as pd

    stack: list[PlaneObjects] = []
    parts, start = [], 0
    last: deque[tuple[int, ...]] = deque(maxlen=1)
    for position, labels in enumerate(planes):
        image, objects = numbered(labels, position, start, last[0] if last else None)
        last.append(image.shape)
        stack.append(objects)
        start += objects.count
        rows, columns = np.nonzero(image)
        of = image[rows, columns]
        size = objects.count + 1
        centre = (np.bincount(of, of_axis, size)[1:] / objects.areas for of_axis in (rows, columns))
        y, x = centre
        parts.append(pd.DataFrame({"frame": position, "y": y, "x": x, "area": objects.areas}))
    columns_of = ["frame", "y", "x", "area"]
    filled = [part for part in parts if len(part)]
    points = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=columns_of)
    return stack, points


def _tracks(
    points: pd.DataFrame, options: LinkOptions, farthest: float
) -> tuple[pd.DataFrame, list[tuple[int, int]]]:
    """Return the track and the tree of every point, in their order, and parents with children."""
    from laptrack import LapTrack

    cutoff = farthest**2
    tracker = LapTrack(
        metric="sqeuclidean",
        cutoff=cutoff,
        gap_closing_metric="sqeuclidean",
        gap_closing_cutoff=cutoff if options.gap else False,
        gap_closing_max_frame_count=options.gap + 1,
        splitting_metric="sqeuclidean",
        splitting_cutoff=cutoff if options.splits else False,
        merging_metric="sqeuclidean",
        merging_cutoff=cutoff if options.merges else False,
        # The largest distance alone decides what is too far.
        alternative_cost_percentile=100,
    )
    numbered_points = points.assign(point=np.arange(len(points)))
    tracks, splits, merges = tracker.predict_dataframe(
        numbered_points, ["y", "x"], "frame", only_coordinate_cols=False
    )
    tracks = tracks.sort_values("point").reset_index(drop=True)
    lineage = [
        (int(parent), int(child))
        for table in (splits, merges)
        if len(table)
        for parent, child in table[["parent_track_id", "child_track_id"]].to_numpy()
    ]
    return tracks, lineage


def usual_distance(areas: NDArray[np.integer]) -> float:
    """Return the diameter of a disc of the median area, in pixels."""
    return float(2 * np.sqrt(np.median(areas) / np.pi))


def _bridges(frames: NDArray[np.integer], ids: NDArray[np.uint32]) -> tuple[Bridge, ...]:
    order = np.lexsort((frames, ids))
    number, frame = ids[order], frames[order]
    gaps = np.flatnonzero((number[1:] == number[:-1]) & (number[1:] > 0) & (np.diff(frame) > 1))
    columns = (number[gaps].tolist(), frame[gaps].tolist(), frame[gaps + 1].tolist())
    found = (Bridge(*one) for one in zip(*columns, strict=True))
    return tuple(sorted(found, key=lambda bridge: (bridge.after, bridge.id)))
