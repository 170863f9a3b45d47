"""Images at addresses: over HTTP from this machine, and what is said where a server fails."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import fake_tiles
import fsspec
import numpy as np
import pytest
from typer.testing import CliRunner
from zarr_stores import write_image

from napari_graysam import read_image
from napari_graysam.batch import Naming, compare_tiled, segment_tiled
from napari_graysam.cli import app
from napari_graysam.errors import ImageError
from napari_graysam.masks import label_overlaps, match
from napari_graysam.recipe import ImageOptions, Recipe
from napari_graysam.source import remote
from napari_graysam.source.places import Address
from napari_graysam.source.pyramid import open_pyramid

IMAGE, TRUTH = fake_tiles.picture((130, 190))
RECIPE = Recipe().with_values(
    {"tiles.use": "always", "tiles.size": 96, "tiles.halo": 20, "generator.points_per_side": 24}
)


class _Handler(SimpleHTTPRequestHandler):
    """Serves files; what is not there is hidden below ``hidden``, as S3 may do."""

    def do_GET(self) -> None:
        if "/hidden/" in self.path and not Path(self.translate_path(self.path)).is_file():
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
