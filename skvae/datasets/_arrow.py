"""Tables in files, larger than memory or not, as an array that estimators read from the disk."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from ..serialization import replacing
from ..utils import optional
from ._arrow_sources import Table, open_table

# Rounding that may take this share of a column's range deserves a warning.
_LOST_SHARE = 1e-3


def memmap_from_arrow(
    source: Any,
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    format: Any = None,
    dtype: DTypeLike = "float32",
    allow_missing: bool = False,
    overwrite: bool = False,
    verbose: bool | int = False,
) -> np.memmap[Any, Any]:
    """Write a table in Parquet, Arrow or CSV files, of any size, to an array that `fit` can read.

    The table is read once, piece by piece, and written to a ``.npy`` file. Estimators read the
    returned memory map batch by batch, in as many epochs as they like, and never whole. Later
    sessions open it with ``np.load(path, mmap_mode="r")``. Reading needs pyarrow.

    Parameters
    ----------
    source : path-like, list of path-like, pyarrow.dataset.Dataset or Arrow stream
        The rows, which keep their order. One of:

        - a Parquet, Arrow (Feather) or CSV file, or a list of them, read in the order of the
          list. A CSV file's first line names its columns. It may be compressed: ``.csv.gz``;
        - a directory: all files in it and in its subdirectories whose names end in ``.parquet``,
          ``.pq``, ``.feather``, ``.arrow`` or ``.csv``, sorted by path as text, so that
          ``part-10`` comes before ``part-2``. Names that start with a dot or an underscore do
          not count;
        - a `pyarrow.dataset.Dataset`, filtered or not, on any file system that pyarrow knows;
        - a pyarrow Table or RecordBatchReader, or anything else with the method
          ``__arrow_c_stream__``, such as polars' frames and DuckDB's results.
    path : str or path-like
        File to write. By custom its name ends in ``.npy``.
    columns : sequence of str, default=None
        Names of the columns to read, in the order in which the array is to have them. By default
        all that the files have, in their order. Columns hold numbers, booleans or decimals.
    format : {"parquet", "feather", "csv"} or pyarrow.dataset.FileFormat, default=None
        Format of the files, which must all have the same. By default the names tell. If it is
        given, all files of a directory count. An object says more: how a CSV file separates
        columns, for example.
    dtype : dtype, default="float32"
        Type of the array. Floating-point types round to their precision. All other values must
        be those of the table exactly.
    allow_missing : bool, default=False
        Whether to write missing values as NaN, which `VAEImputer` fills. If False, a missing
        value is an error. A column that a file lacks is missing in all its rows.
    overwrite : bool, default=False
        Whether to replace `path` if it exists. If False, that is an error.
    verbose : bool or int, default=False
        Whether to show a progress bar. Rows are counted for it beforehand. With CSV files, that
        takes almost half as long as reading them.

    Returns
    -------
    X : memmap of shape (n_rows, n_columns)
        The values, read-only, backed by `path`.

    Raises
    ------
    FileExistsError
        If `path` exists.
    ImportError
        If pyarrow is missing.
    TypeError
        If a column holds something other than numbers, such as text or times.
    ValueError
        If a value is missing, infinite, or not one of `dtype`. The message names its column, row
        and file. Also if a file can't be read, or there are no rows.

    Warns
    -----
    UserWarning
        If rounding to `dtype` takes more than a thousandth of a column's range, as float32 does
        with times of one hour in seconds since 1970.

    Notes
    -----
    `path` appears when all rows are written. Upon an error, or Ctrl-C, nothing of it is left, and
    a file that was to be replaced is still there.

    The memory that reading takes does not grow with the number of rows. Tables with many columns
    take more: a Parquet file has pages for each, of about 1 MiB. Where the disk is slower than
    reading, pyarrow reads CSV files, and what a dataset holds, ahead by up to 1 GiB. Of a dataset
    of Parquet files that is one row group at most, unless it has a filter.

    Files may differ in the type of a column: integers in one, fractions in another. Integers in
    CSV files are read as float64 if `dtype` is a floating-point type, since pyarrow goes by the
    first rows, and there may be fractions further down.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> from skvae.datasets import memmap_from_arrow
    >>> table = pa.table({"height": [1.5, 2.0], "name": ["a", "b"], "floors": [2, 3]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     memmap_from_arrow(table, f"{folder}/houses.npy", columns=["floors", "height"])
    memmap([[2. , 1.5],
            [3. , 2. ]], dtype=float32)
    """
    path, dtype = Path(path), _check_dtype(dtype, allow_missing)
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists. Open it by np.load({str(path)!r}, mmap_mode='r'), pass "
            "overwrite=True to write it anew, or write to another file."
        )
    table = open_table(source, columns, format, dtype)
    with replacing(path) as file:
        poor = _write(file, table, dtype, allow_missing, verbose)
    if poor:
        warnings.warn(
            f"Rounding to {dtype} takes more than {_LOST_SHARE:.1%} of the range of "
            f"{_listed('column', poor)}. Pass dtype='float64', or subtract a constant from such "
            "columns first.",
            stacklevel=2,
        )
    return np.load(path, mmap_mode="r")


def _check_dtype(dtype: DTypeLike, allow_missing: bool) -> np.dtype[Any]:
    dtype = np.dtype(dtype)
    if dtype.kind not in "fiub":
        raise ValueError(f"dtype must be a type of real numbers; got {dtype}.")
    if allow_missing and dtype.kind != "f":
        raise ValueError(
            f"{dtype} has no NaN to stand for missing values: with allow_missing=True, dtype must "
            "be a floating-point type."
        )
    return dtype


def _listed(noun: str, names: Sequence[str]) -> str:
    return f"{noun}{'s' * (len(names) > 1)} {', '.join(map(repr, names))}"


def _write(
    file: BinaryIO, table: Table, dtype: np.dtype[Any], allow_missing: bool, verbose: bool | int
) -> list[str]:
    """Write the table in NumPy's format, and return the columns whose rounding is coarse."""
    from tqdm.auto import tqdm

    rounding = _Rounding(len(table.columns))
    start = _write_header(file, dtype, 0, len(table.columns))
    n_rows = 0
    total = table.count_rows() if verbose else None
    with tqdm(total=total, unit="row", unit_scale=True, disable=not verbose) as bar:
        for batch, origin in table.batches():
            block = np.empty((len(batch), len(table.columns)), dtype)
            for index, name in enumerate(table.columns):
                values = _numbers(batch.column(index))
                with np.errstate(over="ignore", invalid="ignore"):
                    block[:, index] = values
                fault = _first_fault(values, block[:, index], allow_missing)
                if fault:
                    row, what, remedy = fault
                    place = f"row {n_rows + row}{f', from {origin}' if origin else ''}"
                    raise ValueError(f"Column {name!r} has {what} in {place}. {remedy}")
                rounding.update(index, values, block[:, index])
            file.write(block.data)
            n_rows += len(block)
            bar.update(len(block))
    if not n_rows:
        raise ValueError("The source has no rows.")
    file.seek(0)
    if _write_header(file, dtype, n_rows, len(table.columns)) != start:
        raise RuntimeError("NumPy's header changed its length with the number of rows.")
    return [table.columns[index] for index in rounding.coarse()]


def _write_header(file: BinaryIO, dtype: np.dtype[Any], n_rows: int, n_columns: int) -> int:
    """Write a header, and return where it ends.

    NumPy pads it, so that it is as long for any number of rows. So one pass over the rows does.
    """
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": (n_rows, n_columns),
    }
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def _numbers(column: Any) -> np.ndarray:
    """Return the values of an Arrow array, with NaN for those missing."""
    pa = optional("pyarrow")
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    elif pa.types.is_decimal(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    return values


def _first_fault(
    values: np.ndarray, converted: np.ndarray, allow_missing: bool
) -> tuple[int, str, str] | None:
    """Return the row of the first wrong value, what is wrong, and the remedy, if there is one."""
    is_missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    if is_missing.any() and not allow_missing:
        return (
            int(is_missing.argmax()),
            "a missing value",
            "Pass allow_missing=True to write it as NaN, for VAEImputer. Or leave such rows out: "
            "pass a pyarrow dataset with a filter.",
        )
    is_lossy = ~np.isfinite(converted) if converted.dtype.kind == "f" else converted != values
    is_lossy &= ~is_missing
    if not is_lossy.any():
        return None
    row = int(is_lossy.argmax())
    remedy = f"{converted.dtype} can't hold it: pass another dtype."
    if not np.isfinite(values[row]):
        remedy = "Estimators take finite values only."
    return row, f"the value {values[row]}", remedy


class _Rounding:
    """Tells whether rounding leaves enough of what differs within a column."""

    def __init__(self, n_columns: int) -> None:
        # NaN until there is a value: fmin and fmax pass over it.
        self.low, self.high, self.error = np.full((3, n_columns), np.nan)

    def update(self, index: int, values: np.ndarray, converted: np.ndarray) -> None:
        if np.can_cast(values.dtype, converted.dtype):
            return
        error = np.abs(values - converted)
        self.low[index] = np.fmin(self.low[index], np.fmin.reduce(values))
        self.high[index] = np.fmax(self.high[index], np.fmax.reduce(values))
        self.error[index] = np.fmax(self.error[index], np.fmax.reduce(error))

    def coarse(self) -> np.ndarray:
        """Return the indices of the columns that lose too much of their range."""
        tolerance = _LOST_SHARE * self.high - _LOST_SHARE * self.low
        return np.flatnonzero(self.error > tolerance)
