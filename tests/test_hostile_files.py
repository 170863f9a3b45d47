"""No file makes a reader run out of memory or time, write anything, or fail unexplained.

Every file below is a few kilobytes that ask for gigabytes, or lie in another way. Each is read in
a process that may use 512 MiB, so that whoever allocates first and checks later is found out.
"""

from __future__ import annotations

import io
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable

import hostile
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from roifile import ROI_TYPE, ImagejRoi

from napari_graysam.files import write_coco, write_geojson, write_labels, write_rois
from napari_graysam.masks import Mask

MIB = 2**20
ONE = Mask(np.ones((2, 2), bool), (0, 0, 2, 2))
PREPARE = '''
import random
from pathlib import Path
import cv2, psutil, tifffile, roifile, scipy.ndimage, PIL.Image
import imagecodecs
from PIL import BmpImagePlugin, GifImagePlugin, Jpeg2KImagePlugin, JpegImagePlugin
from PIL import PngImagePlugin, WebPImagePlugin
imagecodecs.jpeg2k_decode, imagecodecs.jpeg_decode, imagecodecs.lzw_decode
from napari_graysam.errors import GraysamError, ImageError, ProposalsError
from napari_graysam.files import read_coco, read_geojson, read_labels, read_recipe_text, read_rois
from napari_graysam.propose import Proposals
from napari_graysam.propose.cache import Cache
from napari_graysam.recipe import GeneratorOptions
from napari_graysam.source.reading import load, read_image

def read_damaged(read, path, tries=200):
    """Read a file with some of its bytes replaced or missing; only our errors may come."""
    whole, chance = Path(path).read_bytes(), random.Random(0)
    for attempt in range(tries):
        data = bytearray(whole[: chance.choice((None, chance.randrange(len(whole))))])
        for _ in range(chance.choice((1, 1, 2, 8)) if data else 0):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 127, 128, 255, 48, 57))
        Path("damaged").write_bytes(data)
        try:
            read("damaged")
        except GraysamError:
            pass
        except BaseException as error:
            raise AssertionError(f"attempt {attempt}: {error!r}") from error
    Path("damaged").unlink()
'''


# Images


def tags(*entries, following=0, offset=8):
    """A little-endian TIFF directory of (tag, type, count, value)."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + body + struct.pack("<I", following)


def tiff(height=8, width=8, *, compression=8, more=(), data=b"\0" * 64, **changes):
    """A TIFF of one strip that lies before its directory; tags by name may be changed."""
    values = {
        "width": (256, 4, 1, width),
        "height": (257, 4, 1, height),
        "bits": (258, 3, 1, 8),
        "compression": (259, 3, 1, compression),
        "photometric": (262, 3, 1, 1),
        "offset": (273, 4, 1, 8),
        "samples": (277, 3, 1, 1),
        "rows": (278, 4, 1, height),
        "counts": (279, 4, 1, len(data)),
    }
    values |= changes
    entries = [value for value in values.values() if value is not None]
    start = 8 + len(data)
    return struct.pack("<2sHI", b"II", 42, start) + data + tags(*entries, *more)


def ring_of_pages(count):
    size = 2 + 12 + 4
    pages = [
        tags((256, 4, 1, 8), following=8 + (number + 1) % count * size) for number in range(count)
    ]
    return struct.pack("<2sHI", b"II", 42, 8) + b"".join(pages)


def tiled(side, tile, count):
    return tiff(
        side,
        side,
        offset=None,
        rows=None,
        counts=None,
        more=[(322, 4, 1, tile), (323, 4, 1, tile), (324, 4, 1, 8), (325, 4, 1, count)],
    )


def ome(text):
    file = io.BytesIO()
    image = np.zeros((8, 8), np.uint8)
    tifffile.imwrite(file, image, description=text.encode(), metadata=None)
    return file.getvalue()


def entities():
    lines = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    head = f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY e0 "aaaaaaaaaa">{lines}]>'
    return ome(f"{head}<OME>&e9;</OME>")


def elsewhere(name):
    space = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    return ome(
        f'<?xml version="1.0"?><OME xmlns="{space}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        'DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="8" SizeZ="2" SizeC="1" SizeT="1">'
        f'<TiffData IFD="0" FirstZ="1"><UUID FileName="{name}">urn:uuid:1</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )


def chunk(kind, data):
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def png(height, width, *, depth=8, colour=0, more=b""):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + more + pixels + chunk(b"IEND", b"")


def jpeg(height, width):
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(file, "JPEG")
    data = bytearray(file.getvalue())
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp(height, width):
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(file, "BMP")
    data = bytearray(file.getvalue())
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def changed(kind, find, skip, value):
    """A small picture with other bytes so many after a mark."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(file, kind)
    data = bytearray(file.getvalue())
    start = data.index(find) + skip
    data[start : start + len(value)] = value
    return bytes(data)


