import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_graysam.errors import OutputError, RecipeError
from napari_graysam.preprocess.registry import STEPS
from napari_graysam.preprocess.rgb import Channels, Colormap, Replicate
from napari_graysam.recipe import (
    STAGES,
    ColumnFilter,
    ContrastLimits,
    DtypeRange,
    Explicit,
    GeneratorOptions,
    ImageOptions,
    LabelOptions,
    MergingOptions,
    ModelOptions,
    Percentiles,
    PinnedMask,
    Recipe,
    parameters,
    presets,
)
from napari_graysam.recipe.filters import Column
from napari_graysam.recipe.reference import extra, is_choice, kind_of, parts_in
from napari_graysam.select.table import COLUMNS

PRESETS = [
    "electron-microscopy",
    "fluorescence-nuclei",
    "low-contrast",
    "membranes",
    "particles",
    "phase-contrast",
    "raw",
]
UPSTREAM = {
    "points_per_side": 32,
    "pred_iou_thresh": 0.8,
    "stability_score_thresh": 0.95,
    "stability_score_offset": 1.0,
    "mask_threshold": 0.0,
    "box_nms_thresh": 0.7,
    "crop_n_layers": 0,
    "crop_nms_thresh": 0.7,
    "crop_overlap_ratio": 512 / 1500,
    "crop_n_points_downscale_factor": 1,
    "point_grids": None,
    "min_mask_region_area": 0,
    "output_mode": "binary_mask",
    "use_m2m": False,
    "multimask_output": True,
}

texts = st.text(st.characters(codec="utf-8"), max_size=20)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
fractions = st.floats(0, 1)
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
pairs = st.tuples(finite, finite).filter(lambda pair: pair[0] < pair[1])
areas = st.integers(0, 10**6)
windows = st.one_of(
    st.builds(Percentiles, low=st.floats(0, 49), high=st.floats(50, 100)),
    pairs.map(lambda pair: Explicit(low=pair[0], high=pair[1])),
    st.just(DtypeRange()),
    st.just(ContrastLimits()),
)
images = st.builds(
    ImageOptions,
    window=windows,
    axes=st.sampled_from([None, "YX", "YXS", "TCYX"]),
    channel=st.none() | areas,
    gray=st.sampled_from(["luminance", "mean", "max"]),
    region=st.none()
    | st.lists(
        st.lists(st.tuples(finite, finite), min_size=3, max_size=4).map(tuple),
        min_size=1,
        max_size=2,
    ).map(tuple),
)
steps = st.lists(
    st.sampled_from(list(STEPS.values())).flatmap(
        lambda step: st.builds(step, enabled=st.booleans())
    ),
    max_size=3,
).map(tuple)
rgbs = st.one_of(
    st.just(Replicate()), st.builds(Channels, red=steps, blue=steps), st.just(Colormap())
)
models = st.builds(
    ModelOptions,
    name=names,
    checkpoint=st.none() | names,
    device=st.sampled_from(["auto", "cpu", "cuda:3"]),
)
grids = st.lists(st.tuples(fractions, fractions), min_size=1, max_size=4).map(tuple)
generators = st.one_of(
    st.builds(
        GeneratorOptions,
        points_per_side=st.integers(1, 512),
        pred_iou_thresh=fractions,
        stability_score_offset=st.floats(0, 32),
        mask_threshold=st.floats(-32, 32),
        crop_overlap_ratio=fractions,
        output_mode=st.sampled_from(["binary_mask", "uncompressed_rle", "coco_rle"]),
        use_m2m=st.booleans(),
    ),
    grids.map(lambda grid: GeneratorOptions(points_per_side=None, point_grids=(grid,))),
)
labels = st.builds(
    LabelOptions,
    level=st.sampled_from(["all", "whole", "parts"]),
    min_area=areas,
    max_area=st.none() | st.integers(10**6, 10**7),
    exclude_border=st.booleans(),
    keep=st.lists(
        st.builds(
            PinnedMask,
            point=st.tuples(st.floats(0, 4096), st.floats(0, 4096)),
            crop=st.integers(0, 20),
            mask=st.integers(0, 2),
        ),
        max_size=2,
    ).map(tuple),
)
recipes = st.builds(
    Recipe,
    name=texts,
    description=texts,
    image=images,
    preprocess=steps,
    rgb=rgbs,
    model=models,
    generator=generators,
    labels=labels,
)


