from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stub_decoder import StubModel, differences, loaded, noise, small_sam2

from napari_graysam.errors import DeviceError, ImageError, OutputError, ProposalsError
from napari_graysam.progress import run
from napari_graysam.propose import Proposals, propose, rescore
from napari_graysam.propose.candidates import Room
from napari_graysam.propose.decode import Decoder
from napari_graysam.propose.encode import encode
from napari_graysam.propose.grid import crops, layer_boxes, regular_grid
from napari_graysam.propose.points import ExplicitPoints
from napari_graysam.propose.statistics import measure
from napari_graysam.recipe import GeneratorOptions, LabelOptions
from napari_graysam.select import Selector, generate, select
from napari_graysam.select.records import records

SHAPE = (90, 120)
LOOSE = GeneratorOptions(points_per_side=6, pred_iou_thresh=0.3, stability_score_thresh=0.1)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def stub() -> StubModel:
    return StubModel()


@pytest.fixture(scope="module")
def everything(stub: StubModel) -> Proposals:
    steps = propose(noise(*SHAPE), loaded(stub), LOOSE, iou_floor=0, stability_floor=0)
    return run(steps)


def test_grid_is_centred() -> None:
    grid = regular_grid(4)
    assert grid.shape == (16, 2)
    assert grid.mean() == pytest.approx(0.5)
    assert grid[1] == pytest.approx([0.375, 0.125])


def test_crops_cover_the_image_and_lie_in_it() -> None:
    covered = np.zeros((97, 141), bool)
    boxes = layer_boxes((97, 141), 2, 0.3)
    for x0, y0, x1, y1 in boxes:
        assert 0 <= x0 < x1 <= 141
        assert 0 <= y0 < y1 <= 97
        covered[y0:y1, x0:x1] = True
    assert len(boxes) == 16
    assert covered.all()


def test_region_limits_points_and_crops(stub: StubModel) -> None:
    region = np.zeros(SHAPE, bool)
    region[:30, :40] = True
    options = LOOSE.replace(crop_n_layers=1, crop_overlap_ratio=0)
    chosen = crops(SHAPE, options, region)
    assert [crop.index for crop in chosen] == [0, 1]
    before = stub.encoded
    proposals = run(propose(noise(*SHAPE), loaded(stub), options, region=region))
    assert stub.encoded - before == 2
    assert len(proposals) > 0
    x, y = proposals.point.astype(int).T
    assert region[y, x].all()
    assert not proposals.record["whole_image"]


def test_region_of_another_size_is_refused(stub: StubModel) -> None:
    with pytest.raises(ImageError, match=r"\(3, 3\).*\(90, 120\)"):
        run(propose(noise(*SHAPE), loaded(stub), LOOSE, region=np.ones((3, 3), bool)))


