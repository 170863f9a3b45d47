"""One computation at a time, and none that blocks the next."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from pytestqt.exceptions import capture_exceptions

from napari_graysam._napari.lane import Lane


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_an_error_is_raised_in_the_gui_thread_and_the_lane_goes_on(
    qtbot: Any, kind: type[Exception]
) -> None:
    shown: list[int] = []
    lane = Lane(shown.append, lambda: None)

    def broken() -> Generator[int, None, None]:
        yield 1
        raise kind("broken")

    def fine() -> Generator[int, None, None]:
        yield 2

    with capture_exceptions() as raised:
        lane.submit(broken)
        qtbot.waitUntil(lambda: not lane.busy)
        assert [error for error, _, _ in raised] == [kind]
        raised.clear()
    lane.submit(fine)
    qtbot.waitUntil(lambda: not lane.busy)
    assert shown == [1, 2]