def refused(data: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(data)
    return str(caught.value)


# --- round trips


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(recipes, st.booleans())
def test_yaml_and_json_text_round_trip_exactly(recipe: Recipe, full: bool) -> None:
    assert Recipe.from_yaml(recipe.to_yaml(full=full)) == recipe
    data = json.loads(json.dumps(recipe.to_dict(full=full)))
    again = Recipe.from_dict(data)
    assert again == recipe
    assert hash(again) == hash(recipe)


@settings(deadline=None, max_examples=100)
@given(texts)
@pytest.mark.parametrize("suffix", ["yaml", "yml", "json"])
def test_any_name_survives_a_file(tmp_path_factory: Any, suffix: str, name: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"name.{suffix}"
    Recipe(name=name).to_file(path)
    assert Recipe.from_file(path).name == name


@pytest.mark.parametrize(
    "name",
    [
        "1e-3",
        "0x1F",
        "null",
        "no",
        "2024-01-01",
        "1_000",
        "~",
        ".inf",
        "a\x85b",
        " \u2028",
        "\r\n ",
    ],
)
def test_text_that_looks_like_a_value_stays_text(name: str) -> None:
    assert Recipe.from_yaml(Recipe(name=name).to_yaml()).name == name


def test_short_form_holds_what_differs_and_full_form_everything() -> None:
    recipe = Recipe(generator=GeneratorOptions(points_per_side=16))
    assert recipe.to_dict() == {"schema_version": 2, "generator": {"points_per_side": 16}}
    assert set(recipe.to_dict(full=True)["generator"]) == set(GeneratorOptions.model_fields)


def test_scientific_notation_is_a_number() -> None:
    recipe = Recipe.from_yaml("generator: {pred_iou_thresh: 1e-3}")
    assert recipe.generator.pred_iou_thresh == 0.001


def test_different_values_are_unequal() -> None:
    assert Recipe() != Recipe(labels=LabelOptions(min_area=1))
    assert len({Recipe(), Recipe(), Recipe(name="x")}) == 2


# --- refusals


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ({"generator": {"points_per_side": "16"}}, ["generator.points_per_side", '"16"', "512"]),
        ({"generator": {"points_per_side": True}}, ["generator.points_per_side", "true"]),
        ({"generator": {"crop_n_layers": 1.5}}, ["generator.crop_n_layers", "1.5", "0 to 5"]),
        ({"generator": {"use_m2m": 1}}, ["generator.use_m2m", "true or false"]),
        ({"generator": {"pred_iou_thresh": False}}, ["generator.pred_iou_thresh", "false"]),
        ({"generator": {"pred_iou_thresh": 1.5}}, ["generator.pred_iou_thresh", "1.5", "0 to 1"]),
        ({"generator": {"mask_threshold": math.nan}}, ["generator.mask_threshold", "NaN"]),
        ({"generator": {"points_per_sid": 3}}, ["generator.points_per_sid:", "mean points_per_si"]),
        ({"generator": {"output_mode": "coco"}}, ["generator.output_mode", "coco_rle"]),
        ({"generator": 5}, ["generator:", "5", "points_per_side"]),
        ({"preprocess": [{"kind": "clahe"}, {"kind": "clahee"}]}, ["preprocess.1.kind", "clahe?"]),
        ({"preprocess": [{"kind": "clahe", "clip_limit": 0}]}, ["preprocess.0.clip_limit", "100"]),
        ({"preprocess": [{"sigma": 1}]}, ["preprocess.0.kind", "missing", "gaussian"]),
        ({"preprocess": ["clahe"]}, ["preprocess.0:", '"clahe"', "a mapping"]),
        ({"preprocess": {"kind": "clahe"}}, ["preprocess:", "a list"]),
        (
            {"rgb": {"kind": "channels", "red": [{"kind": "gamma", "gamma": 99}]}},
            ["rgb.red.0.gamma:", "99", "0.1 to 10"],
        ),
        ({"image": {"window": {"kind": "explicit", "low": 1}}}, ["image.window.high", "missing"]),
        ({"image": {"window": {"kind": "explicit", "low": 1, "high": 1}}}, ["low = 1", "high = 1"]),
        (
            {"image": {"window": {"kind": "percentiles", "low": 60, "high": 50}}},
            ["image.window:", "low = 60"],
        ),
        (
            {"image": {"window": {"kind": "explicit", "low": 0, "high": math.inf}}},
            ["image.window.high", "Infinity"],
        ),
        ({"image": {"axes": "XYX"}}, ["image.axes", '"XYX"']),
        ({"image": {"axes": "ZX"}}, ["image.axes", '"ZX"']),
        ({"model": {"device": "gpu"}}, ["model.device", '"gpu"', "cuda:N"]),
        ({"labels": {"min_area": 9, "max_area": 8}}, ["labels:", "min_area = 9", "max_area = 8"]),
        ({"schema_version": True}, ["schema_version", "true"]),
        ({"schema_version": 0}, ["schema_version", "0"]),
        ({"name": "\ud800"}, ["Unicode"]),
        ({"nme": "x"}, ["nme:", "mean name?"]),
    ],
)
def test_refusal_names_path_value_and_what_is_allowed(data: Any, parts: list[str]) -> None:
    message = refused(data)
    assert all(part in message for part in parts), message


