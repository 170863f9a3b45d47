"""Objects pinned by hand in images in tiles, and files for ImageJ."""

from __future__ import annotations

from pathlib import Path

import fake_tiles
import numpy as np
import pytest

from napari_graysam.batch import Report, SegmentJob, segment_tiled, segment_tiled_steps, tiled_steps
from napari_graysam.files import read_rois
from napari_graysam.fingerprint import array_digest
from napari_graysam.masks import Mask, label_masks, label_overlaps, match, paint
from napari_graysam.masks.run_lengths import encode
from napari_graysam.progress import run
from napari_graysam.recipe import (
    AddedObject,
    MergedObjects,
    Pin,
    Prompt,
    Recipe,
    RemovedObject,
    SplitObject,
)
from napari_graysam.source.pyramid import open_pyramid

SHAPE = (250, 310)
RECIPE = Recipe().with_values(
    {"tiles.use": "always", "tiles.size": 96, "tiles.halo": 20, "generator.points_per_side": 24}
)
IMAGE, discs = fake_tiles.picture(SHAPE)


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tiles.install(monkeypatch)


def counts(region: np.ndarray) -> str:
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    mask = Mask(region[y0:y1, x0:x1], (int(x0), int(y0), int(x1), int(y1)))
    return str(encode(mask, SHAPE, compressed=True)["counts"])


def pinned(*pins: Pin, recipe: Recipe = RECIPE) -> Recipe:
    return recipe.replace(labels=recipe.labels.replace(pinned=pins))


def of(image: np.ndarray = IMAGE) -> dict[str, object]:
    return {"image": array_digest(image), "size": SHAPE}


def square(y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
    region = np.zeros(SHAPE, bool)
    region[y0:y1, x0:x1] = True
    return region


def labels_of(outcome) -> np.ndarray:
    return np.asarray(open_pyramid(outcome.files["labels"]).plane()[:, :])


def same_objects(found: np.ndarray, truth: np.ndarray) -> bool:
    ids, others, overlaps = label_overlaps(found, truth)
    return len(match(overlaps, 1.0)) == len(ids) == len(others)


def around(region: np.ndarray) -> list[int]:
    """Return the discs that share a pixel with a region."""
    return [int(one) for one in np.unique(discs[region]) if one]


def test_pins_of_the_whole_image_count_in_tiles(tmp_path: Path) -> None:
    # Over the seams at rows 88 and 162 and columns of cores' ends.
    added = square(70, 110, 70, 120)
    gone, one, other, halved = 3, 40, 41, 77
    top, bottom = (discs == halved).copy(), (discs == halved).copy()
    middle = int(np.flatnonzero((discs == halved).any(axis=1)).mean())
    top[middle:], bottom[:middle] = False, False
    recipe = pinned(
        RemovedObject(mask=counts(discs == gone), **of()),
        AddedObject(prompt=Prompt(box=(70, 70, 120, 110)), mask=counts(added), **of()),
        MergedObjects(parts=(counts(discs == one), counts(discs == other)), **of()),
        SplitObject(mask=counts(discs == halved), parts=(counts(top), counts(bottom)), **of()),
    )
    expected = discs.copy()
    expected[expected == gone] = 0
    for disc in around(added):
        whole = discs == disc
        if (whole & added).sum() >= 0.9 * whole.sum():
            expected[whole] = 0
    # Smaller objects are painted over larger ones.
    expected[added & (expected == 0)] = discs.max() + 1
    expected[expected == other] = one
    expected[bottom] = discs.max() + 2
    outcome = segment_tiled(IMAGE, recipe, tmp_path, name="discs")
    assert not {gone, one, other, halved} & set(around(added))
    assert same_objects(labels_of(outcome), expected)
    assert not any("labels.pinned" in note for note in outcome.notes)


def test_no_filter_drops_a_pinned_object(tmp_path: Path) -> None:
    small = square(0, 4, 100, 104)
    strict = RECIPE.with_values(
        {
            "labels.min_area": 150,
            "labels.exclude_border": True,
            "labels.level": "whole",
            "labels.filters": [{"column": "area", "minimum": 160}],
        }
    )
    pin = AddedObject(prompt=Prompt(positive=((101, 1),)), mask=counts(small), **of())
    outcome = segment_tiled(IMAGE, pinned(pin, recipe=strict), tmp_path, name="discs")
    labels = labels_of(outcome)
    masks, _ = label_masks(labels)
    assert sorted(mask.area for mask in masks)[:2] >= [16, 160]
    assert sum(mask.area < 160 for mask in masks) == 1
    assert len(np.unique(labels[small])) == 1


def test_a_pin_over_many_tiles_has_one_label(tmp_path: Path) -> None:
    bar = square(116, 122, 5, 300)
    pin = AddedObject(prompt=Prompt(box=(5, 116, 300, 122)), mask=counts(bar), **of())
    dark = np.where(bar, 10, IMAGE).astype(np.uint8)
    pin = pin.replace(image=array_digest(dark))
    outcome = segment_tiled(dark, pinned(pin), tmp_path, name="bar")
    labels = labels_of(outcome)
    inside = np.unique(labels[bar])
    biggest = max(inside.tolist(), key=lambda one: (labels == one).sum())
    assert (labels[bar] == biggest).mean() > 0.9


def test_pins_of_other_images_are_said(tmp_path: Path) -> None:
    other = RemovedObject(mask=counts(discs == 3), image="00", size=SHAPE)
    outcome = segment_tiled(IMAGE, pinned(other), tmp_path, name="discs")
    assert same_objects(labels_of(outcome), discs)
    assert any("1 of 1 entries in labels.pinned are of other images" in n for n in outcome.notes)


def test_pins_use_the_tiles_that_are_there(tmp_path: Path) -> None:
    segment_tiled(IMAGE, RECIPE, tmp_path, name="discs")
    reports: list[Report] = []
    pin = RemovedObject(mask=counts(discs == 3), **of())
    outcome = segment_tiled(
        IMAGE, pinned(pin), tmp_path, name="discs", overwrite=True, on_progress=reports.append
    )
    assert any("20 of 20 tiles are there" in report.note for report in reports)
    assert outcome.objects == discs.max() - 1


def test_rois_of_the_whole_image(tmp_path: Path) -> None:
    steps = segment_tiled_steps(IMAGE, RECIPE, tmp_path, name="discs", kinds=("rois",))
    outcome = run(steps)
    objects = read_rois(outcome.files["rois"])
    np.testing.assert_array_equal(paint(objects.masks, SHAPE), labels_of(outcome))
    assert objects.labels == tuple(range(1, outcome.objects + 1))


def test_of_too_many_objects_no_rois_are_written_and_that_is_said(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("napari_graysam.tiles.write.MOST_ROIS", 50)
    np.save(tmp_path / "discs.npy", IMAGE)
    job = SegmentJob(RECIPE, tmp_path / "out", kinds=("objects", "rois"))
    reports: list[Report] = []
    (outcome,) = run(tiled_steps([tmp_path / "discs.npy"], job), reports.append)
    assert "rois" not in outcome.files
    assert outcome.files["objects"].is_file()
    assert any("more than the 50 that ImageJ's ROI" in report.note for report in reports)
    (again,) = run(tiled_steps([tmp_path / "discs.npy"], job))
    assert again.status == "skipped"
