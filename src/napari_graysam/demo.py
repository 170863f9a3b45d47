"""The demo: every sample image raw and preprocessed, scored, tabled and drawn."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam import pipeline
from napari_graysam.atomic import atomic_path, write_text
from napari_graysam.batch import check_folder
from napari_graysam.comparison import COLORS
from napari_graysam.comparison.events import shared_labels
from napari_graysam.comparison.report import changes_rgb
from napari_graysam.errors import GraysamError, UsageError
from napari_graysam.masks.overlay import outlines, overlay_rgb
from napari_graysam.model import load_steps
from napari_graysam.outputs import write_comparison
from napari_graysam.progress import Progress, renamed
from napari_graysam.recipe import Recipe
from napari_graysam.samples import Sample, samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_graysam.comparison import Arm

Picture = NDArray[np.uint8]
CELL = 420
"""Longer side in pixels of every picture in the overview."""
CELL_INCHES = 2.9


@dataclass(frozen=True)
class Row:
    """What the demo found on one sample.

    Attributes
    ----------
    sample, title, preset
        Which image, and which recipe.
    ap50_raw, ap50_preprocessed
        Average precision at IoU 0.5 of both arms; None without a ground truth.
    objects_true
        Objects of the ground truth; None without one.
    objects_raw, objects_preprocessed
        Objects of both arms.
    kept, changed, gained, lost, split, merged
        Changes from the raw to the preprocessed arm.
    seconds
        Time for both arms and the comparison.
    """

    sample: str
    title: str
    preset: str
    ap50_raw: float | None
    ap50_preprocessed: float | None
    objects_true: int | None
    objects_raw: int
    objects_preprocessed: int
    kept: int
    changed: int
    gained: int
    lost: int
    split: int
    merged: int
    seconds: float


@dataclass(frozen=True)
class DemoResult:
    """Rows of the samples that worked, errors of the others, and the overall files by kind.

    ``files`` holds ``picture`` (demo.png), ``csv`` and ``json``.
    """

    rows: tuple[Row, ...]
    errors: tuple[str, ...]
    files: dict[str, Path]


@dataclass(frozen=True, eq=False)
class _Strip:
    """One row of the overview: its text and four small pictures."""

    row: Row
    pictures: tuple[Picture, Picture, Picture, Picture]


def demo_steps(
    out: Path, names: Sequence[str] | None = None
) -> Generator[Progress, None, DemoResult]:
    """Compare every sample raw and preprocessed with the bundled model.

    Parameters
    ----------
    out
        Folder for the results; it gets ``demo.png``, ``summary.csv``, ``summary.json`` and every
        sample's files as `napari_graysam.outputs.write_comparison` writes them.
    names
        Samples to use; all that are no stacks if omitted.

    Yields
    ------
    Progress
        Stages of each sample, which begin with its name; ``samples`` after each.

    Raises
    ------
    UsageError
        If there is no sample of a name.
    OutputError
        If the folder cannot be written.
    ModelError, DeviceError
        If the bundled model cannot be loaded.
    """
    check_folder(out)
    chosen = _choose(names)
    yield from load_steps(Recipe.preset().model)
    strips: list[_Strip] = []
    errors: list[str] = []
    for number, sample in enumerate(chosen, start=1):
        try:
            strips.append((yield from renamed(_compare(sample, out), sample.name)))
        except GraysamError as error:
            errors.append(f"sample {sample.name}: {error}")
        yield Progress("samples", number, len(chosen))
    yield Progress("write", 0, 1)
    files = _write_summary(out, [strip.row for strip in strips], errors)
    if strips:
        files["picture"] = out / "demo.png"
        figure = overview(strips)
        with atomic_path(files["picture"]) as temporary:
            figure.savefig(temporary)
    yield Progress("write", 1, 1)
    return DemoResult(tuple(strip.row for strip in strips), tuple(errors), files)


def _choose(names: Sequence[str] | None) -> list[Sample]:
    known = samples()
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise UsageError(f"there is no sample {', '.join(unknown)}; there are {', '.join(known)}")
    flat = [name for name, sample in known.items() if sample.axis is None]
    return [known[name] for name in (flat if names is None else names)]


def _compare(sample: Sample, out: Path) -> Generator[Progress, None, _Strip]:
    start = perf_counter()
    recipe = Recipe.preset(sample.preset)
    arms = yield from pipeline.compare_steps(sample.load(), recipe, truth=sample.truth())
    write_comparison(arms, out, sample.name)
    raw_scores = None if arms.scores is None else arms.scores["raw"]
    scores = None if arms.scores is None else arms.scores["preprocessed"]
    row = Row(
        sample=sample.name,
        title=sample.title,
        preset=sample.preset,
        ap50_raw=None if raw_scores is None else raw_scores.average_precision[0],
        ap50_preprocessed=None if scores is None else scores.average_precision[0],
        objects_true=None if scores is None else scores.n_true,
        objects_raw=len(arms.raw.masks),
        objects_preprocessed=len(arms.preprocessed.masks),
        seconds=round(perf_counter() - start, 2),
        **arms.changes.counts,
    )
    view, changes = _small(arms.raw.view), arms.changes
    found: dict[Arm, NDArray[Any]] = {
        "raw": _small(arms.raw.labels),
        "preprocessed": _small(arms.preprocessed.labels),
    }
    labels = shared_labels(changes, found)
    edges = outlines(labels["raw"]) | outlines(labels["preprocessed"])
    pictures = (
        view,
        overlay_rgb(view, labels["raw"]),
        overlay_rgb(_small(arms.preprocessed.view), labels["preprocessed"]),
        changes_rgb(view, _small(changes.difference), edges),
    )
    return _Strip(row, pictures)


def _small(image: NDArray[Any]) -> NDArray[Any]:
    """Repeat or leave out pixels, so that the longer side is `CELL`; values stay what they are."""
    height, width = image.shape[:2]
    scale = CELL / max(height, width)
    rows = np.arange(max(1, round(height * scale))) / scale
    columns = np.arange(max(1, round(width * scale))) / scale
    return np.ascontiguousarray(image[rows.astype(int)][:, columns.astype(int)])


def overview(strips: Sequence[_Strip]) -> Figure:
    """Draw one row a sample: image, raw masks, preprocessed masks, what changed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    heights = [strip.pictures[0].shape[0] / CELL * CELL_INCHES + 0.28 for strip in strips]
    figure = Figure(figsize=(4 * CELL_INCHES + 0.4, sum(heights) + 0.8), dpi=CELL / CELL_INCHES)
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", h_pad=0.03, w_pad=0.03)
    grid = figure.subplots(len(strips), 4, squeeze=False, height_ratios=heights)
    for axes, strip in zip(grid, strips, strict=True):
        _draw_strip(axes, strip)
    handles = [
        Patch(facecolor=color, edgecolor="black", linewidth=0.5, label=change)
        for change, color in COLORS.items()
    ]
    figure.suptitle("Grayscale images raw and preprocessed, segmented by SAM 2", fontsize=15)
    figure.legend(handles=handles, loc="outside lower right", ncols=6, frameon=False, fontsize=11)
    return figure


