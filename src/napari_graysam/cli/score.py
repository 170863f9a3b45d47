"""``graysam score``: label images and volumes against their ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_graysam.cli.command import command
from napari_graysam.cli.inputs import by_stem, label_files, stem_of
from napari_graysam.cli.terminal import Terminal, table
from napari_graysam.errors import GraysamError, TruthError, UsageError

if TYPE_CHECKING:
    from napari_graysam.comparison import Scores, TrackScores, VolumeScores
    from napari_graysam.files import LabelPlanes

COLUMNS = (
    "image", "AP", "AP50", "AP75", "F1", "PQ", "IoU", "precision", "recall", "true", "found",
    "matched",
)  # fmt: skip
TRACKING = ("SEG", "DET", "TRA", "LNK")
"""Of the Cell Tracking Challenge; in small letters they are the fields of `TrackScores`."""


@command
def score(
    terminal: Terminal,
    predicted: Annotated[
        Path,
        typer.Argument(
            help="A label image or volume, COCO, GeoJSON or ROI file, or a folder of label images "
            "(*.labels.tif first)."
        ),
    ],
    truth: Annotated[
        Path,
        typer.Argument(
            help="Its ground truth, of any of these kinds; a folder of label images named alike, "
            "or a COCO file of all images; of a volume also a folder of its planes."
        ),
    ],
    connected: Annotated[
        bool,
        typer.Option(
            "--connected",
            help="The ground truth is masks: each connected piece is an object of its own.",
        ),
    ] = False,
    tracks: Annotated[
        bool | None,
        typer.Option(
            "--tracks/--no-tracks",
            help="SEG, DET, TRA and LNK of the Cell Tracking Challenge for a time series; two "
            "folders are then one series each. Done without asking where both have a table of "
            "tracks beside them (NAME.tracks.csv, NAME.man_track.txt).",
        ),
    ] = None,
) -> None:
    """Score label images: average precision, F1, panoptic quality, mean matched IoU.

    AP is the mean over IoU 0.5 to 0.95 of TP / (TP + FP + FN); F1, PQ and IoU are at IoU 0.5. Of
    label volumes and time series, whole objects are scored, and the mean of the planes beside it.
    """
    with terminal:
        scored = score_pairs(
            terminal, find_pairs(terminal, predicted, truth, tracks), connected, tracks
        )
        if not scored:
            raise GraysamError("no image could be scored")
        from napari_graysam.comparison import mean_scores

        mean = mean_scores([one.scores for one in scored.values()])
        document = {
            "images": {name: one.to_dict() for name, one in scored.items()},
            "mean": mean.to_dict(),
        }
        terminal.result(document, scores_table(scored, mean))


def find_pairs(
    terminal: Terminal, predicted: Path, truth: Path, tracks: bool | None = None
) -> dict[str, tuple[Path, Path]]:
    """Match label images with their ground truth; what has no partner is reported.

    Raises
    ------
    UsageError
        If one is a folder and the other is not.
    """
    from napari_graysam.files.any_objects import kind_of
    from napari_graysam.files.coco_reader import image_names
    from napari_graysam.files.label_planes import open_label_planes
    from napari_graysam.source.kinds import is_zarr

    folders = [path.is_dir() and not is_zarr(path) for path in (predicted, truth)]
    volume = not folders[0] and open_label_planes(predicted) is not None
    if volume or tracks or not any(folders):
        return {stem_of(predicted): (predicted, truth)}
    together = kind_of(truth) == "coco"
    if not predicted.is_dir() or not (truth.is_dir() or together):
        raise UsageError(
            f"{predicted} and {truth}: expected two label images, two folders of them, or a "
            "folder and a COCO file of all images"
        )
    found = by_stem(label_files(predicted))
    if together:
        wanted = {stem_of(Path(name)): truth for name in image_names(truth)}
    else:
        wanted = by_stem(label_files(truth))
    for stem in found.keys() ^ wanted.keys():
        have, lacks = (found[stem], truth) if stem in found else (wanted[stem], predicted)
        terminal.fail(f"{have}: {lacks} has no labels of this name")
    return {stem: (found[stem], wanted[stem]) for stem in found if stem in wanted}


@dataclass(frozen=True)
class Scored:
    """What is known of one pair: the scores, those of planes, and those of tracks."""

    scores: Scores
    volume: VolumeScores | None = None
    tracks: TrackScores | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        found = self.scores.to_dict() if self.volume is None else self.volume.to_dict()
        return found if self.tracks is None else {**found, "tracks": self.tracks.to_dict()}


def score_pairs(
    terminal: Terminal,
    pairs: dict[str, tuple[Path, Path]],
    connected: bool = False,
    tracks: bool | None = None,
) -> dict[str, Scored]:
    """Score every pair that can be read; the others are reported."""
    from napari_graysam.files.label_planes import open_label_planes

    scored = {}
    with terminal.bars() as bars:
        for number, (name, (predicted, truth)) in enumerate(pairs.items()):
            bars.show("images", "scoring", number, len(pairs))
            try:
                planes = open_label_planes(predicted)
                if planes is not None:
                    scored[name] = _volume(terminal, planes, truth, connected, tracks)
                elif tracks:
                    raise UsageError(f"{predicted}: --tracks needs a time series, not one image")
                else:
                    scored[name] = _image(terminal, name, predicted, truth, connected)
            except UsageError:
                raise
            except GraysamError as error:
                message = str(error)
                known = any(str(path) in message for path in (predicted, truth))
                terminal.fail(message if known else f"{predicted}: {message}")
    return scored


def _image(terminal: Terminal, name: str, predicted: Path, truth: Path, connected: bool) -> Scored:
    from napari_graysam.comparison import score as score_labels
    from napari_graysam.files.label_values import pieces
    from napari_graysam.files.labels import labels_and_notes, read_labels

    found = read_labels(predicted, image=name)
    shape = (found.shape[0], found.shape[1])
    true, notes = labels_and_notes(truth, connected=connected, shape=shape, image=name)
    for note in notes:
        terminal.note(f"{truth}: note: {note}")
    if (count := pieces(true)) > 1:
        terminal.note(
            f"{truth}: one label in {count} pieces: use connected components? Then give "
            "--connected."
        )
    return Scored(score_labels(found, true))


def _volume(
    terminal: Terminal, planes: LabelPlanes, truth: Path, connected: bool, tracks: bool | None
) -> Scored:
    from napari_graysam.comparison import score_tracks, score_volume
    from napari_graysam.files.label_planes import open_label_planes
    from napari_graysam.files.lineage import find_lineage, read_lineage

    if connected:
        raise UsageError("--connected is for label images: number the objects of a volume first")
    true = open_label_planes(truth)
    if true is None or len(true) != len(planes):
        other = "is no label volume" if true is None else f"has {len(true)}"
        raise TruthError(
            f"{planes.path} has {len(planes)} planes, {truth} {other}: give a label volume or a "
            "folder of label images of these planes, and of no others"
        )
    volume = score_volume(planes, true)
    tables = {place: find_lineage(place) for place in (planes.path, truth)}
    missing = [place for place, table in tables.items() if table is None]
    if tracks and missing:
        raise UsageError(
            f"--tracks: there is no table of tracks beside {missing[0]}; expected "
            "NAME.tracks.csv or NAME.man_track.txt (man_track.txt or res_track.txt in a folder)"
        )
    if tracks is False or missing:
        return Scored(volume.volume, volume)
    lineages = [read_lineage(table) for table in tables.values() if table is not None]
    try:
        return Scored(volume.volume, volume, score_tracks(planes, true, *lineages))
    except UsageError as error:
        if tracks:
            raise
        terminal.note(f"{planes.path}: note: {error}")
        return Scored(volume.volume, volume)


def scores_table(scored: dict[str, Scored], mean: Scores) -> Any:
    """Return a row for each pair, and one for the mean of several."""
    rows = [row(name, one.scores) for name, one in scored.items()]
    columns = [*COLUMNS]
    if any(one.volume for one in scored.values()):
        columns.append("planes AP50")
        for cells, one in zip(rows, scored.values(), strict=True):
            planes = one.volume and one.volume.plane_mean.average_precision[0]
            cells.append("" if planes is None else f"{planes:.3f}")
    if any(one.tracks for one in scored.values()):
        columns += TRACKING
        for cells, one in zip(rows, scored.values(), strict=True):
            values = () if one.tracks is None else one.tracks.to_dict()
            cells += [_number(values[name.lower()]) if values else "" for name in TRACKING]
    if len(scored) > 1:
        of_mean = row("mean", mean)
        rows.append(of_mean + [""] * (len(columns) - len(of_mean)))
    return table(*columns, rows=rows, numbers=columns[1:])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def row(name: str, scores: Scores) -> list[str]:
    """Return one line of the table."""
    fractions = (
        scores.mean_average_precision,
        scores.average_precision[0],
        scores.average_precision[5],
        scores.f1,
        scores.panoptic_quality,
        scores.mean_matched_iou,
        scores.precision,
        scores.recall,
    )
    counts = (scores.n_true, scores.n_predicted, scores.n_matched)
    return [name, *(f"{value:.3f}" for value in fractions), *(str(count) for count in counts)]
