"""No config, checkpoint or recipe runs code, fills the memory or fails unexplained.

All are read in a process that stands among them, may use 512 MiB, and must leave the folder as
it is: most of them would write a file there if anything of them were run.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import hostile
import pytest
import torch
from safetensors.torch import save

from napari_graysam.documents import dump_yaml, load_yaml
from napari_graysam.errors import ModelError
from napari_graysam.model import BUNDLED, CATALOG, load_model
from napari_graysam.model.build import build_image_model, read_config
from napari_graysam.model.catalog import config_path
from napari_graysam.recipe import ModelOptions, Recipe

MIB = 2**20
TINY_CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"
PREPARE = """
import contextlib, hashlib, cv2, torch, safetensors.torch
from pathlib import Path
import sam2.modeling.sam2_base, sam2.modeling.backbones.hieradet
import napari_graysam.model.encoder, napari_graysam.model.bundled.trunk
from napari_graysam.model import load_model
from napari_graysam.model.build import build_image_model, read_config
from napari_graysam.recipe import ModelOptions, Recipe

def load(checkpoint):
    return load_model(ModelOptions(checkpoint=checkpoint, config="small.yaml", device="cpu"))
"""
CANARY = "open('canary','w')"


# Configs


def config(path: str = "", value: Any = None, **more: Any) -> dict[str, Any]:
    """The config of tiny, but minute, with one part changed, by its dotted path."""
    content = load_yaml(config_path(TINY_CONFIG).read_text(), "tiny")
    encoder = content["model"]["image_encoder"]
    encoder["trunk"] |= {"embed_dim": 8, "stages": [1, 1, 1, 1], "global_att_blocks": [2]}
    encoder["neck"] |= {"d_model": 32, "backbone_channel_list": [64, 32, 16, 8]}
    encoder["neck"]["position_encoding"]["num_pos_feats"] = 32
    content["model"]["image_size"] = 64
    *parents, name = f"model.{path}".rstrip(".").split(".")
    part = content
    for parent in parents:
        part = part[parent]
    if path:
        part[name] = value
    return content | more


def changed(path: str, value: Any) -> bytes:
    return dump_yaml(config(path, value)).encode()


def code(name: str) -> dict[str, Any]:
    return {"_target_": name, "_args_": [CANARY], "source": CANARY, "object": CANARY}


def hiera(**changes: Any) -> dict[str, Any]:
    return {"_target_": "sam2.modeling.backbones.hieradet.Hiera", **changes}


def votes(**changes: Any) -> dict[str, Any]:
    trunk = {"widths": [16] * 5, "codes": 8} | changes
    return {"_target_": "napari_graysam.model.bundled.trunk.VoteTrunk", **trunk}


INTERPOLATION = "${oc.create:{_target_:builtins.exec,_args_:[\"open('canary','w')\"]}}"
BOMB = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30))
TRUNK, NECK = "image_encoder.trunk", "image_encoder.neck"
DEEP = b"[" * 200_000, b"{a: " * 100_000, b"- " * 100_000
CONFIGS: dict[str, tuple[bytes | None, str]] = {
    **{
        f"code {n}.yaml": (changed(path, code(name)), rf"names {re.escape(name)}")
        for n, (path, name) in enumerate(
            [
                (TRUNK, "builtins.exec"),
                (TRUNK, "os.system"),
                (TRUNK, "hydra.utils.get_method"),
                (TRUNK, "sam2.modeling.sam2_base.torch.hub.load"),
                (TRUNK, "sam2.modeling.backbones.image_encoder.ImageEncoder"),
                (TRUNK, "napari_graysam.model.bundled.trunk.torch.load"),
                (NECK, "builtins.exec"),
                ("image_encoder", "builtins.exec"),
                (f"{NECK}.position_encoding", "builtins.exec"),
            ]
        )
    },
    "root.yaml": (changed("_target_", "builtins.exec"), "names builtins.exec"),
    "value.yaml": (changed(f"{NECK}.position_encoding.scale", code("builtins.exec")), "scale: "),
    "list.yaml": (changed(f"{TRUNK}.stages", [code("builtins.exec")] * 4), "stages"),
    "more.yaml": (changed("more", code("builtins.exec")), "more: "),
    "interpolation.yaml": (changed(f"{NECK}.d_model", INTERPOLATION), "d_model: "),
    "escaped.yaml": (changed(f"{NECK}.d_model", "\\" + INTERPOLATION), "d_model: "),
    "twice escaped.yaml": (changed("image_size", "\\\\\\" + INTERPOLATION), "image_size: "),
    "interpolated target.yaml": (changed(f"{TRUNK}._target_", INTERPOLATION), "names"),
    "environment.yaml": (changed(f"{NECK}.fuse_type", "${oc.env:HOME}"), "fuse_type: "),
    **{
        f"{name} {n}.yaml": (changed(f"{path}{name}", value), f"{name}: Extra")
        for n, path in enumerate(["", "image_encoder.", f"{TRUNK}.", f"{NECK}."])
        for name, value in {
            "_partial_": True,
            "_args_": [1],
            "_recursive_": False,
            "_convert_": "all",
            "weights_path": "weights.pt",
        }.items()
    },
    "weights.yaml": (changed(TRUNK, hiera(weights_path="weights.pt")), "weights_path: Extra"),
    "tag.yaml": (b"model: !!python/object/apply:builtins.open [canary, w]", "tag is not allowed"),
    "tagged key.yaml": (b"? !!python/name:os.system\n: 1", "tag is not allowed"),
    "aliases.yaml": (f"l0: &l0 [x]\n{BOMB}\n".encode(), "alias .* is not allowed"),
    "merge.yaml": (b"a: &a {b: 1}\nc: {<<: *a}", "alias .* is not allowed"),
    "twice.yaml": (b"model: {image_size: 1, image_size: 2}", "'image_size' comes twice"),
    "documents.yaml": (changed("image_size", 64) + b"---\nmodel: 1\n", "second document"),
    **{f"deep {n}.yaml": (content, "nested too deeply") for n, content in enumerate(DEEP)},
    "deep keys.yaml": (b"? " * 100_000, "a key must be a plain word"),
    "many.yaml": (b"a: [" + b"1," * 125_000 + b"]", "more than 100000 values"),
    "large.yaml": (b"#" * (2 * MIB), "larger than 1 MB"),
    "digits.yaml": (b"a: " + b"9" * 10_000, "not valid YAML"),
    "bytes.yaml": (b"\xff\xfe\x00\xd8", "cannot be read"),
    "kinds.yaml": (changed("pred_obj_scores", "yes"), "pred_obj_scores: "),
    "nan.yaml": (changed(f"{NECK}.position_encoding.scale", float("nan")), "scale: "),
    "side.yaml": (changed("image_size", 10**9), "image_size: "),
    "width.yaml": (changed(TRUNK, votes(widths=[10**9] * 5)), "widths"),
    "codes.yaml": (changed(TRUNK, votes(codes=10**9)), "codes"),
    "levels.yaml": (changed(f"{NECK}.backbone_channel_list", [1] * 999), "backbone_channel_list"),
    "wide trunk.yaml": (changed(TRUNK, hiera(embed_dim=10**9)), "embed_dim"),
    "long trunk.yaml": (changed(TRUNK, hiera(stages=[10**9] * 4)), "stages"),
    "growing trunk.yaml": (changed(TRUNK, hiera(dim_mul=1e9)), "dim_mul"),
    "no stride.yaml": (changed("backbone_stride", 0), "backbone_stride"),
    "unfit.yaml": (changed(f"{NECK}.backbone_channel_list", [64, 32, 16, 9]), "cannot be built"),
    "pipe.yaml": (None, "no model config"),
    "config.yml.txt": (changed("image_size", 64), "no model config"),
}


# Checkpoints


def weights() -> dict[str, torch.Tensor]:
    return {"no_mem_embed": torch.zeros(1, 1, 32)}


def archive(
    data: bytes = b"", *, storage: bytes = bytes(128), method: int = zipfile.ZIP_STORED, copies=1
) -> bytes:
    """A PyTorch file with another pickle than torch writes."""
    file, made = io.BytesIO(), io.BytesIO()
    torch.save({"model": weights()}, file)
    with zipfile.ZipFile(file) as given, zipfile.ZipFile(made, "w", method) as archive:
        for member in given.infolist():
            content = given.read(member)
            if member.filename.endswith("data.pkl") and data:
                content = data
            if member.filename.endswith("data/0"):
                content = storage
            archive.writestr(member.filename, content)
        if copies > 1:
            archive.filelist += [m for m in archive.filelist if m.filename.endswith("/0")] * copies
            archive._didModify = True
    return made.getvalue()


class Call:
    """Pickles into a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


