"""Many images: one after the other or on Dask."""

from napari_graysam.batch.jobs import CompareJob, Job, Outcome, Report, SegmentJob
from napari_graysam.batch.naming import Naming
from napari_graysam.batch.run import batch_steps, check_folder

__all__ = [
    "CompareJob",
    "Job",
    "Naming",
    "Outcome",
    "Report",
    "SegmentJob",
    "batch_steps",
    "check_folder",
]