def blank_webp(side):
    """A few hundred bytes that are honest: a picture of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (side, side)).save(file, "WEBP", lossless=True, method=0)
    return file.getvalue()


def many_frames(side, count):
    file = io.BytesIO()
    frames = [Image.fromarray(np.full((8, 8), n % 256, np.uint8)) for n in range(count)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    data = bytearray(file.getvalue())
    data[6:10] = struct.pack("<HH", side, side)
    return bytes(data)


def npy(header, *, version=1, size=None):
    text = header.encode()
    length = len(text) if size is None else size
    return (
        b"\x93NUMPY"
        + struct.pack("<BB" + ("H" if version == 1 else "I"), version, 0, length)
        + text
    )


def shaped(shape, dtype="|u1"):
    return npy(f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}")


IMAGES = {
    "deflate.tif": (tiff(100_000, 100_000), "claims"),
    "lzw.tif": (tiff(2**31, 2**31, compression=5), "claims"),
    "other codec.tif": (tiff(2**20, 2**20, compression=50000), "claims"),
    "plain.tif": (tiff(100_000, 100_000, compression=1), "cut off"),
    "tile.tif": (tiled(8, 2**20, 64), "claims"),
    "blank tiles.tif": (tiled(2**20, 2**10, 0), "claims|damaged"),
    "strip.tif": (tiff(counts=(279, 4, 1, 2**32 - 1)), "larger than it"),
    "many strips.tif": (tiff(counts=(279, 4, 2**31, 8)), "damaged|no image"),
    "ring.tif": (ring_of_pages(150), "ring"),
    "ring of one.tif": (ring_of_pages(1), "ring"),
    "entities.tif": (entities(), "entities"),
    "above.tif": (elsewhere("../secret.tif"), "another folder.*secret"),
    "absolute.tif": (elsewhere("/etc/secret.tif"), "another folder.*secret"),
    "claims.png": (png(100_000, 100_000), "claims"),
    "deep colour.png": (png(50_000, 50_000, depth=16, colour=2), "claims"),
    "text.png": (png(8, 8, more=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**28)))), "damaged"),
    "claims.jpg": (jpeg(65_000, 65_000), "claims"),
    "claims.bmp": (bmp(2**30, 2**30), "claims"),
    "claims.gif": (changed("GIF", b"GIF87a", 6, b"\xff" * 4), "claims"),
    "frames.gif": (many_frames(60_000, 300), "claims"),
    "blank.webp": (blank_webp(12_000), "claims"),
    "claims.jp2": (changed("JPEG2000", b"ihdr", 4, struct.pack(">II", 2**20, 2**20)), "claims|dam"),
    "codestream.jp2": (
        changed("JPEG2000", b"\xff\x4f\xff\x51", 8, struct.pack(">II", 2**20, 2**20)),
        "claims|damaged|broken",
    ),
    "claims.pgm": (b"P5 100000 100000 255\n" + bytes(99), "claims"),
    "claims.pbm": (b"P4 1000000 1000000\n" + bytes(99), "claims"),
    "digits.pgm": (b"P2 9 9 255\n" + b"9" * MIB, "cut off|damaged"),
    "endless head.pgm": (b"P5" + b"#\n" * MIB, "head"),
    "no rows.pgm": (b"P4 0 5\n", "empty"),
    "claims.npy": (shaped((2**20, 2**20)), "claims.*follow"),
    "below zero.npy": (shaped((-1, -(2**40))), "claims"),
    "objects.npy": (shaped((1, 1), "|O"), "Python objects"),
    "header.npy": (npy("{", version=2, size=2**32 - 1), "damaged"),
    "nested.npy": (npy("(" * 5000), "damaged"),
    "kind.npy": (shaped((9,), "|V2000000000"), "claims"),
}
IMAGES |= {"pipe.tif": (None, "a pipe")}


# Outlines and masks


def coco(shape=(4, 4), *, count=1, **changes):
    file = {
        "info": {},
        "images": [{"height": shape[0], "width": shape[1]}],
        "annotations": [
            {
                "id": number,
                "segmentation": {"size": [4, 4], "counts": "0240101b0"},
                "area": 4,
                "bbox": [0, 0, 2, 2],
                "predicted_iou": 1,
                "stability_score": 1,
                "point_coords": [[0, 0]],
                "crop_box": [0, 0, 4, 4],
                "parent": 0,
                "depth": 0,
                "source": "raw",
            }
            | changes
            for number in range(1, count + 1)
        ],
    }
    return json.dumps(file).encode()


RUNS = {"size": [4, 4], "counts": [0, 2, 2, 2, 10]}
TEXT = {"size": [4, 4], "counts": "0240101b0"}


def foreign(*segmentations, side=4):
    file = {
        "images": [{"id": 1, "file_name": "a.png", "height": side, "width": side}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 1, "segmentation": one, "iscrowd": 0}
            for number, one in enumerate(segmentations, start=1)
        ],
    }
    return json.dumps(file).encode()


def whole(side, count):
    text = {"size": [side, side], "counts": "0"}
    return coco((side, side), count=count, bbox=[0, 0, side, side], segmentation=text)


COCO = {
    "one whole.json": (whole(1_000_000, 1), "1,000,000,000,000 pixels.* of memory"),
    "many whole.json": (whole(20_000, 100), "100 masks.* of memory"),
    "endless image.json": (coco((4, float("inf"))), "size is damaged"),
    "no image.json": (coco((0, 4)), "size is damaged"),
    "huge side.json": (coco((1, 10**300)), "size is damaged"),
    "size differs.json": (coco((5, 4)), "image of"),
    "too few runs.json": (coco(segmentation={"size": [4, 4], "counts": "0"}), "do not fill"),
    "run below zero.json": (coco(segmentation={"size": [4, 4], "counts": "O"}), "do not fill"),
    "endless run.json": (
        coco(segmentation={"size": [4, 4], "counts": "o" * MIB}),
        "not fill|damaged",
    ),
    "endless box.json": (coco(bbox=[0, 0, float("inf"), 1]), "damaged"),
    "box outside.json": (coco(bbox=[-9, 0, 2, 2]), "outside of the image"),
    "same id.json": (coco(count=2, id=1), "same id"),
    "id.json": (coco(id=2**32), "ids of its annotations"),
    "parent.json": (coco(parent=7), "damaged"),
    "huge polygon.json": (
        foreign([[0, 0, 1e6, 0, 1e6, 1e6]], side=1_000_000),
        "1,000,000,000,000 pixels.* of memory",
    ),
    "far polygon.json": (foreign([[0, 0, 1e300, 0, 0, 1]]), "beyond"),
    "huge runs.json": (
        foreign({"size": [10**6, 10**6], "counts": [0, 10**12]}, side=1_000_000),
        "of memory",
    ),
    "long run.json": (foreign({"size": [4, 4], "counts": [0, 10**30]}), "damaged"),
    "run of texts.json": (foreign({"size": [4, 4], "counts": ["a"]}), "damaged"),
    "nested.json": (b'{"images": ' + b"[" * MIB, "nested too deeply"),
    "digits.json": (b'{"images": [' + b"9" * 10_000 + b"]}", "no JSON"),
    "pipe.json": (None, "a pipe"),
}


def polygon(*rings, **changes):
    geometry = {"type": "Polygon", "coordinates": rings}
    return {"type": "Feature", "geometry": geometry, "properties": changes}


def features(*found, **about):
    content = {"type": "FeatureCollection", "features": found, "napari-graysam": about}
    return json.dumps(content).encode()


def square(side):
    return [[0, 0], [side, 0], [side, side], [0, side]]


GEOJSON = {
    "one huge.geojson": (features(polygon(square(1_000_000))), "1,000,000,000,000 pix.*memory"),
    "many large.geojson": (features(*[polygon(square(8_000))] * 50), "50 outlines.*of memory"),
    "far away.geojson": (features(polygon(square(1e300))), "beyond"),
    "digits.geojson": (features(polygon([[10**400, 0]])), "positions"),
    "endless image.geojson": (
        features(image={"height": float("inf"), "width": 3}),
        "size is damaged",
    ),
    "nested.geojson": (b"[" * MIB, "nested too deeply"),
    "nested ring.geojson": (
        b'[{"geometry": {"type": "Polygon", "coordinates": ' + b"[" * 500 + b"]" * 500 + b"}}]",
        "positions",
    ),
    "measurement.geojson": (features(polygon(square(2), measurements={"a": 10**400})), "no geom"),
    "long name.geojson": (features(polygon(square(2), name="1" * 5000)), None),
    # Each of 2,000 edges crosses 20,000 rows: 40 million crossings, which may not be at once.
    "zigzag.geojson": (features(polygon([[n % 3, n % 2 * 20_000] for n in range(2_000)])), None),
    "pipe.geojson": (None, "a pipe"),
}


def archive(entries, *, claims=None, comment=b"", method=zipfile.ZIP_DEFLATED, patch=None):
    """A ZIP file whose directory may claim other sizes than its entries have."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, data in entries:
            made.writestr(zipfile.ZipInfo(name), data, compress_type=method)
        for entry in made.infolist():
            entry.file_size = claims or entry.file_size
        made.comment = comment
    data = file.getvalue()
    return patch(data) if patch else data


