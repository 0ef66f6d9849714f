"""Conversion of tables of any size to a memory-mapped array."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from ..serialization import replacing
from ._arrow_sources import Table, import_pyarrow, open_table

# Largest rounding error without a warning, as a fraction of the range of the column.
_MAX_ROUNDING_ERROR = 1e-3


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
    """Write a table in Parquet, Arrow or CSV files to a memory-mapped array for training.

    The table may be larger than memory. The rows are read once, in batches, and written to a
    ``.npy`` file. Estimators read the returned memory map batch by batch, in every epoch, and never
    load the whole array. To open the file in a later session, call
    ``np.load(path, mmap_mode="r")``. Requires pyarrow (extra ``arrow``).

    Parameters
    ----------
    source : path-like, list of path-like, pyarrow.dataset.Dataset or Arrow stream
        Rows to write, in the order of the source:

        - A Parquet, Arrow (Feather) or CSV file, or a list of files, read in the order of the
          list. The first line of a CSV file holds the column names. CSV files may be compressed
          (``.csv.gz``).
        - A directory: all files in the directory and the subdirectories with the suffix
          ``.parquet``, ``.pq``, ``.feather``, ``.arrow`` or ``.csv``, in alphabetical order of the
          paths (``part-10`` before ``part-2``). Files and directories with a leading dot or
          underscore are skipped.
        - A `pyarrow.dataset.Dataset`, with or without a filter, on any file system supported by
          pyarrow.
        - A pyarrow Table, a RecordBatchReader, or any other object with the method
          ``__arrow_c_stream__``, such as a polars DataFrame or a DuckDB result.
    path : str or path-like
        Path of the file to write, usually with the suffix ``.npy``.
    columns : sequence of str, default=None
        Names of the columns to read, in the order of the columns of the array. By default, all
        columns in the order of the files. Columns must hold numbers, booleans or decimals.
    format : {"parquet", "feather", "csv"} or pyarrow.dataset.FileFormat, default=None
        Format of all files. By default, the format is inferred from the suffixes. If given, all
        files in a directory are read, whatever the suffix. Pass a FileFormat for further options,
        such as the delimiter of a CSV file.
    dtype : dtype, default="float32"
        Data type of the array. Floating-point types round to their precision; other types must
        represent every value exactly.
    allow_missing : bool, default=False
        Whether to write missing values as NaN, for `VAEImputer`. If False, a missing value is an
        error. A column absent from a file counts as missing in all rows of the file.
    overwrite : bool, default=False
        Whether to replace an existing file at `path`. If False, an existing file is an error.
    verbose : bool or int, default=False
        Whether to show a progress bar. The rows are counted first; for CSV files, counting takes
        almost half as long as reading.

    Returns
    -------
    X : memmap of shape (n_rows, n_columns)
        Read-only memory map of the file at `path`.

    Raises
    ------
    FileExistsError
        If `path` exists and `overwrite` is False.
    FileNotFoundError
        If `source` names a missing file or directory.
    ImportError
        If pyarrow is not installed.
    TypeError
        If a column holds something other than numbers, for example text or times.
    ValueError
        If a value is missing, infinite, or not representable in `dtype` (the message names the
        column, the row and the file), if a file cannot be read, or if there are no rows.

    Warns
    -----
    UserWarning
        If the rounding error exceeds a thousandth of the range of a column. Example: times within
        an hour, as seconds since 1970, in float32.

    Notes
    -----
    The file at `path` appears when all rows are written. After an error or Ctrl-C, no partial file
    is left, and an existing file is unchanged.

    Memory use does not grow with the number of rows. For Parquet files, memory use grows with the
    number of columns: each column has pages of about 1 MiB. If the disk is slower than parsing,
    pyarrow reads ahead up to 1 GiB of a CSV file or a dataset. For a dataset of Parquet files
    without a filter, pyarrow reads ahead a single row group at most.

    Column types may differ between files, for example integers in the first file and fractions in
    the second. If `dtype` is a floating-point type, integer columns of CSV files are read as
    float64, because pyarrow infers types from the first rows, and fractions may follow.

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
            f"{path} already exists. Open the file with np.load({str(path)!r}, mmap_mode='r'), "
            "pass overwrite=True to replace the file, or choose another path."
        )
    table = open_table(source, columns, format, dtype)
    with replacing(path) as file:
        imprecise = _write(file, table, dtype, allow_missing, verbose)
    if imprecise:
        warnings.warn(
            f"Rounding to {dtype} loses more than {_MAX_ROUNDING_ERROR:.1%} of the range of "
            f"column{'s' * (len(imprecise) > 1)} {', '.join(map(repr, imprecise))}. Pass "
            "dtype='float64', or subtract a constant from each of these columns first.",
            stacklevel=2,
        )
    return np.load(path, mmap_mode="r")


