"""The bundled model's votes: which masks prompts name, and that upstream's interface is kept."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_graysam.errors import ModelError
from napari_graysam.model import load_model
from napari_graysam.model.build import build_image_model
from napari_graysam.model.bundled.decoder import VoteCrop, VoteDecoder
from napari_graysam.model.bundled.facts import measure
from napari_graysam.model.bundled.prompts import VotePrompts
from napari_graysam.model.bundled.scene import LEVELS, OUTPUTS, STRIDE, UNIT, Scene
from napari_graysam.model.bundled.tiles import TiledCrop
from napari_graysam.propose.encode import encode
from napari_graysam.recipe import ModelOptions

SIZE = 32
CODES = 4
CENTRES = ((40.0, 40.0), (88.0, 72.0))
RADIUS = 20.0


def discs():
    """Return masks (2, SIZE, SIZE) at stride 4 of two discs that do not touch."""
    axis = (torch.arange(SIZE) + 0.5) * STRIDE
    return torch.stack([(axis - x) ** 2 + (axis[:, None] - y) ** 2 < RADIUS**2 for x, y in CENTRES])


def votes():
    """Return a map in which both discs vote for their centres and all else for itself."""
    out = torch.zeros(OUTPUTS + CODES, SIZE, SIZE)
    axis = (torch.arange(SIZE) + 0.5) * STRIDE
    levels = out[: OUTPUTS - 1].view(LEVELS, 5, SIZE, SIZE)
    levels[:, 2], levels[:, 4] = 2.0, -6.0
    for mask, (x, y) in zip(discs(), CENTRES, strict=True):
        levels[:, 0][:, mask] = ((x - axis.expand(SIZE, SIZE)) / UNIT)[mask]
        levels[:, 1][:, mask] = ((y - axis[:, None].expand(SIZE, SIZE)) / UNIT)[mask]
        levels[:, 4][:, mask] = 6.0
    return out


@pytest.fixture
def answer():
    torch.manual_seed(0)
    decoder, prompts = VoteDecoder(CODES, 8).eval(), VotePrompts()

    def ask(points=None, labels=None, *, boxes=None, masks=None, multimask=True):
        given = None
        if points is not None:
            given = torch.tensor(points), torch.tensor(labels)
        sparse, dense = prompts(given, boxes, masks)
        with torch.no_grad():
            return decoder(
                image_embeddings=torch.zeros(1, 1, 8, 8),
                image_pe=prompts.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
                repeat_image=True,
                high_res_features=[votes()[None], torch.zeros(1, 1, 16, 16)],
            )[:2]

    return ask


def test_a_point_names_the_object_it_lies_on(answer):
    first, second = discs()
    x, y = CENTRES[0]
    logits, iou = answer([[[x + 12, y]], [[CENTRES[1][0], CENTRES[1][1] - 12]]], [[1], [1]])
    assert logits.shape == (2, 3, SIZE, SIZE)
    assert iou.shape == (2, 3)
    assert ((iou > 0) & (iou < 1)).all()
    assert (logits[0] > 0).equal(first.expand(3, -1, -1))
    assert (logits[1] > 0).equal(second.expand(3, -1, -1))


def test_prompts_do_not_see_each_other(answer):
    points = [[[40.0, 40.0]], [[88.0, 72.0]], [[4.0, 120.0]]]
    together, scores = answer(points, [[1]] * 3)
    for index, point in enumerate(points):
        alone, score = answer([point], [[1]])
        torch.testing.assert_close(together[index], alone[0], atol=0.05, rtol=0.01)
        torch.testing.assert_close(scores[index], score[0])


def test_a_point_on_nothing_names_no_object(answer):
    logits, _ = answer([[[4.0, 120.0]]], [[1]])
    assert not ((logits[0] > 0) & discs().any(0)).any()


def test_a_box_names_what_fills_it(answer):
    x, y = CENTRES[1]
    box = torch.tensor([[x - 22, y - 19, x + 21, y + 22]])
    logits, _ = answer(boxes=box)
    assert (logits[0] > 0).equal(discs()[1].expand(3, -1, -1))


def test_a_box_is_answered_in_its_surroundings_as_on_the_whole_map(answer, monkeypatch):
    (x, y), other = CENTRES
    whole = (slice(0, SIZE), slice(0, SIZE))
    prompt = [[[x - 24, y - 21], [x + 21, y + 22], [x, y], [*other]]]
    for corner in (0.0, 40.0):
        prompt[0][1][1] += corner
        near = answer(prompt, [[2, 3, 1, 0]], multimask=False)
        with monkeypatch.context() as patch:
            patch.setattr("napari_graysam.model.bundled.combined._Box.around", lambda *_: whole)
            far = answer(prompt, [[2, 3, 1, 0]], multimask=False)
        torch.testing.assert_close(near[0], far[0], atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(near[1], far[1], atol=1e-4, rtol=1e-3)


def test_a_box_at_the_border_or_beyond_it_has_an_answer(answer):
    end = SIZE * STRIDE
    boxes = torch.tensor([[-8.0, -8, 1, 1], [end - 2.0, end - 2, end, end], [0.0, 0, end, end]])
    logits, scores = answer(boxes=boxes)
    assert logits.shape == (3, 3, SIZE, SIZE)
    assert torch.isfinite(logits).all()
    assert torch.isfinite(scores).all()


def test_points_on_two_objects_name_both_and_points_off_take_away(answer):
    first, second = discs()
    both = [[*CENTRES[0]], [*CENTRES[1]]]
    logits, _ = answer([both], [[1, 1]])
    assert (logits[0, 1] > 0).equal(first | second)
    logits, _ = answer([both], [[1, 0]])
    assert (logits[0, 1] > 0).equal(first)


def test_a_point_off_on_the_same_object_cuts_it_between_the_points(answer):
    x, y = CENTRES[0]
    logits, _ = answer([[[x - 10, y], [x + 10, y]]], [[1, 0]])
    found = logits[0, 1] > 0
    axis = (torch.arange(SIZE) + 0.5) * STRIDE
    assert found[:, axis < x - 1].equal(discs()[0][:, axis < x - 1])
    assert not found[:, axis > x + 1].any()


def test_a_mask_names_the_object_that_most_of_it_covers(answer):
    part = discs()[0] & (torch.arange(SIZE) < 11)
    prompt = torch.where(part, 8.0, -8.0)[None, None]
    logits, _ = answer(masks=prompt, multimask=False)
    assert logits.shape == (1, 1, SIZE, SIZE)
    assert (logits[0, 0] > 0).equal(discs()[0])


def test_measures_are_means_under_the_mask():
    scene = Scene(votes())
    centre, sharpness = scene.at(torch.tensor([CENTRES[0]]))
    p = discs()[0].flatten().float().expand(1, LEVELS, -1)
    facts = measure(scene, p, centre, sharpness)
    inside = discs()[0].flatten()
    torch.testing.assert_close(facts[0, 1, 0], scene.quality[1, inside].mean())
    torch.testing.assert_close(facts[0, 1, LEVELS], scene.foreground[1, inside].mean())


@pytest.mark.parametrize("size", [(SIZE, SIZE), (96, 64), (76, 90)])
def test_tiles_answer_as_the_whole_map(size):
    torch.manual_seed(0)
    decoder = VoteDecoder(CODES, 8).eval()
    clean = torch.zeros(OUTPUTS + CODES, *size)
    clean[4 : OUTPUTS - 1 : 5] = -9.0
    shared = min(size[0], SIZE), min(size[1], SIZE)
    clean[:, : shared[0], : shared[1]] = votes()[:, : shared[0], : shared[1]]
    clean += 0.3 * torch.randn(clean.shape)
    sparse = torch.rand(60, 1, 3) * torch.tensor([STRIDE * size[1], STRIDE * size[0], 0])
    sparse[..., 2] = 1
    sparse[0, 0, :2] = torch.tensor(CENTRES[0])
    whole, tiled = VoteCrop(decoder, clean[None]), TiledCrop(decoder, clean[None])
    with torch.no_grad():
        expected, found = whole.answer(sparse), tiled.answer(sparse)
        torch.testing.assert_close(
            found.predicted_iou, expected.predicted_iou, atol=1e-4, rtol=1e-3
        )
        wanted = torch.rand(60, 4) > 0.4
        wanted[:, 0] = False
        masks = tiled.draw(found, wanted)
        torch.testing.assert_close(masks, whole.draw(expected, wanted), atol=0.02, rtol=1e-3)
        assert (masks > 0).any()
    # A point on a disc is not asked of places that vote for another.
    assert found.active[:, 0].any(-1).all()
    assert found.active[:, 0].float().mean() < 0.8


def test_the_trunk_takes_frames_of_any_size():
    model = build_image_model("bundled/config.yaml")
    for height, width in ((96, 160), (64, 64)):
        with torch.no_grad():
            fine, middle, coarse = model.forward_image(torch.zeros(1, 3, height, width))[
                "backbone_fpn"
            ]
        assert fine.shape[-2:] == (height // 4, width // 4)
        assert middle.shape[-2:] == (height // 8, width // 8)
        assert coarse.shape[-2:] == (height // 16, width // 16)


def test_the_frame_is_free_for_the_bundled_model_only():
    found = load_model(ModelOptions(device="cpu", frame=256))
    assert found.image_size == found.record["image_size"] == 256
    view = np.zeros((40, 60, 3), np.uint8)
    assert encode(view, found).high_resolution[0].shape[-2:] == (64, 64)
    free = load_model(ModelOptions(device="cpu"))
    assert free.image_size == 512
    for shape, side in (((100, 90), 512), ((700, 900), 768), ((3000, 4000), 1024)):
        assert free.fitted(shape).image_size == side
        assert found.fitted(shape) is found
    larger = load_model(ModelOptions(device="cpu", frame_scale=1.5))
    for shape, side in (((512, 512), 768), ((100, 90), 512), ((700, 900), 1024)):
        assert larger.fitted(shape).image_size == side
    official = replace(found, model=SimpleNamespace(), image_size=1024)
    assert official.fitted((50, 50)) is official
    with pytest.raises(ModelError, match=r"model\.frame is 512"):
        official.with_frame(512)
    with pytest.raises(ModelError, match=r"model\.frame_scale is 2"):
        official.with_frame_scale(2)
