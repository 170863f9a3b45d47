"""Masks that are kept, never merged or never split, in images in tiles."""

from __future__ import annotations

import json
from pathlib import Path

import fake_tiles
import numpy as np
import pandas as pd
import pytest

from napari_graysam.batch import Report, segment_tiled
from napari_graysam.batch.tile_candidates import open_finished, tile_candidates
from napari_graysam.fingerprint import array_digest
from napari_graysam.masks import Mask
from napari_graysam.masks.run_lengths import decode_whole, encode
from napari_graysam.progress import run
from napari_graysam.recipe import Recipe, SeparateObjects, WholeObject
from napari_graysam.select.regrouping.evidence import Reasons
from napari_graysam.select.regrouping.objects import Regrouping
from napari_graysam.source.pyramid import open_pyramid
from napari_graysam.tiles import TileGrid
from napari_graysam.tiles.folder import TileFolder
from napari_graysam.tiles.pieces import PINNED, Pieces
from napari_graysam.tiles.regrouped import ABOUT, recorded, regroupings_of
from napari_graysam.tiles.resolve import resolve

IMAGE = fake_tiles.picture((100, 140))[0]
STRICT = Recipe().with_values(
    {
        "tiles.use": "always",
        "tiles.size": 80,
        "tiles.halo": 16,
        "generator.points_per_side": 4,
        "generator.pred_iou_thresh": 1,
    }
)
PLACE = (50, 30)


def keeping(*points: tuple[float, float], recipe: Recipe = STRICT) -> Recipe:
    return recipe.with_values({"labels.keep": [{"point": point, "mask": 2} for point in points]})


def places_of(outcome) -> list[tuple[float, float]]:
    table = pd.read_csv(outcome.files["objects"])
    return list(zip(table["point_x"].tolist(), table["point_y"].tolist(), strict=True))


