"""Opening images larger than memory: all levels, lazily, with scale and units."""

import numpy as np
import pytest
import tifffile
import zarr
from napari.utils.notifications import notification_manager

from napari_graysam._napari.io import pyramids
from napari_graysam._napari.io.readers import get_reader
from napari_graysam.files.zarr_labels import plan_labels, write_zarr_labels
from napari_graysam.source.pyramid import open_pyramid

IMAGE = np.arange(96 * 128, dtype=np.uint16).reshape(96, 128)


def ome_zarr(path, levels, axes="yx", scale=0.5, unit="micrometer"):
    """Write an OME-Zarr image of version 0.4 whose levels halve rows and columns."""
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    datasets = []
    for number, level in enumerate(levels):
        chunks = (1,) * (level.ndim - 2) + (32, 32)
        array = group.create_array(str(number), shape=level.shape, dtype=level.dtype, chunks=chunks)
        array[:] = level
        steps = [1.0] * (level.ndim - 2) + [scale * 2**number] * 2
        transform = {"type": "scale", "scale": steps}
        datasets.append({"path": str(number), "coordinateTransformations": [transform]})
    kinds = {"c": "channel", "z": "space", "y": "space", "x": "space"}
    named = [
        {"name": one, "type": kinds[one], **({"unit": unit} if one in "yx" else {})} for one in axes
    ]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": named, "datasets": datasets}]
    return path


def opened(viewer, path):
    layers = viewer.open(str(path), plugin="napari-graysam")
    assert layers
    return layers


def test_ome_zarr_opens_with_its_levels_scale_and_units(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    path = ome_zarr(tmp_path / "slide.zarr", [IMAGE, IMAGE[::2, ::2]])
    (layer,) = opened(viewer, path)
    assert layer.multiscale
    assert [one.shape for one in layer.data] == [(96, 128), (48, 64)]
    assert tuple(layer.scale) == (0.5, 0.5)
    assert [f"{unit}" for unit in layer.units] == ["micrometer", "micrometer"]
    assert layer.name == "slide"
    np.testing.assert_array_equal(np.asarray(layer.data[0][3:5, 7:9]), IMAGE[3:5, 7:9])


def test_a_stack_of_channels_keeps_its_axes(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    path = ome_zarr(tmp_path / "cells.ome.zarr", [np.stack([IMAGE, IMAGE + 1])], "cyx")
    (layer,) = opened(viewer, path)
    assert (layer.ndim, layer.axis_labels, layer.name) == (3, ("c", "y", "x"), "cells")
    assert tuple(layer.scale) == (1, 0.5, 0.5)


def test_labels_of_an_image_come_with_it_hidden_and_in_place(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    path = ome_zarr(tmp_path / "slide.zarr", [IMAGE, IMAGE[::2, ::2]])
    labels = (IMAGE > 3000).astype(np.uint32)
    write_zarr_labels(path, "bright", labels, plan_labels(open_pyramid(path)), into_image=True)
    image, bright = opened(viewer, path)
    assert (type(bright).__name__, bright.name, bright.visible) == ("Labels", "bright", False)
    assert [one.shape for one in bright.data] == [one.shape for one in image.data]
    assert tuple(bright.scale) == tuple(image.scale)
    assert tuple(bright.units) == tuple(image.units)


def test_a_store_of_labels_alone_opens_as_labels(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    labels = np.eye(64, dtype=np.uint32)
    write_zarr_labels(tmp_path / "a.zarr", "cells", labels, plan_labels(shape=(64, 64)))
    (layer,) = opened(viewer, tmp_path / "a.zarr")
    assert type(layer).__name__ == "Labels"
    np.testing.assert_array_equal(np.asarray(layer.data), labels)


def test_a_slide_opens_with_its_levels_and_pixel_size(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    path = tmp_path / "slide.btf"
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        options = {"tile": (32, 32), "resolutionunit": "CENTIMETER"}
        resolution = (1e4 / 0.25, 1e4 / 0.25)
        file.write(IMAGE, subifds=1, resolution=resolution, **options)
        file.write(IMAGE[::2, ::2], subfiletype=1, **options)
    (layer,) = opened(viewer, path)
    assert [one.shape for one in layer.data] == [(96, 128), (48, 64)]
    assert tuple(layer.scale) == pytest.approx((0.25, 0.25))


def test_a_large_plane_without_levels_gets_coarser_ones(monkeypatch, tmp_path):
    monkeypatch.setattr(pyramids, "SMALL", 32 * 32)
    path = ome_zarr(tmp_path / "slide.zarr", [IMAGE])
    ((levels, attributes, kind),) = pyramids.open_large(str(path))
    assert (kind, attributes["multiscale"]) == ("image", True)
    assert [one.shape for one in levels] == [(96, 128), (24, 32)]
    np.testing.assert_array_equal(np.asarray(levels[1]), IMAGE[::4, ::4])


def test_nothing_is_read_to_open(monkeypatch, tmp_path):
    from napari_graysam.source.zarr_level import ZarrLevel

    path = ome_zarr(tmp_path / "slide.zarr", [IMAGE])
    monkeypatch.setattr(ZarrLevel, "__getitem__", lambda *some: pytest.fail("read"))
    assert len(pyramids.open_large(str(path))) == 1


def test_what_is_no_image_is_said(make_napari_viewer, tmp_path):
    make_napari_viewer()
    zarr.open_group(str(tmp_path / "empty.zarr"), mode="w")
    notification_manager.records.clear()
    reader = get_reader(str(tmp_path / "empty.zarr"))
    assert reader(str(tmp_path / "empty.zarr")) == [(None,)]
    assert "no image" in notification_manager.records[-1].message


def test_folders_and_other_tiffs_are_left_to_others(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE)
    assert get_reader(str(tmp_path)) is None
    assert get_reader(str(tmp_path / "a.tif")) is None
    (tmp_path / "a.svs").write_bytes(b"nothing")
    assert get_reader(str(tmp_path / "a.svs")) is None
