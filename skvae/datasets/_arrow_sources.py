"""Tables from files, datasets and streams, read as record batches in bounded memory."""

from __future__ import annotations

import errno
import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..utils import MAX_EXACT_INTEGER, PANDAS_METADATA, check_choice
from ._arrow_columns import (
    check_casts,
    common_schema,
    import_pyarrow,
    is_csv,
    select_columns,
    types_of_file,
)

_SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "feather",
    ".arrow": "feather",
    ".csv": "csv",
}
_COMPRESSION_SUFFIXES = {".gz", ".bz2", ".zst", ".lz4"}  # recognised by pyarrow in CSV file names
_BATCH_ELEMENTS = 2**20  # numbers in a batch: at most 8 MiB
_BUFFER_SIZE = 2**14  # bytes read at a time from each column of a Parquet file
_LONG_INTEGER = re.compile(r"[-+]?[0-9]{16,400}")  # possibly beyond 2^53


# Record batches, each with the path of the file, or "".
Batches = Iterator[tuple[Any, str]]


@dataclass(frozen=True)
class Table:
    """Named columns of numbers with functions to read the rows.

    Parameters
    ----------
    columns : list of str
        Names of the columns.
    read : callable
        Function from an approximate number of rows per batch to an iterator over the batches.
    count_rows : callable
        Function without arguments. Returns the number of rows, or None if unknown before reading.
    paths : sequence of str, default=()
        Paths of the files to read.
    """

    columns: list[str]
    read: Callable[[int], Batches]
    count_rows: Callable[[], int | None]
    paths: Sequence[str] = ()

    def batches(self) -> Batches:
        """Yield all rows in order, in batches of bounded size."""
        size = max(1, _BATCH_ELEMENTS // len(self.columns))
        for batch, origin in self.read(size):
            for start in range(0, len(batch), size):
                yield batch.slice(start, size), origin


def open_table(
    source: Any, columns: Sequence[str] | None, format: Any, dtype: np.dtype[Any]
) -> Table:
    """Return the table of a source after checking the column names and types.

    No rows are read.

    Parameters
    ----------
    source, columns, format, dtype
        Arguments of `memmap_from_arrow`.

    Raises
    ------
    FileNotFoundError
        If a path does not exist.
    TypeError
        If the source has an unsupported type, or a column does not hold numbers.
    ValueError
        If `columns` or `format` is invalid.
    """
    pa, ds = import_pyarrow(), import_pyarrow("pyarrow.dataset")
    if isinstance(source, ds.Dataset):
        names = select_columns({"": _schema_with_metadata(source)}, columns)
        paths = getattr(source, "files", ())
        return Table(names, partial(_read_dataset, source, names), source.count_rows, paths)
    if hasattr(source, "columns") and not hasattr(source, "__arrow_c_stream__"):
        source = pa.Table.from_pandas(source)  # pandas before 2.2
    if hasattr(source, "__arrow_c_stream__"):
        try:
            reader = pa.RecordBatchReader.from_stream(source)
        except pa.ArrowInvalid as error:
            raise TypeError(
                f"source must have named columns, unlike a {type(source).__name__}: pass a table."
            ) from error
        names = select_columns({"": reader.schema}, columns)
        return Table(names, partial(_read_stream, reader, names), lambda: None)
    paths = _find_files(source, format)
    format = _check_format(paths, format)
    schemas = {}
    for path in paths:
        with _path_in_errors(path):
            schemas[path] = ds.dataset(path, format=format).schema
            _ = schemas[path].names  # decoded here
    names = select_columns(schemas, columns)
    are_csv = format == "csv" or isinstance(format, ds.CsvFileFormat)
    files = _Files(paths, format, common_schema(schemas, names, are_csv, dtype))
    return Table(names, files.read, files.count_rows, paths)


def _schema_with_metadata(dataset: Any) -> Any:
    """Return the schema of a dataset with the metadata of pandas of the first file, if any."""
    schema = dataset.schema
    if PANDAS_METADATA not in (schema.metadata or {}):
        # Fragments of a dataset with a filter are unknown.
        with suppress(ValueError, StopIteration):
            metadata = next(iter(dataset.get_fragments())).physical_schema.metadata
            return schema.with_metadata(metadata)
    return schema


# ---- Rows --------------------------------------------------------------------------------


def _read_stream(reader: Any, columns: list[str], batch_size: int) -> Batches:
    for batch in reader:
        yield batch.select(columns), ""


def _read_dataset(dataset: Any, columns: list[str], batch_size: int) -> Batches:
    """Yield the rows of a dataset with as little reading ahead as possible.

    A scan of a whole dataset reads ahead up to 1 GiB if the disk is slow, whatever the options.
    Hence the files, and the row groups of each file, are scanned separately.
    """
    options = {
        "columns": columns,
        "batch_size": batch_size,
        "batch_readahead": 0,
        "fragment_readahead": 0,
    }
    try:
        fragments = dataset.get_fragments()
    except ValueError:  # the dataset has a filter, unknown to the fragments
        with _path_in_errors("the source"):
            for tagged in dataset.scanner(**options).scan_batches():
                check_casts(tagged.fragment, dataset.schema, columns)
                yield tagged.record_batch, getattr(tagged.fragment, "path", "")
        return
    for fragment in fragments:
        is_parquet = hasattr(fragment, "split_by_row_group")
        path = getattr(fragment, "path", "")
        unchecked = _columns_of_rounded_integers(fragment, columns)
        with _path_in_errors(path or "the source"):
            schema = types_of_file(fragment, dataset.schema)
            check_casts(fragment, schema, columns)
            for part in fragment.split_by_row_group() if is_parquet else [fragment]:
                for batch in part.to_batches(schema=schema, **options):
                    for name in [name for name in unchecked if _has_large_numbers(batch, name)]:
                        _check_integers(fragment, name, batch_size)
                        unchecked.remove(name)
                    yield batch, path


@contextmanager
def _path_in_errors(path: str) -> Iterator[None]:
    """Replace errors of pyarrow by a ValueError that names the file."""
    try:
        yield
    except (import_pyarrow().ArrowException, OSError, UnicodeError) as error:
        if getattr(error, "errno", None):  # from the operating system
            raise
        raise ValueError(f"Cannot read {path}: {error}") from error


# ---- Integers in CSV files -----------------------------------------------------------------


def _columns_of_rounded_integers(fragment: Any, columns: list[str]) -> list[str]:
    """Return the columns of a CSV file that may hold integers rounded to float64."""
    return list(columns) if is_csv(fragment) else []


def _has_large_numbers(batch: Any, name: str) -> bool:
    """Return whether a column has floats beyond 2^53, where not every integer is a float64."""
    if name not in batch.schema.names or batch.schema.field(name).type != "double":
        return False
    numbers = batch.column(name).to_numpy(zero_copy_only=False)
    return bool((np.abs(numbers) >= MAX_EXACT_INTEGER).any())


def _check_integers(fragment: Any, name: str, batch_size: int) -> None:
    """Raise `ValueError` if float64 rounds an integer of a column of a CSV file.

    The column is read as text. A number with a decimal point or an exponent is no integer.
    """
    schema = import_pyarrow().schema([(name, "string")])
    batches = fragment.to_batches(schema=schema, columns=[name], batch_size=batch_size)
    texts = (text for batch in batches for text in batch.column(0).to_pylist())
    for row, text in enumerate(texts):
        # Python compares integers with floats exactly.
        if text and _LONG_INTEGER.fullmatch(text.strip()) and float(text) != int(text):
            raise ValueError(
                f"Column {name!r} has the value {text.strip()} in row {row} of {fragment.path}, "
                "which float64 cannot represent exactly: leave out the column if the values are "
                "identifiers, or write the table to a Parquet file with an integer type."
            )


@dataclass(frozen=True)
class _Files:
    """Files of a common format and schema.

    The files are opened in turn, because a single dataset would keep the metadata of all files in
    memory.
    """

    paths: Sequence[str]
    format: Any
    schema: Any

    def count_rows(self) -> int:
        return sum(self._dataset(path).count_rows() for path in self.paths)

    def read(self, batch_size: int) -> Batches:
        names = self.schema.names
        for path in self.paths:
            with _path_in_errors(path):
                if self.format == "parquet":
                    batches = _read_parquet(path, names, batch_size)
                elif self.format == "feather":
                    batches = _read_feather(path, names)
                else:
                    batches = _read_dataset(self._dataset(path), names, batch_size)
                yield from ((self._add_absent_columns(batch), path) for batch, _ in batches)

    def _dataset(self, path: str) -> Any:
        ds = import_pyarrow("pyarrow.dataset")
        return ds.dataset(path, schema=self.schema, format=self.format)

    def _add_absent_columns(self, batch: Any) -> Any:
        pa = import_pyarrow()
        columns = [
            batch.column(name) if name in batch.schema.names else pa.nulls(len(batch))
            for name in self.schema.names
        ]
        return pa.record_batch(columns, names=self.schema.names)


# A dataset scan reads whole row groups of Parquet files, and reads ahead in Feather files. The
# following two functions avoid both.


def _read_parquet(path: str, columns: list[str], batch_size: int) -> Batches:
    pq = import_pyarrow("pyarrow.parquet")
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_SIZE) as file:
        for batch in file.iter_batches(batch_size, columns=columns):
            yield batch, path


