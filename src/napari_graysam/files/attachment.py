"""What a label TIFF carries besides its pixels, in a tag of its own: the table and the place."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_graysam.errors import ImageError, LabelsError
from napari_graysam.limits import parse_json

if TYPE_CHECKING:
    import pandas as pd

TAG = 65000
"""First of the tags that TIFF 6.0 leaves to private use; other programs pass over it."""
_KIND = "napari-graysam labels"


class Attachment(NamedTuple):
    """The object table, whose column ``index`` is the label, and where a layer lay in napari.

    ``placement`` holds JSON's types by the names of a layer's attributes; both may be None.
    """

    table: pd.DataFrame | None = None
    placement: dict[str, Any] | None = None


def encode(table: pd.DataFrame | None, placement: Mapping[str, Any] | None) -> bytes:
    """Return what goes into the tag; numbers that are not finite become null."""
    columns = None
    if table is not None:
        columns = {str(name): [_plain(value) for value in table[name].tolist()] for name in table}
    content = {"kind": _KIND, "table": columns, "placement": placement}
    return json.dumps(content, allow_nan=False, default=str).encode()


def decode(data: bytes) -> Attachment:
    """Read the tag; one of another program gives nothing.

    Raises
    ------
    LabelsError
        The table in it is damaged.

    Examples
    --------
    >>> import pandas as pd
    >>> data = encode(pd.DataFrame({"index": [1, 2], "area": [4, 9]}), {"scale": [2.0, 2.0]})
    >>> decode(data).table["area"].tolist(), decode(data).placement
    ([4, 9], {'scale': [2.0, 2.0]})
    """
    try:
        content = parse_json(data)
    except ImageError:
        return Attachment()
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        return Attachment()
    placement = content.get("placement")
    return Attachment(
        _table(content.get("table")), placement if isinstance(placement, dict) else None
    )


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(columns: Any) -> pd.DataFrame | None:
    import pandas as pd

    from napari_graysam.select.table import COLUMNS

    if columns is None:
        return None
    try:
        table = pd.DataFrame({name: pd.Series(values) for name, values in columns.items()})
        table = table.astype({"index": "int64"})
        kinds = {name: kind for name, kind in COLUMNS.items() if kind in ("float64", "str")}
        return table.astype({name: kind for name, kind in kinds.items() if name in table})
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise LabelsError("The object table in it is damaged.") from error
