"""What ``graysam segment`` and ``graysam compare`` show of a batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from napari_graysam.cli.terminal import Terminal, table
from napari_graysam.profile import Profile

if TYPE_CHECKING:
    from napari_graysam.batch import Outcome


def costs_table(costs: Profile) -> Any:
    """Return the time and memory of every stage."""
    total = sum(cost.seconds for cost in costs.stages.values()) or 1.0
    rows = [
        [
            cost.stage,
            f"{cost.seconds:.2f}",
            f"{cost.seconds / total:.0%}",
            f"{cost.peak / 1e6:.0f}" if cost.peak else "",
        ]
        for cost in costs.stages.values()
    ]
    columns = ("stage", "seconds", "share", "peak MB")
    return table(*columns, rows=rows, numbers=columns[1:])


def tell(terminal: Terminal, outcome: Outcome) -> None:
    """Say in one line what became of an image."""
    for note in outcome.notes:
        terminal.note(f"{outcome.path}: note: {note}")
    if outcome.status == "failed":
        terminal.fail(outcome.error, outcome.trace)
        return
    if outcome.status == "skipped":
        terminal.note(f"{outcome.path}: skipped, its results are complete (--overwrite repeats)")
        return
    count = "1 object" if outcome.objects == 1 else f"{outcome.objects} objects"
    terminal.note(
        f"{outcome.path}: {count}, {outcome.unmasked or 0:.0%} unmasked, {outcome.seconds:.1f} s"
    )


def document(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return outcomes as plain values."""
    images = [
        {
            "path": str(outcome.path),
            "name": outcome.name or None,
            "status": outcome.status,
            "error": outcome.error or None,
            "objects": outcome.objects,
            "unmasked": outcome.unmasked,
            "seconds": round(outcome.seconds, 3),
            "files": {kind: str(path) for kind, path in outcome.files.items()},
            "notes": list(outcome.notes),
            **({} if outcome.changes is None else {"changes": dict(outcome.changes)}),
            **({} if outcome.scores is None else {"scores": dict(outcome.scores)}),
        }
        for outcome in outcomes
    ]
    counts = {
        status: sum(image["status"] == status for image in images)
        for status in ("done", "skipped", "failed")
    }
    return {**counts, "images": images}


def changes_table(outcomes: Iterable[Outcome]) -> Any:
    """Return the changes of every compared image, and its scores where there is a truth."""
    done = [outcome for outcome in outcomes if outcome.changes is not None]
    scored = any(outcome.scores for outcome in done)
    changes = list(done[0].changes or ()) if done else []
    ap = ["AP50 raw", "AP50 preprocessed"] if scored else []
    rows = [
        [
            outcome.name,
            *(_ap50(outcome, arm) for arm in ("raw", "preprocessed") if scored),
            *(outcome.changes or {}).values(),
        ]
        for outcome in done
    ]
    return table("image", *ap, *changes, rows=rows, numbers=[*ap, *changes])


def _ap50(outcome: Outcome, arm: str) -> str:
    if not outcome.scores:
        return ""
    return f"{outcome.scores[arm]['average_precision']['0.50']:.3f}"
