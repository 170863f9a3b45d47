"""Saving what is there of a whole image somewhere else."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_graysam._napari.io.background import BackgroundSaver
from napari_graysam._napari.io.chosen_path import complete_path
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_graysam._napari.large.job import WholeJob
    from napari_graysam._napari.large.jobs import WholeJobs
    from napari_graysam._napari.panel.state import PanelState

FILES = {
    "Labels, OME-Zarr": (".zarr", "labels"),
    "Table of objects": (".csv", "objects"),
    "COCO JSON": (".coco.json", "coco"),
    "GeoJSON for QuPath": (".geojson", "geojson"),
    "Recipe": (".recipe.yaml", "recipe"),
    "Provenance": (".provenance.json", "provenance"),
}
"""What can be saved: endings, which choose, and kinds of `napari_graysam.tiles.export`."""


class Saved(NamedTuple):
    """What is at a path now, where the run wrote everything, and whether this is of the run."""

    path: Path
    folder: Path
    own: bool


class WholeSaver(BackgroundSaver):
    """Copies results of whole images in the background, and says where they are.

    Parameters
    ----------
    state
        Its ``said`` is told.
    jobs
        The images.
    """

    def __init__(self, state: PanelState, jobs: WholeJobs) -> None:
        super().__init__(state)
        self._jobs = jobs

    def holds(self, layer: Labels) -> bool:
        """Whether a layer is one of a whole image."""
        return self._found(layer) is not None

    def why_not(self, layer: Labels) -> str:
        """Say why a layer's results cannot be saved now; empty if they can."""
        if self._state.running:
            return "A run is going on: save when it has ended."
        if self._worker.busy:
            return "Something is being saved: wait until that is done."
        if self._found(layer) is None:
            return "The whole image is not segmented yet: let it run to its end, then save."
        return ""

    def file_of(self, layer: Labels) -> Path:
        """Return the path of the labels of a layer's results, which stands for all of them."""
        found = self._found(layer)
        assert found is not None
        job, name = found
        return job.folder / f"{name}.zarr"

    def write(self, layer: Labels, path: str, ending: str = ".zarr") -> None:
        """Save one kind of results; the name's ending chooses which.

        Parameters
        ----------
        layer
            Of a whole image.
        path
            Of the file or store.
        ending
            Used where the name has none of those that are known.
        """
        found, why = self._found(layer), self.why_not(layer)
        if why or found is None:
            self._state.said.emit(why, True)
            return
        known = dict(FILES.values())
        try:
            target = complete_path(path, ending, known)
        except GraysamError as error:
            self._state.said.emit(str(error), True)
            return
        kind = next(kind for of, kind in known.items() if target.name.endswith(of))
        self._state.said.emit(f"Saving {target}…", False)
        job, name = found
        self._worker.submit(partial(_write, job, name, kind, target))

    def _found(self, layer: Labels) -> tuple[WholeJob, str] | None:
        """Return the image of a finished layer that is shown, and how its files' names begin."""
        job = self._jobs.shown
        if job is None:
            return None
        for arm in job.done:
            if self._jobs.layer_of(job, arm).shows(layer):
                return job, job.stem(arm)
        return None

    def _written(self, saved: Saved) -> None:
        text = f"It is there already: {saved.path}." if saved.own else f"Saved {saved.path}."
        self._state.said.emit(f"{text} All results are in {saved.folder}.", False)


def _write(job: WholeJob, name: str, kind: str, path: Path) -> Generator[Saved | None, None, None]:
    from napari_graysam.tiles.export import export_tiled
    from napari_graysam.tiles.write import ENDINGS

    yield None
    own = job.folder / f"{name}.{ENDINGS[kind]}"
    there = own.exists() and path.resolve() == own.resolve()
    export_tiled(job.folder, name, kind, path)
    yield Saved(path, job.folder, there)
