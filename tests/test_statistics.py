"""Masks measured and cut one by one are those of torch's enlargement, to the pixel."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from napari_graysam.propose import enlarge as enlarging
from napari_graysam.propose import pixels as mask_pixels
from napari_graysam.propose.enlarge import (
    Enlargement,
    Question,
    ask,
    enlarge,
    enlargement_of,
    interpolate,
)
from napari_graysam.propose.pixels import Pixels, reach
from napari_graysam.propose.statistics import measure

pytestmark = pytest.mark.usefixtures("threads")

# Some that are wider than high, odd, hardly larger than the logits, and smaller.
SIZES = [(256, 256), (97, 141), (300, 111), (128, 700), (33, 40), (20, 31)]
SIDE = 32


@pytest.fixture(params=["whole", "strips"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Masks are enlarged whole by OpenCV, or block by block in strips."""
    whole = request.param == "whole"
    monkeypatch.setattr(mask_pixels, "_WHOLE", 2**22 if whole else 0)
    monkeypatch.setattr(mask_pixels, "_SHARE", 0)
    monkeypatch.setattr(mask_pixels, "_AT_ONCE", 1)
    monkeypatch.setattr(mask_pixels, "_AGAIN", 100)
    return str(request.param)


def test_the_instructions_asked_for_are_used() -> None:
    asked = os.environ.get("ATEN_CPU_CAPABILITY")
    assert asked in (None, torch.backends.cpu.get_cpu_capability().lower())