def test_every_problem_is_listed_once() -> None:
    grid = {"points_per_side": None, "point_grids": [[[0.5, 2.0]]]}
    lines = refused({"generator": grid, "labels": {"min_area": -1}}).splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == [
        "generator.point_grids.0.0.1",
        "labels.min_area",
    ]


def test_a_flood_of_problems_is_cut_short() -> None:
    message = refused({"preprocess": [{"kind": "no"}] * 500})
    assert "480 more" in message
    assert len(message.splitlines()) == 22


def test_newer_recipe_says_that_the_program_is_older() -> None:
    assert "older napari-graysam" in refused({"schema_version": 3, "from_the_future": 1})


def test_a_recipe_of_version_1_is_read_and_written_as_the_present_version(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text("schema_version: 1\nname: mine\ngenerator: {points_per_side: 24}\n")
    recipe = Recipe.from_file(path)
    same = Recipe().with_values({"name": "mine", "generator.points_per_side": 24})
    assert recipe == same
    assert recipe.stack.axis == "none"
    recipe.to_file(path)
    assert "schema_version: 2" in path.read_text()
    assert Recipe.from_file(path) == same


def test_grid_and_points_per_side_exclude_each_other() -> None:
    grid = [[0.5, 0.5]]
    assert "both are" in refused({"generator": {"point_grids": [grid]}})
    assert "neither is" in refused({"generator": {"points_per_side": None}})
    layers = {"points_per_side": None, "crop_n_layers": 2}
    assert "needs 3 point_grids" in refused({"generator": {**layers, "point_grids": [grid] * 2}})
    Recipe.from_dict({"generator": {**layers, "point_grids": [grid] * 3}})
    refused({"generator": {"points_per_side": None, "point_grids": [[]]}})


def test_a_crop_layer_without_points_is_refused() -> None:
    reduced = {"crop_n_layers": 2, "crop_n_points_downscale_factor": 2}
    assert "crop layer 2" in refused({"generator": {"points_per_side": 3, **reduced}})
    Recipe.from_dict({"generator": {"points_per_side": 4, **reduced}})


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "nothing"),
        ("- 1\n- 2", "a list"),
        ("just words", "a str"),
        ("a: [1,\nb: 2", "line 2"),
        ("name: a\nname: b", "'name' comes twice"),
        ("name: &a x\ndescription: *a", "alias"),
        ("name: !!python/object/apply:os.getcwd []", "python/object"),
        ("[" * 5000, "nested too deeply"),
        ("name: " + "9" * 6000, "digits"),
        ("? [a]\n: b", "plain word"),
        ("name: 'a\x01'", "not allowed"),
    ],
)
def test_bad_yaml_is_refused_with_a_reason(text: str, part: str) -> None:
    with pytest.raises(RecipeError, match=r"(?s)the recipe") as caught:
        Recipe.from_yaml(text)
    assert part in str(caught.value)


