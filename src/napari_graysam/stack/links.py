"""What linking says: the object of every label, bridged gaps, parents and children."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Bridge(NamedTuple):
    """A gap that an object was followed across.

    Parameters
    ----------
    id
        Of the object.
    before, after
        The planes around the gap that have the object; those between lack it.
    """

    id: int
    before: int
    after: int


@dataclass(frozen=True, eq=False)
class Links:
    """Which labels of the planes of a stack are one object.

    Parameters
    ----------
    ids
        Per plane, the object of each label: uint32 (largest label + 1,). Objects are numbered
        from 1 in the order in which they first appear, from plane to plane and there row by row;
        0 is background, a label that does not occur, and what `LinkOptions.min_extent` removed.
        Two labels of one plane never have the same object. ``ids[p][planes[p]]`` is plane ``p``
        with the numbers of the objects.
    bridges
        The gaps that were bridged, in the order of their last plane.
    lineage
        Parent and child of every split and merge, ascending: where one object became several,
        or several one.
    max_distance
        How far centres were followed from plane to plane, in pixels; None of links by overlap.

    See Also
    --------
    link_planes : Makes them.
    """

    ids: tuple[NDArray[np.uint32], ...]
    bridges: tuple[Bridge, ...] = ()
    lineage: tuple[tuple[int, int], ...] = ()
    max_distance: float | None = None

    @property
    def count(self) -> int:
        """The number of objects; the largest id."""
        return max((int(ids.max(initial=0)) for ids in self.ids), default=0)
