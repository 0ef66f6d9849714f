"""Files of arrays and a document: safetensors with JSON inside, written all or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

# Format of the files that this module writes. Files of any other format are refused.
_FORMAT = 2
# The digest is that of the file with zeros in its own place.
_NO_DIGEST = b"0" * 64
_DIGEST = re.compile(rb'(?<=\\"sha256\\": \\")[0-9a-f]{64}(?=\\")')
Arrays = dict[str, np.ndarray]


def write_file(path: str | os.PathLike[str], document: Any, arrays: Mapping[str, Any]) -> None:
    """Write a file that holds a JSON document and arrays, or leave the one there as it is.

    The file is a valid safetensors file. Its metadata have one entry, "skvae": a JSON object with
    the number of the format, a SHA-256 digest and the document. The digest is that of the whole
    file with 64 zeros in place of the digest. No byte of the file can change unnoticed, not even
    one that changes the spelling of a number and not its value.

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
    header = {"format": _FORMAT, "sha256": _NO_DIGEST.decode(), "document": document}
    content = save(plain, metadata={"skvae": json.dumps(header, allow_nan=False)})
    before, after = _around_digest(content)
    with replacing(path) as file:
        file.write(before)
        file.write(_digest(before, after))
        file.write(after)


def read_file(path: str | os.PathLike[str]) -> tuple[Any, Arrays]:
    """Return the document and the arrays of a file that `write_file` wrote.

    Raises
    ------
    OSError
        If there is no such file, or it can't be read.
    ValueError
        If it is damaged, or something else.
    """
    content = Path(path).read_bytes()
    try:
        arrays = load(content)
        # The metadata: JSON in JSON, after the length of the outer one.
        start = 8 + int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8:start]).get("__metadata__") or {}
    except (SafetensorError, TypeError, ValueError, KeyError, RecursionError) as error:
        raise _damaged(path, f"it is no valid safetensors file ({error})") from error
    if "skvae" not in metadata:
        raise ValueError(f"{os.fspath(path)!r} is a safetensors file, but not one of skvae.")
    try:
        header = json.loads(metadata["skvae"])
        file_format = header["format"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, f"its header is not what it should be ({error})") from error
    if file_format != _FORMAT:
        is_earlier = isinstance(file_format, int) and file_format < _FORMAT
        remedy = "save the object again with this version" if is_earlier else "install a newer one"
        raise ValueError(
            f"{os.fspath(path)!r} is of format {file_format!r}, and this version of skvae reads "
            f"format {_FORMAT}: {remedy}."
        )
    try:
        before, after = _around_digest(content)
        is_whole = header["sha256"].encode() == _digest(before, after)
        document = header["document"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, f"its header is not what it should be ({error})") from error
    if not is_whole:
        raise _damaged(path, "its digest is not that of its content")
    return document, arrays


def _around_digest(content: bytes) -> tuple[memoryview, memoryview]:
    """Return what is before and after the digest in a file's content."""
    match = _DIGEST.search(content)
    if match is None:
        raise ValueError("it has no digest")
    view = memoryview(content)
    return view[: match.start()], view[match.end() :]


def _digest(before: memoryview, after: memoryview) -> bytes:
    """Return the SHA-256 digest of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256(before)
    digest.update(_NO_DIGEST)
    digest.update(after)
    return digest.hexdigest().encode()


def _plain(array: Any) -> np.ndarray:
    """Return an array that safetensors can hold: contiguous, and in this machine's byte order."""
    array = np.asarray(array)
    # `ascontiguousarray` would give arrays without dimensions one.
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


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