def roi(**changes):
    made = ImagejRoi.frompoints([[0, 0], [3, 0], [3, 3]])
    for name, value in changes.items():
        setattr(made, name, value)
    return made.tobytes()


def composite(count):
    """A composite region of as many numbers, all of them zero: one point after the other."""
    made = ImagejRoi(left=0, top=0, right=2, bottom=2)
    made.roitype = ROI_TYPE.RECT
    made.multi_coordinates = np.zeros(count, np.float32)
    made.shape_roi_size = count
    return made.tobytes()


def central(offset, value):
    """Patch the first entry of a ZIP file's directory."""

    def patch(data):
        start = data.rindex(b"PK\x01\x02") + offset
        return data[:start] + value + data[start + len(value) :]

    return patch


def end(offset, value):
    def patch(data):
        start = data.rindex(b"PK\x05\x06") + offset
        return data[:start] + value + data[start + len(value) :]

    return patch


ROIS = {
    "one large.zip": (archive([("a.roi", roi())], claims=2**31), "ROI has 64.0 MiB at most"),
    "many.zip": (archive([(f"{n}.roi", roi()) for n in range(99)], claims=2**25), "99 ent.*memory"),
    "bomb.zip": (archive([("a.roi", composite(2**23))]), "of memory"),
    "liar.zip": (archive([("a.roi", bytes(2**28))], claims=99), "no ImageJ ROI|damaged"),
    "path.zip": (archive([("../../canary.roi", roi()), ("/canary.roi", roi())]), None),
    "encrypted.zip": (archive([("a.roi", roi())], patch=central(8, b"\1")), "damaged"),
    "method.zip": (archive([("a.roi", roi())], patch=central(10, b"\x63")), "no Im|damaged"),
    "stream.zip": (archive([("a.roi", bytes(99))], method=0, patch=central(10, b"\x08")), "damag"),
    "directory.zip": (archive([("a.roi", roi())], patch=end(12, b"\xff\xff\xff\x7f")), "whole ZIP"),
    "start.zip": (archive([("a.roi", roi())], patch=end(16, b"\xff\xff\xff\x7f")), "Invalid|whole"),
    "comment.zip": (archive([("a.roi", roi())], comment=b"[" * 60_000), None),
    "recipe.zip": (archive([("napari-graysam.json", b"[" * MIB)]), "no ImageJ ROIs"),
    "size.zip": (
        archive([], comment=b'{"image": {"height": 1e400, "width": 1}}'),
        "size is damaged",
    ),
    "count.zip": (archive([("a.roi", roi()[:16] + b"\xff\xff" + roi()[18:])]), "damaged"),
    "header.zip": (archive([("a.roi", roi()[:60] + b"\0\0\0\x40" + roi()[64:])]), None),
    "pipe.zip": (None, "a pipe"),
}


