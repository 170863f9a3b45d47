"""Finding and downloading checkpoints, against a server on this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_graysam.errors import DownloadError, ModelError
from napari_graysam.model import (
    BUNDLED,
    CATALOG,
    ModelEntry,
    fetch,
    find_entry,
    locate,
    verify,
)
from napari_graysam.model.catalog import config_path
from napari_graysam.model.download import download
from napari_graysam.progress import run

CONTENT = bytes(range(256)) * 8000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OFFICIAL = [entry for entry in CATALOG if entry is not BUNDLED]


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT in the ways that real servers do and fail."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        behaviour = self.server.behaviour
        wanted = self.headers.get("Range")
        self.server.seen.append((wanted, self.headers.get("If-Range")))
        if behaviour.status != 200:
            self.send_error(behaviour.status)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if self.headers.get("If-Range", behaviour.etag) != behaviour.etag or not behaviour.ranges:
            start = 0
        if start >= len(behaviour.body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", behaviour.kind)
        self.send_header("Content-Length", str(len(behaviour.body) - start))
        self.send_header("ETag", behaviour.etag)
        if start:
            last = len(behaviour.body) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        self.end_headers()
        body = behaviour.body[start:]
        if behaviour.cut is not None:
            body = body[: behaviour.cut]
        step = 100_000
        try:
            for at in range(0, len(body), step):
                self.wfile.write(body[at : at + step])
                time.sleep(behaviour.pause)
        except OSError:
            return
        if behaviour.hang:
            self.server.released.wait(10)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    behaviour = SimpleNamespace(
        status=200,
        ranges=True,
        etag='"v1"',
        body=CONTENT,
        cut=None,
        pause=0.0,
        hang=False,
        kind="application/octet-stream",
    )
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    http.behaviour, http.seen, http.released = behaviour, [], threading.Event()
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    behaviour.url = f"http://127.0.0.1:{http.server_port}/models/toy.pt"
    behaviour.seen = http.seen
    yield behaviour
    http.released.set()
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr("napari_graysam.model.weights.cache_folder", lambda: folder)
    monkeypatch.delenv("GRAYSAM_MODELS", raising=False)
    return folder


@pytest.fixture
def entry(server: SimpleNamespace) -> ModelEntry:
    return replace(OFFICIAL[0], url=server.url, sha256=DIGEST, bytes=len(CONTENT))


def part_of(cache: Path) -> Path:
    return cache / "toy.pt.part"


def cancel_after_some(entry: ModelEntry) -> int:
    """Download until something is on disk, then close the generator."""
    steps = fetch(entry)
    done = 0
    while done < 200_000:
        done = next(steps).done
    steps.close()
    return done


def test_download_gives_the_published_file_and_reports_its_bytes(entry, cache):
    reports = []
    path = run(fetch(entry), reports.append)
    assert path == cache / "toy.pt"
    assert path.read_bytes() == CONTENT
    downloaded = [report for report in reports if report.stage == "download"]
    assert [report.done for report in downloaded] == sorted(report.done for report in downloaded)
    assert downloaded[-1].done == downloaded[-1].total == len(CONTENT)
    assert reports[-1].stage == "verify"
    assert {file.name for file in cache.iterdir()} <= {"toy.pt", ".toy.pt.lock"}


def test_a_file_that_is_here_is_not_downloaded_again(entry, cache, server):
    run(fetch(entry))
    asked = len(server.seen)
    reports = []
    assert run(fetch(entry), reports.append) == cache / "toy.pt"
    assert not reports
    assert len(server.seen) == asked


def test_cancelling_keeps_the_part_and_the_next_attempt_resumes_it(entry, cache, server):
    server.pause = 0.01
    cancel_after_some(entry)
    kept = part_of(cache).stat().st_size
    assert 0 < kept < len(CONTENT)
    assert not (cache / "toy.pt").exists()
    server.pause = 0.0
    assert run(fetch(entry)).read_bytes() == CONTENT
    assert server.seen[-1] == (f"bytes={kept}-", '"v1"')
    assert not part_of(cache).exists()


def test_a_server_without_ranges_sends_everything_again(entry, cache, server):
    server.pause = 0.01
    cancel_after_some(entry)
    server.pause, server.ranges = 0.0, False
    assert run(fetch(entry)).read_bytes() == CONTENT


def test_a_part_of_another_version_is_not_continued(entry, cache, server):
    server.pause, server.body = 0.01, bytes(len(CONTENT))
    cancel_after_some(entry)
    server.pause, server.body, server.etag = 0.0, CONTENT, '"v2"'
    assert run(fetch(entry)).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_dropped(entry, cache):
    cache.mkdir()
    part_of(cache).write_bytes(CONTENT + b"more")
    assert run(fetch(entry)).read_bytes() == CONTENT


def test_a_whole_part_needs_no_server(entry, cache, server):
    cache.mkdir()
    part_of(cache).write_bytes(CONTENT)
    assert run(fetch(entry)).read_bytes() == CONTENT
    assert not server.seen


def test_a_truncated_answer_keeps_what_came(entry, cache, server):
    server.cut = 500_000
    with pytest.raises(DownloadError, match=r"after 0\.5 MB of 2\.0 MB; another attempt goes on"):
        run(fetch(entry))
    assert part_of(cache).read_bytes() == CONTENT[:500_000]
    server.cut = None
    assert run(fetch(entry)).read_bytes() == CONTENT


def test_a_server_that_falls_silent_is_given_up(cache, server):
    server.cut, server.hang = 500_000, True
    with pytest.raises(DownloadError, match=r"the connection broke .*timed out"):
        run(download(server.url, cache / "toy.pt", sha256=DIGEST, size=None, timeout=0.3))
    assert part_of(cache).read_bytes() == CONTENT[:500_000]


def test_a_wrong_file_is_removed(entry, cache, server):
    server.body = CONTENT[:-1] + b"?"
    with pytest.raises(DownloadError, match=f"not {DIGEST}"):
        run(fetch(entry))
    assert not [file for file in cache.iterdir() if "lock" not in file.name]


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_login_page_is_no_checkpoint(entry, cache, server, kind):
    server.kind, server.body = kind, b"\n<!DOCTYPE html><html>Please sign in</html>"
    with pytest.raises(DownloadError, match="web page"):
        run(fetch(entry))
    assert not [file for file in cache.iterdir() if "lock" not in file.name]


def test_every_failure_says_how_to_get_the_file_by_hand(entry, cache, server):
    server.status = 404
    with pytest.raises(DownloadError) as raised:
        run(fetch(entry))
    message = str(raised.value)
    assert "404" in message
    for needed in ("toy.pt", "2.0 MB", server.url, str(cache), "GRAYSAM_MODELS"):
        assert needed in message


def test_a_refused_connection_is_a_download_error(entry, cache):
    with pytest.raises(DownloadError, match="no connection to the server"):
        run(fetch(replace(entry, url="http://127.0.0.1:9/models/toy.pt")))


def test_a_full_disk_is_noticed_before_downloading(entry, cache, monkeypatch):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: SimpleNamespace(total=10**9, used=10**9, free=10**6)
    )
    with pytest.raises(DownloadError, match=r"1\.0 MB free, 66\.0 MB are needed"):
        run(fetch(entry))
    assert not part_of(cache).exists()


def test_a_cache_folder_that_cannot_be_made_is_named(entry, cache):
    cache.write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match="cannot be written"):
        run(fetch(entry))


def test_two_downloads_at_once_share_one(entry, cache, server):
    server.pause = 0.02
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(run(fetch(entry)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [cache / "toy.pt"] * 2
    assert paths[0].read_bytes() == CONTENT
    assert len(server.seen) == 1


def test_folders_are_searched_before_the_cache(entry, cache, tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (second, cache):
        folder.mkdir()
        (folder / entry.filename).touch()
    monkeypatch.setenv("GRAYSAM_MODELS", os.pathsep.join(map(str, (first, second))))
    assert locate(entry) == second / entry.filename
    monkeypatch.delenv("GRAYSAM_MODELS")
    assert locate(entry) == cache / entry.filename
    (cache / entry.filename).unlink()
    assert locate(entry) is None


def test_verify_tells_the_published_file_from_another(entry, tmp_path):
    right, wrong = tmp_path / "right.pt", tmp_path / "wrong.pt"
    right.write_bytes(CONTENT)
    wrong.write_bytes(CONTENT[1:])
    assert verify(right, entry) == DIGEST
    with pytest.raises(ModelError, match="is not the published"):
        verify(wrong, entry)
    right.write_bytes(CONTENT[2:])
    with pytest.raises(ModelError, match="is not the published"):
        verify(right, entry)
    with pytest.raises(ModelError, match="cannot be read"):
        verify(tmp_path / "absent.pt", entry)


def test_without_a_published_sum_nothing_is_downloaded(entry, cache, server):
    with pytest.raises(ModelError, match=r"no published SHA-256.*model\.checkpoint"):
        run(fetch(replace(entry, sha256=None)))
    assert not server.seen


@pytest.mark.parametrize(
    "alias",
    ["sam2.1-hiera-base-plus", "facebook/sam2.1-hiera-base-plus", " SAM2.1_hiera_base_plus"],
)
def test_names_of_the_hub_are_understood(alias):
    assert find_entry(alias).name == "sam2.1_hiera_base_plus"


def test_an_unknown_name_is_answered_with_close_ones():
    with pytest.raises(ModelError, match=r"did you mean sam2\.1_hiera_tiny") as raised:
        find_entry("sam2.1_hiera_tini")
    assert all(entry.name in str(raised.value) for entry in CATALOG)


def test_the_catalogue_holds_the_eight_published_models_and_ours():
    assert len(OFFICIAL) == 8
    assert len({entry.sha256 for entry in OFFICIAL}) == 8
    assert all(len(bytes.fromhex(entry.sha256)) == 32 for entry in OFFICIAL)
    assert all(entry.filename == f"{entry.name}.pt" for entry in OFFICIAL)
    for entry in CATALOG:
        assert f"image_size: {entry.image_size}\n" in config_path(entry.config).read_text()
