"""One selection of objects among candidates, remembering nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Mask
from napari_graysam.propose import Proposals
from napari_graysam.recipe import GeneratorOptions, LabelOptions
from napari_graysam.select.selector import Selector


def select(
    proposals: Proposals,
    generator: GeneratorOptions,
    labels: LabelOptions | None = None,
    source: str = "raw",
    image: str | None = None,
    raw: NDArray[Any] | None = None,
    views: Sequence[NDArray[np.uint8]] = (),
) -> tuple[Mask, ...]:
    """Select the objects of an image among its candidates, without the model.

    Parameters
    ----------
    proposals
        Of the image.
    generator
        Thresholds no lower than the floors that the proposals were kept above; the grid as
        they were made with.
    labels
        Duplicate removal, cleaning, size range and nesting level; None for the defaults.
    source
        Written to each mask: ``"raw"`` or ``"preprocessed"``.
    image, raw, views
        As for `Selector`.

    Returns
    -------
    tuple of Mask
        In upstream's order, best first, without empty masks, with parent and depth; then what
        ``labels.pinned`` adds, in its order.

    Raises
    ------
    ProposalsError
        If the proposals do not hold what is asked for.

    See Also
    --------
    Selector : Selects repeatedly, at a fraction of the time.
    napari_graysam.masks.paint : Turns masks into a label image.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, run
    >>> from napari_graysam.pipeline import propose
    >>> from napari_graysam.select import select
    >>> recipe = Recipe().with_values({"generator.points_per_side": 4})
    >>> proposals = run(propose(np.zeros((64, 64, 3), np.uint8), recipe))
    >>> len(select(proposals, recipe.generator)) <= len(proposals)
    True
    """
    selector = Selector(proposals, image=image, raw=raw, views=views)
    return selector.select(generator, labels or LabelOptions(), source)
