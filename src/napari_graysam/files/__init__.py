"""Read images and labels; write label images, tables, COCO files and overlays."""

from napari_graysam.files.atomic import atomic_path
from napari_graysam.files.coco import read_coco, write_coco
from napari_graysam.files.images import read_image
from napari_graysam.files.labels import read_labels, read_recipe_text, write_labels
from napari_graysam.files.overlay import overlay_rgb, write_overlay
from napari_graysam.files.tables import write_table

__all__ = [
    "atomic_path",
    "overlay_rgb",
    "read_coco",
    "read_image",
    "read_labels",
    "read_recipe_text",
    "write_coco",
    "write_labels",
    "write_overlay",
    "write_table",
]
