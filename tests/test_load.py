"""Loading checkpoints: the right ones equal upstream, the wrong ones say what they are."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_graysam.documents import dump_yaml, load_yaml
from napari_graysam.errors import DeviceError, ModelError
from napari_graysam.model import BUNDLED, CATALOG, load_model, load_steps
from napari_graysam.model.architecture import VIDEO_ONLY, image_weights, recognise
from napari_graysam.model.build import build_image_model
from napari_graysam.model.catalog import config_path
from napari_graysam.model.device import choose_device, choose_dtype, device_names
from napari_graysam.progress import run
from napari_graysam.recipe import ModelOptions

OFFICIAL = [entry for entry in CATALOG if entry is not BUNDLED]
TINY = "sam2.1_hiera_tiny"
TINY_CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"


def random_upstream(config: str) -> torch.nn.Module:
    """Return upstream's whole model with every weight random."""
    from sam2.build_sam import build_sam2

    torch.manual_seed(1)
    model = build_sam2(config, None, device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return model


@pytest.fixture(scope="module")
def upstream() -> torch.nn.Module:
    return random_upstream(TINY_CONFIG)


@pytest.fixture(scope="module")
def checkpoint(upstream: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "mine.pt"
    torch.save({"model": upstream.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def small_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a config like tiny's, but minute."""
    content = load_yaml(config_path(TINY_CONFIG).read_text(), "tiny")
    encoder = content["model"]["image_encoder"]
    encoder["trunk"] |= {"embed_dim": 8, "stages": [1, 1, 1, 1], "global_att_blocks": [2]}
    encoder["neck"] |= {"d_model": 32, "backbone_channel_list": [64, 32, 16, 8]}
    encoder["neck"]["position_encoding"]["num_pos_feats"] = 32
    content["model"]["image_size"] = 64
    path = tmp_path_factory.mktemp("configs") / "small.yaml"
    path.write_text(dump_yaml(content))
    return path


@pytest.fixture
def small_weights(small_config: Path) -> dict[str, torch.Tensor]:
    return build_image_model(str(small_config)).state_dict()


def options(path: Path, **changes: object) -> ModelOptions:
    return ModelOptions(**{"checkpoint": path, "device": "cpu", **changes})


def decode(model: torch.nn.Module, *, multimask: bool) -> list[torch.Tensor]:
    """Prompt two points on random features of the model's size."""
    generator = torch.Generator().manual_seed(2)
    side = model.image_size // model.backbone_stride
    width = model.hidden_dim
    embedding = torch.randn(1, width, side, side, generator=generator)
    fine = [
        torch.randn(1, width // 8, 4 * side, 4 * side, generator=generator),
        torch.randn(1, width // 4, 2 * side, 2 * side, generator=generator),
    ]
    points = torch.tensor([[[100.0, 200.0]], [[700.0, 30.0]]])
    sparse, dense = model.sam_prompt_encoder(
        points=(points, torch.ones(2, 1, dtype=torch.int32)), boxes=None, masks=None
    )
    masks, quality, _, _ = model.sam_mask_decoder(
        image_embeddings=embedding + model.no_mem_embed.view(1, -1, 1, 1),
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask,
        repeat_image=True,
        high_res_features=fine,
    )
    return [masks, quality]


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(
            entry,
            id=entry.name,
            marks=[] if entry.name == TINY else [pytest.mark.slow],
        )
        for entry in OFFICIAL
    ],
)
@torch.inference_mode()
def test_images_see_no_difference_from_upstreams_whole_model(entry, tmp_path):
    whole = random_upstream(entry.config)
    path = tmp_path / "weights.pt"
    torch.save({"model": whole.state_dict()}, path)
    loaded = load_model(options(path, name=entry.name))
    ours = loaded.model
    view = torch.rand(1, 3, 256, 256)
    expected, found = whole.forward_image(view), ours.forward_image(view)
    for one, other in zip(expected["backbone_fpn"], found["backbone_fpn"], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert sum(position.numel() for position in found["vision_pos_enc"]) < 10
    for multimask in (True, False):
        pairs = zip(
            decode(whole, multimask=multimask), decode(ours, multimask=multimask), strict=True
        )
        for one, other in pairs:
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    names = set(ours.state_dict())
    assert names == {key for key in whole.state_dict() if not key.startswith(VIDEO_ONLY)}
    assert loaded.parameters < sum(value.numel() for value in whole.parameters()) - 7_000_000
    assert loaded.image_size == entry.image_size
    assert recognise(whole.state_dict()) == (entry,)


def test_upstreams_postprocessing_is_on(checkpoint, upstream):
    decoder = load_model(options(checkpoint)).model.sam_mask_decoder
    for flag in ("via_stability", "stability_delta", "stability_thresh"):
        name = f"dynamic_multimask_{flag}"
        assert getattr(decoder, name) == getattr(upstream.sam_mask_decoder, name)


def test_a_checkpoint_alone_is_recognised(checkpoint):
    loaded = load_model(options(checkpoint))
    assert loaded.name == "mine"
    assert loaded.record["architecture"] == TINY
    assert loaded.record["sha256"] == loaded.sha256
    assert not loaded.model.training
    assert not any(value.requires_grad for value in loaded.model.parameters())


def test_safetensors_of_the_image_part_hold_the_same_model(checkpoint, upstream, tmp_path):
    path = tmp_path / "image.safetensors"
    save_file(image_weights(upstream.state_dict()), path)
    whole, image = load_model(options(checkpoint)), load_model(options(path))
    assert image.record["architecture"] == TINY
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, image.model.state_dict()[key])


@pytest.mark.parametrize("name", ["sam2.1_hiera_small", "sam2_hiera_tiny"])
def test_the_weights_of_another_model_say_which(checkpoint, name):
    with pytest.raises(ModelError, match=rf"is not {name}.*looks like {TINY}: set model\.name="):
        load_model(options(checkpoint, name=name))


def test_a_file_under_the_wrong_published_name_says_what_it_is(checkpoint, tmp_path, monkeypatch):
    os.link(checkpoint, tmp_path / "sam2.1_hiera_large.pt")
    os.link(checkpoint, tmp_path / f"{TINY}.pt")
    monkeypatch.setenv("GRAYSAM_MODELS", str(tmp_path))
    with pytest.raises(ModelError, match=f"looks like {TINY}"):
        load_model(ModelOptions(name="sam2.1_hiera_large", device="cpu"))
    with pytest.raises(ModelError, match=f"is not the published {TINY}: its SHA-256"):
        load_model(ModelOptions(name=TINY, device="cpu"))


class Trap:
    """Pickles into a call that leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("form", ["zip", "pickle"])
def test_code_in_a_checkpoint_is_refused_and_never_run(tmp_path, form):
    path, trace = tmp_path / "trap.pt", tmp_path / "trace"
    if form == "zip":
        torch.save({"model": Trap(trace)}, path)
    else:
        path.write_bytes(pickle.dumps({"model": Trap(trace)}))
    with pytest.raises(ModelError, match="could run code; it is not loaded"):
        load_model(options(path))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Not found</html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (b"PK\x03\x04" + bytes(200), "is truncated"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "PyTorch checkpoint"),
    ],
)
def test_files_that_are_no_checkpoints_say_what_they_are(tmp_path, content, message):
    path = tmp_path / "bad.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_model(options(path))


def test_missing_files_and_folders_are_told_apart(tmp_path):
    with pytest.raises(ModelError, match="There is no checkpoint"):
        load_model(options(tmp_path / "absent.pt"))
    with pytest.raises(ModelError, match="is a folder"):
        load_model(options(tmp_path))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("share", [0.1, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path, small_weights, small_config, suffix, share):
    path = tmp_path / f"cut{suffix}"
    if suffix == ".pt":
        torch.save({"model": small_weights}, path)
    else:
        save_file(small_weights, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError, match="truncated"):
        load_model(options(path, config=str(small_config)))


@pytest.mark.parametrize("content", [[1, 2], {"model": [1]}, {"epoch": 3}, {"model": {}}])
def test_files_without_weights_are_refused(tmp_path, content):
    path = tmp_path / "other.pt"
    torch.save(content, path)
    with pytest.raises(ModelError, match="expected named weights"):
        load_model(options(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("no_mem_embed"), r"1 missing \(such as no_mem_embed\)"),
        (lambda weights: weights.update(extra=torch.ones(1)), r"1 unexpected \(such as extra\)"),
        (lambda weights: weights.update(no_mem_embed=torch.ones(2)), "1 reshaped"),
        (lambda weights: weights["no_mem_embed"].fill_(torch.nan), "no numbers"),
    ],
)
def test_every_weight_must_fit(tmp_path, small_weights, small_config, change, message):
    path = tmp_path / "altered.pt"
    weights = dict(small_weights)
    change(weights)
    torch.save({"model": weights}, path)
    with pytest.raises(ModelError, match=message):
        load_model(options(path, config=str(small_config)))


def test_unknown_shapes_ask_for_a_config_and_load_with_it(tmp_path, small_weights, small_config):
    path = tmp_path / "own.pt"
    torch.save(small_weights, path)
    with pytest.raises(ModelError, match=r"set model\.config"):
        load_model(options(path))
    loaded = load_model(options(path, config=str(small_config)))
    assert loaded.image_size == 64
    assert loaded.record["architecture"] == "small"


def test_half_precision_weights_compute_in_single(tmp_path, small_weights, small_config):
    path = tmp_path / "half.pt"
    torch.save({key: value.half() for key, value in small_weights.items()}, path)
    loaded = load_model(options(path, config=str(small_config)))
    assert {value.dtype for value in loaded.model.state_dict().values()} == {torch.float32}


def test_the_same_options_give_the_same_object_until_the_file_changes(
    tmp_path, small_weights, small_config
):
    def save(name: str, scale: float) -> ModelOptions:
        torch.save({key: value * scale for key, value in small_weights.items()}, tmp_path / name)
        os.utime(tmp_path / name, ns=(0, int(scale * 1e9)))
        return options(tmp_path / name, config=str(small_config))

    first = load_model(save("a.pt", 1.0))
    assert load_model(options(tmp_path / "a.pt", config=str(small_config))) is first
    changed = load_model(save("a.pt", 2.0))
    assert changed is not first
    assert changed.sha256 != first.sha256
    assert torch.equal(changed.model.no_mem_embed, 2 * first.model.no_mem_embed)
    for name in ("b.pt", "c.pt"):
        load_model(save(name, 3.0))
    assert load_model(options(tmp_path / "a.pt", config=str(small_config))) is not changed


def test_the_bundled_model_needs_nothing_but_its_file(tmp_path, monkeypatch):
    path = tmp_path / BUNDLED.filename
    monkeypatch.setattr("napari_graysam.model.weights.bundled_path", lambda: path)
    with pytest.raises(ModelError, match="install napari-graysam again"):
        load_model(ModelOptions())
    save_file(build_image_model(BUNDLED.config).state_dict(), path)
    reports = []
    loaded = run(load_steps(ModelOptions(device="cpu")), reports.append)
    assert loaded.name == BUNDLED.name
    assert loaded.image_size == BUNDLED.image_size
    assert {report.stage for report in reports} == {"load"}
    own = tmp_path / "tuned.safetensors"
    path.rename(own)
    assert load_model(options(own)).record["architecture"] == BUNDLED.name


def test_building_leaves_the_random_state_alone(small_config):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_image_model(str(small_config))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "target", ["os.system", "sam2.modeling.sam2_base.torch.load", "sam2.modeling.absent.Thing"]
)
def test_configs_build_no_foreign_classes(tmp_path, small_config, target):
    content = load_yaml(small_config.read_text(), "small")
    content["model"]["image_encoder"]["trunk"] = {"_target_": target, "f": "x"}
    path = tmp_path / "evil.yaml"
    path.write_text(dump_yaml(content))
    with pytest.raises(ModelError, match=rf"names {target}"):
        build_image_model(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "cannot be read"), ("a: 1", "not a SAM 2 config"), ("- 1", "not a SAM 2 config")],
)
def test_broken_configs_are_refused(tmp_path, text, message):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ModelError, match=message):
        build_image_model(str(path))


def test_misspelt_settings_and_absent_configs_are_refused(tmp_path, small_config):
    content = load_yaml(small_config.read_text(), "small")
    content["model"]["imagesize"] = 3
    path = tmp_path / "typo.yaml"
    path.write_text(dump_yaml(content))
    with pytest.raises(ModelError, match=r"cannot be built.*imagesize"):
        build_image_model(str(path))
    with pytest.raises(ModelError, match="There is no model config"):
        build_image_model("configs/absent.yaml")


def test_a_config_without_a_checkpoint_is_refused(small_config):
    with pytest.raises(ModelError, match=r"no model\.checkpoint"):
        load_model(ModelOptions(config=str(small_config), device="cpu"))


def test_absent_devices_are_named_with_what_there_is():
    with pytest.raises(DeviceError, match=r"cuda:63 is absent: this machine offers .*cpu"):
        choose_device("cuda:63")
    assert str(choose_device("auto")) == device_names()[0]
    assert choose_device("cpu").type == "cpu"


def test_precision_is_what_the_device_can(monkeypatch):
    cpu = torch.device("cpu")
    assert choose_dtype("float32", cpu) is torch.float32
    assert choose_dtype("bfloat16", cpu) is torch.bfloat16
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    with pytest.raises(DeviceError, match=r"model\.precision=float32"):
        choose_dtype("bfloat16", torch.device("cuda:0"))


def test_an_application_keeps_its_own_hydra_and_needs_no_torchvision(
    tmp_path, small_weights, small_config
):
    torch.save(small_weights, tmp_path / "own.pt")
    (tmp_path / "app.yaml").write_text("answer: 42\n")
    code = f"""
import sys
import napari_graysam.model
assert "torch" not in sys.modules and "sam2" not in sys.modules
from hydra import compose, initialize_config_dir
initialize_config_dir({str(tmp_path)!r}, version_base="1.2")
from napari_graysam.model import load_model
from napari_graysam.recipe import ModelOptions
for name in ("own.pt", "own.pt"):
    options = dict(checkpoint={str(tmp_path)!r} + "/" + name, config={str(small_config)!r})
    load_model(ModelOptions(**options, device="cpu"))
assert compose("app").answer == 42
assert not [name for name in sys.modules if name.split(".")[0] in ("torchvision", "napari", "qtpy")]
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
