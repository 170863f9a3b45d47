"""Time and peak memory of the generator against upstream's, as ratios.

Upstream, at its default of 64 points a batch, and ours in exact and fast arithmetic and in
bfloat16 run in processes of their own on the same model, image and parameters. Random weights
make every mask alike, so the heads are scaled up, and thresholds are set to quantiles of the
scores at a few points: some candidates pass each filter and some fail. Boxes of random masks
all cover the image, so their suppression is off (box_nms_thresh 1). Another batch size rounds
differently: records are compared by value, and differences are counted.

A shared machine's speed varies from minute to minute, so all arms run by turns: each a slice of
time, the others halted (POSIX only), with slices in proportion to what the arms need, so that
all of them see the same machine. Memory of the adaptive arms is not counted: what they do first
to know which points to ask leaves some behind that they use again.

What an adaptive grid would ask of random weights says nothing, so its arms ask, round by round,
the points that the search asks of the bundled model on a sample, and search all the same.

With ``--beside 1`` a program in a session of its own keeps one core busy all the time. Linux
shares cores among sessions first, so what is left is one core of two, not two thirds of both.

    python benchmarks/generator.py --size 1024 --points 32
    python benchmarks/generator.py --points 16 --arms exact fast --beside 1
    python benchmarks/generator.py --model graysam-small --size 512 --points 24
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from beside import busy

RESULTS = Path(__file__).parent / "results"
ARMS = ["exact", "fast", "bfloat16", "adaptive", "adaptive_bfloat16"]
# Seconds, in proportion to what the arms need for the whole image.
SLICES = {
    "upstream": 16.0,
    "exact": 4.0,
    "fast": 2.0,
    "bfloat16": 1.3,
    "adaptive": 0.8,
    "adaptive_bfloat16": 0.6,
}
OFFICIAL = {
    "sam2.1_hiera_tiny": "t",
    "sam2.1_hiera_small": "s",
    "sam2.1_hiera_base_plus": "b+",
    "sam2.1_hiera_large": "l",
}


def image(size: int) -> Any:
    """Draw discs of many sizes on uneven, noisy ground: uint8 (size, size, 3)."""
    import numpy as np

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    gray = 40 + 30 * x
    for _ in range(60):
        cy, cx, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.01, 0.08)
        gray[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = rng.uniform(100, 230)
    gray += rng.normal(0, 5, gray.shape)
    return np.repeat(np.clip(gray, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def load(name: str) -> Any:
    """Return a LoadedModel: of an official architecture with random weights, or by name."""
    import torch
    from sam2.build_sam import build_sam2

    from napari_graysam.model import LoadedModel, load_model
    from napari_graysam.recipe import ModelOptions

    if name not in OFFICIAL:
        return load_model(ModelOptions(name=name, device="cpu"))
    torch.manual_seed(0)
    model = build_sam2(f"configs/sam2.1/sam2.1_hiera_{OFFICIAL[name]}.yaml", device="cpu")
    decoder = model.sam_mask_decoder
    with torch.no_grad():
        for head in decoder.output_hypernetworks_mlps:
            head.layers[-1].weight.mul_(60)
        decoder.iou_prediction_head.layers[-1].weight.mul_(40)
    return LoadedModel(
        model=model,
        name=name,
        device=torch.device("cpu"),
        dtype=torch.float32,
        image_size=model.image_size,
        sha256="",
        parameters=sum(value.numel() for value in model.parameters()),
        record={},
    )


def resident() -> int:
    """Return the memory in use, in bytes."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


