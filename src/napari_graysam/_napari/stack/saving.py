"""Saving what is there of a stack: the label volume, its tables, provenance and recipe."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_graysam._napari.io.background import BackgroundSaver
from napari_graysam._napari.results.combined import of_arm

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam._napari.stack.job import StackJob
    from napari_graysam._napari.stack.jobs import StackJobs

ENDING = ".labels.tif"


class StackSaver(BackgroundSaver):
    """Writes the files of a stack in the background, and says where.

    Parameters
    ----------
    state
        Its ``said`` is told.
    jobs
        The stacks.
    """

    what = "The stack"

    def __init__(self, state: PanelState, jobs: StackJobs) -> None:
        super().__init__(state)
        self._jobs = jobs

    def holds(self, layer: Labels) -> bool:
        """Whether a layer is one of a whole stack."""
        return self._found(layer) is not None

    def write(self, layer: Labels, path: str) -> None:
        """Write a stack's files, named like one of them.

        Parameters
        ----------
        layer
            Of the stack.
        path
            Of the label volume, ``NAME.labels.tif``; the others lie beside it.
        """
        found = self._found(layer)
        if found is None:
            return
        job, arm = found
        if arm not in job.linked or arm in job.to_select(self._state.recipe):
            self._state.said.emit("The stack is being updated: save it when that is done.", True)
            return
        if job.layers[arm].edited:
            text = "was edited: save the layer itself with File ▸ Save Selected Layers"
            self._state.said.emit(f"“{layer.name}” {text}.", True)
            return
        self._state.said.emit(f"Saving {path}…", False)
        self._worker.submit(partial(_write, job, arm, Path(path)))

    def _found(self, layer: Labels) -> tuple[StackJob, Shown] | None:
        for job in self._jobs.of_layer():
            for arm, shown in job.layers.items():
                if shown.layer.unique_id == layer.unique_id and arm in job.volumes:
                    return job, arm
        return None

    def _written(self, paths: dict[str, Path]) -> None:
        volume = paths["labels"]
        names = ", ".join(path.name for kind, path in paths.items() if kind != "labels")
        self._state.said.emit(f"Saved {volume}, and beside it {names}.", False)


def _write(job: StackJob, arm: Shown, path: Path) -> Generator[dict[str, Path], None, None]:
    from napari_graysam.batch.volume import write_volume

    name = path.name.removesuffix(ENDING).removesuffix(path.suffix)
    options = job.linked_by[arm].replace(axis=job.scope.axis)
    recipe = of_arm(arm, job.tuned[arm]).replace(stack=options)
    about = {
        "image": job.source.layer_name,
        "arm": arm,
        "without": {str(position): why for position, why in job.lacking.items()},
    }
    yield write_volume(
        job.volumes[arm], job.linked[arm], job.stack, recipe, path.parent, name, about
    )
