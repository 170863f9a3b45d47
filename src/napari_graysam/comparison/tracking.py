"""What the Cell Tracking Challenge measures of a labelled time series."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_graysam.comparison.volumes import plane_pairs
from napari_graysam.errors import TruthError, UsageError
from napari_graysam.masks import label_overlaps

if TYPE_CHECKING:
    from traccuracy import TrackingGraph

Lineage = Iterable[tuple[int, int]]
INSTALL = 'pip install "napari-graysam[ctc]"'


@dataclass(frozen=True)
class TrackScores:
    """Agreement of predicted with true tracks; 1 is perfect, 0 is none.

    Parameters
    ----------
    seg
        SEG: mean IoU of every true object of every frame with the predicted one that covers more
        than half of it; 0 where there is none (Maška et al. 2014).
    det
        DET: 1 minus the cost of correcting the detections, relative to adding them all.
    tra
        TRA: the same for detections and links, divisions among them (Matula et al. 2015).
    lnk
        LNK: the same for the links alone; NaN where the truth has none.
    false_detections, missed_detections, joined_detections
        Predicted objects without a true one, true ones without a predicted one, and predicted
        ones that cover several true ones.
    false_links, missed_links, wrong_links
        Links that the truth lacks, links that the prediction lacks, and links that are a division
        in one of them and none in the other.
    """

    seg: float
    det: float
    tra: float
    lnk: float
    false_detections: int
    missed_detections: int
    joined_detections: int
    false_links: int
    missed_links: int
    wrong_links: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with None for NaN."""
        return {name: None if value != value else value for name, value in asdict(self).items()}


def score_tracks(
    predicted: Iterable[ArrayLike],
    truth: Iterable[ArrayLike],
    predicted_lineage: Lineage = (),
    true_lineage: Lineage = (),
) -> TrackScores:
    """Score the tracks of a time series as the Cell Tracking Challenge does.

    A true object is found where a predicted one covers more than half of it. An object is linked
    from each frame to the next one that has its number; parents are linked with their children.
    The graphs are compared by `traccuracy <https://traccuracy.readthedocs.io>`_.

    Parameters
    ----------
    predicted, truth
        The frames of each, label images (H, W) of any integer dtype, read one at a time; an
        object has one number in all frames.
    predicted_lineage, true_lineage
        (parent, child) of every division, by the numbers of the objects.

    Raises
    ------
    UsageError
        If traccuracy is not installed.
    TruthError
        As of `score_volume`; or if the truth is empty, or a lineage names an object that is
        nowhere, or a child that is there before its parent has ended.

    See Also
    --------
    score_volume : Average precision and panoptic quality.

    Examples
    --------
    >>> from napari_graysam.comparison import score_tracks
    >>> frames = [[[1, 1, 0]], [[1, 1, 0]]]
    >>> score_tracks(frames, frames).tra  # doctest: +SKIP
    1.0
    """
    _check_installed()
    found: dict[int, list[int]] = defaultdict(list)
    true: dict[int, list[int]] = defaultdict(list)
    pairs: list[tuple[tuple[int, int], tuple[int, int]]] = []
    overlap: list[NDArray[np.float64]] = []
    for frame, (one, other) in enumerate(plane_pairs(predicted, truth)):
        ids, true_ids, overlaps = label_overlaps(one, other)
        for there, labels in ((found, ids), (true, true_ids)):
            for label in labels.tolist():
                there[label].append(frame)
        major = 2 * overlaps.pixels > overlaps.areas_b[overlaps.b]
        chosen = overlaps.only(major)
        ious = np.zeros(true_ids.size)
        ious[chosen.b] = chosen.iou
        overlap.append(ious)
        pairs += [
            ((true_label, frame), (label, frame))
            for true_label, label in zip(
                true_ids[chosen.b].tolist(), ids[chosen.a].tolist(), strict=True
            )
        ]
    if not true:
        raise TruthError("The ground truth of the tracks is empty: there is nothing to find.")
    graph, nodes = _graph(found, predicted_lineage, "prediction")
    true_graph, true_nodes = _graph(true, true_lineage, "ground truth")
    mapping = [(true_nodes[one], nodes[other]) for one, other in pairs]
    errors = _measure(true_graph, graph, mapping)
    return TrackScores(
        seg=float(np.concatenate(overlap).mean()),
        det=float(errors["DET"]),
        tra=float(errors["TRA"]),
        lnk=float(errors["LNK"]),
        false_detections=int(errors["fp_nodes"]),
        missed_detections=int(errors["fn_nodes"]),
        joined_detections=int(errors["ns_nodes"]),
        false_links=int(errors["fp_edges"]),
        missed_links=int(errors["fn_edges"]),
        wrong_links=int(errors["ws_edges"]),
    )


def _check_installed() -> None:
    try:
        import traccuracy  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"SEG, DET, TRA and LNK need traccuracy, which is not installed: {INSTALL}"
        ) from error


def _graph(
    frames: dict[int, list[int]], lineage: Lineage, name: str
) -> tuple[TrackingGraph, dict[tuple[int, int], int]]:
    """Return the graph of tracks, and the node of every label and frame."""
    import networkx as nx
    from traccuracy import TrackingGraph

    nodes = {
        (label, frame): number
        for number, (label, frame) in enumerate(
            ((label, frame) for label, those in frames.items() for frame in those), start=1
        )
    }
    graph: Any = nx.DiGraph()
    graph.add_nodes_from((number, {"t": frame}) for (_, frame), number in nodes.items())
    for label, those in frames.items():
        graph.add_edges_from((nodes[label, a], nodes[label, b]) for a, b in pairwise(those))
    for parent, child in lineage:
        unknown = [label for label in (parent, child) if label not in frames]
        if unknown:
            raise TruthError(f"The tracks of the {name} name {unknown[0]}, which is in no frame.")
        end, start = frames[parent][-1], frames[child][0]
        if end >= start:
            raise TruthError(
                f"The tracks of the {name}: {child}, a child of {parent}, is there from frame "
                f"{start} on, but {parent} until frame {end}."
            )
        graph.add_edge(nodes[parent, end], nodes[child, start])
    return TrackingGraph(graph, label_key=None), nodes


def _measure(
    truth: TrackingGraph, predicted: TrackingGraph, mapping: list[tuple[int, int]]
) -> dict[str, float]:
    """Count the errors; traccuracy's own bars of progress are not shown."""
    import warnings

    from traccuracy.matchers import Matched
    from traccuracy.metrics import CTCMetrics

    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        # It warns of empty graphs, whose scores are NaN or 0.
        warnings.simplefilter("ignore", UserWarning)
        matched = Matched(truth, predicted, mapping, {"name": "majority"})
        found: dict[str, float] = CTCMetrics().compute(matched).results
    return found
