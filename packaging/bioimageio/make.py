"""Write the bundled model as a bioimage.io package, and check it with their validator.

Usage: python packaging/bioimageio/make.py FOLDER. Needs bioimageio.core; no network.
"""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

import numpy as np
import torch
from architecture import PointPrompted
from matplotlib import colormaps
from PIL import Image
from safetensors.torch import load_file
from scipy.ndimage import center_of_mass

from napari_graysam.documents import dump_yaml, load_yaml
from napari_graysam.model import bundled
from napari_graysam.samples import samples

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SAMPLE, OBJECTS = "nuclei_uneven", 12


def write(folder: Path) -> Path:
    """Write the package into a folder and return its description's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("architecture.py", "environment.yaml"):
        shutil.copy(HERE / name, folder)
    model = Path(bundled.__file__).parent
    weights = load_file(model / "graysam-small.safetensors")
    torch.save(weights, folder / "weights.pt")
    network = PointPrompted()
    network.load_state_dict(weights)
    image, points = example()
    low, high = np.percentile(image, (0.1, 99.9))
    gray = np.clip((image - low) / (high - low + 1e-6), 0, 1).astype(np.float32)
    with torch.no_grad():
        masks, predicted_iou = network.eval()(torch.from_numpy(gray), torch.from_numpy(points))
    masks = masks.sigmoid()
    tensors = {"image": image, "points": points, "masks": masks, "predicted_iou": predicted_iou}
    for name, values in tensors.items():
        np.save(folder / f"{name}.npy", np.asarray(values))
    best = masks[0, torch.arange(OBJECTS), predicted_iou[0].argmax(1)].numpy()
    cover(gray[0, 0], best).save(folder / "cover.png")
    card = (model / "MODEL_CARD.md").read_text(encoding="utf-8")
    card = card.replace("**Scores**", "## Validation\n\n**Scores**")
    (folder / "README.md").write_text(card, encoding="utf-8")
    description = load_yaml((HERE / "bioimageio.yaml").read_text(encoding="utf-8"), "bioimageio")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    description["version"] = project["project"]["version"]
    description["git_repo"] = project["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]
    facts = description["config"]["bioimageio"]
    facts["model_parameter_count"] = sum(values.numel() for values in network.parameters())
    path = folder / "bioimageio.yaml"
    path.write_text(dump_yaml(description), encoding="utf-8")
    return path


def example() -> tuple[np.ndarray, np.ndarray]:
    """Return a sample image (1, 1, H, W) and a point (x, y) on some of its objects (1, N, 2)."""
    sample = samples()[SAMPLE]
    truth = sample.truth()
    centres = np.array(center_of_mass(truth > 0, truth, range(1, OBJECTS + 1)))
    return (
        sample.load()[None, None].astype(np.float32),
        centres[None, :, ::-1].astype(np.float32),
    )


def cover(gray: np.ndarray, masks: np.ndarray) -> Image.Image:
    """Return the image beside itself with the masks (N, h, w) over it."""
    left = np.repeat(gray[..., None], 3, axis=2)
    right = left.copy()
    for mask, colour in zip(masks, colormaps["tab20"].colors, strict=False):
        inside = np.kron(mask, np.ones((4, 4))) > 0.5
        right[inside] = 0.5 * right[inside] + 0.5 * np.array(colour)
    return Image.fromarray((255 * np.hstack([left, right])).astype(np.uint8))


def check(path: Path) -> bool:
    """Let bioimage.io's validator read the package and run the model; print what it says."""
    from bioimageio.core import test_model

    summary = test_model(path, devices=["cpu"])
    summary.display()
    return summary.status == "passed"


if __name__ == "__main__":
    sys.exit(not check(write(Path(sys.argv[1]))))
