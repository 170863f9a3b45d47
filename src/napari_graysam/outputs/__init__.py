"""What a run leaves in a folder."""

from napari_graysam.outputs.earlier import is_complete, other_image
from napari_graysam.outputs.kinds import KINDS, USUAL, Kind, choose_kinds
from napari_graysam.outputs.writing import write_comparison, write_segmentation

__all__ = [
    "KINDS",
    "USUAL",
    "Kind",
    "choose_kinds",
    "is_complete",
    "other_image",
    "write_comparison",
    "write_segmentation",
]
