"""Tables of numbers: arrays, tensors and data frames of any library, as arrays.

Columns of frames are read one by one. A common dtype of columns of several types would hide what a
column contains: datetimes become integers, and strings that look like numbers become numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils import gen_batches

from ..training import chunk_length
from ..utils import MAX_EXACT_INTEGER
from ._entries import (
    CONTENT_OF_KIND,
    INEXACT,
    UnsuitableEntryError,
    is_inexact,
    object_numbers,
    unsuitable_column,
)

# Beginnings of the names of dtypes, in lower case, in pandas, polars and Arrow.
_CATEGORICAL = ("category", "categorical", "enum", "dictionary")
_FLOATING = ("float", "double", "half")
_CONTENT_OF_NAME = {
    "booleans": ("bool",),
    "numbers": (*_FLOATING, "int", "uint", "decimal"),
    "times": ("date", "duration", "period", "time"),
}
# ---- Tables --------------------------------------------------------------------------


def is_pandas(X: Any) -> bool:
    """Return whether X is a data frame of pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(X, pandas.DataFrame)


def as_known_table(X: Any) -> Any:
    """Return the frame in a frame of narwhals, or an Arrow table of X with the Arrow interchange.

    Any other X is returned as it is.

    Raises
    ------
    ValueError
        If X is a lazy frame of polars.
    """
    if hasattr(X, "to_native"):  # narwhals
        X = X.to_native()
    if hasattr(X, "collect_schema") and not hasattr(X, "get_columns"):
        raise ValueError(
            f"Expected 2D array; got X of type {type(X).__name__}, which is no table. Call its "
            "method collect()."
        )
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is None or is_pandas(X) or hasattr(X, "get_columns") or not hasattr(X, "columns"):
        return X
    has_interchange = hasattr(X, "__arrow_c_stream__") or hasattr(X, "__arrow_c_array__")
    return pyarrow.table(X) if has_interchange else X


def labelled_like(
    X: Any, columns: np.ndarray, further: np.ndarray, name: str, positions: np.ndarray
) -> tuple[Any, Any]:
    """Return results for some columns and the rows of X with the labels of X.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n, n_features)
    columns : ndarray of shape (n, n_columns)
        Results for each of the columns.
    further : ndarray of shape (n,)
        Further results for each row.
    name : str
        Name of the further results.
    positions : ndarray of shape (n_columns,)
        Positions of the columns in X.

    Returns
    -------
    columns : DataFrame or ndarray of shape (n, n_columns)
    further : Series or ndarray of shape (n,)
        For data frames of pandas and polars, objects of the same library. For any other X, the
        arrays as they are.
    """
    if hasattr(X, "to_native"):  # narwhals
        X = X.to_native()
    if is_pandas(X):
        pandas = sys.modules["pandas"]
        frame = pandas.DataFrame(columns, index=X.index, columns=X.columns[positions])
        return frame, pandas.Series(further, index=X.index, name=name)
    if hasattr(X, "get_columns"):
        polars = sys.modules["polars"]
        names = [X.columns[j] for j in positions]
        frame = polars.DataFrame(columns, schema=names, orient="row")
        return frame, polars.Series(name, further)
    return columns, further


def read_columns(X: Any) -> np.ndarray | None:
    """Return a data frame of pandas, polars or Arrow as an array, (n, n_columns), else None.

    Raises
    ------
    UnsuitableEntryError
        If an entry is not a real number, or is an integer that float64 cannot represent.
    """
    if is_pandas(X):
        dtypes = set(X.dtypes)
        if len(dtypes) == 1 and isinstance(X.dtypes.iloc[0], np.dtype):
            return read_array(X.to_numpy())  # without a copy, if the dtype is one of numbers
        columns: list[Any] = [X.iloc[:, j] for j in range(X.shape[1])]
    elif hasattr(X, "get_columns"):  # polars
        columns = X.get_columns()
    elif hasattr(X, "column_names"):  # Arrow
        columns = X.columns
    else:
        return None
    if len(X) == 0:
        return np.empty((0, len(columns)))
    return _stack([read_column(column, j) for j, column in enumerate(columns)], len(X))


