"""Objects as a ZIP file of ImageJ regions of interest, written and read back.

Format: ImageJ's ``RoiEncoder``, through `roifile`; the ROI Manager opens the file. Corners have
whole coordinates on pixel edges, so that ImageJ, which fills the pixels whose centre is inside,
gets exactly the pixels of the mask.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path
from napari_graysam.errors import ImageError, LabelsError, OutputError
from napari_graysam.files.objects import (
    PROGRAM,
    Found,
    Objects,
    about_file,
    collect,
    numbers_by_label,
)
from napari_graysam.files.outlines import Pieces, Ring, trace
from napari_graysam.files.polygons import check_rings
from napari_graysam.limits import check_memory, file_size, parse_json, read_entry, readable, reading
from napari_graysam.masks import Mask

if TYPE_CHECKING:
    import pandas as pd
    from roifile import ImagejRoi

LARGEST_SIDE = 60535
"""ImageJ stores coordinates in 16 bits, of which those from -5000 to 60535 are told apart."""
LONGEST_COMMENT = 65535
LARGEST_ENTRY = 2**26
CORNER_GROWTH, PATH_GROWTH = 4, 32
"""Bytes in memory for one of an entry: as corners, and of a composite region while it is read."""
MOVE, LINE, CLOSE = 0.0, 1.0, 4.0
AREAS = ("POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED")
OVAL_CORNERS = 720
MEMBER = f"{PROGRAM}.json"


def write_rois(
    path: str | os.PathLike[str],
    masks: Sequence[Mask],
    shape: tuple[int, int],
    recipe: Mapping[str, Any] | None = None,
    *,
    labels: Sequence[int] | None = None,
    table: pd.DataFrame | None = None,
    image_name: str = "",
    position: int = 0,
) -> None:
    """Write masks as a ZIP file of ImageJ ROIs, one for each.

    A mask of one piece without holes is a traced region, any other a composite one. Names are
    the labels, padded with zeros so that they sort.

    Parameters
    ----------
    path
        The ``.zip`` file to write.
    masks, shape, labels, image_name
        As for `write_geojson`.
    recipe
        Kept, with the image's name and size, as JSON in the comment of the ZIP file, which
        ImageJ ignores; a recipe of more than 65535 bytes is its last entry instead, which
        ImageJ's ROI Manager passes over.
    table
        Object table whose column ``index`` is the label; its finite numbers become properties
        of the ROIs.
    position
        Slice of the stack that the ROIs belong to, from 1; 0 for none.

    Raises
    ------
    OutputError
        The image is larger than ImageJ's format can hold, or the file cannot be written.

    See Also
    --------
    read_rois : Reads it back.

    Examples
    --------
    >>> import zipfile
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> write_rois("cells.zip", [Mask(np.ones((2, 3), bool), (1, 0, 4, 2))], (8, 8))
    >>> with zipfile.ZipFile("cells.zip") as archive:
    ...     archive.namelist()
    ['0001.roi']
    """
    if max(shape) > LARGEST_SIDE:
        raise OutputError(
            f"ImageJ's ROI format holds coordinates up to {LARGEST_SIDE}, but the image has "
            f"{shape[0]} × {shape[1]} pixels; save it as GeoJSON or COCO instead."
        )
    rows = numbers_by_label(table)
    numbers = range(1, len(masks) + 1) if labels is None else labels
    digits = max(4, len(str(max(numbers, default=0))))
    about = json.dumps(about_file(shape, recipe, image_name)).encode()
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        traced = trace([mask.bits for mask in masks])
        for label, mask, pieces in zip(numbers, masks, traced, strict=True):
            if not mask.area:
                continue
            roi = _roi(mask, pieces)
            roi.name = f"{label:0{digits}d}"
            roi.position = position
            roi.props = "".join(f"{key}: {value}\n" for key, value in rows.get(label, {}).items())
            _add(archive, f"{roi.name}.roi", roi.tobytes())
        if len(about) <= LONGEST_COMMENT:
            archive.comment = about
        else:
            _add(archive, MEMBER, about)


def read_rois(path: str | os.PathLike[str], shape: tuple[int, int] | None = None) -> Objects:
    """Read the areas of a ZIP file of ImageJ ROIs; points, lines and texts are left out.

    Parameters
    ----------
    path
        A ZIP file by `write_rois` or ImageJ's ROI Manager.
    shape
        (H, W) of the image, used where the file does not say it.

    Raises
    ------
    LabelsError
        The file is missing, no ZIP file, holds no ROIs, is damaged, or does not fit into memory.

    See Also
    --------
    write_rois : Writes such a file.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.files import write_rois
    >>> from napari_graysam.masks import Mask
    >>> write_rois("cells.zip", [Mask(np.ones((2, 3), bool), (1, 0, 4, 2))], (8, 8))
    >>> objects = read_rois("cells.zip")
    >>> objects.labels, objects.shape, objects.masks[0].box
    ((1,), (8, 8), (1, 0, 4, 2))
    """
    with reading(path, "a whole ZIP file of ImageJ ROIs", LabelsError):
        file_size(path)
        with zipfile.ZipFile(path) as archive:
            entries = _entries(archive)
            about = _about(archive)
            if not entries and not about:
                raise LabelsError("There are no ImageJ ROIs (*.roi) in this ZIP file.")
            found = [_found(archive, entry) for entry in entries]
        areas = [one for one in found if one is not None]
        notes = []
        if len(areas) < len(found):
            notes.append(
                f"{len(found) - len(areas)} of {len(found)} ROIs are points, lines, texts or "
                "curves; only areas with straight edges and ovals can become labels."
            )
        return collect(areas, about, shape, notes)


def _entries(archive: zipfile.ZipFile) -> list[str]:
    """List the ROIs, if what all entries claim to hold can be held."""
    sizes = [entry.file_size for entry in archive.infolist()]
    largest = max(sizes, default=0)
    if largest > LARGEST_ENTRY:
        raise LabelsError(
            f"An entry of it has {readable(largest)}; a ROI has {readable(LARGEST_ENTRY)} at most."
        )
    needed = sum(sizes) * CORNER_GROWTH + largest * PATH_GROWTH
    check_memory(needed, f"A ZIP file of {len(sizes):,} entries, {readable(sum(sizes))} in all,")
    return [entry for entry in archive.namelist() if entry.endswith(".roi")]


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    # With a fixed date, the same objects give the same file.
    archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, compresslevel=1)


def _roi(mask: Mask, pieces: Pieces) -> ImagejRoi:
    from roifile import ROI_TYPE, ImagejRoi

    x0, y0, x1, y1 = mask.box
    rings = [ring for piece in pieces for ring in piece]
    roi = ImagejRoi(left=x0, top=y0, right=x1, bottom=y1)
    if len(rings) == 1:
        roi.roitype = ROI_TYPE.TRACED
        roi.integer_coordinates = rings[0].astype(np.int32)
        roi.n_coordinates = len(rings[0])
    else:
        roi.roitype = ROI_TYPE.RECT
        roi.multi_coordinates = np.concatenate([_path(ring + mask.box[:2]) for ring in rings])
        roi.shape_roi_size = roi.multi_coordinates.size
    return roi


def _path(ring: Ring) -> NDArray[np.float32]:
    """Move to the first corner, draw lines to the others, close: a part of a composite region."""
    steps = np.column_stack((np.full(len(ring), LINE), ring))
    steps[0, 0] = MOVE
    return np.append(steps.ravel(), CLOSE).astype(np.float32)


def _about(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Find what `write_rois` put beside the ROIs; nothing in another program's file."""
    text = read_entry(archive, MEMBER) if MEMBER in archive.namelist() else archive.comment
    try:
        about = parse_json(text)
    except ImageError:
        return {}
    return about if isinstance(about, dict) else {}


