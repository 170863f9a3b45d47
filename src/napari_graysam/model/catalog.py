"""The models that are known by name: where they come from and how to recognise them.

Addresses and configs are those of the ``sam2`` distribution. Sizes and SHA-256 sums are
of the published files; the sums decide, sizes only inform.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from napari_graysam.errors import ModelError

BASE_URL = "https://dl.fbaipublicfiles.com/segment_anything_2/"
_PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class ModelEntry:
    """One model of the catalogue.

    Attributes
    ----------
    name, title
        The identifier that recipes use, and the words that people read.
    config
        SAM 2 config: a path inside the ``sam2`` package, or for the bundled model inside
        this one.
    url
        Where the checkpoint is published; None for the bundled model.
    bytes
        Size of the published file.
    sha256
        Lower-case hexadecimal SHA-256 of the published file.
    licence
        SPDX identifier of the weights' licence.
    image_size
        Side in pixels of the square frame the encoder sees.
    description
        What it is good for, in a sentence.
    """

    name: str
    title: str
    config: str
    url: str | None
    bytes: int | None
    sha256: str | None
    licence: str
    image_size: int
    description: str

    @property
    def filename(self) -> str:
        """Name of the checkpoint file in a folder of models."""
        return f"{self.name}.safetensors" if self.url is None else self.url.rpartition("/")[2]


_SIZES = {
    "tiny": ("Tiny", "t", "The fastest of the official models; the one to try first."),
    "small": ("Small", "s", "Slightly slower than Tiny, slightly better contours."),
    "base_plus": ("Base+", "b+", "Better on crowded images, at twice the encoder time of Tiny."),
    "large": ("Large", "l", "The most accurate and slowest; wants a GPU."),
}
_PUBLISHED = {
    "sam2.1_hiera_tiny": (
        156_008_466,
        "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
    ),
    "sam2.1_hiera_small": (
        184_416_285,
        "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
    ),
    "sam2.1_hiera_base_plus": (
        323_606_802,
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
    ),
    "sam2.1_hiera_large": (
        898_083_611,
        "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
    ),
    "sam2_hiera_tiny": (
        155_906_050,
        "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
    ),
    "sam2_hiera_small": (
        184_309_650,
        "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
    ),
    "sam2_hiera_base_plus": (
        323_493_298,
        "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
    ),
    "sam2_hiera_large": (
        897_952_466,
        "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
    ),
}


def _official(version: str, date: str, size: str) -> ModelEntry:
    title, letter, description = _SIZES[size]
    name = f"sam{version}_hiera_{size}"
    length, digest = _PUBLISHED[name]
    return ModelEntry(
        name=name,
        title=f"SAM {version} Hiera {title}",
        config=f"configs/sam{version}/sam{version}_hiera_{letter}.yaml",
        url=f"{BASE_URL}{date}/{name}.pt",
        bytes=length,
        sha256=digest,
        licence="Apache-2.0",
        image_size=1024,
        description=description,
    )


BUNDLED = ModelEntry(
    name="graysam-small",
    title="graysam-small (bundled)",
    config="bundled/config.yaml",
    url=None,
    bytes=None,
    sha256=None,
    licence="BSD-3-Clause",
    image_size=512,
    description="Comes with the package; for blob-like and cell-like objects, fast on a CPU.",
)
CATALOG: tuple[ModelEntry, ...] = (
    BUNDLED,
    *(_official("2.1", "092824", size) for size in _SIZES),
    *(_official("2", "072824", size) for size in _SIZES),
)
CATALOG_CONFIGS = frozenset(entry.config for entry in CATALOG)


def _key(name: str) -> str:
    return name.strip().lower().removeprefix("facebook/").replace("-", "_")


_BY_KEY = {_key(entry.name): entry for entry in CATALOG}


def find_entry(name: str) -> ModelEntry:
    """Return the catalogue's entry for a name.

    Parameters
    ----------
    name
        A catalogue name; dashes and underscores are alike, and names in the style of the
        Hugging Face hub (``facebook/sam2.1-hiera-tiny``) are understood.

    Raises
    ------
    ModelError
        If no entry has this name; the message lists the names.

    See Also
    --------
    napari_graysam.model.locate, napari_graysam.model.fetch

    Examples
    --------
    >>> find_entry("facebook/sam2.1-hiera-tiny").config
    'configs/sam2.1/sam2.1_hiera_t.yaml'
    """
    entry = _BY_KEY.get(_key(name))
    if entry is not None:
        return entry
    close = [_BY_KEY[key].name for key in difflib.get_close_matches(_key(name), _BY_KEY, n=2)]
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    raise ModelError(
        f"No model is called {name!r}{hint} Known models: "
        f"{', '.join(entry.name for entry in CATALOG)}. "
        "For a file of your own, set model.checkpoint."
    )


def bundled_path() -> Path:
    """Return where the bundled weights are, or would be."""
    return _PACKAGE / "bundled" / BUNDLED.filename


def config_path(config: str) -> Path:
    """Return the YAML file of a SAM 2 config.

    Parameters
    ----------
    config
        The config of a catalogue entry (``configs/sam2.1/sam2.1_hiera_t.yaml``), which is that
        of the installed package wherever one stands; else the path of a YAML file.

    Raises
    ------
    ModelError
        If there is no such file.
    """
    from importlib.util import find_spec

    if config == BUNDLED.config:
        return _PACKAGE / config
    path = Path(config).expanduser()
    if config in CATALOG_CONFIGS:
        spec = find_spec("sam2")
        folders = (spec and spec.submodule_search_locations) or ["sam2"]
        path = Path(folders[0]) / config
    if path.suffix.lower() in (".yaml", ".yml") and path.is_file():
        return path
    raise ModelError(
        f"There is no model config {config!r}: give the path of a YAML file, or one of "
        f"{', '.join(entry.config for entry in CATALOG if entry is not BUNDLED)}."
    )