def peak() -> int:
    """Return the most memory ever in use, in bytes."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) * 1024


def calibrate(model: Any, view: Any, points: int) -> dict[str, Any]:
    """Choose thresholds that part the candidates of a few points."""
    import numpy as np

    from napari_graysam.progress import run
    from napari_graysam.propose import propose
    from napari_graysam.recipe import GeneratorOptions

    options = GeneratorOptions(points_per_side=min(points, 4))
    found = run(propose(view, model, options, iou_floor=0, stability_floor=0))
    offset = float(found.logits.std()) * 0.1
    options = options.replace(stability_score_offset=offset)
    found = run(propose(view, model, options, iou_floor=0, stability_floor=0))
    iou = float(np.quantile(found.predicted_iou, 0.7))
    stability = float(np.quantile(found.stability[found.predicted_iou > iou], 0.5))
    return {
        "pred_iou_thresh": iou,
        "stability_score_thresh": stability,
        "stability_score_offset": offset,
        "box_nms_thresh": 1.0,
    }


def asked_of_bundled(sample: str, points: int) -> list[Any]:
    """Return the rounds of points that the adaptive grid asks of the bundled model."""
    from napari_graysam import Recipe, segment
    from napari_graysam.propose import generator
    from napari_graysam.samples import samples

    rounds: list[Any] = []

    class Recorded(generator.Search):  # type: ignore[misc]
        def next(self) -> Any:
            rounds.append(super().next())
            return rounds[-1]

    recipe = Recipe.preset(samples()[sample].preset).with_values(
        {
            "generator.grid": "adaptive",
            "generator.points_per_side": points,
            "generator.crop_n_layers": 0,
        }
    )
    plain, generator.Search = generator.Search, Recorded
    segment(samples()[sample].load(), recipe)
    generator.Search = plain
    return rounds


def ask_again(rounds: list[Any]) -> None:
    """Let the adaptive grid search as always, but ask these points."""
    from napari_graysam.propose import generator

    class Replayed(generator.Search):  # type: ignore[misc]
        def next(self) -> Any:
            before = self.asked.copy()
            super().next()
            asked = rounds.pop(0)
            self.asked[:] = before
            self.asked[asked] = True
            return asked

    generator.Search = Replayed


def work(task: str, arguments: argparse.Namespace) -> None:
    """Do one arm's work in this process and print its measurements."""
    if task != "upstream":
        import napari_graysam  # noqa: F401  Before torch: it sets how torch's threads wait.
    import torch

    from napari_graysam.bench import upstream
    from napari_graysam.model.encoder import allow_row_chunks, drop_positions
    from napari_graysam.recipe import GeneratorOptions
    from napari_graysam.select import generate

    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    view = image(arguments.size)
    model = load(arguments.model)
    if task == "calibrate":
        print(json.dumps(calibrate(model, view, arguments.points)))
        return
    if task.endswith("bfloat16"):
        model = replace(model.with_arithmetic("fast"), dtype=torch.bfloat16)
    elif task != "upstream":
        model = model.with_arithmetic("exact" if task == "exact" else "fast")
    options = GeneratorOptions(
        points_per_side=arguments.points,
        output_mode="coco_rle",
        **json.loads(arguments.thresholds),
    )
    if task.startswith("adaptive"):
        options = options.replace(grid="adaptive")
        rounds = asked_of_bundled(arguments.sample, arguments.points)
        asked = sum(map(len, rounds))
        ask_again(rounds)
    run = upstream(model, options) if task == "upstream" else None
    if run is None and arguments.model in OFFICIAL:
        drop_positions(model.model)
        allow_row_chunks(model.model)
    before = resident()
    print("ready", flush=True)
    sys.stdin.readline()
    span = [time.monotonic()]
    records = generate(view, model, options) if run is None else run(view)
    span.append(time.monotonic())
    Path(arguments.records).write_text(json.dumps(records))
    result = {"span": span, "bytes": peak() - before, "records": len(records)}
    if options.grid == "adaptive":
        result["share_of_points"] = asked / arguments.points**2
    print(json.dumps(result))