def _draw_strip(axes: Sequence[Axes], strip: _Strip) -> None:
    row = strip.row
    titles = (
        f"{row.title}",
        _arm_title("raw", row.objects_raw, row.ap50_raw),
        _arm_title("preprocessed", row.objects_preprocessed, row.ap50_preprocessed),
        f"gained {row.gained}, lost {row.lost}, split {row.split}, merged {row.merged}",
    )
    for axis, picture, title in zip(axes, strip.pictures, titles, strict=True):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_axis_off()


def _arm_title(arm: Arm, objects: int, ap50: float | None) -> str:
    score = "" if ap50 is None else f", AP50 {ap50:.2f}"
    return f"{arm}: {objects} object{'' if objects == 1 else 's'}{score}"


def _write_summary(out: Path, rows: Sequence[Row], errors: Sequence[str]) -> dict[str, Path]:
    content = io.StringIO()
    writer = csv.DictWriter(content, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    document = {"samples": [asdict(row) for row in rows], "errors": list(errors)}
    texts = {
        "csv": content.getvalue(),
        "json": json.dumps(document, indent=2, allow_nan=False) + "\n",
    }
    files = {kind: out / f"summary.{kind}" for kind in texts}
    for kind, text in texts.items():
        write_text(files[kind], text)
    return files
