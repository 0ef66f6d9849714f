"""Local copies and downloads of data files, verified by checksum."""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import os
import shutil
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from ..utils import import_optional

_TIMEOUT = 30.0  # seconds without an answer from the server
_CHUNK = 1 << 16

# Exceptions raised while reading a damaged file.
READ_ERRORS = (OSError, EOFError, ValueError, zlib.error)


@dataclass(frozen=True)
class DataFile:
    """File of a data set.

    Parameters
    ----------
    folder : str
        Subfolder of the data set in each searched folder.
    name : str
        Name of the decompressed file. The compressed file has the additional suffix ``.gz``.
    sha256 : str or None
        SHA-256 checksum of the decompressed content, independent of the compression. If None, the
        checksum is unknown, and a download stays compressed for gzip's own checksum and length.
    urls : tuple of str
        Addresses of the file, compressed or not, in the order of the download attempts.
    max_size : int
        Maximum size of the decompressed content in bytes. A download stops at this size.
    """

    folder: str
    name: str
    sha256: str | None = None
    urls: tuple[str, ...] = ()
    max_size: int = sys.maxsize

    @property
    def download_name(self) -> str:
        """Name of the downloaded file: compressed only if the checksum is unknown."""
        return self.name if self.sha256 else f"{self.name}.gz"


