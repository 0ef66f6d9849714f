"""Files of arrays and a JSON document, in the safetensors format."""

from __future__ import annotations

import errno
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

from ._limits import check_size, parse

# Format of the files that this module writes. Files of any other format are refused.
_FORMAT = 4
# The digest is computed with zeros in place of the digest.
_NO_DIGEST = b"0" * 64
_DIGEST = re.compile(rb'(?<=\\"sha256\\": \\")[0-9a-f]{64}(?=\\")')
# The limit of safetensors.
_MAX_HEADER_BYTES = 100_000_000
Arrays = dict[str, np.ndarray]


def write_file(path: str | os.PathLike[str], document: Any, arrays: Mapping[str, Any]) -> None:
    """Write a JSON document and arrays to a file. If writing fails, an existing file is unchanged.

    The file is a valid safetensors file. The metadata have a single entry, "skvae": a JSON object
    with the number of the format, a SHA-256 digest and the document. The digest covers all bytes of
    the file, with 64 zeros in place of the digest. A change of any byte is detected, even a change
    in the spelling of a number that does not change its value.

    Parameters
    ----------
    path : path-like
        File to write.
    document : object
        Values that JSON supports.
    arrays : mapping
        Numeric arrays by name.

    Raises
    ------
    OSError
        If the file cannot be written.
    ValueError
        If the document has more values than `read_file` accepts.
    """
    plain = {name: _plain(array) for name, array in arrays.items()}
    header = {"format": _FORMAT, "sha256": _NO_DIGEST.decode(), "document": document}
    text = json.dumps(header, allow_nan=False)
    try:
        check_size(text)
        content = save(plain, metadata={"skvae": text})
        # Early versions of safetensors check the size only when they read the file.
        if int.from_bytes(content[:8], "little") > _MAX_HEADER_BYTES:
            raise ValueError(f"its description takes more than {_MAX_HEADER_BYTES} bytes")
    except (ValueError, SafetensorError) as error:
        raise ValueError(f"The object is too large for a file: {error}.") from error
    before, after = _around_digest(content)
    with replacing(path) as file:
        file.write(before)
        file.write(_digest(before, after))
        file.write(after)


def read_file(path: str | os.PathLike[str]) -> tuple[Any, Arrays]:
    """Return the document and the arrays of a file written by `write_file`.

    Raises
    ------
    OSError
        If the file does not exist or cannot be read.
    ValueError
        If the file is damaged, has another format, or was not written by skvae.
    """
    content = Path(path).read_bytes()
    try:
        arrays = load(content)
        # The header of safetensors is JSON, after its length in eight bytes.
        start = 8 + int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8:start]).get("__metadata__") or {}
    except (SafetensorError, TypeError, ValueError, KeyError, RecursionError) as error:
        raise _damaged(path, f"it is not a valid safetensors file ({error})") from error
    if "skvae" not in metadata:
        raise ValueError(
            f"{os.fspath(path)!r} is a safetensors file, but was not written by skvae."
        )
    try:
        header = parse(metadata["skvae"])
        file_format = header["format"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, f"its header is invalid ({error})") from error
    if file_format != _FORMAT:
        is_earlier = isinstance(file_format, int) and file_format < _FORMAT
        remedy = (
            "load it with the version that wrote it, or fit again"
            if is_earlier
            else "install a newer version"
        )
        raise ValueError(
            f"{os.fspath(path)!r} has format {file_format!r:.80}, and this version of skvae reads "
            f"format {_FORMAT}: {remedy}."
        )
    try:
        before, after = _around_digest(content)
        is_whole = header["sha256"].encode() == _digest(before, after)
        document = header["document"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, f"its header is invalid ({error})") from error
    if not is_whole:
        raise _damaged(path, "its digest does not match its content")
    return document, arrays


def _around_digest(content: bytes) -> tuple[memoryview, memoryview]:
    """Return the bytes of a file before and after the digest."""
    match = _DIGEST.search(content)
    if match is None:
        raise ValueError("no digest")
    view = memoryview(content)
    return view[: match.start()], view[match.end() :]


def _digest(before: memoryview, after: memoryview) -> bytes:
    """Return the SHA-256 digest of the bytes of a file, in hexadecimal digits."""
    digest = hashlib.sha256(before)
    digest.update(_NO_DIGEST)
    digest.update(after)
    return digest.hexdigest().encode()


def _plain(array: Any) -> np.ndarray:
    """Return a contiguous array in native byte order, as safetensors requires."""
    array = np.asarray(array)
    # `ascontiguousarray` would add a dimension to arrays without dimensions.
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a new file for writing, which replaces the file at `path` once writing is complete.

    The new file is on the disk before it is renamed, so an error or a crash leaves either the old
    file or the new file. Until then, the new file is in a temporary folder, so several processes
    may write to the same path.
    """
    path = Path(path)
    if not path.parent.exists():
        raise FileNotFoundError(
            errno.ENOENT, "The folder of the file does not exist", os.fspath(path.parent)
        )
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=_prefix(path)) as scratch:
        unfinished = Path(scratch) / path.name
        with open(unfinished, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    if os.name == "posix":  # write the folder, which holds the name, to the disk, too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_unfinished(path: str | os.PathLike[str]) -> None:
    """Remove the partial files that killed processes have left while writing to `path`."""
    path = Path(path)
    for scratch in path.absolute().parent.iterdir():
        if scratch.name.startswith(_prefix(path)):
            shutil.rmtree(scratch, ignore_errors=True)


def _prefix(path: Path) -> str:
    return f".{path.name}-unfinished-"


def _damaged(path: str | os.PathLike[str], reason: str) -> ValueError:
    return ValueError(f"{os.fspath(path)!r} is damaged, or was not written by skvae: {reason}.")