# Proposals


def arrays(**changes):
    """What `Proposals.save` writes, with changes."""
    about = {
        "format": "napari-graysam proposals 1",
        "image_size": [3, 3],
        "record": {"masks_together": 3, "generator": {}, "device": "cpu"},
    }
    found = {
        "about": np.array(json.dumps(about)),
        "predicted_iou": np.ones(1, np.float32),
        "stability": np.ones(1, np.float32),
        "area": np.ones(1, np.int64),
        "box": np.array([[0, 0, 1, 1]], np.int32),
        "point": np.zeros((1, 2), np.float32),
        "crop_box": np.array([[0, 0, 3, 3]], np.int32),
        "crop": np.zeros(1, np.int32),
        "logits": np.zeros((1, 4, 4), np.float32),
    }
    for name, value in changes.items():
        if name in about or name in about["record"]:
            (about if name in about else about["record"])[name] = value
            found["about"] = np.array(json.dumps(about))
        else:
            found[name] = value
    return found


def npz(*, method=zipfile.ZIP_STORED, **changes):
    entries = []
    for name, value in arrays(**changes).items():
        file = io.BytesIO()
        if not isinstance(value, bytes):
            np.save(file, value, allow_pickle=True)
        entries.append((f"{name}.npy", value if isinstance(value, bytes) else file.getvalue()))
    return archive(entries, method=method)


