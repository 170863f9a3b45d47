"""The best results of a search as layers beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_graysam._napari.canvas.cells import SideBySide
from napari_graysam._napari.canvas.layers import KEY, same_selection
from napari_graysam._napari.results.colors import colormap
from napari_graysam._napari.tune.words import score_name

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_graysam._napari.tune.compute import Found
    from napari_graysam._napari.tune.pictures import Picture, Pictures


class Gallery:
    """Layers in napari's grid, each over the image, for as long as they are looked at.

    Parameters
    ----------
    viewer
        Where they come and go.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._cells = SideBySide(viewer)
        self.layers: list[Labels] = []

    @property
    def on(self) -> bool:
        """Whether results are shown."""
        return self._cells.on

    def show(self, pictures: Pictures, image: Image | None) -> None:
        """Show results in the order of their scores, over an image if it is still there."""
        self.restore()
        with same_selection(self._viewer.layers):
            for picture in pictures.pictures:
                layer = _layer(pictures.found, picture)
                self.layers.append(self._viewer.add_layer(layer))
        self._cells.show(self.layers, image)

    def restore(self) -> None:
        """Remove the layers and show the viewer as it was before."""
        self._cells.restore()
        layers, self.layers = self.layers, []
        with same_selection(self._viewer.layers):
            for layer in layers:
                if layer in self._viewer.layers:
                    self._viewer.layers.remove(layer)


def _layer(found: Found, picture: Picture) -> Labels:
    from napari.layers import Labels

    rank, placement = picture.rank, found.request.source.placement
    marks = [("own", rank.own), ("proposed", rank.chosen)]
    mark = "".join(f", {text}" for text, true in marks if true)
    return Labels(
        placement.arrange(picture.labels),
        name=f"{rank.place}: {score_name(found)} {rank.score:.3f}{mark}",
        colormap=colormap(picture.colors),
        metadata={KEY: {"candidate": True, "recipe": found.recipe(rank.setting).to_dict()}},
        **placement.options,
    )
