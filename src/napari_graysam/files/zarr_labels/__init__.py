"""Labels in OME-Zarr: written block by block, beside the image or in a store of their own."""

from napari_graysam.files.zarr_labels.blocks import LabelBlocks
from napari_graysam.files.zarr_labels.creating import create_labels, write_zarr_labels
from napari_graysam.files.zarr_labels.plan import LabelPlan, plan_labels
from napari_graysam.files.zarr_labels.store import check_store, label_names
from napari_graysam.files.zarr_labels.writer import LabelsWriter

__all__ = [
    "LabelBlocks",
    "LabelPlan",
    "LabelsWriter",
    "check_store",
    "create_labels",
    "label_names",
    "plan_labels",
    "write_zarr_labels",
]