def _found(archive: zipfile.ZipFile, entry: str) -> Found | None:
    """One region of the file; None where it is no area."""
    from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi

    data = read_entry(archive, entry)
    try:
        roi = ImagejRoi.frombytes(data)
        areas = {ROI_TYPE[name] for name in AREAS}
        marks = {ROI_SUBTYPE.TEXT, ROI_SUBTYPE.ARROW, ROI_SUBTYPE.IMAGE}
        if roi.roitype not in areas or roi.subtype in marks:
            return None
        polygons = check_rings([_corners(roi)])
    except NotImplementedError:
        return None
    except (ValueError, TypeError, IndexError, RuntimeError, struct.error) as error:
        raise LabelsError(f"{entry} in it is no ImageJ ROI or is damaged: {error}.") from error
    name = (roi.name or entry.removesuffix(".roi").rpartition("/")[2]).strip()
    return Found(name, polygons, _numbers(roi.props))


def _corners(roi: ImagejRoi) -> list[NDArray[Any]]:
    from roifile import ROI_TYPE

    if roi.roitype == ROI_TYPE.OVAL:
        low, high = np.array([roi.left, roi.top]), np.array([roi.right, roi.bottom])
        turn = np.linspace(0, 2 * np.pi, OVAL_CORNERS, endpoint=False)
        circle = np.column_stack((np.cos(turn), np.sin(turn)))
        return [(low + high) / 2 + circle * (high - low) / 2]
    return list(roi.coordinates(multi=True))


def _numbers(properties: str) -> dict[str, float]:
    """Finite numbers among a region's properties."""
    numbers = {}
    for line in properties.splitlines():
        key, _, text = line.partition(":")
        try:
            value = float(text)
        except ValueError:
            continue
        if np.isfinite(value):
            numbers[key.strip()] = value
    return numbers
