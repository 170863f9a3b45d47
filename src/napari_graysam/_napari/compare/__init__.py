"""The comparison dock: what differs between two Labels layers, as counts, table and plots."""

from napari_graysam._napari.compare.dock import CompareDock

__all__ = ["CompareDock"]