@pytest.mark.parametrize(
    "view", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_views_of_another_kind_are_refused(stub: StubModel, view: np.ndarray) -> None:
    with pytest.raises(ImageError, match="uint8"):
        run(propose(view, loaded(stub), LOOSE))


def test_progress_counts_points_and_closing_cancels(stub: StubModel) -> None:
    options = LOOSE.replace(points_per_batch=5)
    steps = list(propose(noise(*SHAPE), loaded(stub), options))
    assert steps[0] == ("encode", 0, 1)
    assert [step.done for step in steps[1:]] == [0, 5, 10, 15, 20, 25, 30, 35, 36]
    assert {step.total for step in steps[1:]} == {36}
    cancelled = propose(noise(*SHAPE), loaded(stub), options)
    next(cancelled)
    cancelled.close()
    assert list(cancelled) == []
    assert torch.is_grad_enabled()


def test_floors_keep_what_the_filters_would(stub: StubModel, everything: Proposals) -> None:
    kept = run(propose(noise(*SHAPE), loaded(stub), LOOSE.replace(pred_iou_thresh=0.75)))
    assert len(everything) == 36 * 3
    passed = (everything.predicted_iou > 0.75) & (everything.stability >= np.float32(0.1))
    assert (everything.predicted_iou == 0.75).any()
    assert np.array_equal(kept.predicted_iou, everything.predicted_iou[passed])
    assert np.array_equal(kept.logits, everything.logits[passed])
    assert np.array_equal(kept.box, everything.box[passed])


def test_one_run_serves_every_higher_threshold(stub: StubModel, everything: Proposals) -> None:
    for changes in (
        {"pred_iou_thresh": 0.5},
        {"stability_score_thresh": 0.6, "box_nms_thresh": 0.4},
        {"mask_threshold": 1.0, "stability_score_offset": 0.5},
        {"mask_threshold": -2.0, "min_mask_region_area": 30},
    ):
        options = LOOSE.replace(**changes)
        fresh = generate(noise(*SHAPE), loaded(stub), options)
        again = records(Selector(everything).survivors(options), "binary_mask", SHAPE)
        assert len(fresh) > 3
        assert not differences(again, fresh)


def test_what_proposals_do_not_hold_is_refused(stub: StubModel, everything: Proposals) -> None:
    strict = run(propose(noise(*SHAPE), loaded(stub), LOOSE))
    for proposals, changes, words in (
        (strict, {"pred_iou_thresh": 0.2}, "pred_iou_thresh is 0.2.*passed 0.3"),
        (strict, {"stability_score_thresh": 0.0}, "stability_score_thresh"),
        (strict, {"mask_threshold": 0.5}, "stability_floor=0"),
        (everything, {"points_per_side": 8}, "points_per_side is 8"),
        (everything, {"use_m2m": True}, "use_m2m"),
    ):
        with pytest.raises(ProposalsError, match=words):
            select(proposals, LOOSE.replace(**changes))


def test_rescoring_without_change_is_free(everything: Proposals) -> None:
    assert rescore(everything, LOOSE) is everything
    higher = rescore(everything, LOOSE.replace(mask_threshold=1.0))
    assert (higher.area <= everything.area).all()
    assert (higher.area < everything.area).any()


def test_statistics_of_a_known_mask() -> None:
    logits = torch.full((2, 16, 16), -4.0)
    logits[0, 4:8, 2:10] = 4.0
    found = measure(logits, (16, 16), group=3, mask_threshold=0.0, offset=1.0)
    assert found.area.tolist() == [32, 0]
    assert found.box.tolist() == [[2, 4, 9, 7], [0, 0, 0, 0]]
    assert found.stability.tolist() == [1.0, 0.0]
    stable = measure(logits, (16, 16), group=3, mask_threshold=0.0, offset=1.0, floor=0.5)
    assert stable.kept.tolist() == [True, False]
    assert stable.area.tolist() == [32]


def test_statistics_do_not_overflow() -> None:
    wide = torch.ones((1, 4, 4))
    found = measure(wide, (2, 70_000), group=1, mask_threshold=0.0, offset=0.5)
    assert found.area.item() == 140_000
    assert found.stability.item() == 1.0


def test_arrays_are_immutable(everything: Proposals) -> None:
    for name in ("predicted_iou", "box", "logits", "crop"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(everything, name)[0] = 0


def test_file_round_trip(everything: Proposals, tmp_path: Path) -> None:
    path = tmp_path / "view.npz"
    everything.save(path)
    read = Proposals.load(path)
    assert read.image_size == everything.image_size
    assert read.record == everything.record
    for name in (
        "predicted_iou",
        "stability",
        "area",
        "box",
        "point",
        "crop_box",
        "crop",
        "logits",
    ):
        assert np.array_equal(getattr(read, name), getattr(everything, name))
    ours, theirs = (
        records(Selector(some).survivors(LOOSE), "coco_rle", SHAPE) for some in (read, everything)
    )
    assert ours == theirs
    assert [file.name for file in tmp_path.iterdir()] == ["view.npz"]


def test_damaged_and_foreign_files_are_refused(everything: Proposals, tmp_path: Path) -> None:
    whole = tmp_path / "whole.npz"
    everything.save(whole)
    cut = tmp_path / "cut.npz"
    cut.write_bytes(whole.read_bytes()[:-2000])
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, x=np.zeros(3))
    text = tmp_path / "text.npz"
    text.write_text("<html>")
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, about=np.array([{}], object))
    for path in (cut, foreign, text, pickled, tmp_path):
        with pytest.raises(ProposalsError, match="damaged"):
            Proposals.load(path)
    with pytest.raises(ProposalsError, match="no such file"):
        Proposals.load(tmp_path / "missing.npz")


