"""Many images: one after the other or on Dask."""

from napari_graysam.batch.cached import CachedPlanes, candidates_folder
from napari_graysam.batch.images import compare_image_steps, image_steps
from napari_graysam.batch.jobs import CompareJob, Job, Outcome, Report, SegmentJob
from napari_graysam.batch.naming import Naming
from napari_graysam.batch.run import batch_steps, check_folder
from napari_graysam.batch.stack import segment_stack, stack_steps
from napari_graysam.batch.stack_compare import compare_stack, compare_stack_steps
from napari_graysam.batch.tile_compare import compare_tiled, compare_tiled_steps
from napari_graysam.batch.tiles import in_tiles, segment_tiled, segment_tiled_steps, tiled_steps

__all__ = [
    "CachedPlanes",
    "CompareJob",
    "Job",
    "Naming",
    "Outcome",
    "Report",
    "SegmentJob",
    "batch_steps",
    "candidates_folder",
    "check_folder",
    "compare_image_steps",
    "compare_stack",
    "compare_stack_steps",
    "compare_tiled",
    "compare_tiled_steps",
    "image_steps",
    "in_tiles",
    "segment_stack",
    "segment_tiled",
    "segment_tiled_steps",
    "stack_steps",
    "tiled_steps",
]