def read_array(X: Any) -> Any:
    """Return an array-like or a tensor as an array of numbers; arrays of numbers as they are.

    Decimals and fractions become the nearest float64. NaN replaces None, NaT, `pandas.NA`, and the
    entries that a mask hides.

    Raises
    ------
    UnsuitableEntryError
        See `read_columns`.
    TypeError, ValueError
        If X cannot be converted to an array.
    """
    X = as_array(X)
    kind = X.dtype.kind
    if kind == "V" and X.ndim == 1 and len(X):
        raise UnsuitableEntryError("records", 0, 0, X[0])
    if X.ndim != 2 or X.size == 0 or kind == "b":
        return X
    if kind in "iu":
        _check_exact(X)
        return X
    if kind == "f" and X.dtype.itemsize <= 8:
        return X
    if kind == "f":
        with np.errstate(over="ignore"):  # infinity is an error later
            return X.astype(np.float64)
    if kind in CONTENT_OF_KIND:
        raise _first_entry(CONTENT_OF_KIND[kind], X)
    return _stack([object_numbers(X[:, j], j) for j in range(X.shape[1])], len(X))


def read_sparse(X: Any) -> Any:
    """Return a sparse matrix of numbers as it is, or as float64 if the numbers are wider.

    Raises
    ------
    UnsuitableEntryError
        See `read_columns`.
    """
    kind = X.dtype.kind
    if kind == "f" and X.dtype.itemsize > 8:
        with np.errstate(over="ignore"):  # infinity is an error later
            return X.astype(np.float64)
    if kind in "ciu":
        entries = X.tocoo()
        is_bad = np.ones(entries.nnz, bool) if kind == "c" else is_inexact(entries.data)
        bad = np.flatnonzero(is_bad)
        if len(bad):
            content, value = "complex numbers" if kind == "c" else INEXACT, entries.data[bad[0]]
            raise UnsuitableEntryError(content, *_first_place(entries, bad), value)
    return X


def find_first(X: Any, is_bad: Callable[[Any], Any]) -> tuple[int, int] | None:
    """Return column and row of the first bad entry in the first column with a bad entry, if any.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n_samples, n_features)
    is_bad : callable
        Maps an array to a mask.
    """
    if issparse(X):
        entries = X.tocoo()
        bad = np.flatnonzero(is_bad(entries.data))
        return _first_place(entries, bad) if len(bad) else None
    for j in range(X.shape[1]):
        bad = is_bad(X[:, j])
        if bad.any():
            return j, int(bad.argmax())
    return None


def _first_place(entries: Any, index: np.ndarray) -> tuple[int, int]:
    """Return column and row of the first of some entries of a COO matrix."""
    first = index[np.lexsort((entries.row[index], entries.col[index]))[0]]
    return int(entries.col[first]), int(entries.row[first])


def _stack(columns: list[np.ndarray], n_rows: int) -> np.ndarray:
    """Return columns side by side, in the memory order of frames."""
    dtype = np.result_type(*columns) if columns else np.float64
    table = np.empty((n_rows, len(columns)), dtype, order="F")
    for j, column in enumerate(columns):
        table[:, j] = column
    return table


# ---- Arrays --------------------------------------------------------------------------


def tensor_to_array(X: Any) -> Any:
    """Return tensors and lists of masked rows as arrays, and any other X as it is.

    Raises
    ------
    TypeError
        If X is a sparse tensor.
    """
    if isinstance(X, list | tuple) and any(isinstance(row, np.ma.MaskedArray) for row in X):
        return np.ma.array(X)
    if not isinstance(X, torch.Tensor):
        return X
    if X.layout != torch.strided:
        raise TypeError("X is a sparse tensor, which is not supported: pass X.to_dense().")
    X = X.detach().cpu().resolve_conj().resolve_neg()
    try:
        return X.numpy()
    except TypeError:  # NumPy lacks bfloat16
        return X.float().numpy()


def as_array(X: Any) -> np.ndarray:
    """Return X as an array, with missing entries in place of the entries that a mask hides."""
    X = tensor_to_array(X)
    if isinstance(X, np.ma.MaskedArray):
        return _fill_masked(X)
    if isinstance(X, np.ndarray):
        return X
    name = type(X).__name__
    try:
        array = np.asarray(X)
        if array.dtype.kind in "SU" and not hasattr(X, "dtype"):
            array = np.array(X, dtype=object)  # a list of numbers and strings
    except Exception as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"X, of type {name}, cannot be read as an array: {error}") from error
    if array.ndim == 0 or (array.ndim == 1 and array.dtype == object and len(array)):
        cells = f" of {type(array[0]).__name__}" if array.ndim else ""
        raise ValueError(f"Expected 2D array; got X of type {name}{cells}, which is no table.")
    return array


