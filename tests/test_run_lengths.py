"""Run lengths of masks, against pycocotools and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from napari_graysam.masks import Mask
from napari_graysam.masks.run_lengths import decode, encode

IMAGES = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def mask_of(image: np.ndarray) -> Mask:
    height, width = image.shape
    return Mask(image, (0, 0, width, height)).with_bits(image)


def test_run_lengths_decode_to_the_mask() -> None:
    inside = np.random.default_rng(0).random((7, 5)) > 0.5
    inside[0, 0] = True
    lengths = encode(mask_of(inside), inside.shape, compressed=False)
    values = np.arange(len(lengths["counts"])) % 2 == 1
    assert lengths["counts"][0] == 0
    line = np.repeat(values, lengths["counts"])
    assert np.array_equal(line.reshape(5, 7).T, inside)


@given(IMAGES)
def test_the_text_is_that_of_pycocotools(image: np.ndarray) -> None:
    theirs = coco.encode(np.asfortranarray(image, np.uint8))
    ours = encode(mask_of(image), image.shape, compressed=True)
    assert ours == {"size": theirs["size"], "counts": theirs["counts"].decode()}


@pytest.mark.parametrize("compressed", [True, False])
@given(image=IMAGES)
def test_decoding_gives_the_bits_back(compressed: bool, image: np.ndarray) -> None:
    mask = mask_of(image)
    rle = encode(mask, image.shape, compressed=compressed)
    np.testing.assert_array_equal(decode(rle, image.shape, mask.box), mask.bits)


@pytest.mark.parametrize(
    ("rle", "box", "message"),
    [
        ({"size": [3, 4], "counts": [12]}, (0, 0, 1, 1), "for an image of"),
        ({"size": [4, 3], "counts": [11]}, (0, 0, 1, 1), "do not fill"),
        ({"size": [4, 3], "counts": [14, -2]}, (0, 0, 1, 1), "do not fill"),
        ({"size": [4, 3], "counts": [12]}, (0, 0, 4, 1), "outside"),
        (["size", "counts"], (0, 0, 1, 1), "for an image of"),
    ],
)
def test_damaged_runs_are_refused(rle: object, box: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(rle, (4, 3), box)
