"""What decides a result is in its fingerprint, and nothing is kept that should not be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import dask.array
import fake_pipeline
import numpy as np
import pytest
import tifffile
from pydantic import ValidationError
from stub_decoder import StubModel, loaded, noise

from napari_graysam.batch import SegmentJob, batch_steps
from napari_graysam.errors import ImageError, ModelError, ProposalsError, RecipeError
from napari_graysam.fingerprint import (
    Fingerprint,
    Inputs,
    array_digest,
    image_digest,
    outdated_from,
    versions,
)
from napari_graysam.masks import Mask
from napari_graysam.model import load_model
from napari_graysam.model.identity import identify, identity_of
from napari_graysam.parameters import Part
from napari_graysam.pipeline import fingerprint_of, live_steps, retune, segment
from napari_graysam.preprocess.registry import STEPS
from napari_graysam.progress import Progress, run
from napari_graysam.prompt import removal
from napari_graysam.propose.cache import Cache, proposals_key
from napari_graysam.recipe import MODEL_STAGES, STAGES, ModelOptions, Recipe
from napari_graysam.recipe.reference import extra, parts_in
from napari_graysam.results import Arms
from napari_graysam.source.gray import to_gray

pytestmark = pytest.mark.usefixtures("one_thread")

INPUTS = Inputs(
    image="00", region="", model={"weights": "a", "device": "cpu"}, versions=dict(versions())
)
# What another value of a parameter may be; the first that is allowed is taken.
OTHERS: tuple[Any, ...] = (
    *(True, False, 0, 1, 2, 3, 7, 16, 32, 0.25, 0.5, 0.75, 3.5, 60.0, 250.0, 768, None),
    *("cpu", "raw", "matched", "YXS", "other.png", "sam2.1_hiera_tiny", "viridis", "magma"),
    *([], [{"kind": "clahe"}], [{"point": [2, 3]}], [[[0.25, 0.5]]], [[[1, 1], [9, 1], [9, 9]]]),
    *([5, 6], [0.1, 0.9], [{"kind": "remove", "image": "1f", "size": [3, 3], "mask": "324"}]),
    *("solidity", [{"column": "area", "minimum": 30.0}]),
    *('"333"', ["324", "333"], [1, 9], [[0.5, 0.5]], [0.5, 0.5, 2, 2]),
)
# Values that must change together.
TOGETHER = (
    {},
    {"generator.points_per_side": None},
    {"generator.points_per_side": 32, "generator.point_grids": None},
    {"generator.point_grids": [[[0.5, 0.5]], [[0.5, 0.5]]]},
)


def recipes() -> list[Recipe]:
    """Recipes that between them hold every parameter there is."""
    every = [{"kind": kind} for kind in STEPS]
    base = Recipe().with_values(
        {
            "labels.keep": [{"point": [4, 5]}],
            "labels.max_area": 5000,
            "labels.merging.merge": 0.5,
            "second_look.rounds": 1,
            "labels.filters": [{"column": "eccentricity", "minimum": 0, "maximum": 250}],
        }
    )
    of_image = {"image": "1f", "size": [3, 3], "mask": "324"}
    pins = [
        {"kind": "add", **of_image, "prompt": {"positive": [[1, 1]], "box": [0, 0, 2, 2]}},
        {"kind": "merge", **of_image, "parts": ["324", "324"]},
        {"kind": "remove", **of_image},
        {"kind": "split", **of_image, "parts": ["324", "324"]},
        {"kind": "apart", "image": "1f", "size": [3, 3], "parts": ["324", "324"]},
        {"kind": "whole", **of_image},
    ]
    windows = ({"kind": "explicit", "low": 1, "high": 9}, {"kind": "dtype"}, {"kind": "limits"})
    own = {"generator.points_per_side": None, "generator.point_grids": [[[0.5, 0.5]]]}
    return [
        base.with_values({"preprocess": every, "labels.pinned": pins}),
        base.with_values({"generator.grid": "adaptive", "image.region": "mask.png"}),
        base.with_values({**own, "generator.grid": "adaptive", "rgb": {"kind": "colormap"}}),
        *(Recipe().with_values({"image.window": window}) for window in windows),
        Recipe().with_values({"rgb": {"kind": "channels", "red": [{"kind": "clahe"}]}}),
    ]


def leaves(part: Part, prefix: str = "", stage: Any = None) -> Iterator[tuple[str, Any]]:
    """Yield the path of every value of a recipe, and the stage that it or its part declares."""
    searches = getattr(part, "searches", False)
    for name, field in type(part).model_fields.items():
        value, path = getattr(part, name), prefix + name
        own = extra(field, "stage") or stage
        if searches:
            own = extra(field, "stage_if_adaptive") or own
        parts = parts_in(field.annotation)
        if not (isinstance(value, Part) and len(parts) == 1):
            yield path, own
        if isinstance(value, Part) and getattr(value, "enabled", True):
            yield from leaves(value, f"{path}.", own)
        elif isinstance(value, tuple) and parts:
            for index, item in enumerate(value):
                yield from leaves(item, f"{path}.{index}.", own)


def choices(recipe: Recipe, path: str) -> Iterator[Any]:
    """Yield what a value may become: the choices of its type, then anything."""
    owner: Any = recipe
    *parents, name = path.split(".")
    for parent in parents:
        owner = owner[int(parent)] if parent.isdigit() else getattr(owner, parent)
    field = type(owner).model_fields[name]
    kinds = [
        {"kind": part.model_fields["kind"].default}
        for part in parts_in(field.annotation)
        if "kind" in part.model_fields
    ]
    yield from kinds
    yield from (choice for choice in getattr(field.annotation, "__args__", ()) if choice)
    yield from OTHERS


def changed(recipe: Recipe, path: str) -> Recipe | None:
    """Return a valid recipe with another value there; None for a value that is fixed."""
    for value in choices(recipe, path):
        for more in TOGETHER if path.startswith("generator.") else ({},):
            try:
                other = recipe.with_values({**more, path: value})
            except (RecipeError, TypeError, ValueError):
                continue
            if other != recipe:
                return other
    return None


EVERY = [
    pytest.param(recipe, path, stage, id=f"{number}-{path}")
    for number, recipe in enumerate(recipes())
    for path, stage in leaves(recipe)
    if not path.endswith("kind")
]
FIXED = {"schema_version"}


def first_changed(one: Fingerprint, other: Fingerprint) -> list[str]:
    return [stage for stage in STAGES if one[stage] != other[stage]]


def from_stage(stage: str | None) -> list[str]:
    return [] if stage is None else list(STAGES[STAGES.index(stage) :])


@pytest.mark.parametrize(("recipe", "path", "stage"), EVERY)
def test_a_value_changes_the_stages_from_its_own_on(recipe: Recipe, path: str, stage: Any) -> None:
    other = changed(recipe, path)
    if path in FIXED:
        assert other is None
        return
    assert other is not None, f"no other value of {path} is known: add one to OTHERS"
    before, after = Fingerprint.of(recipe, INPUTS), Fingerprint.of(other, INPUTS)
    assert first_changed(before, after) == from_stage(recipe.changed_stage(other))
    assert outdated_from(before, after) == recipe.changed_stage(other)
    if recipe.generator.searches == other.generator.searches:
        assert recipe.changed_stage(other) == stage


def test_the_walk_meets_every_field_of_every_part() -> None:
    def parts(part: type[Part]) -> dict[type[Part], None]:
        found = {part: None}
        for field in part.model_fields.values():
            for inner in parts_in(field.annotation):
                found |= parts(inner) if inner not in found else {}
        return found

    met = {path.rpartition(".")[2] for recipe in recipes() for path, _ in leaves(recipe)}
    whole = {
        "image",
        "model",
        "generator",
        "labels",
        "prompt",
        "second_look",
        "merging",
        "stack",
        "linking",
        "tiles",
    }
    assert {name for part in parts(Recipe) for name in part.model_fields} == met | whole


@pytest.mark.parametrize("path", ["name", "description", "generator.points_per_batch"])
def test_what_decides_nothing_changes_nothing(path: str) -> None:
    other = changed(Recipe(), path) or Recipe().with_values({path: "x"})
    assert Fingerprint.of(Recipe(), INPUTS) == Fingerprint.of(other, INPUTS)


# --- inputs


def other_inputs() -> list[Any]:
    """Every input changed once, and the stage that it comes into."""
    found = [("image", INPUTS.replace(image="01"), "image")]
    found.append(("region", INPUTS.replace(region="01"), "decode"))
    for name in ("model", "versions"):
        for key in getattr(INPUTS, name):
            values = {**getattr(INPUTS, name), key: "other"}
            early = name == "versions" and key not in ("torch", "sam2")
            stage = "view" if early else "encode"
            found.append((f"{name}.{key}", INPUTS.replace(**{name: values}), stage))
    assert {name.partition(".")[0] for name, _, _ in found} == set(Inputs.model_fields)
    return [pytest.param(inputs, stage, id=name) for name, inputs, stage in found]


@pytest.mark.parametrize(("inputs", "stage"), other_inputs())
def test_an_input_changes_the_stages_from_its_own_on(inputs: Inputs, stage: str) -> None:
    before, after = (Fingerprint.of(Recipe(), some) for some in (INPUTS, inputs))
    assert first_changed(before, after) == from_stage(stage)


def test_a_fingerprint_survives_json() -> None:
    before = Fingerprint.of(Recipe(), INPUTS)
    text = json.dumps(before.model_dump())
    assert Fingerprint.model_validate(json.loads(text)) == before
    with pytest.raises(ValidationError):
        Fingerprint.model_validate({"inputs": {}, "stages": {}})


STACK = np.random.default_rng(0).integers(0, 4000, (3, 40, 50)).astype(np.uint16)


@pytest.mark.parametrize(
    ("change", "stage"),
    [
        (lambda a: (a, {}), None),
        (lambda a: (a.copy()[:, ::-1][:, ::-1], {}), None),
        (lambda a: (a.astype(">u2"), {}), None),
        (lambda a: (dask.array.from_array(a, chunks=(1, 7, 50)), {}), None),
        (lambda a: (a.astype(np.int32), {}), "image"),
        (lambda a: (np.where(a == a[1, 5, 5], a + 1, a), {}), "image"),
        (lambda a: (a, {"image.plane": 2}), "image"),
        (lambda a: (a, {"image.window.low": 10}), "image"),
        (lambda a: (a[:, :, :-1], {}), "image"),
        (lambda a: (a.transpose(0, 2, 1), {}), "image"),
    ],
)  # fmt: skip
def test_an_image_is_its_content(change: Any, stage: str | None) -> None:
    recipe = Recipe().with_values({"image.plane": 1, "image.axes": "ZYX"})
    array, values = change(STACK)
    before = fingerprint_of(STACK, recipe)
    after = fingerprint_of(array, recipe.with_values(values))
    assert outdated_from(before, after) == stage


def test_other_planes_count_where_they_decide_the_window() -> None:
    recipe = Recipe().with_values({"image.plane": 1, "image.axes": "ZYX"})
    other = STACK.copy()
    other[0] *= 4
    assert outdated_from(*(fingerprint_of(a, recipe) for a in (STACK, other))) == "image"
    explicit = recipe.with_values({"image.window": {"kind": "explicit", "low": 0, "high": 4000}})
    assert outdated_from(*(fingerprint_of(a, explicit) for a in (STACK, other))) is None


def test_contrast_limits_and_the_region_count() -> None:
    recipe = Recipe().with_values({"image.window": {"kind": "limits"}})
    image, region = STACK[0], np.ones((40, 50), bool)
    before = fingerprint_of(image, recipe, contrast_limits=(0, 100))
    wider = fingerprint_of(image, recipe, contrast_limits=(0, 200))
    assert outdated_from(before, wider) == "image"
    within = fingerprint_of(image, recipe, contrast_limits=(0, 100), region=region)
    assert outdated_from(before, within) == "decode"
    region[3, 4] = False
    redrawn = fingerprint_of(image, recipe, contrast_limits=(0, 100), region=region)
    assert outdated_from(within, redrawn) == "decode"


def test_blocks_do_not_decide_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = [STACK, STACK.astype(float), STACK[:, :0], np.array(3), STACK.astype(">u2")]
    whole = [array_digest(array) for array in arrays]
    monkeypatch.setattr("napari_graysam.fingerprint._BLOCK", 64)
    assert [array_digest(array) for array in arrays] == whole
    assert len(set(whole)) == 4


def test_the_model_is_its_files_and_how_it_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, config = tmp_path / "own.pt", tmp_path / "own.yaml"
    weights.write_bytes(b"one")
    config.write_text("a: 1")
    recipe = Recipe().with_values(
        {"model.checkpoint": str(weights), "model.config": str(config), "model.device": "auto"}
    )
    image, seen = STACK[0], []

    def note() -> None:
        seen.append(fingerprint_of(image, recipe))

    note()
    weights.write_bytes(b"another")
    note()
    config.write_text("a: 2, b: 3")
    note()
    for field, value in (("precision", "bfloat16"), ("arithmetic", "fast")):
        recipe = recipe.with_values({f"model.{field}": value})
        note()
    import torch

    monkeypatch.setattr(
        "napari_graysam.model.identity.choose_device", lambda name: torch.device("cuda:1")
    )
    note()
    stages = [outdated_from(*pair) for pair in pairwise(seen)]
    assert stages == ["encode"] * 5
    weights.unlink()
    with pytest.raises(ModelError, match=r"own\.pt"):
        note()


def test_a_catalogued_model_is_identified_without_its_file() -> None:
    found = identify(ModelOptions(name="sam2.1_hiera_large", device="cpu"))
    assert found["weights"].startswith("2647878d")
    assert len(identify(ModelOptions(device="cpu"))["weights"]) == 64


# --- what is kept is what a fresh run gives


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_steps(options: ModelOptions) -> Iterator[Progress]:
        yield Progress("load", 1, 1)
        return loaded(StubModel()).with_arithmetic(options.arithmetic)

    monkeypatch.setattr("napari_graysam.model.load_steps", load_steps)


IMAGE = noise(90, 120)[..., 0]
SMALL = {
    "generator.points_per_side": 16,
    "generator.pred_iou_thresh": 0.5,
    "generator.stability_score_thresh": 0.1,
    "labels.max_area": 100_000,
}
BASES = [Recipe().with_values({**SMALL, "generator.grid": grid}) for grid in ("full", "adaptive")]


def objects(result: Any) -> list[Any]:
    return [
        (mask.box, mask.bits.tobytes(), mask.predicted_iou, mask.stability, mask.parent)
        for mask in result.masks
    ]


def tunings() -> list[Any]:
    """Every value from the generator and the labels, alone."""
    found = []
    for recipe in BASES:
        paths = [path for path, _ in leaves(recipe) if path.startswith(("generator.", "labels."))]
        found += [
            pytest.param(recipe, path, id=f"{recipe.generator.grid}-{path}") for path in paths
        ]
    return found


@pytest.mark.parametrize(("recipe", "path"), tunings())
def test_retuning_gives_what_a_fresh_run_gives(stub: None, recipe: Recipe, path: str) -> None:
    middle = Mask(np.ones((40, 40), bool), (40, 25, 80, 65))
    value = {
        "labels.pinned": [removal(middle, array_digest(IMAGE), IMAGE.shape).model_dump()],
        "labels.min_area": 60,
        "labels.max_area": 900,
        "labels.suppression_thresh": 0.3,
        "labels.keep": [{"point": [3.75, 2.8125], "mask": 1}],
        "generator.mask_threshold": 0.5,
        "generator.min_mask_region_area": 40,
        "generator.pred_iou_thresh": 0.3,
        "generator.stability_score_thresh": 0.6,
        "generator.stability_score_offset": 2.0,
    }.get(path)
    other = changed(recipe, path) if value is None else recipe.with_values({path: value})
    assert other is not None
    if path.startswith("labels.suppression_t"):
        recipe, other = (
            one.with_values({"labels.suppression": "mask_iou"}) for one in (recipe, other)
        )
    cache = Cache()
    live = run(live_steps(IMAGE, recipe, cache=cache))
    fresh = segment(IMAGE, other)
    assert live.result.masks
    assert objects(segment(IMAGE, other, cache=cache)) == objects(fresh)
    if recipe.changed_stage(other) in MODEL_STAGES:
        with pytest.raises(ProposalsError, match="segment again"):
            retune(live, other)
        return
    again = retune(live, other)
    assert objects(again) == objects(fresh)
    assert np.array_equal(again.labels, fresh.labels)
    assert again.fingerprint == fresh.fingerprint


def test_adaptive_points_depend_on_the_thresholds_and_say_so(stub: None) -> None:
    full, adaptive = BASES
    lower = {"generator.pred_iou_thresh": 0.3}
    assert adaptive.changed_stage(adaptive.with_values(lower)) == "decode"
    assert full.changed_stage(full.with_values(lower)) == "scores"
    own = {"generator.points_per_side": None, "generator.point_grids": [[[0.5, 0.5]]]}
    asked = adaptive.with_values(own)
    assert asked.changed_stage(asked.with_values(lower)) == "scores"
    points = [
        segment(IMAGE, one).provenance["proposals"]["points"]
        for one in (adaptive, adaptive.with_values({"generator.pred_iou_thresh": 0.95}))
    ]
    assert points[0] != points[1]


# --- one fault each


def test_the_cache_tells_configs_and_versions_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    model = replace(loaded(StubModel()), sha256="same", record={"config_sha256": "one"})
    options = Recipe().generator
    keys = {proposals_key(noise(8, 8), model, options, None)}
    for other in (
        replace(model, image_size=128),
        replace(model, record={"config_sha256": "two"}),
        replace(model, sha256="other"),
        replace(model, arithmetic="fast"),
    ):
        keys.add(proposals_key(noise(8, 8), other, options, None))
    monkeypatch.setattr("napari_graysam.propose.cache.versions", lambda: {"sam2": "9.9"})
    keys.add(proposals_key(noise(8, 8), model, options, None))
    assert len(keys) == 6
    again = replace(loaded(StubModel()), sha256="same", record={"config_sha256": "one"})
    assert proposals_key(noise(8, 8), again, options, None) in keys


def test_arms_of_two_images_are_not_compared(stub: None) -> None:
    raw = segment(IMAGE, BASES[0])
    sharp = BASES[0].with_values({"preprocess": [{"kind": "unsharp"}]})
    Arms(raw, segment(IMAGE, sharp), None, None)
    region = np.ones(IMAGE.shape, bool)
    region[:50] = False
    for other in (
        segment(IMAGE[::-1], sharp),
        segment(IMAGE, sharp.with_values({"image.window.low": 5})),
        segment(IMAGE, sharp, region=region),
    ):
        with pytest.raises(ImageError, match="cannot be compared"):
            Arms(raw, other, None, None)


def statuses(paths: list[Path], job: SegmentJob, *, overwrite: bool = False) -> list[str]:
    steps = batch_steps(paths, job, overwrite=overwrite)
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        return [outcome.status for outcome in stop.value]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SegmentJob:
    fake_pipeline.install(monkeypatch)
    (tmp_path / "own.pt").write_bytes(b"weights")
    recipe = Recipe().with_values({"model.checkpoint": str(tmp_path / "own.pt")})
    return SegmentJob(recipe, tmp_path / "out")


def test_results_of_another_image_of_that_name_are_not_taken(
    tmp_path: Path, job: SegmentJob
) -> None:
    image, _ = fake_pipeline.spots(3)
    for name, pixels in (("one", image), ("two", image[::-1]), ("three", image[:40])):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "a.tif", pixels)
        path = tmp_path / name / "a.tif"
        assert statuses([path], job) == ["done" if name == "one" else "failed"]
        assert statuses([path], job, overwrite=True) == ["done"]
        assert statuses([path], job) == ["skipped"]
    copy = tmp_path / "copy" / "a.tif"
    copy.parent.mkdir()
    tifffile.imwrite(copy, image[:40], compression="zlib")
    assert statuses([copy], job) == ["skipped"]
    window = replace(job, recipe=job.recipe.with_values({"image.window.low": 5}))
    assert statuses([copy], window) == ["done"]
    tifffile.imwrite(copy, image)
    assert statuses([copy], window) == ["done"]


def test_results_of_other_weights_or_versions_are_not_taken(
    tmp_path: Path, job: SegmentJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, fake_pipeline.spots(3)[0])
    assert statuses([path], job) == ["done"]
    (tmp_path / "own.pt").write_bytes(b"other weights")
    assert statuses([path], job) == ["done"]
    assert statuses([path], job) == ["skipped"]
    other = {**versions(), "napari-graysam": "99"}
    monkeypatch.setattr("napari_graysam.fingerprint.versions", lambda: other)
    assert statuses([path], job) == ["done"]
    assert statuses([path], job) == ["skipped"]


def test_the_digest_of_an_image_knows_no_path(tmp_path: Path) -> None:
    from napari_graysam.source.reading import read_image

    tifffile.imwrite(tmp_path / "a.tif", STACK[0])
    assert image_digest(read_image(tmp_path / "a.tif")) == image_digest(to_gray(STACK[0]))


def test_a_loaded_model_is_what_was_identified() -> None:
    options = ModelOptions(device="cpu", arithmetic="fast")
    known, model = identify(options), load_model(options)
    assert identity_of(model) == {**known, "image_size": str(model.image_size)}


def test_results_of_recipes_of_version_1_are_known_again() -> None:
    text = """
schema_version: 1
name: mine
image: {window: {kind: explicit, low: 3, high: 90}}
preprocess: [{kind: clahe}, {kind: unsharp}]
generator: {points_per_side: 24, pred_iou_thresh: 0.7}
labels: {min_area: 50}
"""
    inputs = Inputs(image="1f", model={"weights": "c3"}, versions={"torch": "2.9"})
    # As the last program without stacks had it.
    known = "eedcc53011031a7be31d1f7827b39fd0"
    assert Fingerprint.of(Recipe.from_yaml(text), inputs).digest == known
