"""What the runs of tiles noted, said once for the whole image."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

MOST = 10
"""Different notes that are told."""
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def notes_of_tiles(tiles: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Return every note once, with the number of tiles that have it, the most frequent first.

    Parameters
    ----------
    tiles
        The notes of each tile. Those that differ in their numbers only are one.

    Examples
    --------
    >>> notes_of_tiles([["3 masks are small"], ["7 masks are small"], ["all black"], []])
    ('in 2 of 4 tiles, with numbers that differ: 3 masks are small', 'in 1 of 4 tiles: all black')
    """
    seen: Counter[str] = Counter()
    texts: dict[str, list[str]] = {}
    total = 0
    for notes in tiles:
        total += 1
        for note in dict.fromkeys(notes):
            kind = _NUMBER.sub("#", note)
            known = texts.setdefault(kind, [])
            if len(known) < 2 and note not in known:
                known.append(note)
        seen.update({_NUMBER.sub("#", note) for note in notes})
    told = []
    for kind, count in seen.most_common(MOST):
        differ = ", with numbers that differ" if len(texts[kind]) > 1 else ""
        told.append(f"in {count} of {total} tiles{differ}: {texts[kind][0]}")
    if len(seen) > MOST:
        told.append(f"tiles have {len(seen) - MOST} more kinds of notes")
    return tuple(told)
