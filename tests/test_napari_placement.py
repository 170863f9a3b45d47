import numpy as np
import pint
import pytest
from fake_results import placement

from napari_graysam._napari.canvas.source import read_source
from napari_graysam.recipe import ImageOptions


def test_pixels_are_found_where_they_are():
    place = placement((40, 60), scale=(2, 0.5), translate=(10, -5))
    assert place.pixel_at((10, -5)) == (0, 0)
    assert place.pixel_at((10 + 2 * 7, -5 + 0.5 * 9)) == (9, 7)
    assert place.pixel_at((10 + 2 * 7.4, -5 + 0.5 * 8.6)) == (9, 7)


@pytest.mark.parametrize("world", [(-0.6, 3), (3, -0.6), (39.6, 3), (3, 59.6)])
def test_outside_of_the_image_there_is_no_pixel(world):
    assert placement((40, 60)).pixel_at(world) is None


def test_a_plane_of_a_stack_is_met_at_its_own_plane_only():
    place = placement((1, 40, 60), translate=(5, 0, 0))
    assert place.pixel_at((5, 3, 4)) == (4, 3)
    assert place.pixel_at((6, 3, 4)) is None


def test_a_world_in_smaller_units_is_converted():
    ureg = pint.get_application_registry()
    millimetres, micrometres = ((ureg.Unit(name),) * 2 for name in ("mm", "um"))
    place = placement(scale=np.array((0.002, 0.002)), units=millimetres)
    assert place.pixel_at((20.0, 40.0), micrometres) == (20, 10)
    assert place.world_at(20, 10, micrometres) == pytest.approx((20, 40))
    assert place.world_at(20, 10) == pytest.approx((0.02, 0.04))


def test_leading_dimensions_of_the_viewer_do_not_matter():
    assert placement((40, 60)).pixel_at((17, 3, 4)) == (4, 3)


def test_rows_and_columns_may_be_exchanged():
    assert placement((60, 40), axes=(1, 0)).pixel_at((4, 3)) == (4, 3)


TURNED = {
    "scale": (2, 0.5),
    "translate": (10, -5),
    "rotate": 30,
    "shear": (0.2,),
    "affine": [[0, 1, 3], [-1, 0.5, 4], [0, 0, 1]],
}


@pytest.fixture
def turned(make_napari_viewer_proxy):
    """A layer with every kind of transform, and its placement."""
    viewer = make_napari_viewer_proxy()
    layer = viewer.add_image(np.arange(2400.0).reshape(40, 60), **TURNED)
    return layer, read_source(viewer, layer, ImageOptions()).placement


def test_any_transform_agrees_with_napari(turned):
    layer, place = turned
    for x, y in ((0, 0), (59, 39), (12, 30)):
        world = layer.data_to_world((y, x))
        assert np.allclose(place.world_at(x, y), world)
        assert place.pixel_at(world) == (x, y)
    corner = place.part((12, 30, 20, 34))
    assert corner.plane_shape == (4, 8)
    assert np.allclose(corner.world_at(0, 0), place.world_at(12, 30))
    assert np.allclose(corner.world_at(7, 3), place.world_at(19, 33))
