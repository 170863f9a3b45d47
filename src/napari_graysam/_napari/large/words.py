"""What is said about a whole image in tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_graysam._napari.panel.sections.run_view import STAGES, duration

if TYPE_CHECKING:
    from napari_graysam._napari.large.job import WholeJob
    from napari_graysam._napari.large.jobs import WholeJobs
    from napari_graysam._napari.large.watch import WholeProgress

WHOLE_STAGES = {
    **STAGES,
    "read": "reading the image",
    "region": "reading the region",
    "seams": "resolving seams",
    "measure": "measuring objects",
    "paint": "painting labels",
    "write": "writing tables",
    "report": "checking seams",
}


def whole_in_words(progress: WholeProgress) -> str:
    """Return how far a run is, in one line."""
    stage, counted = progress.stage, ""
    if stage.startswith("tiles"):
        tile, _, inner = stage.partition(": ")
        at = tile.partition(" ")[2] or f"{min(progress.done + 1, progress.total)}/{progress.total}"
        text = f"tile {at.replace('/', ' of ')}"
        if inner:
            text += f": {STAGES.get(inner, inner)}"
        if progress.left is not None:
            counted = f", {duration(progress.left)} left"
    else:
        name, _, inner = stage.partition(": ")
        text = "trial tile for the halo" if name == "trial" else WHOLE_STAGES.get(name, name)
        if inner and name == "trial":
            text += f", {STAGES.get(inner, inner)}"
        if progress.total > 1:
            counted = f", {progress.done:,} of {progress.total:,}"
    return f"{progress.arm.capitalize()}: {text}{counted}"


def whole_is_there(jobs: WholeJobs, job: WholeJob) -> str:
    """Say how much of an image is there, by arm, where it is, and what is not up to date."""
    behind, stale = jobs.outdated(job), jobs.stale(job)
    changed = jobs.inputs.reason(job)
    lines = []
    for arm in dict.fromkeys((*job.done, *job.left)):
        if arm in job.done:
            count = job.objects[arm]
            text = f"<b>{arm.capitalize()}</b>, whole image: {count:,} object{'s' * (count != 1)}"
            if changed:
                text += f"<br><i>{changed}</i>"
            elif arm in stale:
                text += "<br><i>Outdated: the recipe asks the model anew; run again.</i>"
            elif arm in behind:
                text += "<br><i>Outdated: “Select again” takes what the tiles have kept, without "
                text += "the model.</i>"
            for note in job.notes[arm]:
                text += f"<br><i>{note}</i>"
        else:
            left = job.left[arm]
            text = f"<b>{arm.capitalize()}</b>, whole image: {left:,} tiles are missing"
        lines.append(text)
    if job.done:
        lines.append(f"In {job.folder}")
    return "<br>".join(lines)
