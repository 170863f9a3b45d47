"""``graysam score``: label images against their ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_graysam.cli.command import command
from napari_graysam.cli.inputs import by_stem, label_files, stem_of
from napari_graysam.cli.terminal import Terminal, table
from napari_graysam.errors import GraysamError, UsageError

if TYPE_CHECKING:
    from napari_graysam.comparison import Scores

COLUMNS = (
    "image", "AP", "AP50", "AP75", "F1", "PQ", "IoU", "precision", "recall", "true", "found",
    "matched",
)  # fmt: skip


@command
def score(
    terminal: Terminal,
    predicted: Annotated[
        Path,
        typer.Argument(
            help="A label image, COCO, GeoJSON or ROI file, or a folder of label images "
            "(*.labels.tif first)."
        ),
    ],
    truth: Annotated[
        Path,
        typer.Argument(
            help="Its ground truth, of any of these kinds; a folder of label images named alike, "
            "or a COCO file of all images."
        ),
    ],
    connected: Annotated[
        bool,
        typer.Option(
            "--connected",
            help="The ground truth is masks: each connected piece is an object of its own.",
        ),
    ] = False,
) -> None:
    """Score label images: average precision, F1, panoptic quality, mean matched IoU.

    AP is the mean over IoU 0.5 to 0.95 of TP / (TP + FP + FN); F1, PQ and IoU are at IoU 0.5.
    """
    with terminal:
        scores = score_pairs(terminal, find_pairs(terminal, predicted, truth), connected)
        if not scores:
            raise GraysamError("no image could be scored")
        from napari_graysam.comparison import mean_scores

        mean = mean_scores(list(scores.values()))
        rows = [row(name, one) for name, one in scores.items()]
        if len(scores) > 1:
            rows.append(row("mean", mean))
        document = {
            "images": {name: one.to_dict() for name, one in scores.items()},
            "mean": mean.to_dict(),
        }
        terminal.result(document, table(*COLUMNS, rows=rows, numbers=COLUMNS[1:]))


def find_pairs(terminal: Terminal, predicted: Path, truth: Path) -> dict[str, tuple[Path, Path]]:
    """Match label images with their ground truth; what has no partner is reported.

    Raises
    ------
    UsageError
        If one is a folder and the other is not.
    """
    from napari_graysam.files.any_objects import kind_of
    from napari_graysam.files.coco_reader import image_names

    if not predicted.is_dir() and not truth.is_dir():
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


def score_pairs(
    terminal: Terminal, pairs: dict[str, tuple[Path, Path]], connected: bool = False
) -> dict[str, Scores]:
    """Score every pair that can be read; the others are reported."""
    from napari_graysam.comparison import score as score_labels
    from napari_graysam.files.label_values import pieces
    from napari_graysam.files.labels import labels_and_notes, read_labels

    scores = {}
    with terminal.bars() as bars:
        for number, (name, (predicted, truth)) in enumerate(pairs.items()):
            bars.show("images", "scoring", number, len(pairs))
            try:
                found = read_labels(predicted, image=name)
                shape = (found.shape[0], found.shape[1])
                true, notes = labels_and_notes(truth, connected=connected, shape=shape, image=name)
                for note in notes:
                    terminal.note(f"{truth}: note: {note}")
                if (count := pieces(true)) > 1:
                    terminal.note(
                        f"{truth}: one label in {count} pieces: use connected components? "
                        "Then give --connected."
                    )
                scores[name] = score_labels(found, true)
            except GraysamError as error:
                message = str(error)
                known = any(str(path) in message for path in (predicted, truth))
                terminal.fail(message if known else f"{predicted}: {message}")
    return scores


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