# --- region


@pytest.mark.parametrize(
    ("region", "part"),
    [
        ([], "image.region: [] came"),
        ([[[1, 2], [3, 4]]], "image.region.0: [[1, 2], [3, 4]] came"),
        ([[[1, 2], [3, 4], [5]]], "image.region.0.2.1: missing"),
        ([[[1, 2], [3, 4], [5, "x"]]], 'image.region.0.2.1: "x" (text) came'),
        ({"a": 1}, "image.region: "),
        ("", 'image.region: "" (text) came'),
    ],
)
def test_a_wrong_region_is_refused_by_its_place(region: Any, part: str) -> None:
    text = refused({"image": {"region": region}})
    assert part in text
    assert "a list of polygons" in text
    assert len(text.splitlines()) == 2


def test_a_path_of_a_region_starts_at_the_recipe(tmp_path: Any, monkeypatch: Any) -> None:
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "a.yaml").write_text("image: {region: masks/one.png}")
    found = Recipe.from_file(folder / "a.yaml")
    assert found.image.region == str(folder / "masks" / "one.png")
    found.to_file(tmp_path / "b.json")
    assert Recipe.from_file(tmp_path / "b.json") == found
    monkeypatch.chdir(folder)
    own = Recipe.from_file("a.yaml")
    assert own.image.region == os.path.join("masks", "one.png")
    own.to_file(tmp_path / "c.yaml")
    assert Recipe.from_file(tmp_path / "c.yaml").image.region == found.image.region


