"""How many objects of two whole stacks are kept, changed, gained and lost: by their volumes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from napari_graysam._napari.canvas.layers import pixels_of
from napari_graysam._napari.compare.planes import ShownPlane, is_stack, shape_of
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.comparison import ARMS, Arm, Rules

TIP = (
    "Compare whole objects by the pixels that they share in all planes; above are those of the "
    "plane that is shown"
)


class _Asked(NamedTuple):
    """Both volumes and their axis of planes."""

    volumes: dict[Arm, Any]
    along: int
    rules: Rules


class WholeStack(QWidget):
    """A button that compares whole stacks, and what came out; hidden where there are none."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: _Asked | None = None
        self.button = QPushButton("Count in all planes", toolTip=TIP)
        self.text = QLabel(wordWrap=True)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.button)
        row.addWidget(self.text, 1)
        self._worker = LatestRequest(self._show)
        self.button.clicked.connect(self._begin)
        self.destroyed.connect(self._worker.cancel)
        self.hide()

    @property
    def busy(self) -> bool:
        """Whether stacks are being compared."""
        return self._worker.busy

    def offer(self, planes: Mapping[Arm, ShownPlane], rules: Rules) -> None:
        """Offer the comparison of the stacks that two planes belong to.

        Parameters
        ----------
        planes
            That are shown.
        rules
            The thresholds.
        """
        self._asked = _stacks(planes, rules)
        self.setVisible(self._asked is not None)

    def forget(self) -> None:
        """Take back what was said, for something has changed."""
        self._worker.cancel()
        self.text.clear()

    def _begin(self) -> None:
        if self._asked is not None:
            self.text.setText("Comparing all planes …")
            self._worker.submit(partial(_compare, self._asked))

    def _show(self, counts: dict[str, int]) -> None:
        found = ", ".join(f"{count:,} {change}" for change, count in counts.items() if count)
        self.text.setText(f"All planes: {found or 'no objects'}.")


def _stacks(planes: Mapping[Arm, ShownPlane], rules: Rules) -> _Asked | None:
    """Return both volumes, if they are of one shape and one axis of planes."""
    shown = [planes[arm] for arm in ARMS if arm in planes]
    if len(shown) < len(ARMS) or not all(is_stack(one.layer) for one in shown):
        return None
    first, second = shown
    shape = shape_of(first.layer)
    long = [axis for axis, size in enumerate(shape) if size > 1 and axis not in first.axes]
    if shape != shape_of(second.layer) or first.axes != second.axes or len(long) != 1:
        return None
    volumes = {arm: pixels_of(planes[arm].layer) for arm in ARMS}
    return _Asked(volumes, long[0], rules)


def _compare(asked: _Asked) -> Generator[dict[str, int] | None, None, None]:
    from napari_graysam.comparison import compare_volumes

    yield None
    raw, preprocessed = (_planes(asked.volumes[arm], asked.along) for arm in ARMS)
    counts = compare_volumes(raw, preprocessed, asked.rules).counts
    yield {str(change): count for change, count in counts.items()}


def _planes(volume: Any, along: int) -> Iterator[NDArray[np.integer]]:
    """Yield the planes, (H, W), one in memory at a time."""
    for position in range(volume.shape[along]):
        where = tuple(
            slice(position, position + 1) if axis == along else slice(None)
            for axis in range(volume.ndim)
        )
        plane = np.asarray(volume[where])
        sizes = [size for axis, size in enumerate(plane.shape) if size > 1 and axis != along]
        yield plane.reshape(sizes if len(sizes) == 2 else plane.shape[-2:])
