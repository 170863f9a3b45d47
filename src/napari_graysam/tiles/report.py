"""Whether seams can be seen: how often objects end at them, and at lines where there is none."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path
from napari_graysam.tiles.grid import TileGrid

FLUSH = 4
"""Pixels along a line that an object must end at to count as cut there."""
MOST_LINES = 24
"""Lines that are looked at in each direction, at seams and elsewhere."""
MOST_DRAWN = 80
"""Lines of one kind up to which they are drawn."""
Z = 1.96
"""Standard deviations of an interval of 95 %."""
Kind = Literal["seam", "interior"]


@dataclass(frozen=True)
class Line:
    """One line through the image, between two rows or columns.

    Attributes
    ----------
    kind
        ``seam``: an edge of a tile's window, or of its core; ``interior``: far from any.
    along
        ``row`` or ``column``.
    at
        First row or column behind the line.
    """

    kind: Kind
    along: Literal["row", "column"]
    at: int


@dataclass
class Rate:
    """Objects at the lines of one kind: those that end there, of those that are there."""

    ending: int = 0
    crossing: int = 0

    @property
    def total(self) -> int:
        """How many objects are at the lines."""
        return self.ending + self.crossing

    @property
    def rate(self) -> float:
        """Share of those that end; NaN without any."""
        return self.ending / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """The rate's 95 % interval, after Wilson."""
        n, p = self.total, self.rate
        if n == 0:
            return 0.0, 1.0
        middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
        half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
        return max(0.0, middle - half), min(1.0, middle + half)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        known = self.total > 0
        low, high = self.interval
        return {
            "ending": self.ending,
            "crossing": self.crossing,
            "rate": round(self.rate, 5) if known else None,
            "interval": [round(low, 5), round(high, 5)],
        }


