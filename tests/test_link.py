"""Objects of the planes of a stack become objects of the stack."""

import numpy as np
import pytest

from napari_graysam.errors import LabelsError
from napari_graysam.stack import Bridge, LinkOptions, link_planes


def discs(*places, shape=(64, 64)):
    """Label image with a disc per (label, y, x, radius); a later one lies on top."""
    y, x = np.indices(shape)
    image = np.zeros(shape, np.uint16)
    for label, row, column, radius in places:
        image[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = label
    return image


def painted(planes, links):
    return [ids[plane] for ids, plane in zip(links.ids, planes, strict=True)]


def test_moving_discs_keep_their_number():
    planes = [discs((3, 20, 10 + 2 * t, 8), (1, 50, 50 - 3 * t, 6)) for t in range(8)]
    links = link_planes(planes, LinkOptions())
    for t, plane in enumerate(painted(planes, links)):
        assert plane[20, 10 + 2 * t] == 1
        assert plane[50, 50 - 3 * t] == 2
    assert links.count == 2
    assert links.bridges == links.lineage == ()


def test_an_object_that_vanishes_for_one_plane_keeps_its_number():
    planes = [discs((1, 20, 20, 8), (2, 45, 45, 8)) for _ in range(5)]
    planes[2][planes[2] == 1] = 0
    links = link_planes(planes, LinkOptions(gap=1))
    assert [plane[20, 20] for plane in painted(planes, links)] == [1, 1, 0, 1, 1]
    assert links.bridges == (Bridge(1, 1, 3),)
    ended = link_planes(planes, LinkOptions(gap=0))
    assert [plane[20, 20] for plane in painted(planes, ended)] == [1, 1, 0, 3, 3]
    assert ended.bridges == ()


def test_planes_of_different_size_are_an_error():
    planes = [np.zeros((4, 6), int), np.zeros((4, 6), int), np.zeros((5, 6), int)]
    with pytest.raises(LabelsError, match=r"plane 2 .* 5 × 6 pixels.* 4 × 6"):
        link_planes(planes, LinkOptions())


@pytest.mark.parametrize("n", [0, 1, 4])
def test_planes_without_objects_have_none(n):
    links = link_planes([np.zeros((8, 9), np.uint8)] * n, LinkOptions())
    assert [ids.tolist() for ids in links.ids] == [[0]] * n
    assert links.count == 0
