"""Objects of a volume that is held in memory: linked, numbered and measured."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_graysam.batch.filling import complete_steps
from napari_graysam.fingerprint import array_digest, digest_of
from napari_graysam.outputs.stack import write_stack
from napari_graysam.progress import Progress
from napari_graysam.recipe import Recipe
from napari_graysam.source.stack import Stack
from napari_graysam.stack import Links
from napari_graysam.stack.tables import fills_table, objects_table, planes_table, tracks_table
from napari_graysam.stack.volume import Chosen, LabelVolume, spans

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class VolumeTables:
    """What a linked volume holds.

    Attributes
    ----------
    planes
        As `napari_graysam.stack.tables.planes_table` returns it.
    objects
        As `napari_graysam.stack.tables.objects_table` returns it.
    tracks
        As `napari_graysam.stack.tables.tracks_table` returns it; None along z.
    lineage
        Parent and child of every split and merge.
    max_distance
        As of `Links`, of each stretch of planes that was linked by itself; empty by overlap.
    """

    planes: pd.DataFrame
    objects: pd.DataFrame
    tracks: pd.DataFrame | None
    lineage: tuple[tuple[int, int], ...]
    max_distance: tuple[float, ...] = ()


def link_volume_steps(
    volume: LabelVolume,
    stack: Stack,
    recipe: Recipe,
    table: Callable[[int], pd.DataFrame],
) -> Generator[Progress, None, VolumeTables]:
    """Link the planes of a volume as the recipe says, and show the numbers of the objects in it.

    Planes that are missing separate what lies before from what comes after: objects are never
    linked across them.

    Parameters
    ----------
    volume
        Some planes of the stack, or all; its ``ids`` are changed.
    stack
        The positions that belong to it; gray values are read of planes that get missing masks.
    recipe
        Of the arm: uses ``stack``, and where the model is asked again all that it needs.
    table
        Returns the object table of the plane at a position.

    Yields
    ------
    Progress
        "link", "prompt", "fill" and "number"; closing the generator may leave some planes with
        numbers of their own.
    """
    import pandas as pd

    parts, lineage, distances, count = [], [], [], 0
    for span in spans(stack.positions, volume.positions):
        chosen = Chosen(volume, span.positions)
        there = stack.among(span.positions, recipe)
        complete = yield from complete_steps(there, chosen, recipe)
        links, filled = complete.links, {}
        for number, (position, labels) in enumerate(
            zip(span.positions, complete.painted(chosen), strict=True)
        ):
            yield Progress("number", span.first + number, len(stack))
            if complete.fills[number]:
                raw = stack.plane(position).raw
                filled[number] = fills_table(complete.fills[number], labels, raw)
            shift = np.arange(int(labels.max(initial=0)) + 1, dtype=np.uint32) + count
            shift[0] = 0
            volume.write(position, shift[labels])
        tables = [table(position) for position in span.positions]
        part = planes_table(stack.axis, span.positions, tables, links, stack.pixel_size, filled)
        parts.append(part.assign(id=part["id"] + count))
        lineage += [(parent + count, child + count) for parent, child in links.lineage]
        distances += [] if links.max_distance is None else [links.max_distance]
        count += links.count
    some = [part for part in parts if len(part)] or parts[:1]
    empty = planes_table(stack.axis, (), (), Links(()), stack.pixel_size)
    planes = pd.concat(some, ignore_index=True) if some else empty
    related = Links((), lineage=tuple(lineage))
    physical = (stack.pixel_size, stack.spacing, stack.options.step)
    objects = objects_table(stack.axis, planes, related, *physical)
    tracks = tracks_table(planes, related, stack.positions) if stack.axis == "t" else None
    return VolumeTables(planes, objects, tracks, related.lineage, tuple(distances))


def write_volume(
    volume: LabelVolume,
    tables: VolumeTables,
    stack: Stack,
    recipe: Recipe,
    folder: Path,
    name: str,
    about: dict[str, Any],
) -> dict[str, Path]:
    """Write a linked volume as `segment_stack` writes one: labels, tables, provenance, recipe.

    Parameters
    ----------
    volume, tables
        As `link_volume_steps` has left them; planes that are missing are empty.
    stack, recipe
        What was segmented, and how.
    folder, name
        The files are ``NAME.labels.tif`` and so on; those that are there are replaced.
    about
        For the provenance, in JSON's types.

    Returns
    -------
    dict
        The paths by kind.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    there = list(volume.positions)
    plane_digests = [array_digest(volume.ids[position]) for position in there]
    record = {
        "digest": digest_of(plane_digests, recipe.to_dict(), stack.pixel_size, stack.spacing),
        "axis": stack.axis,
        "positions": there,
        "pixel_size_um": stack.pixel_size,
        "spacing": stack.spacing,
        "window": recipe.stack.window,
        "objects": len(tables.objects),
        "lineage": [list(pair) for pair in tables.lineage],
        "max_distance_px": list(tables.max_distance),
        **about,
    }
    numbered = (volume.ids[position] for position in stack.positions)
    links = Links((), lineage=tables.lineage)
    return write_stack(stack, recipe, links, numbered, tables.planes, folder, name, record)