def logits(kind: str) -> Tensor:
    """Make low-resolution logits: outlines of different length, plateaus at the thresholds."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:SIDE, :SIDE]
    discs = [
        radius - np.hypot(y - cy, x - cx)
        for cy, cx, radius in [(9.3, 20.1, 4.2), (16, 16, 30), (0, 31, 6), (15, 3, 0.4), (5, 5, -9)]
    ]
    smooth = [gaussian_filter(rng.normal(size=(SIDE, SIDE)), 3) * 20 for _ in range(4)]
    noise = list(rng.normal(size=(4, SIDE, SIDE)))
    found = {
        "discs": discs,
        "smooth": smooth,
        "noise": noise,
        "steps": [np.round(one) for one in [*discs, *smooth]],
        "flat": [np.zeros((SIDE, SIDE)), np.ones((SIDE, SIDE)), np.full((SIDE, SIDE), -1.0)],
    }[kind]
    return torch.tensor(np.array(found), dtype=torch.float32)


def expected(low: Tensor, size: tuple[int, int], group: int, threshold: float) -> np.ndarray:
    return (enlarge(low, size, group) > threshold).numpy()


def box_of(mask: np.ndarray) -> list[int]:
    if not mask.any():
        return [0, 0, 0, 0]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])]


@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize("kind", ["discs", "smooth", "noise", "steps", "flat"])
@pytest.mark.parametrize("size", SIZES)
def test_measures_are_those_of_the_enlarged_logits(
    size: tuple[int, int], kind: str, group: int, way: str
) -> None:
    low = logits(kind)
    for threshold, offset in ((0.0, 1.0), (0.5, 0.25), (-1.0, 0.0)):
        found = measure(low, size, group=group, mask_threshold=threshold, offset=offset)
        masks = expected(low, size, group, threshold)
        inside = expected(low, size, group, threshold + offset).sum((1, 2))
        around = expected(low, size, group, threshold - offset).sum((1, 2))
        assert found.kept.all()
        np.testing.assert_array_equal(found.area, masks.sum((1, 2)))
        np.testing.assert_array_equal(found.box, [box_of(mask) for mask in masks])
        ratio = np.where(around > 0, np.float32(inside) / np.maximum(around, 1), 0)
        np.testing.assert_array_equal(found.stability, ratio.astype(np.float32))


@pytest.mark.parametrize("kind", ["discs", "smooth", "noise", "steps", "flat"])
@pytest.mark.parametrize("size", SIZES[:-1])
def test_pixels_are_those_of_the_enlarged_logits(
    size: tuple[int, int], kind: str, way: str
) -> None:
    height, width = size
    low = logits(kind)
    enlargement = known(low, size)
    boxes = [(0, 0, width, height), (3, 5, width - 2, height - 4), (2, 2, 9, 7), (4, 4, 4, 9)]
    for one in low.split(1):
        whole = expected(one, size, 3, 0.0)[0]
        for box in boxes:
            x0, y0, x1, y1 = box
            found = Pixels(one[0].numpy(), enlargement, box).above(0.0)
            np.testing.assert_array_equal(found, whole[y0:y1, x0:x1])


def known(low: Tensor, size: tuple[int, int]) -> Enlargement:
    found = enlargement_of((SIDE, SIDE), size, 3, low.device)
    assert found is not None
    return found


def test_a_floor_leaves_out_what_is_not_stable() -> None:
    low, size = logits("smooth"), (128, 128)
    everything = measure(low, size, group=3, mask_threshold=0.0, offset=1.0)
    floor = float(np.sort(everything.stability)[2])
    found = measure(low, size, group=3, mask_threshold=0.0, offset=1.0, floor=floor)
    assert found.kept.sum() == 2
    np.testing.assert_array_equal(found.kept, everything.stability >= np.float32(floor))
    np.testing.assert_array_equal(found.area, everything.area[found.kept])
    np.testing.assert_array_equal(found.box, everything.box[found.kept])


def test_only_where_a_mask_can_be_is_enlarged() -> None:
    low, size = logits("discs")[:1], (1024, 1024)
    # A disc of radius 4.2 at row 9.3 and column 20.1 of 32.
    x0, y0, x1, y1 = reach(low[0].numpy(), known(low, size), 0.0)
    assert 15 * 32 <= x0 < x1 <= 26 * 32
    assert 4 * 32 <= y0 < y1 <= 15 * 32
    whole = expected(low, size, 3, 0.0)[0]
    assert whole[y0:y1, x0:x1].sum() == whole.sum() > 0
    nowhere = reach(low[0].numpy(), known(low, size), 5.0)
    assert nowhere[0] == nowhere[2]


def test_infinite_logits_are_enlarged_by_torch() -> None:
    size = (97, 141)
    low = logits("discs")
    low[1, 3, 4] = torch.inf
    found = measure(low, size, group=3, mask_threshold=0.0, offset=1.0)
    masks = expected(low, size, 3, 0.0)
    np.testing.assert_array_equal(found.area, masks.sum((1, 2)))
    np.testing.assert_array_equal(found.box, [box_of(mask) for mask in masks])


def test_no_masks_measure_nothing() -> None:
    found = measure(torch.zeros(0, 8, 8), (64, 64), group=3, mask_threshold=0.0, offset=1.0)
    assert [len(part) for part in (found.kept, found.stability, found.area, found.box)] == [0] * 4


ORDERS = ["across, then down", "down, then across", "at once"]


def in_order(low: np.ndarray, known: Enlargement, order: str) -> np.ndarray:
    """Enlarge in single precision, rounding after every product and sum."""
    down, across, *_ = known
    near, far = down.near[:, None], down.far[:, None]
    if order == "across, then down":
        lines = across.near * low[:, across.first] + across.far * low[:, across.last]
        return near * lines[down.first] + far * lines[down.last]
    if order == "down, then across":
        lines = near * low[down.first] + far * low[down.last]
        return across.near * lines[:, across.first] + across.far * lines[:, across.last]
    above, below = low[down.first], low[down.last]
    return (
        near * across.near * above[:, across.first]
        + near * across.far * above[:, across.last]
        + far * across.near * below[:, across.first]
        + far * across.far * below[:, across.last]
    )


@pytest.mark.parametrize("kind", ["noise", "steps", "smooth"])
@pytest.mark.parametrize("size", SIZES[:-1])
def test_no_order_of_rounding_leaves_the_bound(size: tuple[int, int], kind: str) -> None:
    low = logits(kind)
    enlargement = known(low, size)
    everywhere = tuple(place.ravel() for place in np.indices(size))
    for one, torchs in zip(low, enlarge(low, size, 3), strict=True):
        value, bound = interpolate(Question(one.numpy(), *everywhere), enlargement)
        assert bound.max() < 1e-6 * float(one.abs().max())
        others = [in_order(one.numpy(), enlargement, order) for order in ORDERS]
        assert all(other.dtype == np.float32 for other in others)
        for other in (torchs.numpy(), *others):
            assert (np.abs(other.ravel() - value) <= bound).all()


@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_torch_gives_a_mask_the_same_values_in_any_batch(size: tuple[int, int], group: int) -> None:
    """What `ask` rests on: neither other masks nor logits elsewhere change a pixel."""
    low = logits("noise").repeat(6, 1, 1)
    one = enlarge(low[5:6], size, group)[0]
    assert torch.equal(one, enlarge(low, size, group)[5])
    corner = low[5:6].clone()
    corner[:, SIDE // 2 :] = 0
    rows = size[0] // 2 - 2 * -(-size[0] // SIDE)
    assert torch.equal(one[:rows], enlarge(corner, size, group)[0, :rows])


@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize("size", SIZES[:-1])
def test_answers_are_those_of_whole_masks(size: tuple[int, int], group: int) -> None:
    low = logits("noise").repeat(5, 1, 1) * torch.arange(1, 21)[:, None, None]
    found = enlargement_of((SIDE, SIDE), size, group, low.device)
    assert found is not None
    rng = np.random.default_rng(1)
    questions = [
        Question(one.numpy(), rng.integers(size[0], size=count), rng.integers(size[1], size=count))
        for one, count in zip(low, [1, 2, 3, 4, 500] * 4, strict=True)
    ]
    whole = enlarge(low, size, group).numpy()
    for answer, one, (_, y, x) in zip(ask(questions, found), whole, questions, strict=True):
        np.testing.assert_array_equal(answer, one[y, x])


def test_masks_whose_pixels_lie_apart_share_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    size, asked = (256, 256), []
    low = logits("noise")
    found = known(low, size)

    def counted(some: Tensor, *rest: Any) -> Tensor:
        asked.append(len(some))
        return enlarge(some, *rest)

    monkeypatch.setattr(enlarging, "enlarge", counted)
    places = [np.array([number * 64 + 20]) for number in range(4)]
    ask([Question(one.numpy(), at, at) for one, at in zip(low, places, strict=True)], found)
    ask([Question(one.numpy(), places[0], places[0]) for one in low], found)
    assert asked == [1, 3, 1]


@pytest.mark.parametrize("size", [(512, 512), (437, 611)])
def test_torch_is_hardly_ever_asked(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    low = torch.cat([logits("smooth"), logits("discs")])
    asked: list[int] = []

    def counted(questions: list[Question], found: Enlargement) -> Any:
        asked.extend(len(question.y) for question in questions)
        return ask(questions, found)

    monkeypatch.setattr("napari_graysam.propose.statistics.ask", counted)
    measure(low, size, group=3, mask_threshold=0.0, offset=1.0)
    assert sum(asked) < 1e-5 * len(low) * size[0] * size[1]
