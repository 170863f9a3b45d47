"""Download one checkpoint: resumable, verified, and in place only when whole.

Resuming follows RFC 9110 (range requests with ``If-Range``); the SHA-256 sum decides in the
end whether the pieces make the published file.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Generator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NoReturn

from napari_graysam.errors import DownloadError
from napari_graysam.model.checksum import sha256_steps
from napari_graysam.progress import Progress

_BLOCK = 1 << 18
_SPARE_BYTES = 64_000_000
_LOCK_POLL_S = 0.2


def readable_size(count: int | None) -> str:
    """Write a number of bytes for people."""
    return "size unknown" if count is None else f"{count / 1e6:.1f} MB"


def looks_like_web_page(head: bytes) -> bool:
    """Tell whether a file's first bytes begin an HTML or XML page."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


@dataclass(frozen=True)
class _Job:
    url: str
    target: Path
    sha256: str
    size: int | None
    timeout: float

    @property
    def part(self) -> Path:
        return self.target.with_name(self.target.name + ".part")

    @property
    def validator(self) -> Path:
        return self.target.with_name(self.target.name + ".part.etag")

    def done(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.validator.unlink(missing_ok=True)

    def fail(self, what: str) -> NoReturn:
        raise DownloadError(
            f"{self.target.name} ({readable_size(self.size)}) could not be downloaded: {what}. "
            f"Without a connection, get {self.url} on another computer and put it into "
            f"{self.target.parent}, or into a folder that $GRAYSAM_MODELS names."
        )


def download(
    url: str, target: Path, *, sha256: str, size: int | None, timeout: float = 30.0
) -> Generator[Progress, None, None]:
    """Bring a file to its place, resuming what an earlier attempt left.

    Closing the generator cancels at once and keeps the part for the next attempt. Several
    processes may ask for the same file: one downloads, the others wait for it.

    Parameters
    ----------
    url
        ``http`` or ``https`` address.
    target
        Final path; its folder is made if needed.
    sha256
        Lower-case hexadecimal digest of the whole file.
    size
        Expected bytes for messages and the space check; None where unknown.
    timeout
        Seconds without an answer after which the attempt fails.

    Yields
    ------
    Progress
        Stages ``download`` and ``verify``, in bytes.

    Raises
    ------
    DownloadError
        If the file cannot be had whole and right; nothing is then at `target`. The message
        names the file, its size, its address and the folder it belongs in.
    """
    from filelock import FileLock, Timeout

    job = _Job(url, target, sha256, size, timeout)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(f".{target.name}.lock"))
        while True:
            try:
                lock.acquire(timeout=0)
                break
            except Timeout:
                yield Progress("download", job.done(), size or 0)
                time.sleep(_LOCK_POLL_S)
    except OSError as error:
        job.fail(f"the folder {target.parent} cannot be written ({error})")
    try:
        if not target.exists():
            yield from _receive(job)
            yield from _verify(job)
    finally:
        lock.release()


def _receive(job: _Job) -> Generator[Progress, None, None]:
    if job.size is not None and job.done() == job.size:
        return
    done, response = _open(job)
    with response:
        if response.headers.get_content_type() == "text/html":
            job.fail("the server sent a web page instead (a login or proxy page?)")
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else (job.size or 0)
        _check_space(job, total - done)
        _remember_validator(job, response)
        yield Progress("download", done, total)
        try:
            part = job.part.open("ab" if done else "wb")
        except OSError as error:
            job.fail(f"{job.part} cannot be written ({error})")
        with part:
            while block := _read(job, response, done, total):
                try:
                    part.write(block)
                except OSError as error:
                    job.fail(f"{job.part} cannot be written ({error})")
                done += len(block)
                yield Progress("download", done, total)
    if done < total:
        _stopped(job, done, total, "the server closed the connection")


def _stopped(job: _Job, done: int, total: int, why: str) -> NoReturn:
    job.fail(
        f"{why} after {readable_size(done)} of {readable_size(total or None)}; "
        "another attempt goes on from there"
    )


def _read(job: _Job, response: HTTPResponse, done: int, total: int) -> bytes:
    try:
        return response.read1(_BLOCK)
    except (OSError, HTTPException) as error:
        _stopped(job, done, total, f"the connection broke ({error or type(error).__name__})")


def _open(job: _Job) -> tuple[int, HTTPResponse]:
    """Return from which byte on the server sends, and its answer."""
    done = job.done()
    response = _request(job, done)
    if response is None or (
        response.status == 206
        and not re.match(rf"bytes {done}-", response.headers.get("Content-Range", ""))
    ):
        job.discard()
        done = 0
        response = _request(job, done)
    if response is None:
        job.fail("the server refuses every range (HTTP 416)")
    return (done if response.status == 206 else 0), response


def _request(job: _Job, done: int) -> HTTPResponse | None:
    """Ask for the file from byte `done` on; None if the server has no such byte."""
    import ssl
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    import certifi

    headers = {"User-Agent": "napari-graysam", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
        if job.validator.exists():
            headers["If-Range"] = job.validator.read_text(encoding="latin-1")
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    try:
        response: HTTPResponse = urlopen(
            Request(job.url, headers=headers), timeout=job.timeout, context=context
        )
        return response
    except HTTPError as error:
        error.close()
        if error.code == 416 and done:
            return None
        job.fail(f"the server answered {error.code} {error.reason}")
    except URLError as error:
        job.fail(f"no connection to the server ({error.reason})")
    except (OSError, HTTPException) as error:
        job.fail(f"no answer from the server ({error or type(error).__name__})")


def _check_space(job: _Job, needed: int) -> None:
    free = shutil.disk_usage(job.target.parent).free
    if free < needed + _SPARE_BYTES:
        job.fail(
            f"{job.target.parent} has {readable_size(free)} free, "
            f"{readable_size(needed + _SPARE_BYTES)} are needed"
        )


def _remember_validator(job: _Job, response: HTTPResponse) -> None:
    validator = response.headers.get("ETag", "")
    if not validator or validator.startswith("W/"):
        validator = response.headers.get("Last-Modified", "")
    try:
        if validator:
            job.validator.write_text(validator, encoding="latin-1")
        else:
            job.validator.unlink(missing_ok=True)
    except OSError as error:
        job.fail(f"{job.validator} cannot be written ({error})")


def _verify(job: _Job) -> Generator[Progress, None, None]:
    digest = yield from sha256_steps(job.part)
    if digest != job.sha256:
        with job.part.open("rb") as part:
            page = looks_like_web_page(part.read(64))
        job.discard()
        job.fail(
            "what came is a web page (a login or proxy page?)"
            if page
            else f"what came has the SHA-256 {digest}, not {job.sha256}, and was removed"
        )
    job.part.replace(job.target)
    job.validator.unlink(missing_ok=True)
