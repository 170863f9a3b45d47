"""Time and memory of linking the planes of a stack, and of filling its gaps.

Time and memory: discs on a lattice that drift from plane to plane, one mask in ten removed; planes
are made when they are asked for. Memory is the peak of what Python and NumPy hold, less one plane,
in a second pass, because measuring it takes time.

Identity: the true masks of spheres that touch and lie above each other, in planes 1.5 to 4 pixels
apart; one mask in ten removed at random, anew for each seed. `stacks.py` has the sample stacks.

    python benchmarks/linking.py
    python benchmarks/linking.py --planes 10 --objects 10000 --size 2048
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
from preprocess import processor

from napari_graysam.stack import LinkOptions, Links, fill_gaps, link_planes

RESULTS = Path(__file__).parent / "results" / "linking.json"


class Stack:
    """Planes of uint32 (size, size), made one at a time."""

    def __init__(self, planes: int, objects: int, size: int) -> None:
        self.planes, self.size = planes, size
        side = int(np.ceil(np.sqrt(objects)))
        random = np.random.default_rng(0)
        pitch = size / side
        lattice = np.stack(np.divmod(np.arange(objects), side), axis=1) * pitch + pitch / 2
        self.start = lattice + random.uniform(-0.1, 0.1, (objects, 2)) * pitch
        self.radius = random.uniform(0.35, 0.55, objects) * pitch
        self.drift = random.normal(0, 0.01, (planes, objects, 2)).cumsum(axis=0) * pitch

    def __len__(self) -> int:
        return self.planes

    def __getitem__(self, plane: int) -> Any:
        if not 0 <= plane < self.planes:
            raise IndexError(plane)
        random = np.random.default_rng(plane)
        image = np.zeros((self.size, self.size), np.uint32)
        places = self.start + self.drift[plane]
        for label, ((y, x), radius) in enumerate(zip(places, self.radius, strict=True), start=1):
            if random.random() < 0.1:
                continue
            top, left = max(0, int(y - radius)), max(0, int(x - radius))
            window = image[top : int(y + radius) + 2, left : int(x + radius) + 2]
            rows, columns = np.ogrid[: window.shape[0], : window.shape[1]]
            inside = (rows + top - y) ** 2 + (columns + left - x) ** 2 <= radius**2
            window[inside & (window == 0)] = label
        return image


def kept(links: Links) -> tuple[float, int]:
    """Return the part of the objects with one number, and the numbers that several share."""
    pairs = set()
    for ids in links.ids:
        labels = np.flatnonzero(ids)
        pairs.update(zip(labels.tolist(), ids[labels].tolist(), strict=True))
    _, numbers = np.unique([label for label, _ in pairs], return_counts=True)
    _, objects = np.unique([number for _, number in pairs], return_counts=True)
    return float(np.mean(numbers == 1)), int(np.sum(objects > 1))


def measure(planes: int, objects: int, size: int, gap: int) -> dict[str, Any]:
    stack = Stack(planes, objects, size)
    options = LinkOptions(gap=gap, splits=True, merges=True)
    link_planes([stack[0], stack[1]], options)
    spent = 0.0

    def timed() -> Any:
        nonlocal spent
        for plane in range(planes):
            start = time.process_time()
            image = stack[plane]
            spent += time.process_time() - start
            yield image

    start = time.process_time()
    links = link_planes(timed(), options)
    linking = time.process_time() - start - spent
    tracemalloc.start()
    again = link_planes((stack[plane] for plane in range(planes)), options)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert again.bridges == links.bridges
    whole = [stack[plane] for plane in range(min(planes, 20))]
    few = link_planes(whole, options)
    start = time.process_time()
    filled = sum(len(plane.fills) for plane in fill_gaps(whole, few))
    filling = (time.process_time() - start) / len(whole)
    one, shared = kept(links)
    return {
        "planes": planes,
        "objects": objects,
        "size": size,
        "gap": gap,
        "linking, s of CPU": round(linking, 2),
        "memory beyond one plane MB": round((peak - size * size * 4) / 1e6, 1),
        "held afterwards MB": round(held / 1e6, 2),
        "filling a plane, ms of CPU": round(filling * 1000, 1),
        "filled a plane": round(filled / len(whole), 1),
        "objects with one number": round(one, 4),
        "numbers of several objects": shared,
    }


def spheres(seed: int, step: float, side: int = 160, depth: int = 90) -> Any:
    """Touching spheres of a radius of 9 to 15 pixels, as planes ``step`` pixels apart."""
    random = np.random.default_rng(seed)
    centres, radii = np.empty((0, 3)), np.empty(0)
    for _ in range(6000):
        radius, centre = random.uniform(9, 15), random.uniform(0, (depth, side, side))
        if (np.linalg.norm(centres - centre, axis=1) >= 0.97 * (radii + radius)).all():
            centres, radii = np.vstack([centres, centre]), np.append(radii, radius)
    rows, columns = np.ogrid[:side, :side]
    planes = np.zeros((int(depth / step), side, side), np.int64)
    for plane, z in zip(planes, np.arange(len(planes)) * step, strict=True):
        for label in np.flatnonzero(abs(z - centres[:, 0]) < radii):
            _, y, x = centres[label]
            across = (rows - y) ** 2 + (columns - x) ** 2 + (z - centres[label, 0]) ** 2
            plane[across <= radii[label] ** 2] = label + 1
        plane[(np.bincount(plane.ravel()) < 20)[plane]] = 0
    return planes


def identity(name: str, truth: Any, axis: Any, seeds: int) -> dict[str, Any]:
    ones, shared, numbers = [], 0, 0
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        planes = truth.copy()
        for plane in planes:
            labels = np.unique(plane[plane > 0])
            plane[np.isin(plane, labels[random.random(labels.size) < 0.1])] = 0
        links = link_planes(planes, LinkOptions(splits=axis == "t"), axis)
        one, several = kept(links)
        ones.append(one)
        shared += several
        numbers += links.count
    return {
        "stack": name,
        "objects": int(np.unique(truth).size - 1),
        "seeds": seeds,
        "objects with one number": round(float(np.mean(ones)), 4),
        "least": round(min(ones), 4),
        "numbers of several objects": f"{shared} of {numbers}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--planes", type=int)
    parser.add_argument("--objects", type=int, default=500)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.planes:
        cases = [(arguments.planes, arguments.objects, arguments.size, gap) for gap in (1, 3)]
    else:
        cases = [(100, 500, 1024, 0), (100, 500, 1024, 3)]
        cases.append((10, 10_000, 2048, 3))
    measured = []
    for case in cases:
        measured.append(measure(*case))
        print(measured[-1], flush=True)
    stacks = [(f"spheres, step {step}", spheres(0, step), "z", 4) for step in (1.5, 2.5, 4.0)]
    identities = []
    for stack in stacks:
        identities.append(identity(*stack))
        print(identities[-1], flush=True)
    document = {"processor": processor(), "measured": measured, "identity": identities}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
