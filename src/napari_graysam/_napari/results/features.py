"""Which columns of the object table a layer shows, and where it keeps the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Labels

FIRST = ("index", "area", "area_um2", "predicted_iou", "stability_score", "intensity_mean")
"""Columns that napari's status bar has room for."""
_RUN = ("point_", "crop_")
"""How columns begin that say how an object was found, and not what it is."""
_RECORD = "found_by"


def show_table(layer: Labels, table: pd.DataFrame, key: str) -> None:
    """Give a layer the features of its objects; what it was found by goes to its metadata.

    napari writes every feature into its status bar.

    Parameters
    ----------
    layer
        Of the objects.
    table
        As `napari_graysam.select.object_table` returns it.
    key
        Entry of the layer's metadata that is the plugin's.
    """
    layer.features, record = shown_and_kept(table)
    layer.metadata = {**layer.metadata, key: {**layer.metadata.get(key, {}), **record}}


def shown_and_kept(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Split an object table into a layer's features and what its metadata keep of it."""
    record = [name for name in table if str(name).startswith(_RUN)]
    first = [name for name in FIRST if name in table]
    rest = [name for name in table if name not in {*first, *record}]
    return table[[*first, *rest]], {_RECORD: table[["index", *record]].to_dict("list")}


def whole_table(features: pd.DataFrame, about: Mapping[str, Any]) -> pd.DataFrame:
    """Return the object table of a layer: its features, and what its metadata keeps.

    Parameters
    ----------
    features
        Of the layer, with the label as column ``index``.
    about
        The plugin's entry of the layer's metadata.
    """
    import pandas as pd

    from napari_graysam.select.table import COLUMNS

    record = about.get(_RECORD)
    if isinstance(record, dict) and "index" in record and len(features):
        known = pd.DataFrame(record).drop(
            columns=[*features.columns.drop("index")], errors="ignore"
        )
        features = features.merge(known, how="left", on="index")
    order = [name for name in COLUMNS if name in features]
    return features[[*order, *(name for name in features if name not in order)]]
