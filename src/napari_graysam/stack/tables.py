"""Tables of a stack: a row for each object and plane, for each object, and for each track point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from napari_graysam.stack.gaps import Fill
    from napari_graysam.stack.links import Links

TAKEN = (
    *("area", "visible_area", "centroid_y", "centroid_x"),
    *("predicted_iou", "stability_score", "intensity_mean"),
)
"""Columns of the object table of a plane that go into that of the stack."""
MEASURED_ONLY = ("predicted_iou", "stability_score")
"""Columns that say nothing of an interpolated mask."""


def fills_table(
    fills: Sequence[Fill], labels: NDArray[np.uint32], raw: NDArray[Any]
) -> pd.DataFrame:
    """Measure the objects that a plane lacked, as its object table measures those it has.

    Parameters
    ----------
    fills
        Of the plane.
    labels
        uint32 (H, W), the plane with the numbers of all objects.
    raw
        (H, W), gray values.

    Returns
    -------
    pandas.DataFrame
        The columns of `TAKEN`, ``id`` and ``source``.
    """
    from napari_graysam.select import object_table

    ids = np.array([fill.id for fill in fills], np.int64)
    table = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
    table[ids] = np.arange(1, ids.size + 1)
    found = object_table([fill.mask for fill in fills], table[labels], raw)[list(TAKEN)].copy()
    found.insert(0, "id", ids)
    found["source"] = [fill.source for fill in fills]
    found.loc[found["source"] == "interpolated", list(MEASURED_ONLY)] = np.nan
    return found


def planes_table(
    axis: str,
    positions: Sequence[int],
    tables: Sequence[pd.DataFrame],
    links: Links,
    pixel_size: tuple[float, float] | None,
    filled: Mapping[int, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Return one row for each object and plane.

    Its column ``source`` says where the mask comes from: ``model`` found it with the plane's
    others, which have a ``label``; else as `Fill.source` has it.

    Parameters
    ----------
    axis
        ``z`` or ``t``: the name of the column of positions.
    positions
        Of the planes.
    tables
        Object table of every plane.
    links
        The object of every label.
    pixel_size
        (height, width) in µm; None leaves areas in µm² out.
    filled
        Of `fills_table`, by number of the plane.
    """
    import pandas as pd

    parts = []
    for number, (position, table) in enumerate(zip(positions, tables, strict=True)):
        labels = table["index"].to_numpy(np.int64)
        ids = links.ids[number]
        of = np.array([ids[one] if one < ids.size else 0 for one in labels], np.int64)
        part = table[list(TAKEN)].copy()
        part.insert(0, "label", labels)
        part.insert(0, axis, np.full(labels.size, position, np.int64))
        part.insert(0, "id", of)
        part["source"] = "model"
        parts.append(part[of > 0])
        if filled and number in filled:
            parts.append(filled[number].assign(**{axis: position, "label": 0}))
    columns = ["id", axis, "label", *TAKEN, "source"]
    some = [part for part in parts if len(part)]
    found = pd.concat(some)[columns] if some else pd.DataFrame(columns=columns, dtype=np.float64)
    if pixel_size is not None:
        found["area_um2"] = found["area"] * (pixel_size[0] * pixel_size[1])
    return found.sort_values(["id", axis]).reset_index(drop=True)


def objects_table(
    axis: str,
    planes: pd.DataFrame,
    links: Links,
    pixel_size: tuple[float, float] | None,
    spacing: float | None,
    step: int = 1,
) -> pd.DataFrame:
    """Return one row for each object of a stack.

    ``voxels`` counts what the label volume shows, ``filled`` the planes whose mask is not one of
    the plane's own objects. Along t there are ``parents``, all of them, ``displacement`` (from the
    first to the last centroid), ``path_length`` and ``speed`` (path per plane, those without the
    object included), in px, and in µm and µm/s where sizes are known.

    Parameters
    ----------
    axis, planes, links
        As `planes_table` takes and returns them.
    pixel_size, spacing
        Of the planes, in µm; along t in seconds. None where unknown.
    step
        How many positions lie from one plane to the next.
    """
    import pandas as pd

    parents: dict[int, list[str]] = {}
    for parent, child in links.lineage:
        parents.setdefault(child, []).append(str(parent))
    rows = []
    for number, part in planes.groupby("id"):
        weight = part["visible_area"].to_numpy(float)
        weight = weight if weight.sum() else np.ones_like(weight)
        first, last = int(part[axis].min()), int(part[axis].max())
        row: dict[str, Any] = {
            "id": int(str(number)),
            "voxels": int(part["visible_area"].sum()),
            f"first_{axis}": first,
            f"last_{axis}": last,
            "planes": len(part),
            "filled": int((part["source"] != "model").sum()),
            "extent": last - first + 1,
            "intensity_mean": float(np.average(part["intensity_mean"], weights=weight)),
            "predicted_iou": float(part["predicted_iou"].mean()),
        }
        for side in (axis, "centroid_y", "centroid_x"):
            name = f"centroid_{axis}" if side == axis else side
            row[name] = float(np.average(part[side], weights=weight))
        if axis == "z" and pixel_size and spacing:
            row["volume_um3"] = row["voxels"] * pixel_size[0] * pixel_size[1] * spacing
        if axis == "t":
            row |= _motion(part, (1.0, 1.0), 1.0, "")
            if pixel_size:
                row |= _motion(part, pixel_size, None, "_um")
            if pixel_size and spacing:
                seconds = spacing * (last - first) / step
                row["speed_um_s"] = row["path_length_um"] / seconds if seconds else 0.0
            row["parents"] = " ".join(parents.get(row["id"], []))
        rows.append(row)
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["id", "voxels"])


def _motion(
    part: pd.DataFrame, size: tuple[float, float], plane: float | None, unit: str
) -> dict[str, float]:
    places = part[["centroid_y", "centroid_x"]].to_numpy(float) * size
    path = float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())
    planes = float(part["t"].iloc[-1] - part["t"].iloc[0])
    found = {
        f"displacement{unit}": float(np.linalg.norm(places[-1] - places[0])),
        f"path_length{unit}": path,
    }
    if plane is not None:
        found["speed"] = path / planes if planes else 0.0
    return found


def tracks_table(planes: pd.DataFrame, links: Links, positions: Sequence[int]) -> pd.DataFrame:
    """Return points of tracks in btrack's columns: ID, t, x, y, z, parent, root, generation.

    An object without a parent names itself as parent and root. There is room for one parent: of
    several, after a merge, the first is named here, and all of them in `objects_table`.

    Parameters
    ----------
    planes
        As `planes_table` returns it, along ``t``.
    links
        Has the lineage.
    positions
        Of the planes.
    """
    import pandas as pd

    parent: dict[int, int] = {}
    for before, after in links.lineage:
        parent.setdefault(after, before)
    ids = planes["id"].to_numpy(np.int64)
    chains: dict[int, list[int]] = {}
    for one in np.unique(ids).tolist():
        chain = [one]
        while chain[-1] in parent and parent[chain[-1]] not in chain:
            chain.append(parent[chain[-1]])
        chains[one] = chain
    return pd.DataFrame(
        {
            "ID": ids,
            "t": planes["t"].to_numpy(np.int64),
            "x": planes["centroid_x"],
            "y": planes["centroid_y"],
            "z": np.zeros(ids.size),
            "parent": [parent.get(one, one) for one in ids.tolist()],
            "root": [chains[one][-1] for one in ids.tolist()],
            "generation": [len(chains[one]) - 1 for one in ids.tolist()],
        }
    )
