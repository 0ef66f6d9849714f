"""From the name of a file to a verified copy of it on this machine."""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils import optional

_TIMEOUT = 30.0  # seconds that a server may keep silent
_CHUNK = 1 << 16

# What reading a damaged file raises.
READ_ERRORS = (OSError, EOFError, ValueError, zlib.error)


@dataclass(frozen=True)
class DataFile:
    """A file of a data set.

    Parameters
    ----------
    folder : str
        Folder of the data set, within each of the folders that may hold it.
    name : str
        Name once decompressed. Compressed by gzip, it ends in ``.gz``.
    sha256 : str or None
        Digest of the decompressed content, which is the same however it was compressed. None if
        it is not known: then a download is kept compressed, since gzip's own checksum and length
        are all that guards it.
    urls : tuple of str
        Addresses of the same file, compressed or not, in the order in which to try them.
    """

    folder: str
    name: str
    sha256: str | None = None
    urls: tuple[str, ...] = ()

    @property
    def download_name(self) -> str:
        return self.name if self.sha256 else f"{self.name}.gz"


def get_data_home(data_home: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder to which the loaders download.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder itself, if given.

    Returns
    -------
    path : pathlib.Path
        `data_home`, else the folder that the environment variable ``SKVAE_DATA`` names, else
        the user's cache. The loaders look for a file in each of these, in this order, before they
        download it.

    Examples
    --------
    >>> from skvae.datasets import get_data_home
    >>> get_data_home("data").name
    'data'
    """
    named = _named_folders(data_home)
    return named[0] if named else _cache()


def find(file: DataFile, data_home: str | os.PathLike[str] | None) -> Path | None:
    """Return the first right copy of the file on this machine, and warn of wrong ones before it."""
    for path, fault in _local_copies(file, data_home):
        if not fault:
            return path
        warnings.warn(f"{path} is not used: {fault}.", stacklevel=2)
    return None


def retrieve(
    file: DataFile, data_home: str | os.PathLike[str] | None, download_if_missing: bool
) -> Path:
    """Return a right copy of the file, downloaded if there is none on this machine.

    A wrong file in the way of the download is overwritten in the cache, which is ours, and never
    in a folder that the user named.

    Raises
    ------
    OSError
        If the file can't be had, with all reasons and the way to supply it by hand.
    """
    if path := find(file, data_home):
        return path
    destination = get_data_home(data_home) / file.folder / file.download_name
    reasons = [f"{path}: {fault}" for path, fault in _local_copies(file, data_home)]
    if destination.exists() and _named_folders(data_home):
        reasons.append(f"not downloaded over {destination}: delete it or move it away")
    elif not download_if_missing:
        reasons.append("no folder holds it, and download_if_missing is False")
    else:
        failures = _download(file, destination)
        if not failures:
            return destination
        reasons += failures
    listed = "\n".join(f"  - {reason}" for reason in reasons)
    raise OSError(f"Could not get {file.name}:\n{listed}\n{_advice(file, destination)}")


@contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[io.BufferedIOBase]:
    """Open a file to read its decompressed content."""
    with open(path, "rb") as stream:
        yield _decompressed(stream)


def _decompressed(stream: Any) -> io.BufferedIOBase:
    # Some browsers and servers decompress a file and leave its name: the first bytes don't lie.
    is_packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    return gzip.GzipFile(fileobj=stream) if is_packed else stream


# ---- Local files -------------------------------------------------------------------------


def _named_folders(data_home: str | os.PathLike[str] | None) -> list[Path]:
    named = (data_home, os.environ.get("SKVAE_DATA"))
    return list(dict.fromkeys(Path(folder).expanduser() for folder in named if folder))


def _cache() -> Path:
    return Path(optional("pooch").os_cache("skvae"))


def _local_copies(
    file: DataFile, data_home: str | os.PathLike[str] | None
) -> Iterator[tuple[Path, str]]:
    """Yield what has the file's name, each with what is wrong with it: "" if nothing is."""
    folders = _named_folders(data_home)
    with suppress(ImportError):  # without pooch, nothing has ever been downloaded to the cache
        folders.append(_cache())
    for folder in folders:
        for name in (file.name, f"{file.name}.gz"):
            path = folder / file.folder / name
            if path.is_file():
                yield path, _fault(path, file.sha256)


def _fault(path: Path, sha256: str | None) -> str:
    if sha256 is None:
        return ""
    try:
        with open_file(path) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except READ_ERRORS as error:
        return f"it can't be read ({error})"
    return "" if digest == sha256 else f"its SHA-256 is {digest} instead of {sha256}"


def _advice(file: DataFile, destination: Path) -> str:
    return (
        f"To supply it by hand, put {file.name}.gz (or {file.name}) into {destination.parent}, or "
        f"into {file.folder}/ of a folder that data_home or the environment variable SKVAE_DATA "
        "names."
    )


# ---- Downloads ---------------------------------------------------------------------------


def _download(file: DataFile, destination: Path) -> list[str]:
    """Download from the first address that has the file; if none has, return why."""
    pooch = optional("pooch")
    failures = []
    for url in file.urls:
        try:
            with _quiet(pooch.get_logger()):
                pooch.retrieve(
                    url,
                    known_hash=file.sha256 and f"sha256:{file.sha256}",
                    fname=destination.name,
                    path=destination.parent,
                    downloader=_Downloader(decompress=file.sha256 is not None),
                )
        except READ_ERRORS as error:
            # An error with a number is the operating system's, and about the folder or the disk:
            # no other address would help. Those of requests and gzip have none.
            if isinstance(error, PermissionError) or getattr(error, "errno", None):
                raise OSError(
                    f"Could not write {file.name} to {destination.parent}: {error}\n"
                    f"{_advice(file, destination)}"
                ) from error
            failures.append(f"{url}: {type(error).__name__}: {error}")
        else:
            return []
    return failures


@dataclass(frozen=True)
class _Downloader:
    """What pooch calls to fill its temporary file, which it then verifies and moves into place."""

    decompress: bool

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        http = optional("pooch").HTTPDownloader(
            progressbar=True, chunk_size=_CHUNK, timeout=_TIMEOUT
        )
        # Nameless where the system allows that: it is gone even if this process is killed.
        with tempfile.TemporaryFile(dir=Path(output_file).parent) as received:
            http(url, received, None)
            received.seek(0)
            if self.decompress:
                source = _decompressed(received)
            else:
                _check_gzip(received)
                source = received
            with open(output_file, "wb") as output:
                shutil.copyfileobj(source, output, _CHUNK)


def _check_gzip(stream: Any) -> None:
    """Read to the end, where gzip compares checksum and length, and go back to the start."""
    with gzip.GzipFile(fileobj=stream) as unpacked:
        while unpacked.read(_CHUNK):
            pass
    stream.seek(0)


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Leave the progress bar to tell of the download."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
