"""Progress of a running pipeline, and how it is run to its end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple, TypeVar

Report = TypeVar("Report")
Result = TypeVar("Result")


class Progress(NamedTuple):
    """One report of a running pipeline: ``done`` of ``total`` units of ``stage``.

    Examples
    --------
    >>> from napari_graysam import Progress
    >>> report = Progress("decode", 64, 256)
    >>> f"{report.stage}: {report.done / report.total:.0%}"
    'decode: 25%'
    """

    stage: str
    done: int
    total: int


def run(
    steps: Generator[Report, None, Result],
    on_progress: Callable[[Report], None] | None = None,
) -> Result:
    """Exhaust a progress generator and return its result.

    Parameters
    ----------
    steps
        A pipeline that yields `Progress` and returns its result.
    on_progress
        Called with every report.

    Examples
    --------
    >>> from napari_graysam import Progress, run
    >>> def steps():
    ...     yield Progress("count", 1, 2)
    ...     yield Progress("count", 2, 2)
    ...     return "done"
    >>> run(steps(), on_progress=lambda report: print(*report))
    count 1 2
    count 2 2
    'done'
    """
    try:
        while True:
            progress = next(steps)
            if on_progress is not None:
                on_progress(progress)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    finally:
        steps.close()


def renamed(
    steps: Generator[Progress, None, Result], name: str
) -> Generator[Progress, None, Result]:
    """Do the same steps with ``name:`` before their stages.

    Examples
    --------
    >>> def steps():
    ...     yield Progress("encode", 0, 1)
    >>> [report.stage for report in renamed(steps(), "raw")]
    ['raw: encode']
    """
    try:
        while True:
            progress = next(steps)
            yield progress._replace(stage=f"{name}: {progress.stage}")
    except StopIteration as stop:
        result: Result = stop.value
        return result
    finally:
        steps.close()
