"""The region of a recipe: polygons or a file, the same wherever it comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from stub_decoder import StubModel, loaded, noise

from napari_graysam.batch import SegmentJob
from napari_graysam.cli.options import make_recipe
from napari_graysam.errors import GraysamError, ImageError
from napari_graysam.files import write_geojson
from napari_graysam.files.region import region_mask, region_of
from napari_graysam.masks.mask import Mask
from napari_graysam.pipeline import segment
from napari_graysam.progress import Progress
from napari_graysam.recipe import Recipe

SHAPE = (90, 120)


def part() -> np.ndarray:
    """Two pieces, one of them with holes."""
    mask = np.zeros(SHAPE, bool)
    mask[20:60, 10:70] = True
    mask[30:40, 20:30] = mask[45:50, 40:60] = False
    mask[70:80, 90:110] = True
    return mask


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(np.any))
def test_polygons_of_a_mask_hold_exactly_its_pixels(mask: np.ndarray) -> None:
    assert np.array_equal(region_mask(region_of(mask), mask.shape), mask)


def test_a_pixel_is_inside_where_its_centre_is() -> None:
    triangle = (((0.0, 0.0), (4.0, 0.0), (0.0, 4.0)), ((9.0, 9.0), (90.0, 9.0), (9.0, 90.0)))
    mask = region_mask(triangle, (5, 5))
    # Centres (x, y) with x + y < 4; the other polygon lies outside of the image.
    assert mask.sum(axis=1).tolist()[1:] == [2, 1, 0, 0]
    assert mask[0, :3].all()
    assert not mask[0, 4:].any()


@pytest.mark.parametrize("kind", ["tif", "png", "npy", "geojson"])
def test_a_file_holds_what_is_not_0(tmp_path: Path, kind: str) -> None:
    path, mask = tmp_path / f"region.{kind}", part()
    if kind == "tif":
        tifffile.imwrite(path, mask.astype(np.uint16) * 3)
    elif kind == "png":
        Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    elif kind == "npy":
        np.save(path, mask)
    else:
        pieces = [
            mask & (np.arange(SHAPE[0]) < 65)[:, None],
            mask & (np.arange(SHAPE[0]) > 65)[:, None],
        ]
        masks = [Mask(bits, (0, 0, SHAPE[1], SHAPE[0]), 1.0, 1.0) for bits in pieces]
        write_geojson(path, masks, SHAPE)
    assert np.array_equal(region_mask(str(path), SHAPE), mask)


def test_a_region_that_does_not_fit_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "region.png"
    with pytest.raises(GraysamError, match=r"region\.png"):
        region_mask(str(path), SHAPE)
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(path)
    with pytest.raises(ImageError, match=r"region\.png marks no pixel"):
        region_mask(str(path), SHAPE)
    Image.fromarray(np.ones((5, 6), np.uint8)).save(path)
    with pytest.raises(ImageError, match=r"5 × 6.*90 × 120"):
        region_mask(str(path), SHAPE)
    with pytest.raises(ImageError, match=r"image\.region holds no pixel"):
        region_mask((((200.0, 0.0), (300.0, 0.0), (300.0, 9.0)),), SHAPE)


@pytest.fixture
def _stub(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_steps(options):
        yield Progress("load", 1, 1)
        return loaded(StubModel())

    monkeypatch.setattr("napari_graysam.model.load_steps", load_steps)


@pytest.mark.usefixtures("_stub", "one_thread")
def test_a_recipes_region_does_what_a_mask_does(tmp_path: Path) -> None:
    image, mask = noise(*SHAPE)[..., 0], part()
    np.save(tmp_path / "region.npy", mask)
    plain = Recipe().with_values(
        {
            "generator.points_per_side": 12,
            "generator.pred_iou_thresh": 0.5,
            "generator.stability_score_thresh": 0.1,
        }
    )
    given_mask = segment(image, plain, region=mask)
    everywhere = segment(image, plain)
    assert 0 < given_mask.provenance["proposals"]["points"] < 144
    for region in (region_of(mask), str(tmp_path / "region.npy")):
        recipe = plain.with_values({"image.region": region})
        result = segment(image, recipe)
        assert np.array_equal(result.labels, given_mask.labels)
        assert not np.array_equal(result.labels, everywhere.labels)
        assert result.fingerprint.inputs == given_mask.fingerprint.inputs
        assert Recipe.from_yaml(result.recipe.to_yaml()) == recipe
        # A mask goes before the recipe's region.
        assert (
            segment(image, recipe, region=np.ones(SHAPE, bool)).provenance["proposals"]["points"]
            == 144
        )
    np.save(tmp_path / "region.npy", ~mask)
    assert segment(image, recipe).fingerprint["decode"] != result.fingerprint["decode"]
    assert segment(image, recipe).fingerprint["encode"] == result.fingerprint["encode"]


def test_the_command_line_names_a_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = make_recipe(None, None, [], Path("my region.tif"))
    assert recipe == make_recipe(None, None, ["image.region=my region.tif"])
    job = SegmentJob(recipe, tmp_path).absolute()
    assert job.recipe.image.region == str(tmp_path / "my region.tif")
    polygon = make_recipe(None, None, ["image.region=[[[0, 0], [9, 0], [9, 9.5]]]"])
    assert polygon.image.region == (((0, 0), (9, 0), (9, 9.5)),)