def _check_dtype(dtype: DTypeLike, allow_missing: bool) -> np.dtype[Any]:
    dtype = np.dtype(dtype)
    if dtype.kind not in "fiub":
        raise ValueError(f"dtype must be a type of real numbers; got {dtype}.")
    if allow_missing and dtype.kind != "f":
        raise ValueError(
            f"{dtype} cannot represent missing values: allow_missing=True requires a "
            "floating-point dtype."
        )
    return dtype


def _write(
    file: BinaryIO, table: Table, dtype: np.dtype[Any], allow_missing: bool, verbose: bool | int
) -> list[str]:
    """Write the table in NumPy's format and return the names of imprecisely rounded columns."""
    from tqdm.auto import tqdm

    rounding = _RoundingMonitor(len(table.columns))
    start = _write_header(file, dtype, 0, len(table.columns))
    n_rows = 0
    total = table.count_rows() if verbose else None
    with tqdm(total=total, unit="row", unit_scale=True, disable=not verbose) as bar:
        for batch, origin in table.batches():
            block = np.empty((len(batch), len(table.columns)), dtype)
            for index, name in enumerate(table.columns):
                values = _to_numpy(batch.column(index))
                with np.errstate(over="ignore", invalid="ignore"):
                    block[:, index] = values
                invalid = _first_invalid(values, block[:, index], allow_missing)
                if invalid:
                    row, problem, remedy = invalid
                    location = f"row {n_rows + row}{f', from {origin}' if origin else ''}"
                    raise ValueError(f"Column {name!r} has {problem} in {location}. {remedy}")
                rounding.update(index, values, block[:, index])
            file.write(block.data)
            n_rows += len(block)
            bar.update(len(block))
    if not n_rows:
        raise ValueError("The source has no rows.")
    file.seek(0)
    if _write_header(file, dtype, n_rows, len(table.columns)) != start:
        raise RuntimeError("The length of NumPy's header changed with the number of rows.")
    return [table.columns[index] for index in rounding.imprecise_columns()]


def _write_header(file: BinaryIO, dtype: np.dtype[Any], n_rows: int, n_columns: int) -> int:
    """Write the header of a ``.npy`` file and return the position of its end.

    NumPy pads the header to the same length for any number of rows. Hence the header can be
    overwritten with the final number of rows after a single pass.
    """
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": (n_rows, n_columns),
    }
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def _to_numpy(column: Any) -> np.ndarray:
    """Return the values of an Arrow array, with NaN for missing values."""
    pa = import_pyarrow()
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    elif pa.types.is_decimal(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    return values


def _first_invalid(
    values: np.ndarray, converted: np.ndarray, allow_missing: bool
) -> tuple[int, str, str] | None:
    """Return row, problem and remedy of the first invalid value, or None if all are valid."""
    is_missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    if is_missing.any() and not allow_missing:
        return (
            int(is_missing.argmax()),
            "a missing value",
            "Pass allow_missing=True to write missing values as NaN for VAEImputer, or drop "
            "incomplete rows by passing a pyarrow dataset with a filter.",
        )
    is_lossy = ~np.isfinite(converted) if converted.dtype.kind == "f" else converted != values
    is_lossy &= ~is_missing
    if not is_lossy.any():
        return None
    row = int(is_lossy.argmax())
    remedy = f"{converted.dtype} cannot represent this value: pass another dtype."
    if not np.isfinite(values[row]):
        remedy = "Estimators accept finite values only."
    return row, f"the value {values[row]}", remedy


class _RoundingMonitor:
    """Monitor of the rounding error of each column relative to the range of the column."""

    def __init__(self, n_columns: int) -> None:
        # NaN before the first value; fmin and fmax ignore NaN.
        self.low, self.high, self.error = np.full((3, n_columns), np.nan)

    def update(self, index: int, values: np.ndarray, converted: np.ndarray) -> None:
        if np.can_cast(values.dtype, converted.dtype):
            return
        error = np.abs(values - converted)
        self.low[index] = np.fmin(self.low[index], np.fmin.reduce(values))
        self.high[index] = np.fmax(self.high[index], np.fmax.reduce(values))
        self.error[index] = np.fmax(self.error[index], np.fmax.reduce(error))

    def imprecise_columns(self) -> np.ndarray:
        """Return the indices of the columns with a rounding error above the tolerance."""
        # Scaling before the subtraction avoids an overflow.
        tolerance = _MAX_ROUNDING_ERROR * self.high - _MAX_ROUNDING_ERROR * self.low
        return np.flatnonzero(self.error > tolerance)