def started(task: str, arguments: argparse.Namespace, *extra: str) -> subprocess.Popen[str]:
    """Start one arm in a process of its own."""
    command = [
        *(sys.executable, __file__, "--task", task, "--model", arguments.model),
        *("--size", str(arguments.size), "--points", str(arguments.points)),
        *("--threads", str(arguments.threads), "--sample", arguments.sample, *extra),
    ]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what an arm says at its end."""
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{process.args} ended with {process.returncode}")
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def by_turns(arms: dict[str, subprocess.Popen[str]]) -> dict[str, dict[str, Any]]:
    """Let arms that are ready run by turns, and return what each says, with its seconds."""
    for process in arms.values():
        assert process.stdin
        assert process.stdout
        if not process.stdout.readline():
            raise SystemExit(f"{process.args} ended before it began")
        process.send_signal(signal.SIGSTOP)
        process.stdin.write("go\n")
        process.stdin.flush()
    slices: dict[str, list[tuple[float, float]]] = {task: [] for task in arms}
    left = dict(arms)
    while left:
        for task, process in tuple(left.items()):
            begin = time.monotonic()
            process.send_signal(signal.SIGCONT)
            try:
                process.wait(SLICES[task])
                del left[task]
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGSTOP)
            slices[task].append((begin, time.monotonic()))
    found = {}
    for task, process in arms.items():
        found[task] = answer(process)
        begin, end = found[task].pop("span")
        parts = (min(end, last) - max(begin, first) for first, last in slices[task])
        found[task] = {"seconds": sum(part for part in parts if part > 0), **found[task]}
    return found


def compare(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> dict[str, Any]:
    """Count how the records differ; the same object is the one with the nearest scores."""
    from pycocotools import mask as coco

    matched, overlaps, unmatched = [], [], 0
    for record in theirs:
        same = [one for one in ours if one["point_coords"] == record["point_coords"]]
        same.sort(key=lambda one: abs(one["predicted_iou"] - record["predicted_iou"]))
        if not same:
            unmatched += 1
            continue
        matched.append(abs(same[0]["predicted_iou"] - record["predicted_iou"]))
        pair = [same[0]["segmentation"]], [record["segmentation"]]
        overlaps.append(float(coco.iou(*pair, [0])[0, 0]))
    return {
        "identical": ours == theirs,
        "same_masks": sum(overlap == 1 for overlap in overlaps),
        "lowest_iou_of_a_mask": min(overlaps, default=None),
        "largest_difference_of_predicted_iou": max(matched, default=None),
        "only_upstream": unmatched + max(0, len(theirs) - unmatched - len(ours)),
        "only_ours": max(0, len(ours) - (len(theirs) - unmatched)),
    }


def processor() -> str:
    """Return the processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="sam2.1_hiera_tiny", help="architecture or model name")
    parser.add_argument("--random-weights", action="store_true", help="implied by architectures")
    parser.add_argument("--size", type=int, default=1024, help="side of the image in pixels")
    parser.add_argument("--points", type=int, default=32, help="points per side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--arms", nargs="*", default=ARMS)
    parser.add_argument("--beside", type=int, default=0, help="other programs, a busy core each")
    parser.add_argument("--sample", default="nuclei_uneven", help="of the adaptive arms")
    for internal in ("--task", "--thresholds", "--records"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        work(arguments.task, arguments)
        return
    if arguments.random_weights and arguments.model not in OFFICIAL:
        parser.error(f"--random-weights needs one of {', '.join(OFFICIAL)}")
    thresholds = json.dumps(answer(started("calibrate", arguments)))
    with tempfile.TemporaryDirectory() as folder:
        paths = {task: Path(folder) / f"{task}.json" for task in ("upstream", *arguments.arms)}
        arms = {}
        for task, path in paths.items():
            extra = ("--thresholds", thresholds, "--records", str(path))
            arms[task] = started(task, arguments, *extra)
        try:
            with busy(arguments.beside):
                measured = by_turns(arms)
        finally:
            for process in arms.values():
                process.kill()
        found = {task: json.loads(path.read_text()) for task, path in paths.items()}
    base = measured["upstream"]
    for task in arguments.arms:
        own = measured[task]
        own["times_faster"] = base["seconds"] / own["seconds"]
        if task.startswith("adaptive"):
            del own["bytes"]
        else:
            own["share_of_upstreams_memory"] = own["bytes"] / base["bytes"]
            own["comparison"] = compare(found[task], found["upstream"])
    result = {
        "processor": processor(),
        "threads": arguments.threads,
        "busy_cores_beside": arguments.beside,
        "model": arguments.model,
        "random_weights": arguments.model in OFFICIAL,
        "image": [arguments.size, arguments.size],
        "points_per_side": arguments.points,
        "thresholds": json.loads(thresholds),
        "arms": measured,
    }
    RESULTS.mkdir(exist_ok=True)
    name = "generator_beside.json" if arguments.beside else "generator.json"
    (RESULTS / name).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