def test_a_kept_mask_is_found_by_its_point_whatever_the_tiles_are(tmp_path: Path) -> None:
    for size in (80, 120, 100):
        recipe = STRICT.with_values({"tiles.size": size, "generator.points_per_side": size // 20})
        out = tmp_path / str(size)
        assert segment_tiled(IMAGE, recipe, out / "without", name="a").objects == 0
        outcome = segment_tiled(IMAGE, keeping(PLACE, recipe=recipe), out / "with", name="a")
        assert places_of(outcome) == [PLACE]
        assert not any("labels.keep" in note for note in outcome.notes)


def test_a_kept_mask_is_known_when_a_tile_is_asked_again(tmp_path: Path) -> None:
    segment_tiled(IMAGE, keeping(PLACE), tmp_path, name="a")
    image = run(open_finished(open_pyramid(IMAGE), tmp_path, "a"))
    grid = image.objects.grid
    tile = grid.tile(*divmod(grid.holding(*PLACE), len(grid.spans[1])))
    found = run(tile_candidates(image, tile))
    assert found is not None
    assert len(found.masks) == 1


def test_only_the_tile_of_a_kept_mask_is_made_anew(tmp_path: Path) -> None:
    segment_tiled(IMAGE, STRICT, tmp_path, name="a")
    for recipe, objects in ((keeping(PLACE), 1), (STRICT, 0)):
        reports: list[Report] = []
        outcome = segment_tiled(
            IMAGE, recipe, tmp_path, name="a", overwrite=True, on_progress=reports.append
        )
        count = len(TileGrid((100, 140), 80, 16))
        assert any(f"{count - 1} of {count} tiles are there" in one.note for one in reports)
        assert outcome.objects == objects


def test_kept_masks_that_are_not_there_are_named_in_pixels_of_the_image(tmp_path: Path) -> None:
    outcome = segment_tiled(IMAGE, keeping((115, 95), (900, 3)), tmp_path, name="a")
    assert outcome.objects == 0
    notes = " ".join(outcome.notes)
    assert "labels.keep names mask 2 of the point 115, 95 in crop 0" in notes
    assert "1 of 2 entries in labels.keep name points outside of the image" in notes


def test_a_kept_mask_stays_at_a_seam_where_a_surer_one_is_the_same() -> None:
    grid = TileGrid((40, 60), 40, 10)
    assert len(grid) == 2
    mask = Mask(np.ones((8, 8), bool), (26, 10, 34, 18), predicted_iou=0.2)
    found = {
        "r000c000": Pieces.of([mask], [PINNED]),
        "r000c001": Pieces.of([mask.replace(predicted_iou=0.9)]),
    }
    resolved = resolve(grid, Recipe(), lambda tile: found[tile.name])
    assert resolved.found.predicted_iou[resolved.chosen].tolist() == [0.2]
    small = Recipe().with_values({"labels.min_area": 100, "labels.exclude_border": True})
    assert len(resolve(grid, small, lambda tile: found[tile.name]).chosen) == 1


# Merging and splitting

SHAPE = (130, 190)
DISCS, TRUTH = fake_tiles.picture(SHAPE)
MERGING = STRICT.with_values(
    {"tiles.size": 96, "tiles.halo": 20, "generator.points_per_side": 24,
     "labels.merging.merge": 0.5}
)  # fmt: skip


def counts(region: np.ndarray) -> str:
    mask = Mask(region, (0, 0, region.shape[1], region.shape[0]))
    return str(encode(mask, region.shape, compressed=True)["counts"])


def bits(mask: Mask, shape: tuple[int, int]) -> np.ndarray:
    whole = np.zeros(shape, bool)
    whole[mask.slices] = mask.bits
    return whole


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch):
    """Return the pins that every tile was segmented with, by its place, with its own digest."""
    found = {}

    def steps(image, recipe, *, cut, **options):
        found[cut.points.tile] = recipe.labels.pinned, array_digest(image.raw)
        return (yield from fake_tiles.segment_steps(image, recipe, cut=cut, **options))

    fake_tiles.install(monkeypatch, steps)
    return found


def test_every_tile_that_sees_an_object_knows_what_is_said_of_it(seen, tmp_path: Path) -> None:
    grid = TileGrid(SHAPE, 96, 20)
    # On both sides of the seam between the first two columns, and far away from it.
    seam = grid.seams()[1][0]
    left, right, far = np.zeros((3, *SHAPE), bool)
    left[40:60, seam - 25 : seam], right[40:60, seam : seam + 25] = True, True
    far[110:120, 170:180] = True
    about = {"image": array_digest(DISCS), "size": SHAPE}
    pins = (
        SeparateObjects(parts=(counts(left), counts(right)), **about),
        WholeObject(mask=counts(far), **about),
        WholeObject(mask=counts(left), image="00", size=SHAPE),
    )
    recipe = MERGING.replace(labels=MERGING.labels.replace(pinned=pins))
    segment_tiled(DISCS, recipe, tmp_path, name="discs")
    assert len(seen) == len(grid)
    knowing = 0
    for tile, (said, digest) in seen.items():
        expected = {"apart": [left[tile.window], right[tile.window]], "whole": [far[tile.window]]}
        if not all(part.any() for part in expected["apart"]):
            expected["apart"] = []
        if not expected["whole"][0].any():
            expected["whole"] = []
        got = {"apart": [], "whole": []}
        for pin in said:
            assert (pin.image, pin.size) == (digest, tile.shape)
            parts = pin.parts if pin.kind == "apart" else (pin.mask,)
            got[pin.kind] += [bits(decode_whole(part, pin.size), pin.size) for part in parts]
        for kind, regions in expected.items():
            assert len(got[kind]) == len(regions)
            for one, other in zip(got[kind], regions, strict=True):
                np.testing.assert_array_equal(one, other)
        knowing += bool(expected["apart"])
    assert knowing >= 2
    assert knowing < len(grid)


def test_without_merging_nothing_is_made_anew_for_such_pins(seen, tmp_path: Path) -> None:
    recipe = MERGING.with_values({"labels.merging.merge": 0})
    segment_tiled(DISCS, recipe, tmp_path, name="discs")
    seen.clear()
    pin = WholeObject(mask=counts(TRUTH == 4), image=array_digest(DISCS), size=SHAPE)
    recipe = recipe.replace(labels=recipe.labels.replace(pinned=(pin,)))
    segment_tiled(DISCS, recipe, tmp_path, name="discs", overwrite=True)
    assert not seen


def test_what_was_merged_is_known_of_objects_seen_whole_and_cut(tmp_path: Path) -> None:
    grid = TileGrid((40, 60), 40, 10)
    assert len(grid) == 2
    first, second = grid
    folder = TileFolder(tmp_path)
    halves = [Mask(np.ones((8, 6), bool), box) for box in ((28, 10, 34, 18), (34, 10, 40, 18))]
    whole = Mask(np.ones((8, 12), bool), (28, 10, 40, 18), point=(30, 12))
    reasons = Reasons(0.75, 0.1, 0.2, -0.3)
    left = second.origin[1]
    near = [_moved(mask, -left) for mask in (*halves, whole)]
    of_tile = Regrouping("merged", tuple(near[:2]), (near[2],), reasons)
    other = Mask(np.ones((3, 3), bool), (50, 30, 53, 33))
    about = {ABOUT: recorded([of_tile], [near[2], near[2].replace(point=(1, 1))], second.origin)}
    folder.save(first, Pieces.of([other.replace(box=(2, 2, 5, 5))]))
    folder.save(second, Pieces.of([whole, other], about=json.loads(json.dumps(about))))
    for owner in (first, second):
        (found,) = regroupings_of(folder, grid, whole, owner)
        assert (found.kind, found.reasons.evidence) == ("merged", 0.75)
        assert np.isnan(found.reasons.asked)
        assert [mask.box for mask in found.before] == [mask.box for mask in halves]
        assert regroupings_of(folder, grid, other, owner) == ()
    # An object that goes on where the tile does not see it.
    wider = Mask(np.ones((8, 24), bool), (16, 10, 40, 18))
    assert second.window[1].start > 16
    assert len(regroupings_of(folder, grid, wider, first)) == 1


def _moved(mask: Mask, right: int) -> Mask:
    x0, y0, x1, y1 = mask.box
    return mask.replace(box=(x0 + right, y0, x1 + right, y1))
