"""Read images and labels; write label images, tables, outlines, COCO files and overlays."""

from napari_graysam.files.coco import write_coco
from napari_graysam.files.coco_reader import read_coco
from napari_graysam.files.coco_stack import write_coco_stack
from napari_graysam.files.geojson import read_geojson, write_geojson
from napari_graysam.files.label_planes import LabelPlanes, open_label_planes
from napari_graysam.files.labels import (
    read_label_file,
    read_labels,
    read_recipe_text,
    write_labels,
)
from napari_graysam.files.lineage import read_lineage
from napari_graysam.files.overlay import write_overlay
from napari_graysam.files.rois import read_rois, write_rois
from napari_graysam.files.tables import write_table
from napari_graysam.masks.overlay import overlay_rgb

__all__ = [
    "LabelPlanes",
    "open_label_planes",
    "overlay_rgb",
    "read_coco",
    "read_geojson",
    "read_label_file",
    "read_labels",
    "read_lineage",
    "read_recipe_text",
    "read_rois",
    "write_coco",
    "write_coco_stack",
    "write_geojson",
    "write_labels",
    "write_overlay",
    "write_rois",
    "write_table",
]
