"""Files of arrays and a document: safetensors with JSON inside, written all or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

# Of what this module writes. Files of later formats are refused.
_FORMAT = 1
Arrays = dict[str, np.ndarray]


def write_file(path: str | os.PathLike[str], document: Any, arrays: Mapping[str, Any]) -> None:
    """Write a file that holds a JSON document and arrays, or leave the one there as it is.

    The file is a valid safetensors one. Its metadata have one entry, "skvae": a JSON object with
    the number of the format, the document, and a SHA-256 digest of document and arrays.

    Parameters
    ----------
    path : path-like
    document : object
        What JSON can hold.
    arrays : mapping
        Numeric arrays by name.

    Raises
    ------
    OSError
        If the file can't be written.
    """
    plain = {name: _plain(array) for name, array in arrays.items()}
    digest = content_digest(document, plain)
    header = {"format": _FORMAT, "sha256": digest, "document": document}
    content = save(plain, metadata={"skvae": json.dumps(header, allow_nan=False)})
    with replacing(path) as file:
        file.write(content)


def read_file(path: str | os.PathLike[str]) -> tuple[Any, Arrays]:
    """Return the document and the arrays of a file that `write_file` wrote.

    Raises
    ------
    OSError
        If there is no such file, or it can't be read.
    ValueError
        If it is damaged, or something else.
    """
    with open(path, "rb"):  # for Python's own errors
        pass
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise _damaged(path, f"it is no valid safetensors file ({error})") from error
    if "skvae" not in metadata:
        raise ValueError(f"{os.fspath(path)!r} is a safetensors file, but not one of skvae.")
    try:
        header = json.loads(metadata["skvae"])
        file_format, digest, document = (header[key] for key in ("format", "sha256", "document"))
        is_whole = digest == content_digest(document, arrays)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, f"its header is not what it should be ({error})") from error
    if file_format != _FORMAT:
        raise ValueError(
            f"{os.fspath(path)!r} is of format {file_format!r}, and this version of skvae reads "
            f"format {_FORMAT}: install a newer one."
        )
    if not is_whole:
        raise _damaged(path, "its digest is not that of its content")
    return document, arrays


def _plain(array: Any) -> np.ndarray:
    """Return an array that safetensors can hold: contiguous, and in this machine's byte order."""
    array = np.asarray(array)
    # `ascontiguousarray` would give arrays without dimensions one.
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


def content_digest(document: Any, arrays: Arrays) -> str:
    """Return the SHA-256 digest of a document and arrays."""
    digest = hashlib.sha256(json.dumps(document, allow_nan=False).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to write, which takes the place of the one there may be once it is complete.

    It is on the disk before it gets its name, so an error or a crash leaves the old file, or the
    new one. Until then it is in a folder of its own: several processes may write at once.
    """
    path = Path(path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=_prefix(path)) as scratch:
        unfinished = Path(scratch) / path.name
        with open(unfinished, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    if os.name == "posix":  # the name is an entry of the folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_unfinished(path: str | os.PathLike[str]) -> None:
    """Remove what processes that were killed while they wrote that file have left beside it."""
    path = Path(path)
    for scratch in path.absolute().parent.iterdir():
        if scratch.name.startswith(_prefix(path)):
            shutil.rmtree(scratch, ignore_errors=True)


def _prefix(path: Path) -> str:
    return f".{path.name}-unfinished-"


def _damaged(path: str | os.PathLike[str], why: str) -> ValueError:
    return ValueError(f"{os.fspath(path)!r} is damaged, or no file of skvae: {why}.")