class Claim(int):
    """Pickles into a storage of as many numbers, whatever the file has."""


class Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, Claim):
            return ("storage", torch.FloatStorage, "0", "cpu", int(value))
        return None


def pickled(content: Any) -> bytes:
    file = io.BytesIO()
    Pickler(file, 2).dump(content)
    return file.getvalue()


def tensor(count: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """A pickle of one weight that is so and so much of a storage of `count` numbers."""
    arguments = Claim(count), offset, size, stride, False, OrderedDict()
    rebuilt = Call(torch._utils._rebuild_tensor_v2, *arguments)
    return pickled({"model": {"no_mem_embed": rebuilt}})


class Code:
    """Pickles into a call that leaves a file."""

    def __reduce__(self) -> tuple[object, ...]:
        return exec, (CANARY,)


def pt(content: object, **how: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **how)
    return file.getvalue()


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


GOOD_PT = pt({"model": {"a": torch.ones(1000)}})
GOOD_SAFE = save({"a": torch.ones(1000)})
OBJECTS, DAMAGED, CUT = "could run code; it is not loaded", "is damaged or no", "is truncated"
CHECKPOINTS: dict[str, tuple[bytes | None, str]] = {
    "code.pt": (pt({"model": Code()}), OBJECTS),
    "code first.pt": (pt([Code(), {"model": weights()}]), OBJECTS),
    "protocol 4.pt": (pt({"model": Code()}, pickle_protocol=4), OBJECTS),
    "old format.pt": (pt({"model": Code()}, _use_new_zipfile_serialization=False), OBJECTS),
    "bare.pt": (pickle.dumps({"model": Code()}), OBJECTS),
    "instance.pt": (archive(b"\x80\x02(S'canary'\nios\nsystem\n."), OBJECTS),
    "bytes.pt": (archive(pickled(Call(bytearray, 10**12))), OBJECTS),
    "tensor.pt": (archive(pickled(Call(torch.FloatTensor, 10**12))), OBJECTS),
    "untyped.pt": (archive(pickled(Call(torch.storage.UntypedStorage, 10**12))), OBJECTS),
    "named storage.pt": (archive(pickled(Call(torch.FloatStorage, 10**12))), DAMAGED),
    "claims.pt": (archive(tensor(10**12, 0, (10**6, 10**6), (10**6, 1))), DAMAGED),
    "outside.pt": (
        archive(tensor(32, 10**12, (1, 1, 32), (32, 32, 1))),
        DAMAGED,
    ),
    "spread.pt": (archive(tensor(32, 0, (10**6, 10**6), (0, 0))), "is not small"),
    "meta.pt": (pt({"model": {"a": torch.ones(9, device="meta")}}), OBJECTS),
    "sparse.pt": (pt({"model": {"a": torch.eye(3).to_sparse()}}), OBJECTS),
    "numbers.pt": (pt({"model": {1: torch.ones(1)}}), "expected named weights"),
    "itself.pt": (archive(b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s."), "expected named"),
    "pickle bomb.pt": (archive(bytes(2**28), method=zipfile.ZIP_DEFLATED), "compressed"),
    "bomb.pt": (archive(storage=bytes(2**28), method=zipfile.ZIP_DEFLATED), "compressed"),
    "overlap.pt": (archive(storage=bytes(MIB), copies=1000), "compressed or overlap"),
    "long pickle.pt": (archive(b"\x80\x02" + b"N0" * 9_000_000 + b"N."), "larger than that"),
    "nested pickle.pt": (archive(b"\x80\x02" + b"]" * 99_999 + b"a" * 99_998 + b"."), "expected"),
    "no pickle.pt": (archive(b"["), DAMAGED),
    "cut.pt": (GOOD_PT[:-40], CUT),
    "cut early.pt": (GOOD_PT[:400], CUT),
    "pipe.pt": (None, "is empty"),
    "header.safetensors": (safetensors({}, length=2**63), CUT),
    "long header.safetensors": (safetensors(b"{" + b" " * 17 * MIB + b"}"), CUT),
    "cut header.safetensors": (safetensors({}, length=2**20), CUT),
    "nested.safetensors": (safetensors(b'{"a":' + b"[" * MIB), CUT),
    "claims.safetensors": (safetensors({"a": entry(0, 2**50, [2**48])}), CUT),
    "shape.safetensors": (safetensors({"a": entry(0, 4, [2**40])}, bytes(4)), CUT),
    "overflow.safetensors": (safetensors({"a": entry(0, 4, [2**62, 2**62])}, bytes(4)), CUT),
    "overlap.safetensors": (
        safetensors({f"a{n}": entry(0, 4, [1]) for n in range(99)}, bytes(4)),
        CUT,
    ),
    "backwards.safetensors": (safetensors({"a": entry(4, 0, [1])}, bytes(4)), CUT),
    "cut.safetensors": (GOOD_SAFE[:-40], CUT),
    "trailing.safetensors": (GOOD_SAFE + bytes(99), CUT),
    "none.safetensors": (safetensors({}), "expected named weights"),
    "pipe.safetensors": (None, "is empty"),
}


# Recipes


RECIPES: dict[str, tuple[bytes | None, str]] = {
    name: CONFIGS[name]
    for name in CONFIGS
    if name.startswith(("tag", "aliases", "merge", "deep", "many", "digits"))
} | {
    "twice.yaml": (b"generator: {crop_n_layers: 1, crop_n_layers: 2}", "comes twice"),
    "deep.json": (b"[" * MIB, "nested too deeply"),
    "deep part.json": (b'{"generator": ' + b'{"a": ' * MIB, "nested too deeply"),
    "digits.json": (b'{"name": ' + b"9" * 10_000 + b"}", "not valid JSON"),
    "twice.json": (b'{"name": "a", "name": "b"}', "comes twice"),
    "large.yaml": (b"\n" * (17 * MIB), "larger than 16 MB"),
    "names.yaml": (b"\n".join(b"k%d: 1" % n for n in range(20_000)), "and 19980 more"),
    "long name.yaml": (b"a" * MIB + b": 1", "not valid YAML"),
    "pipe.yaml": (None, "no file"),
}


FILES: dict[str, tuple[str, dict[str, tuple[bytes | None, str]], str]] = {
    "config": ("build_image_model({!r})", CONFIGS, "ModelError"),
    "checkpoint": ("load({!r})", CHECKPOINTS, "ModelError"),
    "recipe": ("Recipe.from_file({!r})", RECIPES, "RecipeError"),
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], hostile.Outcome]:
    """Return how a file's loading ends; all of one kind are loaded in one process."""
    found: dict[str, dict[str, hostile.Outcome]] = {}

    def ask(kind: str, name: str) -> hostile.Outcome:
        if kind not in found:
            statement, files, _ = FILES[kind]
            folder = tmp_path_factory.mktemp("hostile")
            (folder / "small.yaml").write_text(dump_yaml(config()))
            (folder / "weights.pt").write_bytes(pt({"model": Code()}))
            for file, (content, _) in files.items():
                if content is None:
                    os.mkfifo(folder / file)
                else:
                    (folder / file).write_bytes(content)
            calls = {file: statement.format(file) for file in files}
            found[kind] = hostile.outcomes(PREPARE, calls, folder)
        return found[kind][name]

    return ask


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, (_, files, _) in FILES.items() for name in files]
)
def test_a_hostile_file_ends_in_one_clear_error(outcome, kind, name):
    _, files, error = FILES[kind]
    ended = outcome(kind, name)
    assert ended.errors[:1] == (error,), ended
    assert name.removesuffix(".txt") in ended.text
    assert len(ended.text) < 4000
    assert re.search(files[name][1], ended.text, re.DOTALL), ended.text


