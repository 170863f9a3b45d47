"""The generator against upstream's: numbers, logic, trained model, margins, mutations."""

from __future__ import annotations

import copy
import inspect
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from stub_decoder import (
    StubModel,
    differences,
    enliven,
    loaded,
    nearly_equal,
    noise,
    small_sam2,
    upstream_generator,
)

from napari_graysam.model import encoder
from napari_graysam.model.build import build_image_model
from napari_graysam.model.encoder import allow_row_chunks
from napari_graysam.progress import run
from napari_graysam.propose import propose
from napari_graysam.propose.decode import Decoder
from napari_graysam.propose.encode import encode, normalise
from napari_graysam.recipe import GeneratorOptions, ModelOptions
from napari_graysam.select import generate
from napari_graysam.select.records import records

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def stub() -> StubModel:
    return StubModel()


@pytest.fixture(scope="module")
def small() -> Any:
    return small_sam2()


def blobs(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.full((height, width), 30.0)
    for _ in range(12):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        radius = rng.uniform(0.04, 0.12) * min(height, width)
        image[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = rng.uniform(90, 220)
    image += rng.normal(0, 6, image.shape)
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


# 1. Numbers: the model's outputs, before any threshold.


@pytest.mark.parametrize("shape", [(128, 128), (97, 211), (1, 1), (3, 300), (640, 333)])
@pytest.mark.parametrize("size", [128, 512])
def test_frame_equals_upstreams_transform(shape: tuple[int, int], size: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sam2.utils.transforms import SAM2Transforms

        transform = SAM2Transforms(size, 0.0)
        expected = transform(noise(*shape))
    assert torch.equal(normalise(noise(*shape), size)[0], expected)


def test_features_equal_upstreams(small: Any) -> None:
    predictor = upstream_generator(small, GeneratorOptions()).predictor
    predictor.set_image(noise(75, 140))
    ours = encode(noise(75, 140), loaded(small))
    assert torch.equal(ours.embedding, predictor._features["image_embed"])
    for one, other in zip(ours.high_resolution, predictor._features["high_res_feats"], strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("rows", [1, 3])
def test_strips_of_windows_give_the_same_features(
    small: Any, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    parted = copy.deepcopy(small)
    allow_row_chunks(parted)
    blocks = parted.image_encoder.trunk.blocks
    heights: list[int] = []
    for block in blocks:
        block.norm1.register_forward_pre_hook(lambda _, x: heights.append(x[0].shape[1]))
    # The first stage's tokens are 32 in a row.
    monkeypatch.setattr(encoder, "_TOKENS", rows * 32 * blocks[0].window_size)
    whole = encode(noise(75, 140), loaded(parted))
    assert len(heights) == len(blocks)
    heights.clear()
    ours = encode(noise(75, 140), loaded(parted).with_arithmetic("fast"))
    assert len(heights) > len(blocks)
    assert heights[0] == rows * blocks[0].window_size
    for one, other in zip(
        (ours.embedding, *ours.high_resolution),
        (whole.embedding, *whole.high_resolution),
        strict=True,
    ):
        assert (one - other).abs().max() < 1e-5 * other.abs().max()


@pytest.mark.slow
def test_official_models_are_built_to_encode_in_strips() -> None:
    network = build_image_model("configs/sam2.1/sam2.1_hiera_t.yaml")
    heights: list[int] = []
    first = network.image_encoder.trunk.blocks[0]
    first.norm1.register_forward_pre_hook(lambda _, x: heights.append(x[0].shape[1]))
    encode(noise(75, 140), loaded(network))
    assert heights == [256]
    encode(noise(75, 140), loaded(network).with_arithmetic("fast"))
    assert len(heights) > 2
    assert sum(heights) == 2 * 256


def decode(
    points: torch.Tensor, features: Any, model: Any, **changes: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits (B, M, h, w) and predicted IoU (B, M) of all points."""
    asked = {"multimask": True, "use_m2m": False} | changes
    logits, iou, *_ = Decoder(features, model, **asked).decode(points, 0)
    return logits.unflatten(0, (len(points), -1)), iou.unflatten(0, (len(points), -1))


@pytest.mark.parametrize("count", [1, 2, 9, 64])
def test_single_masks_equal_upstreams_in_the_same_batch(small: Any, count: int) -> None:
    predictor = upstream_generator(small, GeneratorOptions()).predictor
    predictor.set_image(noise(75, 140))
    features = encode(noise(75, 140), loaded(small))
    points = torch.rand((count, 2), generator=torch.manual_seed(1)) * 128
    labels = torch.ones((count, 1), dtype=torch.int)
    logits, ours = decode(points, features, loaded(small), multimask=False)
    _, iou, low = predictor._predict(
        points[:, None], labels, multimask_output=False, return_logits=True
    )
    assert torch.equal(ours, iou)
    assert torch.equal(logits.clamp(-32, 32), low)
    _, iou, low = predictor._predict(
        points[:, None], labels, mask_input=low, multimask_output=False, return_logits=True
    )
    refined, ours = decode(points, features, loaded(small), multimask=False, use_m2m=True)
    assert torch.equal(ours, iou)
    assert torch.equal(refined.clamp(-32, 32), low)
    assert count < 9 or ours.std() > 0.005


@pytest.mark.parametrize("arithmetic", ["exact", "fast"])
def test_only_masks_above_the_floor_are_drawn(small: Any, arithmetic: str) -> None:
    model = loaded(small).with_arithmetic(arithmetic)
    features = encode(noise(75, 140), model)
    points = torch.rand((9, 2), generator=torch.manual_seed(1)) * 128
    decoder = Decoder(features, model, multimask=True, use_m2m=False)
    everything, scores, _, promise = decoder.decode(points, 0)
    floor = float(scores.median())
    some, ours, point, _ = decoder.decode(points, floor)
    kept = scores > floor
    assert 0 < kept.sum() < 27
    assert torch.equal(ours, scores[kept])
    assert torch.equal(point, torch.arange(9).repeat_interleave(3)[kept])
    assert torch.allclose(some, everything[kept], atol=1e-4)
    none, _, _, still = decoder.decode(points, 1.0)
    assert none.shape == (0, *some.shape[1:])
    assert torch.equal(promise, scores.view(9, 3).amax(1))
    assert torch.equal(still, promise)


@pytest.mark.parametrize("arithmetic", ["exact", "fast"])
def test_error_against_float64_is_at_most_twice_upstreams(
    small: Any, monkeypatch: pytest.MonkeyPatch, arithmetic: str
) -> None:
    from sam2.modeling.position_encoding import PositionEmbeddingRandom

    predictor = upstream_generator(small, GeneratorOptions()).predictor
    predictor.set_image(noise(75, 140))
    model = loaded(small).with_arithmetic(arithmetic)
    features = encode(noise(75, 140), model)
    points = torch.rand((64, 2), generator=torch.manual_seed(2)) * 128
    labels = torch.ones((64, 1), dtype=torch.int)
    _, upstreams_iou, upstreams = predictor._predict(
        points[:, None], labels, multimask_output=True, return_logits=True
    )
    ours = [decode(some, features, model) for some in points.split(4)]

    plain = PositionEmbeddingRandom._pe_encoding

    def in_double(self: Any, coordinates: torch.Tensor) -> torch.Tensor:
        return plain(self, coordinates.to(self.positional_encoding_gaussian_matrix.dtype))

    monkeypatch.setattr(PositionEmbeddingRandom, "_pe_encoding", in_double)
    precise = copy.deepcopy(small).double()
    sparse, dense = precise.sam_prompt_encoder(
        points=(points[:, None].double(), labels), boxes=None, masks=None
    )
    truth, truth_iou, _, _ = precise.sam_mask_decoder(
        image_embeddings=features.embedding.double(),
        image_pe=precise.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
        repeat_image=True,
        high_res_features=[level.double() for level in features.high_resolution],
    )
    truth = truth.clamp(-32, 32)
    for mine, theirs, true in (
        (torch.cat([logits for logits, _ in ours]).clamp(-32, 32), upstreams, truth),
        (torch.cat([iou for _, iou in ours]), upstreams_iou, truth_iou),
    ):
        assert true.dtype == torch.float64
        assert 0 < (mine - true).abs().max() <= 2 * (theirs - true).abs().max()


@pytest.mark.slow
def test_official_architecture_at_its_frame() -> None:
    from sam2.build_sam import build_sam2

    torch.manual_seed(0)
    model = enliven(build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", device="cpu"))
    options = GeneratorOptions(
        points_per_side=2,
        points_per_batch=3,
        pred_iou_thresh=0,
        stability_score_thresh=0,
        stability_score_offset=0.01,
        box_nms_thresh=1,
    )
    view = blobs(400, 300)
    theirs = upstream_generator(model, options).generate(view)
    assert len(theirs) == 12
    for arithmetic in ("exact", "fast"):
        ours = generate(view, loaded(model).with_arithmetic(arithmetic), options)
        assert not nearly_equal(ours, theirs)


# 2. Logic: whole records and their order, bit by bit, over analytic masks.

CASES: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
    "plain": ((90, 120), {}),
    "tall": ((300, 41), {}),
    "odd": ((151, 87), {"points_per_side": 7}),
    "tiny": ((5, 9), {}),
    "pixel": ((1, 1), {}),
    "crops": ((200, 151), {"crop_n_layers": 1}),
    "more crops": ((120, 130), {"crop_n_layers": 2, "crop_n_points_downscale_factor": 2}),
    "overlap": (
        (200, 150),
        {"crop_n_layers": 1, "crop_overlap_ratio": 0.7, "crop_nms_thresh": 0.4},
    ),
    "single mask": ((90, 120), {"multimask_output": False}),
    "refined": ((90, 120), {"use_m2m": True}),
    "refined single": ((90, 120), {"use_m2m": True, "multimask_output": False}),
    "refined crops": ((150, 130), {"use_m2m": True, "crop_n_layers": 1}),
    "last batch of one": ((90, 120), {"points_per_side": 5, "points_per_batch": 8}),
    "batches of one": ((90, 120), {"points_per_side": 5, "points_per_batch": 1}),
    "everything": ((90, 120), {"pred_iou_thresh": 0, "stability_score_thresh": 0}),
    "everything in crops": (
        (150, 120),
        {"pred_iou_thresh": 0, "stability_score_thresh": 0, "crop_n_layers": 1},
    ),
    "more than 1000 boxes": (
        (150, 160),
        {
            "points_per_side": 24,
            "pred_iou_thresh": 0,
            "stability_score_thresh": 0,
            "box_nms_thresh": 1,
            "crop_nms_thresh": 0.98,
            "crop_n_layers": 1,
            "crop_n_points_downscale_factor": 2,
        },
    ),
    "nothing": ((90, 120), {"pred_iou_thresh": 1}),
    "thresholds on ties": ((90, 120), {"pred_iou_thresh": 0.75, "mask_threshold": 0.5}),
    "offset": ((90, 120), {"stability_score_offset": 0.5, "stability_score_thresh": 0.8}),
    "cut high": ((90, 120), {"mask_threshold": 2.0, "stability_score_thresh": 0.1}),
    "no duplicates at all": ((90, 120), {"box_nms_thresh": 0}),
    "own points": (
        (90, 120),
        {"points_per_side": None, "point_grids": [[(0.3, 0.3), (0.31, 0.3), (1.0, 0.0)]]},
    ),
    "run lengths": ((90, 121), {"output_mode": "uncompressed_rle", "pred_iou_thresh": 0.3}),
    "coco": ((91, 120), {"output_mode": "coco_rle", "pred_iou_thresh": 0.3}),
}


def options_of(changes: dict[str, Any]) -> GeneratorOptions:
    usual = {"points_per_side": 9, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.3}
    return GeneratorOptions.model_validate({**usual, **changes})


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("case", CASES)
def test_records_and_order_equal_upstreams(stub: StubModel, case: str) -> None:
    shape, changes = CASES[case]
    options = options_of(changes)
    theirs = upstream_generator(stub, options).generate(noise(*shape))
    assert not differences(generate(noise(*shape), loaded(stub), options), theirs)
    assert bool(theirs) == (case != "nothing")


def test_stub_has_what_the_sweep_is_about(stub: StubModel) -> None:
    proposals = run(
        propose(noise(90, 120), loaded(stub), options_of({}), iou_floor=0, stability_floor=0)
    )
    assert (proposals.area == 0).any()
    assert (proposals.area == 90 * 120).any()
    assert len(np.unique(proposals.predicted_iou)) < len(proposals) / 10
    assert (proposals.logits == 0).any()


def test_all_crops_empty_gives_no_masks_where_upstream_fails(stub: StubModel) -> None:
    options = options_of({"crop_n_layers": 1, "pred_iou_thresh": 1.0})
    with pytest.raises(IndexError):
        upstream_generator(stub, options).generate(noise(90, 120))
    assert generate(noise(90, 120), loaded(stub), options) == []


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("arithmetic", ["exact", "fast"])
@pytest.mark.parametrize("changes", [{}, {"use_m2m": True}, {"crop_n_layers": 1}])
def test_real_modules_give_upstreams_records(
    small: Any, changes: dict[str, Any], arithmetic: str
) -> None:
    options = GeneratorOptions.model_validate(
        {
            "points_per_side": 9,
            "points_per_batch": 64,
            "pred_iou_thresh": 0.4,
            "stability_score_thresh": 0.4,
            "stability_score_offset": 0.2,
            "box_nms_thresh": 1,
            "crop_nms_thresh": 1,
            **changes,
        }
    )
    theirs = upstream_generator(small, options).generate(blobs(140, 190))
    assert len(theirs) > 20
    model = loaded(small).with_arithmetic(arithmetic)
    assert not nearly_equal(generate(blobs(140, 190), model, options), theirs)


# 3. The bundled trained model, both generators, on objects.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["blobs", "coins"])
def test_trained_model_end_to_end(name: str) -> None:
    from napari_graysam.model import load_model

    model = load_model(ModelOptions(device="cpu"))
    if name == "coins":
        from skimage import data

        view = np.repeat(data.coins()[..., None], 3, axis=2)
    else:
        view = blobs(256, 320)
    options = GeneratorOptions(points_per_side=12, points_per_batch=64)
    everything = run(propose(view, model, options, iou_floor=0, stability_floor=0))
    # Thresholds in the middle of the scores, so that each filter passes and drops many.
    iou = float(np.quantile(everything.predicted_iou, 0.6))
    stability = float(np.quantile(everything.stability[everything.predicted_iou > iou], 0.5))
    options = options.replace(pred_iou_thresh=iou, stability_score_thresh=stability)
    for score, threshold in ((everything.predicted_iou, iou), (everything.stability, stability)):
        assert (score > threshold).sum() >= 50
        assert (score < threshold).sum() >= 50
    theirs = upstream_generator(model.model, options).generate(view)
    assert len(theirs) >= 5
    assert not nearly_equal(generate(view, model, options), theirs)
    # In tiles, squares of votes cancel less: of duplicates with equal scores another may be left.
    fast = generate(view, model.with_arithmetic("fast"), options)
    assert len(fast) == len(theirs)
    for record in theirs:
        mask = record["segmentation"]
        close = max(fast, key=lambda one: (one["segmentation"] & mask).sum())
        both = (close["segmentation"] & mask).sum() / (close["segmentation"] | mask).sum()
        assert both > 0.95
        assert abs(close["predicted_iou"] - record["predicted_iou"]) < 2e-3


# 4. Margins: another batch size rounds differently and nothing else.


@pytest.mark.parametrize("arithmetic", ["exact", "fast"])
def test_other_batches_keep_the_same_masks_outside_the_margin(small: Any, arithmetic: str) -> None:
    tolerance = 1e-3
    view = blobs(140, 190)
    options = GeneratorOptions(
        points_per_side=9,
        points_per_batch=64,
        pred_iou_thresh=0.45,
        stability_score_thresh=0.5,
        stability_score_offset=0.2,
        box_nms_thresh=1,
    )
    theirs = upstream_generator(small, options).generate(view)
    ours = run(
        propose(
            view,
            loaded(small).with_arithmetic(arithmetic),
            options.replace(points_per_batch=3),
            iou_floor=0,
            stability_floor=0,
        )
    )
    flips = 0
    for iou, stability, point in zip(ours.predicted_iou, ours.stability, ours.point, strict=True):
        kept = any(
            record["point_coords"][0] == point.tolist()
            and abs(record["predicted_iou"] - iou) < tolerance
            for record in theirs
        )
        if iou > 0.45 + tolerance and stability > 0.5 + tolerance:
            assert kept
        elif iou < 0.45 - tolerance or stability < 0.5 - tolerance:
            assert not kept
        else:
            flips += 1
    assert flips < 5
    assert 20 < len(theirs) < len(ours) - 20


# 5. Mutations: a wrong comparison must not pass for equal.

MUTATIONS = [
    ("propose.generator", "np.tile(corner, 2).astype(np.int32)", "np.int32([1, 0, 0, 0])"),
    ("propose.generator", "point[:, 0] / width", "(point[:, 0] + 8) / width"),
    ("propose.statistics", "offset, mask_threshold\n", "offset, mask_threshold + 0.5\n"),
    ("propose.statistics", "mask_threshold + offset,", "mask_threshold,"),
    ("propose.statistics", "mask_threshold - offset,", "mask_threshold,"),
    ("propose.statistics", "values > np.float32(cuts", "values >= np.float32(cuts"),
    ("propose.enlarge", "enlarged[places[number] - start, y, x]", "enlarged[0, y, x]"),
    ("propose.enlarge", "[needed] = mine", "[needed] = mine + 0.25"),
    ("propose.statistics", "y + strip.corner[1]", "y"),
    ("propose.pixels", "values > np.float32", "values >= np.float32"),
    ("propose.pixels", "whole[y0:y1, x0:x1]", "np.roll(whole, 1, 0)[y0:y1, x0:x1]"),
    ("propose.pixels", "tall, part, out", "tall, part[::-1], out"),
    ("propose.grid", "np.meshgrid(along, along)", "np.meshgrid(along[::-1], along)"),
    ("propose.grid", "for column in range(side)", "for column in reversed(range(side))"),
    ("select.filters", "scores > threshold", "scores >= threshold"),
    ("select.filters", ">= generator.stability", "> generator.stability"),
    ("select.filters", "crop_box) <= tolerance", "crop_box) < tolerance"),
    ("select.overlaps", "near[by > threshold]", "near[by >= threshold]"),
    ("select.overlaps", "(x1 - x0)", "(x1 + 1 - x0)"),
    ("select.nms", "np.argsort(-scores, kind", "np.argsort(scores, kind"),
    ("select.nms", "np.float32(1) / np.prod(", "np.float32(1) * np.prod("),
]


def by_both_ways(view: np.ndarray, model: Any, options: GeneratorOptions) -> list[list[Any]]:
    """Run the generator with thresholds while decoding, and with all of them afterwards."""
    from napari_graysam.propose import propose
    from napari_graysam.select import Selector, generate

    steps = propose(view, model, options, iou_floor=0, stability_floor=0)
    late = records(Selector(run(steps)).survivors(options), options.output_mode, view.shape[:2])
    return [generate(view, model, options), late]


@pytest.fixture(scope="module")
def scenes(stub: StubModel) -> list[Any]:
    """Scenes whose thresholds equal scores and overlaps that occur, with upstream's records."""
    view = noise(90, 120)
    all_options = options_of({"pred_iou_thresh": 0, "stability_score_thresh": 0})
    everything = run(propose(view, loaded(stub), all_options))
    scores = np.unique(everything.stability)
    crops_only = {
        "points_per_side": 4,
        "stability_score_thresh": 0,
        "crop_n_layers": 1,
        "crop_overlap_ratio": 0,
        "crop_nms_thresh": 1,
    }
    changes = [
        ((90, 120), {"pred_iou_thresh": 0.75, "stability_score_thresh": 0}),
        ((90, 120), {"stability_score_thresh": float(scores[len(scores) // 2])}),
        ((90, 120), {"stability_score_thresh": 0, "box_nms_thresh": tied_overlap(everything)}),
        # Crops of 84 pixels: some boxes end exactly 20 pixels before their edges.
        ((168, 168), crops_only),
        ((200, 151), {"crop_n_layers": 1, "crop_nms_thresh": 0.5}),
    ]
    found = []
    for shape, change in changes:
        options = options_of(change)
        theirs = upstream_generator(stub, options).generate(noise(*shape))
        found.append((noise(*shape), options, theirs))
    return found


def tied_overlap(proposals: Any) -> float:
    """Return an overlap that is exactly that of two boxes of one scene."""
    from torchvision.ops import box_iou

    boxes = torch.tensor(proposals.box[proposals.predicted_iou > 0.5]).float()
    values = box_iou(boxes, boxes).unique()
    return float(values[(values > 0.3) & (values < 0.9)].median())


def mutate(monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str) -> None:
    """Replace a module's functions everywhere by those of its changed source."""
    module = sys.modules[f"napari_graysam.{name}"]
    source = inspect.getsource(module)
    assert old in source
    changed: dict[str, Any] = {"__name__": module.__name__}
    exec(compile(source.replace(old, new), str(module.__file__), "exec"), changed)
    mine = {
        id(value): changed[key]
        for key, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
    }
    for other in [m for n, m in sys.modules.items() if n.startswith("napari_graysam")]:
        for key, value in list(vars(other).items()):
            if id(value) in mine:
                monkeypatch.setattr(other, key, mine[id(value)])


def all_equal(scenes: list[Any], stub: StubModel) -> bool:
    """Compare scene by scene until one differs."""
    return all(
        not differences(ours, theirs)
        for view, options, theirs in scenes
        for ours in by_both_ways(view, loaded(stub), options)
    )


def test_scenes_are_equal_without_mutation(scenes: list[Any], stub: StubModel) -> None:
    assert all_equal(scenes, stub)


@pytest.mark.parametrize(("name", "old", "new"), MUTATIONS)
def test_a_mutation_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
    scenes: list[Any],
    stub: StubModel,
    name: str,
    old: str,
    new: str,
) -> None:
    mutate(monkeypatch, name, old, new)
    assert not all_equal(scenes, stub)