PROPOSALS = {
    "good.npz": (npz(), None),
    "bomb.npz": (
        npz(method=zipfile.ZIP_DEFLATED, logits=np.zeros((1, 4096, 8192), np.float32)),
        "claim.*damaged",
    ),
    "claims.npz": (npz(logits=shaped((1, 2**20, 2**20), "<f4")), "claims.*follow"),
    "objects.npz": (npz(logits=np.array([{}], object)), "Python objects"),
    "count.npz": (npz(area=np.ones(2, np.int64)), "proposals.area must be"),
    "dtype.npz": (npz(box=np.zeros((1, 4), np.int64)), "proposals.box must be"),
    "scalar.npz": (npz(predicted_iou=np.float32(1)), "damaged"),
    "flat.npz": (npz(logits=np.zeros(1, np.float32)), "proposals.logits must be"),
    "crop.npz": (npz(crop_box=np.array([[0, 0, 2**30, 2**30]], np.int32)), "outside of their crop"),
    "box.npz": (npz(box=np.array([[0, 0, 2**30, 1]], np.int32)), "outside of their crops"),
    "image.npz": (npz(image_size=[10**12, 10**12]), "image size.*damaged"),
    "endless.npz": (npz(image_size=[float("inf"), 1]), "damaged"),
    "device.npz": (npz(device="cpu; rm"), "damaged"),
    "together.npz": (npz(masks_together=10**9), "masks_together"),
    "record.npz": (npz(record=[1]), "damaged"),
    "nested.npz": (npz(about=np.array("[" * 100_000)), "nested too deeply"),
    "no text.npz": (npz(about=np.zeros(3)), "no JSON"),
    "pipe.npz": (None, "a pipe"),
}

