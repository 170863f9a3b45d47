"""What a run has to say: in the panel, and where napari shows notifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState


class RunMessages:
    """Tells the user about a run.

    Parameters
    ----------
    state
        Whose `said` brings messages into the panel.
    """

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self._told: set[str] = set()

    def begin(self) -> None:
        """Begin a run, in which everything may be told once more."""
        self._told.clear()
        self._state.said.emit("", False)

    def inform_once(self, *texts: str) -> None:
        """Say what is not empty and has not been said of this run."""
        for text in texts:
            if text and text not in self._told:
                self._told.add(text)
                self.inform(text)

    def report(self, error: Exception) -> None:
        """Say what ended a run: expected problems as a sentence, others as napari shows errors."""
        from napari.utils.notifications import notification_manager

        if isinstance(error, GraysamError):
            self.warn(str(error))
        elif isinstance(error, MemoryError):
            self.warn(
                "The memory does not suffice: close other programs, or segment a smaller image."
            )
        else:
            self._state.said.emit(f"The run failed: {type(error).__name__}: {error}", True)
            notification_manager.receive_error(type(error), error, error.__traceback__)

    def warn(self, text: str) -> None:
        """Say what keeps something from being done."""
        from napari.utils.notifications import show_warning

        self._state.said.emit(text, True)
        show_warning(text)

    def inform(self, text: str) -> None:
        """Say what the user should know."""
        from napari.utils.notifications import show_info

        self._state.said.emit(text, False)
        show_info(text)