def get_data_home(data_home: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder to which the loaders download files.

    The folder is `data_home` if given, otherwise the folder named by the environment variable
    ``SKVAE_DATA``, otherwise the user's cache. Before a download, the loaders search all three
    folders in this order.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder to use instead of the defaults.

    Returns
    -------
    path : pathlib.Path
        Path of the folder. The folder need not exist.

    Raises
    ------
    ImportError
        If the folder is the user's cache, and pooch (extra ``data``) is not installed.

    Examples
    --------
    >>> from skvae.datasets import get_data_home
    >>> get_data_home("data").name
    'data'
    """
    folders = _user_folders(data_home)
    return folders[0] if folders else _cache_folder()


def find_local_copy(file: DataFile, data_home: str | os.PathLike[str] | None) -> Path | None:
    """Return the first valid copy of the file on this machine, and warn about invalid copies."""
    for path, problem in _local_copies(file, data_home):
        if not problem:
            return path
        warnings.warn(f"Ignoring {path}: {problem}.", stacklevel=2)
    return None


def retrieve(
    file: DataFile, data_home: str | os.PathLike[str] | None, download_if_missing: bool
) -> Path:
    """Return a valid copy of the file on this machine, downloaded if necessary.

    A download overwrites an invalid file in the cache, but never in a folder chosen by the user.

    Raises
    ------
    ImportError
        If the file must be downloaded, and pooch is not installed.
    OSError
        If the file is neither found nor downloaded. The message lists the reasons, and explains
        where to put the file.
    """
    if path := find_local_copy(file, data_home):
        return path
    destination = get_data_home(data_home) / file.folder / file.download_name
    reasons = [f"{path}: {problem}" for path, problem in _local_copies(file, data_home)]
    if destination.exists() and _user_folders(data_home):
        reasons.append(f"a download would overwrite {destination}: delete or move this file first")
    elif not download_if_missing:
        reasons.append("no local copy was found, and download_if_missing is False")
    else:
        failures = _download(file, destination)
        if not failures:
            return destination
        reasons += failures
    listed = "\n".join(f"  - {reason}" for reason in reasons)
    raise OSError(f"Could not get {file.name}:\n{listed}\n{_instructions(file, destination)}")


@contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[io.BufferedIOBase]:
    """Open a file, decompressed if necessary, for reading."""
    with open(path, "rb") as stream:
        yield _decompressed(stream)


def _decompressed(stream: Any) -> io.BufferedIOBase:
    # Some browsers and servers decompress a file without renaming it, so look at the first bytes.
    is_gzip = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    return gzip.GzipFile(fileobj=stream) if is_gzip else stream


# ---- Local files -------------------------------------------------------------------------


def _user_folders(data_home: str | os.PathLike[str] | None) -> list[Path]:
    """Return the folders chosen by the user: `data_home` and ``SKVAE_DATA``, if set."""
    folders = (data_home, os.environ.get("SKVAE_DATA"))
    return list(dict.fromkeys(Path(folder).expanduser() for folder in folders if folder))


def _import_pooch() -> Any:
    return import_optional("pooch", "Downloading data sets")


def _cache_folder() -> Path:
    return Path(_import_pooch().os_cache("skvae"))


def _local_copies(
    file: DataFile, data_home: str | os.PathLike[str] | None
) -> Iterator[tuple[Path, str]]:
    """Yield the path of each local copy with a description of the problem, "" for valid copies."""
    folders = _user_folders(data_home)
    with suppress(ImportError):  # without pooch, nothing was ever downloaded to the cache
        folders.append(_cache_folder())
    for folder in folders:
        for name in (file.name, f"{file.name}.gz"):
            path = folder / file.folder / name
            if path.is_file():
                yield path, _find_problem(path, file)


def _find_problem(path: Path, file: DataFile) -> str:
    if file.sha256 is None:
        return ""
    digest = hashlib.sha256()
    try:
        with open_file(path) as stream:
            shutil.copyfileobj(stream, _LimitedFile(digest.update, file.max_size), _CHUNK)
    except READ_ERRORS as error:
        return f"the file cannot be read ({error})"
    if digest.hexdigest() == file.sha256:
        return ""
    return f"the SHA-256 checksum is {digest.hexdigest()} instead of {file.sha256}"


def _instructions(file: DataFile, destination: Path) -> str:
    return (
        f"To provide the file yourself, put {file.name}.gz (or {file.name}) into "
        f"{destination.parent}, or into the subfolder {file.folder}/ of another folder, and pass "
        "this folder as data_home or set the environment variable SKVAE_DATA."
    )


# ---- Downloads ---------------------------------------------------------------------------


def _download(file: DataFile, destination: Path) -> list[str]:
    """Download from the first working address; if all fail, return the reasons."""
    pooch = _import_pooch()
    failures = []
    for url in file.urls:
        try:
            with _silence(pooch.get_logger()):
                pooch.retrieve(
                    url,
                    known_hash=file.sha256 and f"sha256:{file.sha256}",
                    fname=destination.name,
                    path=destination.parent,
                    downloader=_Downloader(file.sha256 is not None, file.max_size),
                )
        except READ_ERRORS as error:
            # Errors with an errno come from the operating system and concern the folder or the
            # disk, so another address would not help. Errors of requests and gzip have no errno.
            if isinstance(error, PermissionError) or getattr(error, "errno", None):
                raise OSError(
                    f"Could not write {file.name} to {destination.parent}: {error}\n"
                    f"{_instructions(file, destination)}"
                ) from error
            failures.append(f"{url}: {type(error).__name__}: {error}")
        else:
            return []
    return failures


@dataclass(frozen=True)
class _Downloader:
    """Downloader that fills the temporary file of pooch; pooch then verifies and renames the file.

    Parameters
    ----------
    decompress : bool
        Whether to decompress the received file.
    max_size : int
        Maximum size of the decompressed content in bytes.
    """

    decompress: bool
    max_size: int

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        http = _import_pooch().HTTPDownloader(
            progressbar=True,
            chunk_size=_CHUNK,
            timeout=_TIMEOUT,
            hooks={"response": _refuse_insecure_redirect},
        )
        # Compression never adds more than this.
        max_received = self.max_size + self.max_size // 1000 + _CHUNK
        # Anonymous on most systems, so that nothing is left even if this process is killed.
        with tempfile.TemporaryFile(dir=Path(output_file).parent) as received:
            http(url, _LimitedFile(received.write, max_received), None)
            received.seek(0)
            if self.decompress:
                source = _decompressed(received)
            else:
                _verify_gzip(received, self.max_size)
                source = received
            limit = self.max_size if self.decompress else max_received
            with open(output_file, "wb") as output:
                shutil.copyfileobj(source, _LimitedFile(output.write, limit), _CHUNK)


class _LimitedFile:
    """File for writing that refuses more than a number of bytes.

    Parameters
    ----------
    write : callable
        Function that receives the bytes.
    max_size : int
        Maximum number of bytes.
    """

    def __init__(self, write: Callable[[bytes], Any], max_size: int) -> None:
        self._write = write
        self._max_size = max_size
        self._size = 0

    def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._max_size:
            raise ValueError(f"the content is larger than {self._max_size} bytes")
        self._write(chunk)

    def flush(self) -> None:
        """Do nothing: pooch flushes after each chunk."""


def _verify_gzip(stream: Any, max_size: int) -> None:
    """Read to the end, where gzip verifies checksum and length, then rewind."""
    with gzip.GzipFile(fileobj=stream) as decompressed:
        shutil.copyfileobj(decompressed, _LimitedFile(len, max_size), _CHUNK)
    stream.seek(0)


def _refuse_insecure_redirect(response: Any, **_: Any) -> None:
    """Raise `ValueError` if a server redirects from https to another protocol."""
    if response.is_redirect:
        target = urljoin(response.url, response.headers["location"])
        if response.url.startswith("https:") and urlsplit(target).scheme != "https":
            raise ValueError(f"the server redirects to {target}, which is not secure")


@contextmanager
def _silence(logger: logging.Logger) -> Iterator[None]:
    """Hide the messages of pooch about the download: the progress bar is enough."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
