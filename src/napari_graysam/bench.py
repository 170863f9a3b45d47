"""Our generator against upstream's, on the user's own machine, image and recipe.

Each arm runs in a process of its own, so that its peak memory is its own. Upstream's needs
torchvision, which the product itself does not: without it, only our arms are measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import GraysamError
from napari_graysam.progress import Progress
from napari_graysam.recipe import GeneratorOptions, Recipe

if TYPE_CHECKING:
    from napari_graysam.model import LoadedModel

Way = Literal["upstream", "exact", "fast"]
WAYS: tuple[Way, ...] = ("upstream", "exact", "fast")


@dataclass(frozen=True)
class Measurement:
    """What one way of generating masks took.

    Attributes
    ----------
    way
        ``upstream``, or the arithmetic of ours.
    seconds
        Wall time from the view to the records; loading the model is not in it.
    bytes
        Peak memory above that of the process with its model.
    masks
        Number of records.
    same
        Of those, masks that are upstream's to the pixel; None without upstream.
    """

    way: Way
    seconds: float
    bytes: int
    masks: int
    same: int | None = None


def measurable() -> tuple[Way, ...]:
    """Return what can be measured here: upstream's generator only with torchvision."""
    return WAYS if find_spec("torchvision") is not None else WAYS[1:]


def bench_steps(
    view: NDArray[np.uint8], recipe: Recipe, ways: Sequence[Way]
) -> Generator[Progress, None, list[Measurement]]:
    """Measure some ways of generating masks, one after the other.

    Parameters
    ----------
    view
        uint8 (H, W, 3), RGB.
    recipe
        Uses its model and generator; 64 points a batch for upstream, unless it says otherwise.
    ways
        Of `WAYS`.

    Raises
    ------
    GraysamError
        If a way fails, with its message.
    """
    measured: list[Measurement] = []
    found: dict[Way, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="graysam-bench-") as folder:
        place = Path(folder)
        np.save(place / "view.npy", view)
        recipe.to_file(place / "recipe.yaml")
        for number, way in enumerate(ways):
            yield Progress(way, number, len(ways))
            measured.append(_measure(place, way))
            found[way] = json.loads((place / f"{way}.json").read_text())
    if "upstream" not in found:
        return measured
    return [_compared(one, found[one.way], found["upstream"]) for one in measured]


def _measure(place: Path, way: Way) -> Measurement:
    """Run one way in a process of its own."""
    command = [sys.executable, "-m", "napari_graysam.bench", str(place), way]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        lines = process.stderr.strip().splitlines() or [f"exit status {process.returncode}"]
        raise GraysamError(f"measuring {way} failed: {lines[-1]}")
    facts = json.loads(process.stdout.splitlines()[-1])
    return Measurement(way, **facts)


def _compared(
    one: Measurement, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]
) -> Measurement:
    """Count the masks that are upstream's."""
    known = {_name(record) for record in theirs}
    same = sum(_name(record) in known for record in ours)
    return Measurement(one.way, one.seconds, one.bytes, one.masks, same)


def _name(record: dict[str, Any]) -> str:
    return json.dumps([record["point_coords"], record["segmentation"]])


def _work(place: Path, way: Way) -> None:
    """Generate masks in this process and print what it took."""
    import warnings

    import psutil

    from napari_graysam.model import load_model
    from napari_graysam.profile import Profile
    from napari_graysam.select import generate

    warnings.simplefilter("ignore")
    view = np.load(place / "view.npy")
    recipe = Recipe.from_file(place / "recipe.yaml")
    options = recipe.generator.replace(output_mode="coco_rle")
    model = load_model(recipe.model)
    run = upstream(model, options) if way == "upstream" else None
    before = psutil.Process().memory_info().rss
    with Profile() as costs:
        costs.report(Progress("run", 0, 1))
        start = time.perf_counter()
        records = generate(view, model.with_arithmetic(way), options) if run is None else run(view)
        seconds = time.perf_counter() - start
    (place / f"{way}.json").write_text(json.dumps(records))
    peak = costs.stages["run"].peak - before
    print(json.dumps({"seconds": seconds, "bytes": peak, "masks": len(records)}))


def upstream(model: LoadedModel, options: GeneratorOptions) -> Any:
    """Return upstream's generator, at its own 64 points a batch unless told, for any frame.

    Needs torchvision.
    """
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    values = options.model_dump()
    values["points_per_batch"] = options.points_per_batch or 64
    if options.point_grids is not None:
        values["point_grids"] = [np.array(grid) for grid in options.point_grids]
    generator = SAM2AutomaticMaskGenerator(model.model, **values)
    sides = [model.image_size // stride for stride in (4, 8, 16)]
    generator.predictor._bb_feat_sizes = [(side, side) for side in sides]
    return generator.generate


if __name__ == "__main__":
    _work(Path(sys.argv[1]), sys.argv[2])  # type: ignore[arg-type]
