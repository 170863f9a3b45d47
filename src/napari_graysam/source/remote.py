"""Images at addresses: what reads them, how long it waits, and what is said where it fails."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from napari_graysam.errors import GraysamError, ImageError

PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "fsspec aiohttp requests",
    "https": "fsspec aiohttp requests", "az": "adlfs", "abfs": "adlfs",
}  # fmt: skip
CONNECT_S, READ_S = 10, 20
"""Seconds that a server may take to take a call, and to send the next bytes."""
REFUSED, MISSING = (401, 403), 404
"""What a server answers that lets nobody in, and where nothing is."""
S3, HTTP = ("s3", "s3a"), ("http", "https")
"""Schemes that share fsspec's configuration."""


class RefusedError(ImageError):
    """The server does not let us read: what is not there may be told in the same way."""


def kind_of(address: str) -> str:
    """Return the scheme of an address, such as ``s3``."""
    return address.partition("://")[0].lower()


def options_of(address: str) -> dict[str, Any]:
    """Return how long fsspec waits for a server, unless its own configuration says so."""
    kind = kind_of(address)
    options: dict[str, Any] = {}
    if kind in S3:
        # s3fs itself tries five times.
        waits = {"connect_timeout": CONNECT_S, "read_timeout": READ_S}
        options["config_kwargs"] = {**waits, "retries": {"total_max_attempts": 1}}
    elif kind in HTTP:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)
        options["client_kwargs"] = {"timeout": timeout}
    from fsspec.config import conf

    kinds = S3 if kind in S3 else HTTP
    known = {name for one in kinds for name in conf.get(one, {})}
    return {name: value for name, value in options.items() if name not in known}


def file_system(address: str) -> tuple[Any, str]:
    """Return what reads the files of an address, of fsspec, and the path in it.

    Raises
    ------
    ImageError
        fsspec or the package of that kind of address is missing, or nobody knows it.
    """
    kind = kind_of(address)
    try:
        from fsspec.core import url_to_fs

        files, path = url_to_fs(address, **options_of(address))
    except ImportError as error:
        raise ImageError(
            f"Addresses of {kind}:// need a package that is not installed: pip install "
            f"{PACKAGES.get(kind, 'fsspec')}; or copy the image to this machine."
        ) from error
    except ValueError as error:
        raise ImageError(f"Addresses of {kind}:// are not known: {error}.") from error
    return files, str(path)


def fetch(address: str, most: int) -> bytes | None:
    """Return a file of at most ``most`` bytes at an address; None where there is none.

    Raises
    ------
    ImageError
        As `file_system`, or the file is larger, or the server cannot be reached, or refuses
        (`RefusedError`).
    """
    files, path = file_system(address)
    with asking(address):
        try:
            if kind_of(address) in HTTP:
                data = _beginning(files, path, most + 1)
            else:
                data = bytes(files.cat_file(path, start=0, end=most + 1))
        except FileNotFoundError as missing:
            if "bucket" in str(missing).lower():
                raise ImageError("There is no such bucket; check the address.") from missing
            return None
    if len(data) > most:
        raise ImageError(f"{address} is larger than {most:,} bytes: no metadata.")
    return data


def _beginning(files: Any, path: str, length: int) -> bytes:
    """Return the first bytes of a file, also of a server that sends all of it unasked."""
    from fsspec.asyn import sync

    async def read() -> bytes:
        session = await files.set_session()
        data = bytearray()
        async with session.get(files.encode_url(path), **files.kwargs) as answer:
            if answer.status == MISSING:
                raise FileNotFoundError(path)
            answer.raise_for_status()
            while part := await answer.content.read(length - len(data)):
                data += part
        return bytes(data)

    return bytes(sync(files.loop, read))


@contextmanager
def asking(address: str) -> Generator[None, None, None]:
    """Turn what packages raise where a server fails into one sentence.

    Raises
    ------
    ImageError
        It cannot be reached, takes too long, or refuses (`RefusedError`).
    """
    try:
        yield
    except (GraysamError, FileNotFoundError, MemoryError):
        raise
    except Exception as error:
        kind, text = kind_of(address), str(error) or type(error).__name__
        name, status = type(error).__name__, getattr(error, "status", None)
        if isinstance(error, PermissionError) or status in REFUSED:
            raise RefusedError(
                f"The server refuses to let it be read ({text}). {_access(kind)}"
            ) from error
        if "credentials" in name.lower() or "credentials" in text.lower():
            raise ImageError(f"{text}. {_access(kind)}") from error
        if isinstance(error, TimeoutError) or "timeout" in name.lower():
            raise ImageError(
                f"The server has not answered within {READ_S} s: try again later, or copy the "
                "image to this machine."
            ) from error
        if isinstance(error, OSError) or "connect" in text.lower() or status is not None:
            place = " AWS_ENDPOINT_URL names another server than Amazon's." * (kind == "s3")
            raise ImageError(
                f"The server cannot be read from ({text}): check the address and the "
                f"network.{place}"
            ) from error
        raise


def _access(kind: str) -> str:
    if kind in S3:
        return (
            "Give credentials by AWS_PROFILE, or by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
            "a public bucket is read with FSSPEC_S3_ANON=true."
        )
    return "It needs access rights, or is not there: servers may hide that."