@dataclass
class SeamReport:
    """Rates at seams and elsewhere, and where objects end at seams.

    Attributes
    ----------
    seam, interior
        Of both kinds of lines.
    places
        Seams where objects end: (x, y) of each.
    shape
        (H, W) of the image.
    borders
        Rows and columns where the core of one tile ends and that of the next begins.
    edges
        Rows and columns where windows begin or end, inside the image.
    counts
        What happened to objects at seams.
    """

    shape: tuple[int, int]
    borders: tuple[Sequence[int], Sequence[int]] = ((), ())
    edges: tuple[Sequence[int], Sequence[int]] = ((), ())
    seam: Rate = field(default_factory=Rate)
    interior: Rate = field(default_factory=Rate)
    places: list[tuple[float, float]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times as often objects end at seams; None where that is not known."""
        if not self.seam.total or not self.interior.total or not self.interior.ending:
            return None
        return self.seam.rate / self.interior.rate

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        ratio = self.ratio
        return {
            "seam": self.seam.to_dict(),
            "interior": self.interior.to_dict(),
            "ratio": None if ratio is None else round(ratio, 4),
            **self.counts,
        }


def seam_lines(grid: TileGrid) -> list[Line]:
    """Return the lines to look at: evenly chosen seams, and as many lines away from them."""
    return [
        *_lines("row", grid.spans[0], grid.shape[0]),
        *_lines("column", grid.spans[1], grid.shape[1]),
    ]


def _lines(
    along: Literal["row", "column"], spans: Sequence[tuple[slice, slice]], length: int
) -> Iterator[Line]:
    starts = {core.start for _, core in spans if core.start > 0}
    seams = sorted(starts | set(_edges(spans, length)))
    bounds = np.array([0, *seams, length])
    gaps = np.diff(bounds)
    # The middle of what lies between two seams, but for slivers.
    middles = (bounds[:-1] + gaps // 2)[gaps >= 2 * FLUSH].tolist()
    for kind, places in (("seam", seams), ("interior", middles)):
        step = -(-len(places) // MOST_LINES) or 1
        for at in places[::step]:
            yield Line("seam" if kind == "seam" else "interior", along, int(at))


def _edges(spans: Sequence[tuple[slice, slice]], length: int) -> list[int]:
    """Return where windows begin or end, inside the image."""
    edges = {edge for window, _ in spans for edge in (window.start, window.stop)}
    return sorted(edge for edge in edges if 0 < edge < length)


def look_at(report: SeamReport, line: Line, before: NDArray[Any], behind: NDArray[Any]) -> None:
    """Count the objects at a line.

    Parameters
    ----------
    report
        Added to.
    line
        The line.
    before, behind
        (L,) labels in the last row or column before it, and in the first behind it.

    Notes
    -----
    An object crosses where it has the pixels on both sides. It ends at the line where it has at
    least `FLUSH` pixels in a row on one side, and none of the other side's along them.
    """
    same = (before == behind) & (before > 0)
    crossing = set(np.unique(before[same]).tolist())
    ending: dict[int, int] = {}
    for side in (before, behind):
        for label, start in _flush(side, same):
            if label not in crossing:
                ending.setdefault(label, start)
    rate = report.seam if line.kind == "seam" else report.interior
    rate.crossing += len(crossing)
    rate.ending += len(ending)
    if line.kind == "seam":
        for start in ending.values():
            at = (float(start), float(line.at))
            report.places.append(at if line.along == "row" else at[::-1])


def _flush(side: NDArray[Any], same: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield label and start of every run that is long enough and ends at the line."""
    alone = np.where(same, 0, side)
    starts = np.flatnonzero(np.diff(alone, prepend=alone[:1] + 1))
    lengths = np.diff(starts, append=alone.size)
    for start in starts[(lengths >= FLUSH) & (alone[starts] > 0)].tolist():
        yield int(alone[start]), start


def make_report(labels: Any, grid: TileGrid, counts: dict[str, int] | None = None) -> SeamReport:
    """Look at the lines of a label image, which need not be in memory.

    Parameters
    ----------
    labels
        (H, W), read two rows or columns at a time.
    grid
        The tiles.
    counts
        Kept in the report.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.zeros((60, 100), int)
    >>> labels[10:20, 20:50], labels[10:20, 50:70], labels[30:40, 20:80] = 1, 2, 3
    >>> report = make_report(labels, TileGrid((60, 100), 64, 14))
    >>> report.seam.ending, report.seam.crossing
    (2, 5)
    """
    rows, columns = (
        _edges(spans, length) for spans, length in zip(grid.spans, grid.shape, strict=True)
    )
    report = SeamReport(grid.shape, grid.seams(), (rows, columns), counts=counts or {})
    for line in seam_lines(grid):
        if line.along == "row":
            before, behind = np.asarray(labels[line.at - 1 : line.at + 1, :])
        else:
            before, behind = np.asarray(labels[:, line.at - 1 : line.at + 1]).T
        look_at(report, line, before, behind)
    return report


def write_report_picture(path: str | os.PathLike[str], report: SeamReport) -> None:
    """Draw both rates with their intervals, and where objects end at seams."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    bars, places = figure.subplots(1, 2, width_ratios=(1, 1.4))
    counted = [f"{rate.ending} of {rate.total}" for rate in (report.seam, report.interior)]
    names = (f"seams\n{counted[0]}", f"inside tiles\n{counted[1]}")
    for x, (rate, colour) in enumerate(((report.seam, "#D55E00"), (report.interior, "#0072B2"))):
        if rate.total:
            low, high = rate.interval
            bars.bar(x, rate.rate, color=colour)
            bars.errorbar(
                x, rate.rate, [[max(0, rate.rate - low)], [max(0, high - rate.rate)]],
                color="black", capsize=4,
            )  # fmt: skip
    bars.set_xticks(range(2), names)
    bars.set_ylabel("objects that end at a line")
    height, width = report.shape
    if report.places:
        x, y = np.array(report.places).T
        places.plot(x, y, ".", color="#D55E00", markersize=4)
    for (rows, columns), style in ((report.borders, "-"), (report.edges, ":")):
        if len(rows) + len(columns) > MOST_DRAWN:
            continue
        for row in rows:
            places.axhline(row, color="0.75", linewidth=0.6, linestyle=style, zorder=0)
        for column in columns:
            places.axvline(column, color="0.75", linewidth=0.6, linestyle=style, zorder=0)
    places.set_xlim(0, width)
    places.set_ylim(height, 0)
    places.set_aspect("equal")
    title = "where objects end at seams (of cores: lines, of windows: dots)"
    places.set_title(title, fontsize="medium")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
