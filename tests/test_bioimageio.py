"""The bundled model in bioimage.io's form answers as the package does.

tests/run lets bioimage.io's own validator read and run it.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from napari_graysam.documents import load_yaml
from napari_graysam.model import load_model
from napari_graysam.prompt.decode import predict
from napari_graysam.propose.encode import encode
from napari_graysam.recipe import ModelOptions, Prompt

FOLDER = Path(__file__).parents[1] / "packaging" / "bioimageio"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    place = tmp_path_factory.mktemp("bioimageio")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "path", [str(FOLDER), *sys.path])
        import make

        make.write(place)
    return place


@pytest.fixture(scope="module")
def description(package):
    return load_yaml((package / "bioimageio.yaml").read_text(encoding="utf-8"), "description")


def test_the_description_names_files_that_are_there(package, description):
    (weights,) = description["weights"].values()
    named = [
        description["documentation"],
        *description["covers"],
        *(tensor["test_tensor"] for tensor in description["inputs"] + description["outputs"]),
        weights,
        weights["architecture"],
        weights["dependencies"],
    ]
    assert {one["source"] for one in named} | {"bioimageio.yaml"} == {
        file.name for file in package.iterdir()
    }


def test_masks_and_predicted_iou_are_those_of_the_package(package):
    image, points, masks, predicted_iou = (
        np.load(package / f"{name}.npy") for name in ("image", "points", "masks", "predicted_iou")
    )
    low, high = np.percentile(image, (0.1, 99.9))
    gray = np.clip((image[0, 0] - low) / (high - low), 0, 1)
    view = np.repeat((255 * gray).round().astype(np.uint8)[..., None], 3, axis=2)
    model = load_model(ModelOptions(name="graysam-small", device="cpu"))
    prompts = [Prompt(positive=(tuple(map(float, point)),)) for point in points[0]]
    logits, wanted = predict(encode(view, model), prompts, (0, 0, 512, 512), model)
    np.testing.assert_allclose(predicted_iou[0], wanted, atol=0.02)
    differing = (masks[0] > 0.5) != (logits.numpy() > 0)
    assert differing.mean() < 1e-3
    assert (masks[0] > 0.5).mean() > 0.001


def test_the_facts_are_those_of_the_model(description):
    facts = description["config"]["bioimageio"]
    model = load_model(ModelOptions(name="graysam-small", device="cpu"))
    assert facts["model_parameter_count"] == model.parameters
    assert description["inputs"][0]["axes"][2]["size"]["min"] == model.image_size
