"""How well objects of the sample stacks keep their numbers.

From true masks: one section in ten is removed at random, anew for each seed; an object has one
number if all sections that are left have it. From the model's own masks: average precision of
whole objects and, beside it, the mean of the planes; of the time series also SEG, DET, TRA and LNK
where traccuracy is installed.

    python benchmarks/stacks.py
    python benchmarks/stacks.py --no-model
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from linking import identity
from preprocess import processor

from napari_graysam.batch import segment_stack
from napari_graysam.comparison import score_tracks, score_volume
from napari_graysam.files import open_label_planes, read_lineage
from napari_graysam.samples import Sample, folder, samples

RESULTS = Path(__file__).parent / "results" / "stacks.json"


def from_model(sample: Sample) -> dict[str, Any]:
    """Segment and link a sample as its recipe says, and score it."""
    truth = sample.truth()
    assert truth is not None
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        outcome = segment_stack(str(folder() / str(sample.file)), sample.recipe(), out)
        seconds = time.perf_counter() - start
        assert outcome.status == "done", outcome.error
        planes = open_label_planes(outcome.files["labels"])
        assert planes is not None
        scores = score_volume(planes, truth)
        tracks = None
        if sample.axis == "t" and find_spec("traccuracy"):
            lineage = read_lineage(outcome.files["tracks"])
            true = [(track.parent, track.label) for track in sample.lineage() if track.parent]
            tracks = score_tracks(planes, truth, lineage, true).to_dict()
    whole, flat = scores.volume, scores.plane_mean
    return {
        "seconds": round(seconds, 1),
        "objects": whole.n_predicted,
        "true objects": whole.n_true,
        "AP50 of objects": round(whole.average_precision[0], 4),
        "AP50 of planes": round(flat.average_precision[0], 4),
        "AP50, objects to planes": round(whole.average_precision[0] / flat.average_precision[0], 4),
        "AP of objects": round(whole.mean_average_precision, 4),
        "AP of planes": round(flat.mean_average_precision, 4),
        "tracks": tracks,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--no-model", action="store_true", help="only from true masks")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    document: dict[str, Any] = {"processor": processor()}
    for name, sample in samples().items():
        if sample.axis is None:
            continue
        truth = sample.truth()
        assert truth is not None
        linked = identity(name, truth.astype(int), sample.axis, arguments.seeds)
        document[name] = {"from true masks": linked}
        if not arguments.no_model:
            document[name]["from the model's masks"] = from_model(sample)
        print(name, json.dumps(document[name], indent=1), flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
