"""Saving in the background, whose end and failures are told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState


class BackgroundSaver(ABC):
    """Writes in a worker thread.

    Parameters
    ----------
    state
        Its ``said`` is told.

    Attributes
    ----------
    what
        What is saved, as the subject of a sentence.
    """

    what = "This"

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self._worker = LatestRequest(self._written, on_error=self._failed)
        self._closed = False

    def close(self) -> None:
        """Write to the end what is being written, and say nothing more."""
        self._closed = True
        self._worker.cancel()

    @property
    def busy(self) -> bool:
        """Whether something is being written."""
        return self._worker.busy

    @abstractmethod
    def _written(self, done: Any) -> None:
        """Say what was written."""

    def _failed(self, error: Exception) -> None:
        if self._closed or not isinstance(error, (GraysamError, OSError)):
            raise error
        self._state.said.emit(f"{self.what} was not saved: {error}", True)
