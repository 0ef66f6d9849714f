"""Single columns of data frames of any library, arrays and sparse matrices."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from scipy.sparse import issparse

from ._numbers import as_array, is_pandas
from ._validation import column_names


def as_columns(X: Any) -> Any:
    """Return X as an array, sparse matrix or data frame, whose columns can be read."""
    return X if column_names(X) is not None or issparse(X) else as_array(X)


def n_columns(X: Any) -> int:
    names = column_names(X)
    return X.shape[1] if names is None else len(names)


def get_column(X: Any, j: int) -> Any:
    """Return a column of a data frame, an array or a sparse matrix."""
    if issparse(X):
        return X[:, [j]].toarray().ravel()
    if is_pandas(X):
        return X.iloc[:, j]
    if hasattr(X, "get_columns"):  # polars
        return X.get_columns()[j]
    if hasattr(X, "column_names"):  # Arrow
        return X.columns[j]
    if hasattr(X, "iloc"):  # frames like those of pandas
        return X.iloc[:, j]
    return X[:, j]


def replace_column(X: Any, j: int, values: np.ndarray) -> Any:
    """Return a data frame or an array with other values in a column."""
    if hasattr(X, "iloc"):
        X = X.copy(deep=False) if is_pandas(X) else X.copy()
        X[X.columns[j]] = values
        return X
    if hasattr(X, "get_columns"):
        return X.with_columns(sys.modules["polars"].Series(X.columns[j], values))
    if hasattr(X, "column_names"):
        return X.set_column(j, X.column_names[j], sys.modules["pyarrow"].array(values))
    X = X.astype(object)
    X[:, j] = values
    return X