def test_catalogue_names_mean_the_installed_files_wherever_one_stands(tmp_path):
    official = TINY_CONFIG
    for name in (BUNDLED.config, official):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(changed(TRUNK, code("builtins.exec")))
    installed = hashlib.sha256(config_path(official).read_bytes()).hexdigest()
    calls = {
        "bundled": "load_model(Recipe.preset().model.replace(device='cpu'))",
        "official": f"assert read_config({official!r}).sha256 == {installed!r}",
        "by path": f"read_config({'./' + official!r})",
    }
    ended = hostile.outcomes(PREPARE, calls, tmp_path)
    assert not ended["bundled"].errors, ended
    assert not ended["official"].errors, ended
    assert "names builtins.exec" in ended["by path"].text


def test_a_config_gets_no_more_memory_than_its_checkpoint_has_weights(tmp_path):
    """Every number of this config is within its bounds; the model would have 9 GB."""
    wide = hiera(embed_dim=512, stages=[9, 9, 9, 9], num_heads=8)
    (tmp_path / "small.yaml").write_bytes(changed(TRUNK, wide))
    (tmp_path / "few.pt").write_bytes(archive())
    calls = {"few": "load('few.pt')"}
    ended = hostile.outcomes(PREPARE, calls, tmp_path, memory=2**30)["few"]
    assert "more than 10000064 weights" in ended.text, ended
    with pytest.raises(ModelError, match="more than 1000 weights"):
        build_image_model(str(tmp_path / "small.yaml"), 1000)