# --- files


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.yaml", b"\x89PNG\r\n\x1a\n\0\0", "no text file"),
        ("b.yaml", b"\0\0\0\0", "binary"),
        ("c.json", b'{"name": "a", "name": "b"}', "'name' comes twice"),
        ("d.json", b'{"name": ', "line 1, column"),
        ("e.json", b"", "line 1, column"),
        ("f.txt", b"name: a", ".yaml"),
        ("g.yaml", b"# " + b"x" * (16 * 2**20), "larger than 16 MB"),
    ],
)
def test_unusable_file_is_refused_by_name(
    tmp_path: Any, name: str, content: bytes, part: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        Recipe.from_file(tmp_path / name)
    assert name in str(caught.value)
    assert part in str(caught.value)


def test_missing_file_and_folder_are_told_apart(tmp_path: Any) -> None:
    with pytest.raises(RecipeError, match="no recipe file"):
        Recipe.from_file(tmp_path / "none.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(RecipeError, match="is a folder"):
        Recipe.from_file(tmp_path / "folder.yaml")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_of_windows_editors_are_read(tmp_path: Any, encoding: str) -> None:
    (tmp_path / "r.yaml").write_bytes("name: Zelle µ\r\n".encode(encoding))
    assert Recipe.from_file(tmp_path / "r.yaml").name == "Zelle µ"


def test_failed_write_keeps_the_old_file_and_leaves_nothing(
    tmp_path: Any, monkeypatch: Any
) -> None:
    path = tmp_path / "r.yaml"
    Recipe(name="old").to_file(path)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OutputError, match="No space left"):
        Recipe(name="new").to_file(path)
    assert os.listdir(tmp_path) == ["r.yaml"]
    assert Recipe.from_file(path).name == "old"


def test_unwritable_places_are_output_errors(tmp_path: Any) -> None:
    with pytest.raises(OutputError, match=r"none.*existing folder"):
        Recipe().to_file(tmp_path / "none" / "r.yaml")
    with pytest.raises(OutputError, match=r"\.yaml"):
        Recipe().to_file(tmp_path / "r.txt")


# --- single values


def test_values_are_read_as_yaml() -> None:
    recipe = Recipe().with_values(
        {
            "preprocess.0.clip_limit": "3",
            "preprocess": "[{kind: clahe}]",
            "generator.pred_iou_thresh": "0.5",
            "generator.use_m2m": "true",
            "labels.max_area": "900",
            "image.window.low": "1",
            "name": "12",
        }
    )
    written = {"preprocess": [{"kind": "clahe", "clip_limit": 3}]}
    assert recipe.preprocess == Recipe.from_dict(written).preprocess
    assert recipe.generator == GeneratorOptions(pred_iou_thresh=0.5, use_m2m=True)
    assert recipe.labels.max_area == 900
    assert recipe.image.window == Percentiles(low=1)
    assert recipe.name == "12"
    assert recipe.with_values({"labels.max_area": "null"}).labels.max_area is None


def test_a_new_kind_starts_from_its_own_defaults() -> None:
    recipe = Recipe().with_values({"image.window.high": "9", "image.window.low": "2"})
    assert recipe.with_values({"image.window.kind": "dtype"}).image.window == DtypeRange()
    explicit = {"image.window.low": "5", "image.window.high": "7", "image.window.kind": "explicit"}
    assert recipe.with_values(explicit).image.window == Explicit(low=5, high=7)
    assert recipe.with_values({"image.window.kind": "percentiles"}) == recipe


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        ("generater.x", "1", "mean generator?"),
        ("generator.point_per_side", "1", "mean points_per_side?"),
        ("preprocess.0.sigma", "1", "0 entries"),
        ("name.x", "1", "no parts"),
        ("generator.points_per_side", "lots", '"lots"'),
        ("generator.points_per_side", "[1", "not valid YAML"),
        ("image.window.kind", "explicit", "image.window.low"),
    ],
)
def test_wrong_value_or_path_is_refused(path: str, value: str, part: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe().with_values({path: value})
    assert part in str(caught.value)
    assert path.split(".")[0] in str(caught.value)


# --- presets


def test_presets_are_the_promised_ones_and_say_what_they_are_for() -> None:
    found = presets()
    assert set(PRESETS) <= set(found)
    assert all(len(text) > 30 and "\n" not in text for text in found.values())
    with pytest.raises(RecipeError, match=r"mean raw.*membranes"):
        Recipe.preset("raww")


@pytest.mark.parametrize("name", list(presets()))
def test_preset_differs_from_raw_in_preprocessing_scale_and_thresholds_only(name: str) -> None:
    recipe, raw = Recipe.preset(name), Recipe.preset("raw")
    assert recipe.name == name
    assert bool(recipe.preprocess) == (name != "raw")
    assert recipe.changed_stage(raw) == (None if name == "raw" else "view")
    assert recipe.generator.crop_n_layers <= 1
    whole = {"generator.crop_n_layers": 0, "generator.crop_n_points_downscale_factor": 1}
    whole["model.frame_scale"] = 1.0
    uncropped = recipe.raw_arm().with_values(whole)
    assert uncropped.changed_stage(raw) in (None, "scores", "nms")


# --- stages


@pytest.mark.parametrize(
    ("values", "stage"),
    [
        ({"generator.pred_iou_thresh": 0.5}, "scores"),
        ({"generator.stability_score_thresh": 0.5}, "scores"),
        ({"generator.box_nms_thresh": 0.5}, "nms"),
        ({"generator.crop_nms_thresh": 0.5}, "nms"),
        ({"labels.suppression": "mask_iou"}, "nms"),
        ({"labels.keep": [{"point": [3.5, 4]}]}, "nms"),
        ({"labels.overlap": "disjoint"}, "labels"),
        ({"labels.level": "parts"}, "labels"),
        ({"labels.min_area": 5}, "labels"),
        ({"labels.max_area": 5}, "labels"),
        ({"generator.output_mode": "coco_rle"}, "labels"),
        ({"generator.mask_threshold": 0.5}, "logits"),
        ({"generator.stability_score_offset": 0.5}, "logits"),
        ({"generator.min_mask_region_area": 5}, "logits"),
        ({"generator.points_per_side": 16}, "decode"),
        ({"generator.points_per_side": None, "generator.point_grids": [[[0.5, 0.5]]]}, "decode"),
        ({"generator.crop_n_points_downscale_factor": 2}, "decode"),
        ({"generator.use_m2m": True}, "decode"),
        ({"generator.multimask_output": False}, "decode"),
        ({"image.window.low": 1}, "image"),
        ({"image.region": [[[0, 0], [9, 0], [9, 9]]]}, "decode"),
        ({"image.region": "mask.png"}, "decode"),
        ({"preprocess": [{"kind": "clahe"}]}, "view"),
        ({"rgb.kind": "colormap"}, "view"),
        ({"model.name": "sam2.1_hiera_tiny"}, "encode"),
        ({"generator.crop_n_layers": 1}, "encode"),
        ({"generator.crop_overlap_ratio": 0.5}, "encode"),
        ({"generator.points_per_batch": 4}, None),
        ({"name": "x", "description": "y"}, None),
        ({"preprocess": [{"kind": "clahe", "enabled": False}]}, None),
        ({"labels.min_area": 5, "generator.box_nms_thresh": 0.5}, "nms"),
        ({"generator.pred_iou_thresh": 0.5, "generator.use_m2m": True}, "decode"),
    ],
)
def test_changed_stage_is_the_earliest_that_the_change_touches(values: Any, stage: str) -> None:
    recipe = Recipe()
    assert recipe.changed_stage(recipe.with_values(values)) == stage
    assert recipe.with_values(values).changed_stage(recipe) == stage


# --- the reference


def all_parts(part: Any) -> dict[Any, None]:
    found = {part: None}
    for field in part.model_fields.values():
        for inner in parts_in(field.annotation):
            if inner not in found:
                found.update(all_parts(inner))
    return found


@pytest.mark.parametrize("part", list(all_parts(Recipe)), ids=lambda part: part.__name__)
def test_every_field_of_every_part_has_title_and_description(part: Any) -> None:
    if is_choice((part,)):
        assert len(part.__doc__) > 20
        assert kind_of(part)
    for name, field in part.model_fields.items():
        if name != "kind":
            assert field.title, name
            assert len(field.description) > 20, name


@pytest.mark.parametrize("part", [GeneratorOptions, LabelOptions, MergingOptions])
def test_every_parameter_names_its_stage(part: Any) -> None:
    fields = part.model_fields.items()
    stages = {name: extra(field, "stage") for name, field in fields if name != "merging"}
    assert stages.pop("points_per_batch", None) is None
    assert set(stages.values()) <= set(STAGES)


def test_generator_has_upstreams_names_and_defaults() -> None:
    ours = dict(GeneratorOptions())
    assert ours.pop("points_per_batch") is None
    assert ours.pop("grid") == "full"
    assert ours == UPSTREAM


@pytest.mark.parametrize("name", sorted({*UPSTREAM, "points_per_batch", "grid"} - {"output_mode"}))
def test_generator_explanations_speak_of_time_and_memory(name: str) -> None:
    text = (GeneratorOptions.model_fields[name].description or "").lower()
    assert any(word in text for word in ("time", "long", "faster", "cost")), text
    assert any(word in text for word in ("memory", "candidates")), text


def test_reference_covers_every_field_once_with_its_range() -> None:
    table = {entry.path: entry for entry in parameters(Recipe)}
    assert len(table) == len(list(parameters(Recipe)))
    assert all(entry.title and entry.description and entry.allowed for entry in table.values())
    thresh = table["generator.pred_iou_thresh"]
    assert (thresh.allowed, thresh.default) == ("a number from 0 to 1", "0.8")
    assert table["generator.points_per_side"].allowed == "a whole number from 1 to 512, or null"
    assert table["image.window[explicit].low"].default == "required"
    assert table["labels.min_area"].unit == "px²"
    assert all(f"preprocess[{kind}]" in table for kind in STEPS)


def test_reference_of_a_recipe_shows_its_values() -> None:
    recipe = Recipe().with_values(
        {"image.window.low": 1, "preprocess": [{"kind": "clahe", "clip_limit": 7}]}
    )
    table = {entry.path: entry for entry in parameters(recipe)}
    assert table["preprocess.0.kind"].value == "clahe"
    assert (table["preprocess.0.clip_limit"].value, table["image.window.low"].value) == (
        "7.0",
        "1.0",
    )
    assert table["image.window.low"].default == "0.1"
    paths = set(table) - {"preprocess.0.kind", "image.window.kind", "rgb.kind"}
    for path in paths:
        assert recipe.with_values({path: json.loads(table[path].value)}) == recipe


def test_kept_masks_are_read_written_and_listed() -> None:
    recipe = Recipe.from_yaml("labels: {keep: [{point: [3.5, 4], mask: 1}, {point: [1, 2]}]}")
    assert recipe.labels.keep == (PinnedMask(point=(3.5, 4), mask=1), PinnedMask(point=(1, 2)))
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert recipe.to_dict()["labels"]["keep"][1] == {"point": [1, 2]}
    table = {entry.path: entry for entry in parameters(recipe)}
    assert table["labels.keep.0.mask"].value == "1"
    assert recipe.with_values({"labels.keep.1.crop": 2}).labels.keep[1].crop == 2
    assert any(entry.path.startswith("labels.keep") for entry in parameters(Recipe))
    assert "labels.keep.0.mask" in refused({"labels": {"keep": [{"point": [1, 2], "mask": -1}]}})
    assert "labels.keep.0.point: missing" in refused({"labels": {"keep": [{"mask": 1}]}})


def test_filters_are_read_written_and_refused() -> None:
    recipe = Recipe().with_values({"labels.filters": "[{column: area, minimum: 20.5}]"})
    assert recipe.labels.filters == (ColumnFilter(column="area", minimum=20.5),)
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert Recipe().changed_stage(recipe) == "labels"
    one = {"column": "area", "minimum": 3, "maximum": 2}
    assert "minimum must not exceed maximum" in refused({"labels": {"filters": [one]}})
    assert "labels.filters.0.column" in refused({"labels": {"filters": [{"column": "size"}]}})
    assert set(get_args(Column)) < set(COLUMNS)


def test_documented_recipe_is_valid() -> None:
    text = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text(encoding="utf-8")
    recipe = Recipe.from_yaml(text.split("```yaml\n")[1].split("```")[0])
    assert [step.kind for step in recipe.preprocess] == ["subtract_background", "clahe"]


# --- the import

IMPORT = """
import sys
import napari_graysam.recipe
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_import_is_light() -> None:
    modules = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True
    ).stdout
    heavy = {"torch", "sam2", "cv2", "skimage", "scipy", "pandas", "matplotlib", "napari", "qtpy"}
    assert not heavy & set(modules.split())


@pytest.mark.parametrize("name", ["raw", "particles", "fluorescence-nuclei"])
def test_another_model_takes_what_the_preset_has_for_it_and_gives_it_back(name):
    recipe = Recipe.preset(name)
    other = recipe.with_model("sam2.1_hiera_tiny")
    assert other == Recipe.preset(name, "sam2.1_hiera_tiny")
    assert other.model.arithmetic == "exact"
    assert other.with_model(recipe.model.name) == recipe


def test_another_model_leaves_what_was_edited():
    recipe = Recipe.preset("particles").with_values({"generator.pred_iou_thresh": 0.55})
    other = recipe.with_model("sam2.1_hiera_tiny")
    assert other.generator == recipe.generator.replace(
        crop_n_layers=0, crop_n_points_downscale_factor=1
    )
    assert other.model.name == "sam2.1_hiera_tiny"
    assert other.with_model("graysam-small") == recipe
    whole = recipe.with_values({"generator.crop_n_layers": 2})
    assert whole.with_model("sam2.1_hiera_tiny").generator.crop_n_layers == 2


def test_presets_for_another_model_use_the_thresholds_of_sam2():
    own = Recipe.preset("particles")
    assert Recipe.preset("particles", own.model.name) == own
    other = Recipe.preset("particles", "sam2.1_hiera_tiny")
    assert other.model.name == "sam2.1_hiera_tiny"
    assert other.preprocess == own.preprocess
    assert other.labels == own.labels
    defaults = GeneratorOptions()
    assert other.generator.pred_iou_thresh == defaults.pred_iou_thresh
    assert other.generator.stability_score_thresh == defaults.stability_score_thresh
    assert other.generator.crop_n_layers == defaults.crop_n_layers
    assert Recipe.preset() == Recipe.preset("raw")