def test_nothing_is_left_where_writing_fails(everything: Proposals, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder"):
        everything.save(tmp_path / "folder")
    with pytest.raises(OutputError, match="absent"):
        everything.save(tmp_path / "absent" / "view.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_out_of_memory_halves_the_batch(
    stub: StubModel, everything: Proposals, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = stub.sam_mask_decoder.forward

    def limited(**inputs: Any) -> Any:
        if len(inputs["sparse_prompt_embeddings"]) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(**inputs)

    monkeypatch.setattr(stub.sam_mask_decoder, "forward", limited)
    options = LOOSE.replace(points_per_batch=16)
    steps = propose(noise(*SHAPE), loaded(stub), options, iou_floor=0, stability_floor=0)
    proposals = run(steps)
    assert proposals.record["points_per_batch"] == 2
    assert [note.split(":")[0] for note in proposals.record["notes"]] == [
        f"out of memory with {count} points a batch" for count in (16, 8, 4)
    ]
    assert np.array_equal(proposals.logits, everything.logits)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), DeviceError),
        (RuntimeError("x"), RuntimeError),
    ],
)
def test_other_failures_are_not_hidden(
    stub: StubModel, monkeypatch: pytest.MonkeyPatch, error: RuntimeError, expected: type
) -> None:
    def failing(**_: Any) -> Any:
        raise error

    monkeypatch.setattr(stub.sam_mask_decoder, "forward", failing)
    with pytest.raises(expected) as raised:
        run(propose(noise(*SHAPE), loaded(stub), LOOSE))
    assert isinstance(raised.value, DeviceError) == (expected is DeviceError)


