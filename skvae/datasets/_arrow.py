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
from ..utils import import_tqdm
from ._arrow_sources import Table, open_table
from ._arrow_values import MAX_ROUNDING_ERROR, RoundingMonitor, convert


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
        columns in the order of the files, except the index of a pandas data frame. Columns must
        hold numbers, booleans or decimals.
    format : {"parquet", "feather", "csv"} or pyarrow.dataset.FileFormat, default=None
        Format of all files. By default, the format is inferred from the suffixes. If given, all
        files in a directory are read, whatever the suffix. Pass a FileFormat for further options,
        such as the delimiter of a CSV file.
    dtype : dtype, default="float32"
        Data type of the array. Floating-point types round to their precision, but integers and
        decimals beyond 2^53 must be exact in float64. Other types must represent every value
        exactly.
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
    OSError
        If `path` is a directory, is in a missing directory, or cannot be written.
    ImportError
        If pyarrow is not installed.
    TypeError
        If a column holds something other than numbers, for example text or times.
    ValueError
        If a value is missing, infinite, or not representable in `dtype` (the message names the
        column, the row of the array and the file), if a file cannot be read, if a filtered dataset
        converts a column to a type that changes values, if `path` is one of the files to read, or
        if there are no rows.

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

    pandas writes the index of a data frame as a column of Parquet and Arrow files, and notes in the
    metadata which columns are the index. To read such a column nevertheless, name the column in
    `columns`.

    Column types may differ between files, for example integers in the first file and fractions in
    the second. If `dtype` is a floating-point type, integer columns of CSV files are read as
    float64, because pyarrow infers types from the first rows, and fractions may follow. A file with
    numbers beyond 2^53 in such a column is read twice, to check that the integers are exact.

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
    if path.is_dir() or not path.parent.is_dir():
        problem = f"{path} is a folder" if path.is_dir() else f"the folder {path.parent} is missing"
        raise OSError(f"path must be the path of a file to write, but {problem}.")
    table = open_table(source, columns, format, dtype)
    if path.exists() and any(Path(file).exists() and path.samefile(file) for file in table.paths):
        raise ValueError(f"{path} is one of the files to read: choose another path.")
    with replacing(path) as file:
        imprecise = _write(file, table, dtype, allow_missing, verbose)
    if imprecise:
        warnings.warn(
            f"Rounding to {dtype} loses more than {MAX_ROUNDING_ERROR:.1%} of the range of "
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
    rounding = RoundingMonitor(len(table.columns))
    start = _write_header(file, dtype, 0, len(table.columns))
    n_rows = 0
    total = table.count_rows() if verbose else None
    with import_tqdm()(total=total, unit="row", unit_scale=True, disable=not verbose) as bar:
        for batch, origin in table.batches():
            block = np.empty((len(batch), len(table.columns)), dtype)
            for index, name in enumerate(table.columns):
                column = convert(batch.column(index), dtype, allow_missing=allow_missing)
                if invalid := column.invalid:
                    row = f"row {n_rows + invalid.row}{f', from {origin}' if origin else ''}"
                    raise ValueError(
                        f"Column {name!r} has {invalid.problem} in {row}. {invalid.remedy}"
                    )
                block[:, index] = column.converted
                rounding.update(index, column)
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