def test_a_torch_with_known_holes_loads_safetensors_only(tmp_path, monkeypatch):
    (tmp_path / "small.yaml").write_text(dump_yaml(config()))
    model = build_image_model(str(tmp_path / "small.yaml"))
    for name, content in {
        "a.pt": pt(model.state_dict()),
        "a.safetensors": save(model.state_dict()),
    }.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.9.1+cpu"))

    def load(name: str) -> Any:
        options = {"checkpoint": str(tmp_path / name), "config": str(tmp_path / "small.yaml")}
        return load_model(ModelOptions(**options, device="cpu"))

    with pytest.raises(ModelError, match=r"torch 2\.9\.1.*install torch 2\.10 .*\.safetensors"):
        load("a.pt")
    assert load("a.safetensors").image_size == 64


def test_provenance_says_which_config_it_was(tmp_path):
    (tmp_path / "small.yaml").write_text(dump_yaml(config()))
    model = build_image_model(str(tmp_path / "small.yaml"))
    (tmp_path / "a.safetensors").write_bytes(save(model.state_dict()))
    options = {"checkpoint": str(tmp_path / "a.safetensors"), "device": "cpu"}
    record = load_model(ModelOptions(config=str(tmp_path / "small.yaml"), **options)).record
    assert record["config"] == str((tmp_path / "small.yaml").resolve())
    digest = hashlib.sha256((tmp_path / "small.yaml").read_bytes()).hexdigest()
    assert record["config_sha256"] == digest
    bundled = load_model(ModelOptions(device="cpu")).record
    assert bundled["config"] == BUNDLED.config
    assert bundled["config_sha256"] == read_config(BUNDLED.config).sha256


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
def test_every_catalogued_config_is_allowed(entry):
    assert read_config(entry.config).model.image_size == entry.image_size


def test_recipes_of_the_first_schema_load(tmp_path):
    (tmp_path / "a.yaml").write_text("schema_version: 1\nmodel: {config: configs/x.yaml}\n")
    assert Recipe.from_file(tmp_path / "a.yaml").model.config == "configs/x.yaml"
