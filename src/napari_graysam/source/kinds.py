"""Kinds of files that are not read: their names, and what to do instead."""

from __future__ import annotations

import os
from pathlib import Path

EXPORT = "export it as OME-TIFF, with its own program or with Fiji (Bio-Formats)"
READ = "or read it in Python with `pip install {}` and pass the array"
HEIC = (b"heic", b"heix", b"mif1", b"msf1", b"hevc")

STARTS = (
    (b"ZISRAWFILE", "a Zeiss CZI file", f"{EXPORT}, {READ.format('czifile')}"),
    (b"\xda\xce\xbe\x0a", "a Nikon ND2 file", f"{EXPORT}, {READ.format('nd2')}"),
    (b"\x70\0\0\0\x2a\0\0\0", "a Leica LIF file", f"{EXPORT}, {READ.format('readlif')}"),
    (b"\xd0\xcf\x11\xe0", "an OIB, ZVI or other OLE file", EXPORT),
    (b"\x89HDF", "an HDF5 file (Imaris, ilastik …)", f"{EXPORT}, {READ.format('h5py')}"),
    (b"SIMPLE  =", "a FITS file", f"export it as TIFF, {READ.format('astropy')}"),
    (b"%PDF", "a PDF file", "export its picture as TIFF or PNG"),
    (b"PK\x03\x04", "a ZIP file (or NPZ)", "unpack it and give an image in it"),
    (b"\x1f\x8b", "a compressed file (gzip)", "unpack it"),
    (b"8BPS", "a Photoshop file", "export it as TIFF"),
)  # fmt: skip
ENDINGS = {
    ".czi": STARTS[0][1:],
    ".nd2": STARTS[1][1:],
    ".lif": STARTS[2][1:],
    ".vsi": ("an Olympus VSI file", EXPORT),
    ".oif": ("an Olympus OIF file", EXPORT),
    ".dm3": ("a Gatan DM3 file", f"export it as TIFF, {READ.format('ncempy')}"),
    ".dm4": ("a Gatan DM4 file", f"export it as TIFF, {READ.format('ncempy')}"),
    ".mrc": ("an MRC file", f"export it as TIFF, {READ.format('mrcfile')}"),
    ".svg": ("an SVG drawing", "export it as PNG"),
}
ZARR = (".zarray", ".zgroup", ".zattrs", "zarr.json")


def foreign(path: str | os.PathLike[str], start: bytes) -> str | None:
    """Say which known kind a file is that is not read, and what to do; None if it is unknown.

    Parameters
    ----------
    path
        Its name.
    start
        Its first bytes, 132 if it has as many.

    Examples
    --------
    >>> foreign("a.pdf", b"%PDF-1.7")
    'This is a PDF file, which is not read; export its picture as TIFF or PNG.'
    """
    known = next((about for head, *about in STARTS if start.startswith(head)), None)
    if known is None and start[4:8] == b"ftyp":
        name = "an HEIC picture" if start[8:12] in HEIC else "an AVIF picture or a film"
        known = [name, "export it as PNG or TIFF"]
    if known is None and start[128:132] == b"DICM":
        known = ["a DICOM file", f"export it as TIFF, {READ.format('pydicom')}"]
    if known is None and (ending := ENDINGS.get(Path(path).suffix.lower())):
        known = list(ending)
    return None if known is None else f"This is {known[0]}, which is not read; {known[1]}."


def is_zarr(path: str | os.PathLike[str]) -> bool:
    """Tell whether a folder is a group or an array of Zarr."""
    return any(Path(path, name).exists() for name in ZARR)


def folder(path: str | os.PathLike[str]) -> str:
    """Say what a folder is, and what to do."""
    return (
        "This is a folder; give the images in it, or to the command a folder that holds some "
        "(--recursive looks into the folders within)."
    )
