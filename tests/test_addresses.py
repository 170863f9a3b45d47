"""Images at addresses: over HTTP from this machine, and what is said where a server fails."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import fake_tiles
import fsspec
import numpy as np
import pytest
from typer.testing import CliRunner
from zarr_stores import write_image

from napari_graysam import read_image
from napari_graysam.batch import (
    Naming,
    compare_stack,
    compare_tiled,
    segment_stack,
    segment_tiled,
)
from napari_graysam.cli import app
from napari_graysam.errors import ImageError
from napari_graysam.masks import label_overlaps, match
from napari_graysam.recipe import ImageOptions, Recipe
from napari_graysam.source import places, remote
from napari_graysam.source.places import Address
from napari_graysam.source.pyramid import open_pyramid

IMAGE, TRUTH = fake_tiles.picture((130, 190))
RECIPE = Recipe().with_values(
    {"tiles.use": "always", "tiles.size": 96, "tiles.halo": 20, "generator.points_per_side": 24}
)


class _Handler(SimpleHTTPRequestHandler):
    """Serves files; what is not there is hidden below ``hidden``, as S3 may do.

    Below ``twice``, a file is another one, ``NAME.again``, from the second time on.
    """

    asked: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        place = self.translate_path(self.path)
        if "/twice/" in self.path and Path(f"{place}.again").is_file():
            if place in self.asked:
                self.path += ".again"
            self.asked.add(place)
        if "/hidden/" in self.path and not Path(place).is_file():
            self.send_error(403)
        elif "/broken/" in self.path:
            self.send_error(500)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    root = tmp_path / "served"
    for folder in ("", "hidden"):
        for version in ("0.4", "0.5"):
            write_image(root / folder / f"v{version[2]}.zarr", IMAGE, version=version)
    handler = partial(_Handler, directory=str(root))
    served = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()


def labels_of(path: Path) -> np.ndarray:
    return np.asarray(open_pyramid(path).plane()[:, :])


def same_objects(found: np.ndarray, truth: np.ndarray) -> bool:
    ids, others, overlaps = label_overlaps(found, truth)
    return len(match(overlaps, 1.0)) == len(ids) == len(others)


@pytest.mark.parametrize("name", ["v4", "v5", "hidden/v4"])
def test_the_command_segments_an_address_as_it_does_a_file(
    monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path, name: str
) -> None:
    fake_tiles.install(monkeypatch)
    RECIPE.to_file(tmp_path / "recipe.yaml")
    address, out = f"{server}/{name}.zarr", tmp_path / "out"
    command = ["segment", address, "-o", str(out), "-r", str(tmp_path / "recipe.yaml"), "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    (image,) = json.loads(result.stdout)["images"]
    assert (image["path"], image["status"]) == (address, "done")
    stem = Path(name).name
    assert same_objects(labels_of(out / f"{stem}.zarr/labels/{stem}"), TRUTH)
    about = json.loads((out / f"{stem}.provenance.json").read_text())
    assert about["image"]["path"] == address
    assert about["image"]["pixel_size"] == [0.5, 0.5]
    assert "skipped" in CliRunner().invoke(app, command).stderr


def test_both_arms_of_an_address_are_compared_with_a_truth_there(
    monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path
) -> None:
    fake_tiles.install(monkeypatch)
    write_image(tmp_path / "served/truth.zarr", TRUTH.astype(np.uint16), levels=1)
    recipe = Recipe.preset("low-contrast").replace(tiles=RECIPE.tiles, generator=RECIPE.generator)
    outcome = compare_tiled(
        f"{server}/v5.zarr", recipe, tmp_path / "out", truth=f"{server}/truth.zarr"
    )
    assert outcome.name == "v5"
    assert outcome.scores is not None
    assert outcome.scores["raw"]["average_precision"]["0.50"] == 1


def test_results_are_named_after_the_place_in_the_store() -> None:
    image = ImageOptions()
    naming = Naming(roots=(Path(),))
    assert naming.name(Address("s3://bucket/day/cells.zarr"), image) == "cells"
    assert naming.name(Address("s3://bucket/day/cells.zarr/1"), image) == "cells_1"


def test_chunks_that_are_missing_are_counted_once_they_were_asked_for(
    monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path
) -> None:
    fake_tiles.install(monkeypatch)
    (tmp_path / "served/v5.zarr/0/c/0/0").unlink()
    said = "1 of the 9 chunks of the image are not in the store"
    outcome = segment_tiled(f"{server}/v5.zarr", RECIPE, tmp_path / "out")
    assert any(said in note for note in outcome.notes)
    image = read_image(f"{server}/v5.zarr")
    assert any(said in note for note in image.record["notes"])
    assert not image.raw[:64, :64].any()
    assert not read_image(f"{server}/v4.zarr").record["notes"]


def test_a_chunk_that_is_refused_is_no_empty_one(server: str, tmp_path: Path) -> None:
    (tmp_path / "served/hidden/v5.zarr/0/c/1/1").unlink()
    plane = open_pyramid(f"{server}/hidden/v5.zarr").plane()
    with pytest.raises(ImageError, match=r"refuses to let it be read.*403"):
        plane[:, :]
    np.testing.assert_array_equal(plane[:64, :], IMAGE[:64])


def test_what_is_wrong_with_a_server_is_said(server: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address, said in (
        (f"{server}/none.zarr", "no Zarr image at this address"),
        (f"{server}/hidden/none.zarr", r"refuses to let it be read .*403.*access rights"),
        (f"{server}/broken/a.zarr", r"cannot be read from .*500"),
        (f"http://127.0.0.1:{port}/a.zarr", "cannot be read from .*check the address"),
    ):
        for read in (open_pyramid, read_image):
            with pytest.raises(ImageError, match=said):
                read(address)


def test_a_server_that_says_nothing_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "READ_S", 0.3)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(ImageError, match=r"has not answered within 0\.3 s"):
            open_pyramid(f"http://127.0.0.1:{mute.getsockname()[1]}/a.zarr")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (type("NoCredentialsError", (Exception,), {})("Unable to locate"), "AWS_PROFILE"),
        (PermissionError("Forbidden"), "FSSPEC_S3_ANON"),
        (type("EndpointConnectionError", (Exception,), {})("cannot connect"), "AWS_ENDPOINT_URL"),
        (type("ReadTimeoutError", (Exception,), {})("none"), "not answered"),
    ],
)
def test_what_to_do_about_a_bucket_is_said(error: Exception, said: str) -> None:
    with pytest.raises(ImageError, match=said), remote.asking("s3://bucket/a.zarr"):
        raise error


def test_the_users_own_settings_of_fsspec_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "config_kwargs" in remote.options_of("s3://bucket/a.zarr")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"read_timeout": 5}})
    assert "config_kwargs" not in remote.options_of("s3://bucket/a.zarr")


@pytest.mark.parametrize(("scheme", "sibling"), [("https", "http"), ("s3a", "s3")])
def test_settings_of_the_other_name_of_a_scheme_stay(
    monkeypatch: pytest.MonkeyPatch, scheme: str, sibling: str
) -> None:
    address = f"{scheme}://place/a.zarr"
    (name,) = remote.options_of(address)
    monkeypatch.setitem(fsspec.config.conf, sibling, {name: {}})
    assert remote.options_of(address) == {}


def test_attributes_of_an_array_that_are_refused_are_none(server: str, tmp_path: Path) -> None:
    (tmp_path / "served/hidden/v4.zarr/0/.zattrs").unlink()
    plane = open_pyramid(f"{server}/hidden/v4.zarr").plane()
    np.testing.assert_array_equal(plane[:, :], IMAGE)


@pytest.mark.parametrize(("name", "metadata"), [("v4", ".zarray"), ("v5", "zarr.json")])
def test_what_was_checked_of_an_array_is_what_it_is_read_with(
    server: str, tmp_path: Path, name: str, metadata: str
) -> None:
    shutil.copytree(tmp_path / f"served/{name}.zarr", tmp_path / f"served/twice/{name}.zarr")
    place = tmp_path / f"served/twice/{name}.zarr/0" / metadata
    other = json.loads(place.read_text())
    other["shape"] = [8, 8]
    place.with_name(f"{metadata}.again").write_text(json.dumps(other))
    array = f"{server}/twice/{name}.zarr/0"
    plane = open_pyramid(array).plane()
    np.testing.assert_array_equal(plane[:, :], IMAGE)
    assert open_pyramid(array).shape == (8, 8)


@pytest.mark.parametrize("version", ["v4", "v5"])
def test_a_lower_level_that_is_refused_is_left_out(
    server: str, tmp_path: Path, version: str
) -> None:
    shutil.rmtree(tmp_path / f"served/hidden/{version}.zarr/1")
    pyramid = open_pyramid(f"{server}/hidden/{version}.zarr")
    assert [level.shape for level in pyramid.levels] == [(130, 190), (33, 48)]
    assert any("Level 1 ('1') is missing" in note for note in pyramid.notes)
    shutil.rmtree(tmp_path / f"served/hidden/{version}.zarr/0")
    with pytest.raises(ImageError, match=r"refuses to let it be read .*403"):
        open_pyramid(f"{server}/hidden/{version}.zarr")


@pytest.mark.parametrize("kind", ["http", "memory"])
def test_metadata_that_are_too_large_are_not_read_to_their_end(
    monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path, kind: str
) -> None:
    document = (tmp_path / "served/v5.zarr/0/zarr.json").read_bytes()
    address = f"{server}/v5.zarr/0" if kind == "http" else f"memory://{tmp_path.name}.zarr"
    if kind == "memory":
        fsspec.filesystem("memory").pipe_file(f"{address}/zarr.json", document)
    monkeypatch.setattr(places, "LARGEST_DOCUMENT", len(document))
    assert open_pyramid(address).shape == IMAGE.shape
    monkeypatch.setattr(places, "LARGEST_DOCUMENT", len(document) - 1)
    with pytest.raises(ImageError, match=r"zarr\.json is larger than .* bytes: no metadata"):
        open_pyramid(address)
    assert len(remote.fetch(f"{address}/zarr.json", len(document)) or b"") == len(document)


def test_metadata_without_an_end_are_given_up() -> None:
    with socket.socket() as endless:
        endless.bind(("127.0.0.1", 0))
        endless.listen()
        thread = Thread(target=_send_without_end, args=(endless,), daemon=True)
        thread.start()
        with pytest.raises(ImageError, match=r"larger than 100,000 bytes"):
            remote.fetch(f"http://127.0.0.1:{endless.getsockname()[1]}/zarr.json", 100_000)
        thread.join(30)
        assert not thread.is_alive()


def _send_without_end(listening: socket.socket) -> None:
    """Answer one call by bytes for as long as they are taken."""
    taken, _ = listening.accept()
    with taken:
        taken.recv(65536)
        taken.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                taken.sendall(b" " * 65536)
        except OSError:
            return


def test_a_stack_at_an_address_is_refused_before_it_is_read(server: str, tmp_path: Path) -> None:
    volume = np.stack([IMAGE] * 2)
    write_image(tmp_path / "served/stack.zarr", volume, "zyx", levels=1)
    address, said = f"{server}/stack.zarr", "read from this machine only: copy it, or choose one"
    recipe = Recipe().with_values({"stack.axis": "z", "stack.link": "overlap"})
    with pytest.raises(ImageError, match=f"{address}: all planes .* {said}"):
        segment_stack(address, recipe, tmp_path / "out")
    with pytest.raises(ImageError, match=f"{address}: all planes .* {said}"):
        compare_stack(address, recipe, tmp_path / "out")
    recipe.to_file(tmp_path / "recipe.yaml")
    for command in ("segment", "compare"):
        given = [command, address, "-o", str(tmp_path / "o"), "-r", str(tmp_path / "recipe.yaml")]
        result = CliRunner().invoke(app, given)
        assert result.exit_code != 0
        assert said in " ".join(result.output.split())
    one = read_image(address, ImageOptions(plane=1))
    np.testing.assert_array_equal(one.raw, IMAGE)