READERS: dict[str, tuple[str, dict[str, tuple[bytes | None, str | None]], str]] = {
    "read_image": ("read_image({!r})", IMAGES, "ImageError"),
    "read_labels": ("read_labels({!r})", IMAGES, "LabelsError"),
    "read_coco": ("read_coco({!r})", COCO, "LabelsError"),
    "read_geojson": ("read_geojson({!r})", GEOJSON, "LabelsError"),
    "read_rois": ("read_rois({!r})", ROIS, "LabelsError"),
    "Proposals.load": ("Proposals.load({!r})", PROPOSALS, "ProposalsError"),
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], hostile.Outcome]:
    """Return how a reader ends with a file; every reader has one process for all its files."""
    found: dict[str, dict[str, hostile.Outcome]] = {}

    def ask(reader: str, name: str) -> hostile.Outcome:
        if reader not in found:
            call, files, _ = READERS[reader]
            folder = tmp_path_factory.mktemp("hostile")
            for file, (content, _) in files.items():
                if content is None:
                    os.mkfifo(folder / file)
                else:
                    (folder / file).write_bytes(content)
            calls = {file: call.format(file) for file in files}
            found[reader] = hostile.outcomes(PREPARE, calls, folder)
        return found[reader][name]

    return ask


@pytest.mark.parametrize(
    ("reader", "name"),
    [(reader, name) for reader, (_, files, _) in READERS.items() for name in files],
)
def test_a_hostile_file_ends_in_one_clear_error(outcome, reader, name):
    _, files, error = READERS[reader]
    expected = files[name][1]
    ended = outcome(reader, name)
    if expected is None:
        assert not ended.errors, ended
        return
    assert ended.errors[:1] == (error,), ended
    assert ended.text.startswith(f"{name}: ")
    assert len(ended.text) < 1000
    assert re.search(expected, ended.text), ended.text