def _fill_masked(X: Any) -> np.ndarray:
    mask = np.ma.getmaskarray(X)
    array: np.ndarray = X.data
    if not mask.any():
        return array
    array = array.astype(np.float64 if array.dtype.kind in "biu" else array.dtype)
    if array.dtype.kind in "fcO":  # others are refused as a whole
        array[mask] = np.nan
    return array


def _check_exact(X: np.ndarray, column: int = 0) -> None:
    """Raise `UnsuitableEntryError` if float64 cannot represent an integer in X.

    `X` is (n, n_columns), and `column` the number of the first column.
    """
    if X.dtype.itemsize < 8:
        return
    for chunk in gen_batches(len(X), chunk_length(X.shape[1])):
        part = X[chunk]
        if part.min() >= -MAX_EXACT_INTEGER and part.max() <= MAX_EXACT_INTEGER:
            continue
        place = find_first(part, is_inexact)
        if place is not None:
            j, row = place[0], place[1] + chunk.start
            raise UnsuitableEntryError(INEXACT, column + j, row, X[row, j].item())


def _first_entry(content: str, X: np.ndarray) -> UnsuitableEntryError:
    """Return the error for an array without numbers, (n, n_columns).

    In arrays of text, numbers are text, too: the error names the first column with other text.
    """
    if content == "strings":
        for j in range(X.shape[1]):
            try:
                X[:, j].astype(np.float64)
            except ValueError:
                return unsuitable_column(content, X[:, j], j)
    return unsuitable_column(content, X[:, 0], 0)


# ---- Columns -------------------------------------------------------------------------


def read_column(column: Any, j: int) -> np.ndarray:
    """Return the numbers of column j of a frame, (n,)."""
    dtype = str(getattr(column, "dtype", getattr(column, "type", ""))).lower()
    if dtype.startswith(_CATEGORICAL):
        raise unsuitable_column("categories", list_cells(column), j)
    values = _to_numpy(column)
    if values.ndim != 1:
        raise UnsuitableEntryError("lists", j, 0, values[0].tolist())
    kind = values.dtype.kind
    if kind in CONTENT_OF_KIND:
        raise unsuitable_column(CONTENT_OF_KIND[kind], list_cells(column), j)
    if kind == "f" and not dtype.startswith(_FLOATING):  # other numbers, with missing entries
        is_rounded = np.abs(values) >= MAX_EXACT_INTEGER
        return object_numbers(list_cells(column), j) if is_rounded.any() else values
    if kind in "iu" and len(values):
        _check_exact(values[:, None], j)
    return object_numbers(values, j) if kind == "O" else values


def column_content(column: Any) -> str:
    """Return the content of a column by its dtype: "booleans", "numbers", "times" or "objects"."""
    dtype = str(getattr(column, "dtype", getattr(column, "type", ""))).lower()
    dtype = dtype.removeprefix("sparse[")
    if dtype.startswith("interval"):
        return "objects"  # no integers
    contents = (c for c, names in _CONTENT_OF_NAME.items() if dtype.startswith(names))
    return next(contents, "objects")


def _to_numpy(column: Any) -> np.ndarray:
    """Return a column of a frame as an array, with NaN for missing numbers if that is fast."""
    if isinstance(column, np.ndarray):
        return column
    dtype: Any = getattr(column, "dtype", None)
    # Numbers of pandas with missing entries would become objects.
    is_nullable = hasattr(dtype, "na_value") and not hasattr(dtype, "fill_value")
    if is_nullable and dtype.kind in "biuf" and column.isna().any():
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    try:
        return np.asarray(column.to_numpy())
    except Exception:  # NumPy lacks the dtype
        return list_cells(column)


def list_cells(column: Any) -> np.ndarray:
    """Return a column of a frame or an array as an array of objects."""
    cells = np.empty(len(column), object)
    method = next(name for name in ("to_pylist", "to_list", "tolist") if hasattr(column, name))
    cells[:] = getattr(column, method)()
    return cells
