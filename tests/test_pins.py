"""Pinned objects: what they replace, and that a recipe gives them again wherever it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import blobs, drawn
from typer.testing import CliRunner

from napari_graysam import Recipe, compare, read_image, read_labels, run, segment, segment_one
from napari_graysam.cli import app
from napari_graysam.errors import RecipeError
from napari_graysam.fingerprint import array_digest
from napari_graysam.masks import Mask, label_masks, mask_iou, shared_pixels
from napari_graysam.masks.run_lengths import check_counts, decode_whole, encode
from napari_graysam.pipeline import live_steps, retune
from napari_graysam.prompt import removal
from napari_graysam.recipe import (
    AddedObject,
    GeneratorOptions,
    LabelOptions,
    MergedObjects,
    Pin,
    Prompt,
    RemovedObject,
    SplitObject,
)
from napari_graysam.select import Selector, select
from napari_graysam.source.gray import to_gray

SAMPLES = Path(__file__).parents[1] / "sample_data"
SIZE = (40, 60)
ALL = GeneratorOptions(pred_iou_thresh=0, stability_score_thresh=0)


def rectangle(x0: int, y0: int, x1: int, y1: int) -> Mask:
    return Mask(np.ones((y1 - y0, x1 - x0), bool), (x0, y0, x1, y1))


def counts(mask: Mask, size: tuple[int, int] = SIZE) -> str:
    return encode(mask, size, compressed=True)["counts"]


def added(mask: Mask, size: tuple[int, int] = SIZE, image: str = "a", **prompt: Any) -> AddedObject:
    x0, y0, _, _ = mask.box
    prompt = prompt or {"positive": ((x0, y0),)}
    return AddedObject(
        image=image, size=size, prompt=Prompt(**prompt), mask=counts(mask, size), predicted_iou=0.4
    )


def removed(mask: Mask, size: tuple[int, int] = SIZE, image: str = "a") -> RemovedObject:
    return removal(mask, image, size)


def candidates(*boxes: tuple[int, int, int, int]) -> Selector:
    """Return a selector over rectangles, the best first."""
    images = np.stack([rectangle(*box).full(SIZE) for box in boxes])
    return Selector(drawn(images, [0.9 - 0.05 * number for number in range(len(boxes))]), image="a")


def boxes(selector: Selector, *pins: Pin, **labels: Any) -> list[tuple[int, ...]]:
    return [mask.box for mask in selector.select(ALL, LabelOptions(pinned=pins, **labels))]


# --- what they replace


def test_an_added_object_stays_as_it_is_and_what_is_the_same_object_goes() -> None:
    selector = candidates((2, 2, 12, 12), (30, 20, 40, 30))
    mask = rectangle(2, 2, 14, 12)
    assert boxes(selector, added(mask)) == [(30, 20, 40, 30), mask.box]
    one = selector.select(ALL, LabelOptions(pinned=(added(mask),)))[-1]
    assert (one.pinned, one.pin, one.predicted_iou, one.candidates) == (True, 0, 0.4, ())


@pytest.mark.parametrize(
    "labels", [{"min_area": 1000}, {"max_area": 3}, {"exclude_border": True}, {"level": "whole"}]
)
def test_no_rule_drops_an_added_object(labels: Any) -> None:
    selector, mask = candidates((0, 0, 30, 30)), rectangle(0, 3, 8, 8)
    assert mask.box in boxes(selector, added(mask), **labels)


def test_a_point_replaces_the_fragment_under_it_and_leaves_what_else_lies_within() -> None:
    fragment, nucleus, cell = (4, 4, 9, 14), (14, 6, 18, 10), rectangle(4, 4, 24, 14)
    selector = candidates(fragment, nucleus)
    assert boxes(selector, added(cell, positive=((5, 5),))) == [nucleus, cell.box]
    assert boxes(selector, added(cell, positive=((22, 5),))) == [fragment, nucleus, cell.box]


def test_a_box_replaces_all_that_lies_within() -> None:
    selector, cell = candidates((4, 4, 9, 14), (14, 6, 18, 10), (3, 3, 40, 30)), (4, 4, 24, 14)
    pin = added(rectangle(*cell), box=(3, 3, 25, 15))
    assert boxes(selector, pin) == [(3, 3, 40, 30), cell]


def test_a_pin_wins_before_a_candidate_can_suppress_others() -> None:
    best, second = (2, 2, 14, 12), (3, 2, 15, 12)
    selector = candidates(best, second)
    assert boxes(selector) == [best]
    # What only the replaced candidate had suppressed comes back.
    assert boxes(selector, removed(rectangle(0, 2, 9, 12))) == [second]


def test_a_removed_object_goes_with_its_duplicates_and_its_parts_stay() -> None:
    whole, twin, part = (2, 2, 22, 12), (3, 2, 22, 12), (4, 4, 8, 8)
    selector = candidates(whole, twin, part)
    assert boxes(selector) == [whole, part]
    assert boxes(selector, removed(rectangle(*whole))) == [part]


def test_merged_masks_are_one_object() -> None:
    left, right, speck = (2, 2, 12, 12), (12, 2, 22, 12), (10, 5, 13, 8)
    selector = candidates(left, right, speck)
    pin = MergedObjects(
        image="a", size=SIZE, parts=tuple(counts(rectangle(*one)) for one in (left, right))
    )
    (merged,) = selector.select(ALL, LabelOptions(pinned=(pin,)))
    assert (merged.box, merged.area) == ((2, 2, 22, 12), 200)
    drawn_anew = pin.replace(mask=counts(rectangle(1, 1, 23, 13)))
    assert boxes(selector, drawn_anew) == [(1, 1, 23, 13)]


def test_a_split_mask_gives_way_to_its_parts() -> None:
    whole, other = (2, 2, 22, 12), (30, 20, 40, 30)
    selector = candidates(whole, other)
    halves = (2, 2, 12, 12), (13, 2, 22, 12)
    pin = SplitObject(
        image="a",
        size=SIZE,
        mask=counts(rectangle(*whole)),
        parts=tuple(counts(rectangle(*one)) for one in halves),
    )
    assert boxes(selector, pin) == [other, *halves]


def test_later_pins_win_over_earlier_ones() -> None:
    selector, one, wider = candidates((30, 20, 40, 30)), (2, 2, 12, 12), (2, 2, 14, 12)
    pins = added(rectangle(*one)), added(rectangle(*wider))
    assert boxes(selector, *pins) == [(30, 20, 40, 30), wider]
    assert boxes(selector, *pins[::-1]) == [(30, 20, 40, 30), one]
    gone = removed(rectangle(*one))
    assert boxes(selector, *pins, gone) == [(30, 20, 40, 30)]
    assert boxes(selector, gone, pins[0]) == [(30, 20, 40, 30), one]


def test_pins_of_other_images_do_nothing() -> None:
    selector = candidates((2, 2, 12, 12))
    mask = rectangle(20, 20, 30, 30)
    for pin in (added(mask, image="b"), added(mask, size=(50, 60))):
        assert boxes(selector, pin) == [(2, 2, 12, 12)]
        assert selector.foreign_pins(LabelOptions(pinned=(pin,))) == (pin,)
    anywhere = Selector(selector.proposals)
    assert mask.box in boxes(anywhere, added(mask, image="b"))


def test_disjoint_objects_make_room_for_pinned_ones() -> None:
    selector, pin = candidates((2, 2, 22, 12)), rectangle(0, 2, 6, 20)
    masks = selector.select(ALL, LabelOptions(pinned=(added(pin),), overlap="disjoint"))
    assert [mask.area for mask in masks] == [200 - 40, 108]


def test_what_became_of_a_replaced_candidate_is_said() -> None:
    selector = candidates((2, 2, 12, 12), (30, 20, 40, 30))
    mask = rectangle(2, 2, 14, 12)
    labels = LabelOptions(pinned=(added(mask), removed(rectangle(30, 20, 40, 30))))
    seen, dropped = selector.explain(5, 5, ALL, labels)
    assert (seen.reason, seen.label, seen.candidate) == ("object", 1, -1)
    assert seen.mask.box == mask.box
    assert (dropped.reason, dropped.by, dropped.parameter) == ("pinned", 1, None)
    assert "replaced by object 1" in dropped.text
    (gone,) = selector.explain(35, 25, ALL, labels)
    assert (gone.reason, gone.text) == ("pinned", "removed by hand")
    assert selector.relax(gone.candidate, ALL, labels) is None


PROPOSALS = [blobs(60, (150, 210), crops=True, seed=1), blobs(60, (128, 128), seed=2)]
rectangles = st.tuples(*(st.integers(0, 100),) * 2, *(st.integers(4, 28),) * 2)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    which=st.integers(0, 1),
    places=st.lists(st.tuples(st.sampled_from(["add", "remove"]), rectangles), max_size=4),
    suppression=st.sampled_from(["box", "mask_iou", "containment"]),
    own=st.lists(st.integers(0, 59), max_size=2),
)
def test_selecting_with_pins(
    which: int, places: list[Any], suppression: Any, own: list[int]
) -> None:
    """No pins: nothing changes. Else: what is added stays whole, what is the same object goes."""
    proposals = PROPOSALS[which]
    size, generator = proposals.image_size, ALL.replace(crop_n_layers=int(which == 0))
    selector = Selector(proposals)
    labels = LabelOptions(suppression=suppression)
    plain = selector.select(generator, labels)
    pins: list[Pin] = []
    for kind, (x, y, width, height) in places:
        mask = rectangle(x, y, x + width, min(size[0], y + height))
        pins.append((added if kind == "add" else removed)(mask, size, "a"))
    pins += [removed(plain[index % len(plain)], size) for index in own if plain]
    found = selector.select(generator, labels.replace(pinned=tuple(pins)))
    assert [mask.candidates for mask in select(proposals, generator, labels)] == [
        mask.candidates for mask in plain
    ]
    free = [mask for mask in found if mask.pin < 0]
    for number, pin in enumerate(pins):
        mask = decode_whole(pin.mask, size)
        assert all(mask_iou(mask, one) < 0.5 for one in free)
        later = [decode_whole(one.mask, size) for one in pins[number + 1 :]]
        gives_way = any(
            mask_iou(mask, one) > 0.2 or shared_pixels(mask, one) > mask.area / 2 for one in later
        )
        if pin.kind == "add" and not gives_way:
            (one,) = (one for one in found if one.pin == number)
            assert np.array_equal(one.full(size), mask.full(size))
    if not pins:
        assert [mask.candidates for mask in found] == [mask.candidates for mask in plain]


# --- the recipe


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_masks_come_back_from_their_run_lengths(rows: int, columns: int, data: Any) -> None:
    size = rows, columns
    bits = np.array(data.draw(st.lists(st.booleans(), min_size=rows * columns)))[: rows * columns]
    mask = Mask(bits.reshape(size), (0, 0, columns, rows))
    if not bits.any():
        with pytest.raises(ValueError, match="no pixel"):
            check_counts(counts(mask, size), size)
        return
    assert np.array_equal(decode_whole(counts(mask, size), size).full(size), mask.bits)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mask": "324"}, "do not fill the image of 40 × 60"),
        ({"mask": "ü"}, "do not fill"),
        ({"mask": counts(rectangle(0, 0, 0, 0))}, "no pixel"),
        ({"prompt": {}}, "a point on the object or a box"),
        ({"prompt": {"box": [5, 5, 5, 9]}}, "is empty"),
        ({"prompt": {"positive": [[1]]}}, "positive"),
        ({"kind": "ad"}, "did you mean add"),
        ({"size": [40]}, "size"),
        ({"images": "a"}, "did you mean image"),
    ],
)
def test_a_pin_that_cannot_be_is_refused(change: Any, said: str) -> None:
    pin = added(rectangle(2, 2, 9, 9)).model_dump(mode="json")
    with pytest.raises(RecipeError, match=said):
        Recipe().with_values({"labels.pinned": [{**pin, **change}]})


def test_a_recipe_file_keeps_its_pins(tmp_path: Path) -> None:
    mask = rectangle(2, 2, 9, 9)
    half = counts(rectangle(2, 2, 5, 9))
    pins = (
        added(mask, positive=((3, 4),), negative=((9, 1),), box=(1, 1, 9, 9)),
        removed(mask),
        MergedObjects(image="a", size=SIZE, parts=(half, counts(mask))),
        SplitObject(image="a", size=SIZE, mask=counts(mask), parts=(half, half)),
    )
    recipe = Recipe().replace(labels=LabelOptions(pinned=pins))
    for name in ("recipe.yaml", "recipe.json"):
        recipe.to_file(tmp_path / name)
        assert Recipe.from_file(tmp_path / name) == recipe
    assert recipe.changed_stage(Recipe()) == "nms"


# --- the whole flow, with the bundled model

RECIPE = Recipe().with_values(
    {"generator.points_per_side": 6, "generator.pred_iou_thresh": 0.5, "model.device": "cpu"}
)


@pytest.fixture(scope="module")
def nuclei() -> Any:
    image = read_image(SAMPLES / "nuclei_uneven.tif")
    masks, _ = label_masks(read_labels(SAMPLES / "nuclei_uneven.labels.tif"))
    return image, masks


def middle(mask: Mask) -> tuple[float, float]:
    y, x = np.nonzero(mask.bits)
    at = np.hypot(y - y.mean(), x - x.mean()).argmin()
    return float(x[at] + mask.box[0]), float(y[at] + mask.box[1])


def missed(result: Any, truth: tuple[Mask, ...]) -> list[Mask]:
    return [mask for mask in truth if all(mask_iou(mask, other) < 0.2 for other in result.masks)]


def test_a_missed_object_is_pinned_and_the_command_gives_it_too(nuclei: Any, tmp_path: Path):
    image, truth = nuclei
    live = run(live_steps(image, RECIPE))
    lost = missed(live.result, truth)[:3]
    assert len(lost) == 3
    answers = [segment_one(image, RECIPE, positive=[middle(mask)]) for mask in lost]
    found = [answer.masks[0] for answer in answers]
    assert min(mask_iou(*pair) for pair in zip(found, lost, strict=True)) > 0.7
    wrong = live.result.masks[0]
    pins = (
        *(answer.pin() for answer in answers),
        removal(wrong, answers[0].image, answers[0].size),
    )
    recipe = RECIPE.replace(labels=RECIPE.labels.replace(pinned=pins))
    again = retune(live, recipe)
    assert len(again.masks) == len(live.result.masks) + 2
    assert not missed(again, tuple(lost))
    assert missed(again, (wrong,))
    for mask, answer in zip(again.masks[-3:], found, strict=True):
        assert np.array_equal(mask.full(answers[0].size), answer.full(answers[0].size))
    fresh = segment(image, recipe)
    assert np.array_equal(fresh.labels, again.labels)
    assert fresh.fingerprint == again.fingerprint
    recipe.to_file(tmp_path / "pinned.yaml")
    words = ["segment", str(SAMPLES / "nuclei_uneven.tif"), "--out", str(tmp_path)]
    run_ = CliRunner().invoke(app, [*words, "--recipe", str(tmp_path / "pinned.yaml")])
    assert run_.exit_code == 0, run_.output
    assert np.array_equal(read_labels(tmp_path / "nuclei_uneven.labels.tif"), again.labels)


def test_pins_count_in_both_arms_and_other_images_get_a_note(nuclei: Any) -> None:
    image, truth = nuclei
    part = to_gray(image.raw[:128, :128])
    mask = next(mask for mask in truth if mask.box[2] < 128 and mask.box[3] < 128)
    answer = segment_one(part, RECIPE, box=mask.box)
    assert mask_iou(answer.masks[0], mask) > 0.8
    recipe = RECIPE.with_values({"preprocess": "[{kind: gamma, gamma: 0.6}]"})
    pinned = recipe.replace(labels=recipe.labels.replace(pinned=(answer.pin(),)))
    arms = compare(part, pinned)
    for result in (arms.raw, arms.preprocessed):
        assert result.masks[-1].pinned
        assert result.notes == ()
    other = segment(part.raw[::-1], pinned)
    assert not any(mask.pinned for mask in other.masks)
    assert "1 of the 1 entries in labels.pinned" in other.notes[-1]
    same = segment(np.asfortranarray(part.raw), pinned)
    assert answer.image == array_digest(part.raw)
    assert np.array_equal(same.labels, arms.preprocessed.labels)
