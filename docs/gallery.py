"""Segment samples of each kind of image in both ways, and write the pages of the gallery.

``python docs/gallery.py`` writes ``docs/gallery/*.md``, ``docs/gallery.md`` and their pictures
from real runs of the bundled model, and thumbnails of all samples.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from panels import IMAGES, strip
from PIL import Image

from napari_graysam import Recipe
from napari_graysam.demo import Row
from napari_graysam.demo.steps import compare_sample
from napari_graysam.progress import run
from napari_graysam.samples import samples
from napari_graysam.source.gray import ImageSource

HERE = Path(__file__).parent
THUMBNAIL = 180
COLOURS = (
    "In the last picture of each, green is what both arms found, yellow what they found with "
    "another outline, light blue what preprocessing gained, orange what it lost, pink what it "
    "split and dark blue what it merged."
)


@dataclass(frozen=True)
class Kind:
    """A kind of image: its page, preset, samples, and what to look at."""

    name: str
    title: str
    preset: str
    shown: tuple[str, ...]
    text: str


KINDS = (
    Kind("fluorescence", "Fluorescent nuclei", "fluorescence-nuclei", ("nuclei_uneven",),
         "Bright nuclei on a dark background. Uneven light is flattened before contrast is "
         "raised. Nuclei that touch are told apart by the containment rule for duplicates; a "
         "lower `labels.suppression_thresh` drops more doubles."),
    Kind("faint", "Faint beside bright", "faint-objects", ("faint",),
         "A few glaring objects stretch the window, and everything else falls into a handful of "
         "gray levels. A logarithm and local contrast bring it back. This is where preprocessing "
         "gains most."),
    Kind("phase-contrast", "Phase contrast", "phase-contrast", ("phase_cells", "cell"),
         "Cells as bright as their background, seen by halo and edge. Where cells are small in a "
         "large image, crops enlarge them: `generator.crop_n_layers=1`, for some five times the "
         "time."),
    Kind("membranes", "Membranes and walls", "membranes", ("membranes", "brick"),
         "Everything belongs to a cell, and walls separate them. Where walls fade, neighbours "
         "join: compare the arms, and merge or split single objects by hand (Q). Bricks that "
         "the first pass misses are found by a [second look](../missed.md)."),
    Kind("electron-microscopy", "Electron micrographs", "electron-microscopy", ("em_texture",),
         "Noise is softened, and small images are shown to the model enlarged. Organelles come "
         "as masks within cells: `labels.level` chooses wholes or parts."),
    Kind("particles", "Grains and particles", "particles", ("particles", "coins", "gravel"),
         "Compact objects, often touching, as in SEM of powders. Small ones beside large ones "
         "need crops (`generator.crop_n_layers=1`) or a [second look](../missed.md). Rough rocks "
         "without gaps between them are the bundled model's weak side."),
    Kind("low-contrast", "Little contrast", "low-contrast", ("moon", "microaneurysms"),
         "Even background, faint objects of any kind. Preprocessing shows what eyes barely see, "
         "and noise as well: raise `generator.pred_iou_thresh` if it brings false objects."),
)  # fmt: skip


def measure(name: str) -> Row:
    """Compare one sample in both ways; write its picture."""
    with tempfile.TemporaryDirectory() as folder:
        strip_of = run(compare_sample(samples()[name], Path(folder)))
    row = strip_of.row
    texts = (
        "image",
        f"raw: {row.objects_raw} objects",
        f"preprocessed: {row.objects_preprocessed} objects",
        f"gained {row.gained}, lost {row.lost}",
    )
    panels = list(zip(texts, strip_of.pictures, strict=True))
    strip(panels, IMAGES / "gallery" / f"{name}.jpg", columns=2)
    return row


def thumbnails() -> None:
    """Write a small picture of every sample, of stacks the plane in the middle."""
    folder = IMAGES / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    for name, sample in samples().items():
        image = sample.load()
        plane = image[len(image) // 2] if sample.axis else image
        pixels = ImageSource(plane).plane(0).pixels
        picture = Image.fromarray(np.uint8(np.clip(pixels, 0, 1) * 255))
        picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        picture.save(folder / f"{name}.jpg", quality=82, optimize=True)


def page(kind: Kind, rows: list[Row]) -> str:
    """Return the page of a kind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        Recipe.preset(kind.preset).to_file(path)
        recipe = path.read_text(encoding="utf-8").strip()
    parts = [f"# {kind.title}", kind.text, COLOURS]
    for row in rows:
        parts += [
            f"## {row.title}",
            samples()[row.sample].description,
            f"![{row.title}: image, raw masks, preprocessed masks, what changed]"
            f"(../images/gallery/{row.sample}.jpg)",
            numbers(row),
        ]
    parts += [
        "## Recipe",
        f"```sh\ngraysam compare cells.tif --recipe {kind.preset} --out compared\n```",
        "In full, to copy and change:",
        f"```yaml\n{recipe}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def numbers(row: Row) -> str:
    """Return what was counted, in a sentence."""
    found = f"{row.objects_raw} objects raw, {row.objects_preprocessed} preprocessed"
    changes = (
        f"{row.kept} kept, {row.changed} changed, {row.gained} gained, {row.lost} lost, "
        f"{row.split} split, {row.merged} merged"
    )
    if row.ap50_raw is None or row.ap50_preprocessed is None:
        return f"{found}: {changes}. There is no ground truth."
    return (
        f"{found} of {row.objects_true}: {changes}. AP at IoU 0.5: **{row.ap50_raw:.2f}** raw, "
        f"**{row.ap50_preprocessed:.2f}** preprocessed."
    )


def main() -> None:
    """Run all samples and write the pages."""
    thumbnails()
    folder = HERE / "gallery"
    folder.mkdir(exist_ok=True)
    lines = [
        "# Gallery",
        "Each page shows an image, its raw and its preprocessed masks, and what changed, from "
        "real runs of the bundled model on sample images that come with the program "
        "(`docs/gallery.py`). The synthetic ones are of kinds that the model knows from "
        "training, so their scores are high; the [model card](model_card.md) has those of real "
        "images.",
        COLOURS,
    ]
    for kind in KINDS:
        rows = [measure(name) for name in kind.shown]
        (folder / f"{kind.name}.md").write_text(page(kind, rows), encoding="utf-8")
        lines += [
            f"## [{kind.title}](gallery/{kind.name}.md)",
            f"[![{kind.title}](images/gallery/{kind.shown[0]}.jpg)](gallery/{kind.name}.md)",
            numbers(rows[0]),
        ]
    (HERE / "gallery.md").write_text("\n\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
