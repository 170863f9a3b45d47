"""Images larger than memory: tiles that see what the whole image would show, and their seams."""

from napari_graysam.tiles.grid import Tile, TileGrid
from napari_graysam.tiles.image import LargeImage, open_large
from napari_graysam.tiles.view import LargeView, fit_large

__all__ = ["LargeImage", "LargeView", "Tile", "TileGrid", "fit_large", "open_large"]
