"""Kinds of files that are not read, or by a package of their own: what they are, what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from napari_graysam.source.places import is_address

EXPORT = "export it as OME-TIFF, with its own program or with Fiji (Bio-Formats)"
READ = "or read it in Python with `pip install {}` and pass the array"
HEIC = (b"heic", b"heix", b"mif1", b"msf1", b"hevc")


class Vendor(NamedTuple):
    """A microscope's kind of file: what it is, and which package of bioio reads it."""

    name: str
    package: str

    @property
    def advice(self) -> str:
        """What to do where that package is missing."""
        return (
            f"This is {self.name}, which needs a reader of its own: pip install "
            f"'napari-graysam[bioio]' {self.package}; or {EXPORT}."
        )


CZI = Vendor("a Zeiss CZI file", "bioio-czi")
ND2 = Vendor("a Nikon ND2 file", "bioio-nd2")
LIF = Vendor("a Leica LIF file", "bioio-lif")
VENDOR_STARTS = (
    (b"ZISRAWFILE", CZI), (b"\xda\xce\xbe\x0a", ND2), (b"\x70\0\0\0\x2a\0\0\0", LIF),
)  # fmt: skip
VENDOR_ENDINGS = {
    ".czi": CZI,
    ".nd2": ND2,
    ".lif": LIF,
    ".dv": Vendor("a DeltaVision file", "bioio-dv"),
    ".sldy": Vendor("a SlideBook file", "bioio-sldy"),
    ".vsi": Vendor("an Olympus VSI file", "bioio-bioformats"),
    ".oif": Vendor("an Olympus OIF file", "bioio-bioformats"),
    ".oir": Vendor("an Olympus OIR file", "bioio-bioformats"),
}
STARTS = (
    (b"\xd0\xcf\x11\xe0", "an OIB, ZVI or other OLE file", EXPORT),
    (b"\x89HDF", "an HDF5 file (Imaris, ilastik …)", f"{EXPORT}, {READ.format('h5py')}"),
    (b"SIMPLE  =", "a FITS file", f"export it as TIFF, {READ.format('astropy')}"),
    (b"%PDF", "a PDF file", "export its picture as TIFF or PNG"),
    (b"PK\x03\x04", "a ZIP file (or NPZ)", "unpack it and give an image in it"),
    (b"\x1f\x8b", "a compressed file (gzip)", "unpack it"),
    (b"8BPS", "a Photoshop file", "export it as TIFF"),
)  # fmt: skip
ENDINGS = {
    ".dm3": ("a Gatan DM3 file", f"export it as TIFF, {READ.format('ncempy')}"),
    ".dm4": ("a Gatan DM4 file", f"export it as TIFF, {READ.format('ncempy')}"),
    ".mrc": ("an MRC file", f"export it as TIFF, {READ.format('mrcfile')}"),
    ".svg": ("an SVG drawing", "export it as PNG"),
}
ZIPPED = (".ozx", ".zarr.zip")
ZARR = (".zarray", ".zgroup", ".zattrs", "zarr.json")


def vendor(path: str | os.PathLike[str], start: bytes) -> Vendor | None:
    """Return which microscope's kind of file this is; None if it is another.

    Examples
    --------
    >>> vendor("cells.czi", b"ZISRAWFILE").package
    'bioio-czi'
    """
    known = next((about for head, about in VENDOR_STARTS if start.startswith(head)), None)
    return known or VENDOR_ENDINGS.get(Path(path).suffix.lower())


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
    if start.startswith(b"PK") and Path(path).name.lower().endswith(ZIPPED):
        known = ["a zipped Zarr store", "unpack it into a folder NAME.zarr and give that"]
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


def no_image(path: str) -> str:
    """Say that there is no Zarr image at a path or an address."""
    if is_address(path):
        return "There is no Zarr image at this address; other files are read on this machine only."
    return folder(path)


def folder(path: str | os.PathLike[str]) -> str:
    """Say what a folder is, and what to do."""
    return (
        "This is a folder; give the images in it, or to the command a folder that holds some "
        "(--recursive looks into the folders within)."
    )
