"""The whole flow: four stages, one arm made of them, and both arms compared."""

from napari_graysam.pipeline.arm import fingerprint_of
from napari_graysam.pipeline.arms import compare, compare_steps
from napari_graysam.pipeline.both import combine
from napari_graysam.pipeline.cut import Cut
from napari_graysam.pipeline.prompt import predictor_steps, segment_one
from napari_graysam.pipeline.retuning import retune
from napari_graysam.pipeline.segmenting import live_steps, segment, segment_steps
from napari_graysam.pipeline.stages import ScoreFloors, Selected, propose, read_gray, select
from napari_graysam.pipeline.view import (
    FittedView,
    fit_view,
    fit_view_blocks,
    make_view,
    view_halo,
)

__all__ = [
    "Cut",
    "FittedView",
    "ScoreFloors",
    "Selected",
    "combine",
    "compare",
    "compare_steps",
    "fingerprint_of",
    "fit_view",
    "fit_view_blocks",
    "live_steps",
    "make_view",
    "predictor_steps",
    "propose",
    "read_gray",
    "retune",
    "segment",
    "segment_one",
    "segment_steps",
    "select",
    "view_halo",
]