@pytest.mark.parametrize("arithmetic", ["exact", "fast"])
def test_bfloat16_is_as_near_to_float32_as_upstream_under_autocast(arithmetic: str) -> None:
    model = small_sam2()
    short = loaded(model, torch.bfloat16).with_arithmetic(arithmetic)
    features = encode(noise(*SHAPE), short)
    points = torch.rand((36, 2), generator=torch.manual_seed(0)) * model.image_size
    labels = torch.ones((36, 1), dtype=torch.int)

    def upstreams(precision: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            sparse, dense = model.sam_prompt_encoder((points[:, None], labels), None, None)
            logits, iou, _, _ = model.sam_mask_decoder(
                image_embeddings=features.embedding.to(torch.float32),
                image_pe=features.position,
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=True,
                repeat_image=True,
                high_res_features=[level.to(precision) for level in features.high_resolution],
            )
        return logits.flatten(0, 1).float(), iou.flatten().float()

    decoder = Decoder(features, short, multimask=True, use_m2m=False)
    logits, iou, *_ = decoder.decode(points, 0)
    for ours, theirs, precise in zip(
        (logits, iou), upstreams(torch.bfloat16), upstreams(torch.float32), strict=True
    ):
        assert (theirs - precise).abs().mean() > 0
        assert (ours - precise).abs().mean() < 1.3 * (theirs - precise).abs().mean()


def test_small_regions_are_cleaned_in_image_pixels(everything: Proposals) -> None:
    plain = Selector(everything).survivors(LOOSE)
    same = Selector(everything).survivors(LOOSE.replace(min_mask_region_area=1))
    assert [mask.area for mask in same] == [mask.area for mask in plain]


@pytest.mark.parametrize("suppression", ["mask_iou", "containment"])
def test_suppression_by_masks_leaves_no_pair_above_the_threshold(
    everything: Proposals, suppression: str
) -> None:
    labels = LabelOptions(suppression=suppression, suppression_thresh=0.5)
    masks = [mask.full(SHAPE) for mask in Selector(everything).survivors(LOOSE, labels)]
    assert len(masks) > 3
    for number, one in enumerate(masks):
        for other in masks[:number]:
            common = (one & other).sum()
            whole = (
                (one | other).sum() if suppression == "mask_iou" else min(one.sum(), other.sum())
            )
            assert common <= 0.5 * whole


def test_selection_nests_and_names_its_source(everything: Proposals) -> None:
    masks = select(everything, LOOSE.replace(box_nms_thresh=1), source="preprocessed")
    assert {mask.source for mask in masks} == {"preprocessed"}
    assert max(mask.depth for mask in masks) >= 1
    assert all(mask.area > 0 for mask in masks)
    parts = select(everything, LOOSE.replace(box_nms_thresh=1), LabelOptions(level="parts"))
    assert 0 < len(parts) < len(masks)


def test_points_of_ones_own_are_asked_and_join_those_of_the_grid(stub: StubModel) -> None:
    model, view = loaded(stub), noise(*SHAPE)
    mine = np.array([[3.5, 4.5], [20.0, 11.0]])
    found = run(propose(view, model, LOOSE, points=ExplicitPoints(mine)))
    assert found.record["point_source"] == "explicit points"
    assert {tuple(point) for point in found.point.tolist()} <= {tuple(one) for one in mine.tolist()}
    grid = run(propose(view, model, LOOSE))
    both = Proposals.concat([grid, found])
    assert len(both) == len(grid) + len(found)
    np.testing.assert_array_equal(both.logits[len(grid) :], found.logits)
    assert both.record["parts"] == [
        {"point_source": "full grid", "candidates": len(grid)},
        {"point_source": "explicit points", "candidates": len(found)},
    ]
    nothing = run(propose(view, model, LOOSE, points=ExplicitPoints(mine), iou_floor=2))
    assert len(nothing) == 0
    assert len(Proposals.concat([nothing, grid])) == len(grid)
    other = run(propose(noise(SHAPE[0] + 1, SHAPE[1]), model, LOOSE))
    for parts in ([], [grid, other]):
        with pytest.raises(ProposalsError, match="cannot be joined"):
            Proposals.concat(parts)
    with pytest.raises(ProposalsError, match=r"\(3,\)"):
        ExplicitPoints([1, 2, 3])


@pytest.mark.parametrize("grid", ["full", "adaptive"])
@pytest.mark.parametrize("left", [0, 3 * 64 * 64 * 4 * 8])
def test_candidates_beyond_their_room_are_compact_and_select_the_same(
    stub: StubModel, monkeypatch: pytest.MonkeyPatch, grid: str, left: int
) -> None:
    options = LOOSE.replace(grid=grid, points_per_side=12, points_per_batch=5, crop_n_layers=1)

    def asked() -> Proposals:
        return run(propose(noise(*SHAPE), loaded(stub), options, iou_floor=0, stability_floor=0))

    whole = asked()
    monkeypatch.setattr("napari_graysam.propose.generator.Room", partial(Room, left=left))
    small = asked()
    assert small.nbytes < whole.nbytes
    assert len(small) == len(whole) > 0
    for name in ("predicted_iou", "stability", "area", "box", "point", "crop"):
        np.testing.assert_array_equal(getattr(small, name), getattr(whole, name))
    both = [select(one, options, LabelOptions()) for one in (whole, small, small.compact())]
    for other in both[1:]:
        assert len(other) == len(both[0]) > 0
        for one, same in zip(both[0], other, strict=True):
            assert one.box == same.box
            np.testing.assert_array_equal(one.bits, same.bits)
    with pytest.raises(ProposalsError, match="low enough"):
        rescore(small, options.replace(mask_threshold=-9.0))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="elsewhere there is no such limit")
def test_freed_memory_is_kept_also_where_dask_limits_it() -> None:
    """A worker of Dask starts with this limit; every block would come from the system anew."""
    code = (
        "import resource, torch\n"
        "from napari_graysam.propose.decode import keep_freed_memory\n"
        "keep_freed_memory()\n"
        "torch.zeros(2**23, dtype=torch.uint8)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(20):\n"
        "    torch.empty(2**23, dtype=torch.uint8).fill_(1)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    limited = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    found = subprocess.run(
        [sys.executable, "-c", code], env=limited, capture_output=True, text=True, check=True
    )
    pages = 2**23 // os.sysconf("SC_PAGE_SIZE")
    assert int(found.stdout) < 4 * pages  # Of 20 blocks.