def test_damaged_bytes_end_in_one_clear_error(tmp_path):
    labels = np.kron(np.arange(6).reshape(2, 3), np.ones((9, 9), int))
    write_labels(tmp_path / "plain.tif", labels, recipe="name: a")
    write_labels(tmp_path / "ome.tif", labels + 70_000, recipe="name: a", pixel_size=(1, 1))
    tifffile.imwrite(tmp_path / "tiles.tif", labels.astype(np.uint8), tile=(16, 16))
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "a.jpg")
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "a.bmp")
    for kind in ("gif", "webp", "jp2", "pgm"):
        Image.fromarray(labels.astype(np.uint8)).save(tmp_path / f"a.{kind}")
    deep = imagecodecs.jpeg2k_encode(labels.astype(np.uint16) * 999, level=0)
    (tmp_path / "deep.jp2").write_bytes(deep)
    palette = {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}
    missing = [(42113, "s", 0, "3", True), (274, "H", 1, 6, True)]
    tifffile.imwrite(
        tmp_path / "colours.tif", labels.astype(np.uint8), extratags=missing, **palette
    )
    tifffile.imwrite(tmp_path / "lzw.tif", labels.astype(np.uint8), compression="lzw")
    np.save(tmp_path / "a.npy", labels)
    write_coco(tmp_path / "a.json", [ONE], "a.tif", (4, 4), {"name": "a"})
    (tmp_path / "foreign.json").write_bytes(foreign([[0, 0, 2, 0, 2, 2]], RUNS, TEXT))
    write_geojson(tmp_path / "a.geojson", [ONE], (4, 4), {"name": "a"})
    write_rois(tmp_path / "a.zip", [ONE, ONE], (4, 4), {"name": "a"})
    (tmp_path / "a.npz").write_bytes(npz())
    readers = {
        "read_labels": ("plain.tif", "ome.tif", "a.png", "a.bmp", "a.npy"),
        "read_image": (
            *("plain.tif", "tiles.tif", "lzw.tif", "colours.tif", "a.png", "a.jpg", "a.npy"),
            *("a.gif", "a.webp", "a.jp2", "deep.jp2", "a.pgm"),
        ),
        "read_recipe_text": ("plain.tif", "ome.tif"),
        "read_coco": ("a.json", "foreign.json"),
        "read_geojson": ("a.geojson",),
        "read_rois": ("a.zip",),
        "Proposals.load": ("a.npz",),
    }
    calls = {
        f"{reader} {name}": f"read_damaged({reader}, {name!r})"
        for reader, names in readers.items()
        for name in names
    }
    for case, ended in hostile.outcomes(PREPARE, calls, tmp_path).items():
        assert not ended.errors, f"{case}: {ended.text}"


def test_a_hostile_file_in_the_cache_is_none(tmp_path):
    """The model is asked again; nothing of the file is used."""
    (tmp_path / "key.npz").write_bytes(PROPOSALS["crop.npz"][0] or b"")
    call = "assert Cache(folder=Path('.')).proposals('key', GeneratorOptions(), (0, 0)) is None"
    (ended,) = hostile.outcomes(PREPARE, {"cache": call}, tmp_path).values()
    assert not ended.errors, ended.text


WRITERS = {
    "a.tif": "write_labels('a.tif', noise)",
    "big.tif": "write_labels('big.tif', noise + 70_000)",
    "a.png": "write_overlay('a.png', np.dstack([noise.astype(np.uint8)] * 3), noise)",
    "a.json": "write_coco('a.json', [mask], 'a', mask.bits.shape, {})",
    "a.geojson": "write_geojson('a.geojson', [mask], mask.bits.shape)",
    "a.zip": "write_rois('a.zip', [mask], mask.bits.shape)",
    "a.csv": "write_table('a.csv', pd.DataFrame({'index': noise.ravel()}))",
    "a.yaml": "Recipe(name='a' * 2**16).to_file('a.yaml')",
    "a.npz": "Proposals(**arrays, image_size=(3, 3)).save('a.npz')",
}
NO_ROOM = """
import resource
import numpy as np, pandas as pd
from napari_graysam.files import *
from napari_graysam.masks.mask import Mask
from napari_graysam.propose import Proposals
from napari_graysam.recipe import Recipe

noise = np.random.default_rng(0).integers(0, 60_000, (256, 256))
mask = Mask(noise % 2 > 0, (0, 0, 256, 256))
arrays = {name: np.zeros((0, *shape), dtype) for name, dtype, shape in [
    ("predicted_iou", "f4", ()), ("stability", "f4", ()), ("area", "i8", ()), ("box", "i4", (4,)),
    ("point", "f4", (2,)), ("crop_box", "i4", (4,)), ("crop", "i4", ()), ("logits", "f4", (4, 4)),
]}
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
"""


def test_where_room_ends_a_writer_says_so_and_leaves_nothing(tmp_path):
    """A file may not grow beyond 1,000 bytes, which ends writing as a full disk does."""
    for name, ended in hostile.outcomes(NO_ROOM, WRITERS, tmp_path, memory=2**30).items():
        assert ended.errors[:1] == ("OutputError",), (name, ended)
        assert name in ended.text
