"""Bringing a checkpoint to this machine while the panel stays usable."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.widgets import Container, ProgressBar, PushButton

from napari_graysam._napari.forms.controls import Note
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.errors import GraysamError
from napari_graysam.model.weights import fetch, locate

if TYPE_CHECKING:
    from napari_graysam.model.catalog import ModelEntry
    from napari_graysam.progress import Progress


class Download(Container):
    """Brings an official checkpoint to this machine, with a bar and a way to stop.

    Parameters
    ----------
    arrived
        Called when a checkpoint has come.
    """

    def __init__(self, arrived: Callable[[], None]) -> None:
        self._arrived = arrived
        self._entry: ModelEntry | None = None
        self._outcome = ""
        self._worker = LatestRequest(self._on_progress, self._on_end, self._on_error)
        self.button = PushButton(text="Download")
        self.bar = ProgressBar(min=0, max=1000, visible=False)
        self.cancel = PushButton(text="Cancel", visible=False)
        self.cancel.tooltip = (
            "<qt>What has come is kept; the next download goes on from there.</qt>"
        )
        self.message = Note()
        row = Container(widgets=[self.bar, self.cancel], layout="horizontal", labels=False)
        row.margins = (0, 0, 0, 0)
        super().__init__(widgets=[self.button, row, self.message], labels=False)
        self.margins = (0, 0, 0, 0)
        self.button.changed.connect(self.start)
        self.cancel.changed.connect(self.stop)
        self.native.destroyed.connect(self.stop)

    @property
    def running(self) -> bool:
        """Whether a download is going on."""
        return self._worker.busy

    def offer(self, entry: ModelEntry | None) -> None:
        """Offer a model's checkpoint, if it is not here yet."""
        if self.running:
            return
        if entry is not self._entry:
            self.message.say("")
        self._entry = entry
        absent = entry is not None and entry.url is not None and locate(entry) is None
        if entry is not None and absent:
            self.button.text = f"Download {entry.title} ({megabytes(entry.bytes)})"
        self.button.native.setVisible(absent)
        self.native.setVisible(absent or bool(self.message.value))

    def start(self) -> None:
        """Download the offered checkpoint in a thread."""
        if self._entry is None or self.running:
            return
        self._show(True)
        self.message.say(f"Downloading {self._entry.title} …")
        self._outcome = "Stopped; the next download goes on from there."
        self._worker.submit(partial(_steps, self._entry))

    def stop(self, *_: object) -> None:
        """Stop after the current block."""
        self._worker.cancel()

    def _show(self, running: bool) -> None:
        self.button.native.setVisible(not running)
        self.bar.native.setVisible(running)
        self.cancel.native.setVisible(running)
        self.bar.value = 0

    def _on_progress(self, progress: Progress | Path) -> None:
        if isinstance(progress, Path):
            self._outcome = f"{progress.name} is on disk."
            return
        if progress.total:
            self.bar.value = min(1000, progress.done * 1000 // progress.total)
        verb = "Checking" if progress.stage == "verify" else "Downloading"
        self.message.say(f"{verb}: {megabytes(progress.done)} of {megabytes(progress.total)}")

    def _on_error(self, error: Exception) -> None:
        if not isinstance(error, GraysamError):
            raise error
        self._outcome = f"⚠ {error}"

    def _on_end(self) -> None:
        self._show(False)
        self.message.say(self._outcome)
        arrived = self._entry is not None and locate(self._entry) is not None
        self.offer(self._entry)
        if arrived:
            self._arrived()


def _steps(entry: ModelEntry) -> Generator[Progress | Path, None, None]:
    yield (yield from fetch(entry))


def megabytes(count: int | None) -> str:
    """Write a number of bytes in millions."""
    return "?" if count is None else f"{count / 1e6:.0f} MB"
