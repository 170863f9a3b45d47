"""What a run leaves in a folder."""

from napari_graysam.outputs.earlier import is_compared, is_complete, other_image, read_comparison
from napari_graysam.outputs.kinds import FOLDERS, INTO_IMAGE, KINDS, USUAL, Kind, choose_kinds
from napari_graysam.outputs.writing import write_comparison, write_segmentation
from napari_graysam.outputs.zarr import check_free, check_own_store

__all__ = [
    "FOLDERS",
    "INTO_IMAGE",
    "KINDS",
    "USUAL",
    "Kind",
    "check_free",
    "check_own_store",
    "choose_kinds",
    "is_compared",
    "is_complete",
    "other_image",
    "read_comparison",
    "write_comparison",
    "write_segmentation",
]