def _read_feather(path: str, columns: list[str]) -> Batches:
    pa = import_pyarrow()
    with pa.memory_map(path) as source:
        names = pa.ipc.open_file(source).schema.names
        included = [index for index, name in enumerate(names) if name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=included)
        with pa.ipc.open_file(source, options=options) as file:
            for index in range(file.num_record_batches):
                yield file.get_batch(index), path


# ---- Files and their formats -------------------------------------------------------------


def _find_files(source: Any, format: Any) -> list[str]:
    """Return the files named by a path or a list of paths, with the data files of directories."""
    try:
        given = [Path(source)] if isinstance(source, str | os.PathLike) else [*map(Path, source)]
    except TypeError as error:
        raise TypeError(
            "source must be a path, a list of paths, a pyarrow Dataset or an Arrow stream; got "
            f"{type(source).__name__}."
        ) from error
    paths = [found for path in given for found in _data_files(path, format)]
    if not paths:
        raise ValueError(f"Found no files to read in {source}.")
    return paths


def _data_files(path: Path, format: Any) -> list[str]:
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if not path.is_dir():
        return [str(path)]
    # glob skips hidden files and hidden directories.
    inside = map(Path, sorted(glob.glob("**", root_dir=path, recursive=True)))
    return [
        str(path / file)
        for file in inside
        if (format or _suffix_format(file)) and not any(part[0] == "_" for part in file.parts)
        if (path / file).is_file()
    ]


def _suffix_format(path: Path) -> str | None:
    is_compressed = path.suffix.lower() in _COMPRESSION_SUFFIXES
    if is_compressed and path.stem.lower().endswith(".csv"):
        return "csv"
    return _SUFFIXES.get(path.suffix.lower())


def _check_format(paths: Sequence[str], format: Any) -> Any:
    """Return the format for pyarrow, inferred from the suffixes if `format` is None."""
    if format is None:
        found = {_suffix_format(Path(path)): path for path in paths}
        if None in found:
            raise ValueError(
                f"Cannot infer the format of {found[None]}: the suffix is not among "
                f"{', '.join(_SUFFIXES)}. Pass the parameter format."
            )
        if len(found) > 1:
            raise ValueError(
                f"All files must have the same format; got {', '.join(found.values())}. Pass a "
                "list of the files to read."
            )
        (format,) = found
    if not isinstance(format, import_pyarrow("pyarrow.dataset").FileFormat):
        check_choice("format", format, sorted(set(_SUFFIXES.values())))
    return format
