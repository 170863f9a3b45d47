"""What is said about a stack: the choice, the progress of a run, and what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_graysam._napari.panel.sections.run_view import STAGES, duration
from napari_graysam._napari.results.combined import SHOWN

if TYPE_CHECKING:
    from napari_graysam._napari.stack.job import StackJob
    from napari_graysam._napari.stack.run import StackProgress

LINKING = {
    "link": "overlaps of planes",
    "prompt": "asking for what planes lack",
    "fill": "filling gaps",
    "number": "numbers of objects",
}


def progress_in_words(progress: StackProgress) -> str:
    """Return how far a run is, in one line."""
    if progress.stage in LINKING:
        counted = f", {progress.done + 1} of {progress.total}" if progress.total > 1 else ""
        return f"Linking: {LINKING[progress.stage]}{counted}"
    stage = STAGES.get(progress.stage, progress.stage)
    arm = f"{progress.arm}, " if progress.arm else ""
    text = f"Plane {min(progress.done + 1, progress.total)} of {progress.total}: {arm}{stage}"
    return text + (f", {duration(progress.left)} left" if progress.left is not None else "")


def what_is_there(job: StackJob) -> str:
    """Say how much of a stack is there, by arm, and what is not."""
    total = len(job.stack.positions)
    lines = []
    for arm in SHOWN:
        if arm not in job.volumes:
            continue
        there = len(job.there(arm))
        text = f"<b>{arm.capitalize()}</b>, {there} of {total} planes"
        if there == total:
            text = f"<b>{arm.capitalize()}</b>, all {total} planes"
        if arm in job.linked:
            count = len(job.linked[arm].objects)
            kind = "" if job.linked_by[arm].link == "none" else " linked"
            text += f": {count:,}{kind} object{'s' * (count != 1)}"
        elif there:
            text += " (not linked yet)"
        lines.append(text)
    if job.lacking:
        first = min(job.lacking)
        lines.append(
            f"<i>{_planes(len(job.lacking), 'has', 'have')} no result; {job.scope.axis} {first}: "
            f"{job.lacking[first]}</i>"
        )
    if job.lost:
        lines.append(
            f"<i>{_planes(len(job.lost), 'keeps', 'keep')} former thresholds, as there was no "
            "room for all candidates; a run goes on with that.</i>"
        )
    return "<br>".join(lines)


def _planes(count: int, one: str, many: str) -> str:
    return f"1 plane {one}" if count == 1 else f"{count} planes {many}"
