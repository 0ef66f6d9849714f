"""Tables from files, datasets and streams, read as record batches in bounded memory."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..utils import check_choice, import_optional
from ._common import check_unique_names

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


# Record batches, each with the path of the file, or "".
Batches = Iterator[tuple[Any, str]]


def import_pyarrow(module: str = "pyarrow") -> Any:
    """Import pyarrow, or a module of pyarrow."""
    return import_optional(module, "memmap_from_arrow")


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
    """

    columns: list[str]
    read: Callable[[int], Batches]
    count_rows: Callable[[], int | None]

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
        names = _select_columns({"": source.schema}, columns)
        return Table(names, partial(_read_dataset, source, names), source.count_rows)
    if hasattr(source, "__arrow_c_stream__"):
        reader = pa.RecordBatchReader.from_stream(source)
        names = _select_columns({"": reader.schema}, columns)
        return Table(names, partial(_read_stream, reader, names), lambda: None)
    paths = _find_files(source, format)
    format = _check_format(paths, format)
    schemas = {path: ds.dataset(path, format=format).schema for path in paths}
    names = _select_columns(schemas, columns)
    is_csv = format == "csv" or isinstance(format, ds.CsvFileFormat)
    files = _Files(paths, format, _common_schema(schemas, names, is_csv, dtype))
    return Table(names, files.read, files.count_rows)


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
        for tagged in dataset.scanner(**options).scan_batches():
            yield tagged.record_batch, getattr(tagged.fragment, "path", "")
        return
    for fragment in fragments:
        is_parquet = hasattr(fragment, "split_by_row_group")
        for part in fragment.split_by_row_group() if is_parquet else [fragment]:
            for batch in part.to_batches(schema=dataset.schema, **options):
                yield batch, getattr(fragment, "path", "")


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
            try:
                if self.format == "parquet":
                    batches = _read_parquet(path, names, batch_size)
                elif self.format == "feather":
                    batches = _read_feather(path, names)
                else:
                    batches = _read_dataset(self._dataset(path), names, batch_size)
                yield from ((self._add_absent_columns(batch), path) for batch, _ in batches)
            except import_pyarrow().ArrowInvalid as error:
                raise ValueError(f"Cannot read {path}: {error}") from error

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


# ---- Names and types ---------------------------------------------------------------------


def _select_columns(schemas: Mapping[str, Any], columns: Sequence[str] | None) -> list[str]:
    """Return the names of the columns to read, after checking for numbers in all files."""
    known = list(dict.fromkeys(name for schema in schemas.values() for name in schema.names))
    if isinstance(columns, str):
        raise TypeError(f"columns must be a list of names; got {columns!r}.")
    names = known if columns is None else list(columns)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"columns contains {', '.join(map(repr, unknown))}, but the source has only "
            f"{', '.join(map(repr, known))}."
        )
    check_unique_names("columns", names)
    for origin, schema in schemas.items():
        location = f" of {origin}" if origin else ""
        for name in names:
            fields = [schema.field(index) for index in schema.get_all_field_indices(name)]
            if len(fields) > 1:
                raise ValueError(f"More than one column{location} is named {name!r}.")
            if fields and not _is_numeric(fields[0].type):
                raise TypeError(
                    f"Column {name!r}{location} holds {fields[0].type}, not numbers. Pass the "
                    "names of the other columns as columns, or convert this column to numbers. "
                    "For text and categories, fit TabularVAE to a data frame."
                )
    return names


def _is_numeric(type: Any) -> bool:
    types = import_pyarrow("pyarrow.types")
    if types.is_dictionary(type):
        type = type.value_type
    kinds = (
        types.is_integer,
        types.is_floating,
        types.is_boolean,
        types.is_decimal,
        types.is_null,
    )
    return any(is_kind(type) for is_kind in kinds)


def _common_schema(
    schemas: Mapping[str, Any], names: Sequence[str], is_csv: bool, dtype: np.dtype[Any]
) -> Any:
    """Return a schema for all files, with float64 where types differ or may change."""
    pa = import_pyarrow()

    def common_type(name: str) -> Any:
        found = {schema.field(name).type for schema in schemas.values() if name in schema.names}
        found = found - {pa.null()} or found
        # pyarrow infers the types of a CSV file from the first rows. Fractions may follow
        # integers, and any number may follow missing values.
        are_integers = all(pa.types.is_integer(type) for type in found)
        may_change = found == {pa.null()} or (are_integers and dtype.kind == "f")
        return pa.float64() if len(found) > 1 or (is_csv and may_change) else found.pop()

    return pa.schema([(name, common_type(name)) for name in names])
