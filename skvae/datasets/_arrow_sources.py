"""From what a user calls a table to record batches of pyarrow, with bounded memory."""

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

from ..utils import optional
from ._common import check_choice

_SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "feather",
    ".arrow": "feather",
    ".csv": "csv",
}
_COMPRESSED = {".gz", ".bz2", ".zst", ".lz4"}  # what pyarrow tells by the name of a CSV file
_BATCH_ELEMENTS = 2**20  # numbers in a batch: at most 8 MiB
_BUFFER_SIZE = 2**14  # bytes that are read at a time of each column of a Parquet file


# Batches, each with the path of its file, or "".
Batches = Iterator[tuple[Any, str]]


@dataclass(frozen=True)
class Table:
    """Columns of numbers, by name, and where to get them from.

    Parameters
    ----------
    columns : list of str
        Names of the columns.
    read : callable
        Takes a number of rows and returns record batches of about as many.
    count_rows : callable
        Returns the number of rows, or None if it is not known before they are read.
    """

    columns: list[str]
    read: Callable[[int], Batches]
    count_rows: Callable[[], int | None]

    def batches(self) -> Batches:
        """Yield all rows in order, a bounded number of them at a time."""
        size = max(1, _BATCH_ELEMENTS // len(self.columns))
        for batch, origin in self.read(size):
            for start in range(0, len(batch), size):
                yield batch.slice(start, size), origin


def open_table(
    source: Any, columns: Sequence[str] | None, format: Any, dtype: np.dtype[Any]
) -> Table:
    """Look at names and types only, and refuse columns that are no numbers."""
    pa, ds = optional("pyarrow"), optional("pyarrow.dataset")
    if isinstance(source, ds.Dataset):
        names = _select({"": source.schema}, columns)
        return Table(names, partial(_read_dataset, source, names), source.count_rows)
    if hasattr(source, "__arrow_c_stream__"):
        reader = pa.RecordBatchReader.from_stream(source)
        names = _select({"": reader.schema}, columns)
        return Table(names, partial(_read_stream, reader, names), lambda: None)
    paths = _find(source, format)
    format = _check_format(paths, format)
    schemas = {path: ds.dataset(path, format=format).schema for path in paths}
    names = _select(schemas, columns)
    is_csv = format == "csv" or isinstance(format, ds.CsvFileFormat)
    files = _Files(paths, format, _unify(schemas, names, is_csv, dtype))
    return Table(names, files.read, files.count_rows)


# ---- Rows --------------------------------------------------------------------------------


def _read_stream(reader: Any, columns: list[str], batch_size: int) -> Batches:
    for batch in reader:
        yield batch.select(columns), ""


def _read_dataset(dataset: Any, columns: list[str], batch_size: int) -> Batches:
    """Yield the rows of a dataset, of which as little is read ahead as can be.

    A scan of a whole dataset reads up to 1 GiB ahead of a slow disk, whatever it is told. Hence
    one file after the other, and one row group after the other.
    """
    options = {
        "columns": columns,
        "batch_size": batch_size,
        "batch_readahead": 0,
        "fragment_readahead": 0,
    }
    try:
        fragments = dataset.get_fragments()
    except ValueError:  # it has a filter, which only the dataset knows
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
    """Files of one format, whose columns have the names and types of the schema.

    Each is opened in its turn: one dataset of them all would keep what it knows of each.
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
                yield from ((self._complete(batch), path) for batch, _ in batches)
            except optional("pyarrow").ArrowInvalid as error:
                raise ValueError(f"{path} can't be read: {error}") from error

    def _dataset(self, path: str) -> Any:
        ds = optional("pyarrow.dataset")
        return ds.dataset(path, schema=self.schema, format=self.format)

    def _complete(self, batch: Any) -> Any:
        pa = optional("pyarrow")
        columns = [
            batch.column(name) if name in batch.schema.names else pa.nulls(len(batch))
            for name in self.schema.names
        ]
        return pa.record_batch(columns, names=self.schema.names)


# A scan reads whole row groups of Parquet files, and Feather files ahead. These two do not.


def _read_parquet(path: str, columns: list[str], batch_size: int) -> Batches:
    pq = optional("pyarrow.parquet")
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_SIZE) as file:
        for batch in file.iter_batches(batch_size, columns=columns):
            yield batch, path


def _read_feather(path: str, columns: list[str]) -> Batches:
    pa = optional("pyarrow")
    with pa.memory_map(path) as source:
        names = pa.ipc.open_file(source).schema.names
        included = [index for index, name in enumerate(names) if name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=included)
        with pa.ipc.open_file(source, options=options) as file:
            for index in range(file.num_record_batches):
                yield file.get_batch(index), path


# ---- Files and their formats -------------------------------------------------------------


def _find(source: Any, format: Any) -> list[str]:
    """Return the files that a path or a list of paths names: all data files of directories."""
    try:
        named = [Path(source)] if isinstance(source, str | os.PathLike) else [*map(Path, source)]
    except TypeError as error:
        raise TypeError(
            "source must be a path, a list of paths, a pyarrow Dataset or an Arrow stream; got "
            f"{type(source).__name__}."
        ) from error
    paths = [found for path in named for found in _walk(path, format)]
    if not paths:
        raise ValueError(f"There are no files to read in {source}.")
    return paths


def _walk(path: Path, format: Any) -> list[str]:
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if not path.is_dir():
        return [str(path)]
    # Hidden files and those in hidden directories are not among them.
    inside = map(Path, sorted(glob.glob("**", root_dir=path, recursive=True)))
    return [
        str(path / file)
        for file in inside
        if (format or _suffix_format(file)) and not any(part[0] == "_" for part in file.parts)
        if (path / file).is_file()
    ]


def _suffix_format(path: Path) -> str | None:
    is_packed = path.suffix.lower() in _COMPRESSED and path.stem.lower().endswith(".csv")
    return "csv" if is_packed else _SUFFIXES.get(path.suffix.lower())


def _check_format(paths: Sequence[str], format: Any) -> Any:
    """Return the format for pyarrow, inferred from the names of the files if it is None."""
    if format is None:
        found = {_suffix_format(Path(path)): path for path in paths}
        if None in found:
            raise ValueError(
                f"The name of {found[None]} does not tell its format: it ends in none of "
                f"{', '.join(_SUFFIXES)}. Pass format."
            )
        if len(found) > 1:
            raise ValueError(
                f"Files must have one format; these have several: {', '.join(found.values())}. "
                "Pass a list of those to read."
            )
        (format,) = found
    if not isinstance(format, optional("pyarrow.dataset").FileFormat):
        check_choice("format", format, sorted(set(_SUFFIXES.values())))
    return format


# ---- Names and types ---------------------------------------------------------------------


def _select(schemas: Mapping[str, Any], columns: Sequence[str] | None) -> list[str]:
    """Return the names of the columns to read, which are numbers in all files."""
    known = list(dict.fromkeys(name for schema in schemas.values() for name in schema.names))
    if isinstance(columns, str):
        raise TypeError(f"columns must be a list of names; got {columns!r}.")
    names = known if columns is None else list(columns)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"columns has {', '.join(map(repr, unknown))}, but there are only "
            f"{', '.join(map(repr, known))}."
        )
    if not names or len(set(names)) < len(names):
        raise ValueError(f"columns must name at least one column, and none twice; got {names}.")
    for origin, schema in schemas.items():
        place = f" of {origin}" if origin else ""
        for name in names:
            fields = [schema.field(index) for index in schema.get_all_field_indices(name)]
            if len(fields) > 1:
                raise ValueError(f"More than one column{place} has the name {name!r}.")
            if fields and not _is_number(fields[0].type):
                raise TypeError(
                    f"Column {name!r}{place} holds {fields[0].type}, not numbers. Leave it out: "
                    "pass the names of the other columns as columns. Or turn it into numbers "
                    "first. TabularVAE takes text and categories, from a data frame."
                )
    return names


def _is_number(type: Any) -> bool:
    types = optional("pyarrow.types")
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


def _unify(
    schemas: Mapping[str, Any], names: Sequence[str], is_csv: bool, dtype: np.dtype[Any]
) -> Any:
    """Return one schema for all files."""
    pa = optional("pyarrow")

    def unified(name: str) -> Any:
        found = {schema.field(name).type for schema in schemas.values() if name in schema.names}
        found = found - {pa.null()} or found
        # The types of a CSV file are those of its first rows. Fractions may follow integers, and
        # anything may follow gaps.
        are_integers = all(pa.types.is_integer(type) for type in found)
        is_open = found == {pa.null()} or (are_integers and dtype.kind == "f")
        return pa.float64() if len(found) > 1 or (is_csv and is_open) else found.pop()

    return pa.schema([(name, unified(name)) for name in names])
