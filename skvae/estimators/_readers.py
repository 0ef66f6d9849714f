"""Readers, which convert X to the rows of numbers for a module, and rows back to X."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils import gen_batches

from ..serialization import serializable
from ..training import chunk_length
from ..utils import import_optional

if TYPE_CHECKING:
    from ..columns import FrameCodec, Table, TableFormat
    from ..likelihoods import Likelihood

# Rows of the training data that a reader writes and reads again, to check its results.
_MAX_CHECKED_ROWS = 1000


def result_dtype(X: Any) -> str:
    """Return the dtype of results that are computed from X: float32 for float32, else float64."""
    return "float32" if X.dtype.type is np.float32 else "float64"


@serializable
class ArrayReader:
    """Reads arrays of numbers, with or without missing entries.

    Parameters
    ----------
    takes_missing : bool, default=False
        Whether X may have missing entries, which are NaN.

    Attributes
    ----------
    dtype : {"float32", "float64"}
        Dtype of new rows.
    observed : ndarray of shape (n_features,)
        Whether a feature had any observed entry in `fit`. Other features are not read.
    """

    dtype: str
    observed: np.ndarray

    def __init__(self, *, takes_missing: bool = False) -> None:
        self.takes_missing = takes_missing

    def fit(self, X: Any) -> Self:
        """Learn which features have observed entries, and the dtype of X.

        Raises
        ------
        ValueError
            If all entries of X are missing.
        """
        self.dtype = result_dtype(X)
        self.observed = np.ones(X.shape[1], dtype=bool)
        if self.takes_missing:
            self.observed[:] = False
            for rows in gen_batches(len(X), chunk_length(X.shape[1])):
                self.observed |= ~np.isnan(X[rows]).all(axis=0)
            check_any_observed(self.observed)
        return self

    def read(self, X: Any) -> Any:
        """Return the observed features of X."""
        return X if self.observed.all() else X[:, self.observed]

    def mark_missing(self, X: Any) -> Any:
        """Return an array, (n, n_features), with NaN for missing entries: X itself."""
        return X

    def write(self, rows: np.ndarray, *, like: Any = None) -> np.ndarray:
        """Return rows as an array: unchanged."""
        return rows

    def fill(self, X: Any, rows: np.ndarray, estimates: np.ndarray) -> np.ndarray:
        """Return the observed features of X with estimates for missing entries.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Not used: `rows` contains the observed entries of X.
        rows : ndarray of shape (n_samples, n_observed)
            Result of `read` for X.
        estimates : ndarray of shape (n_incomplete, n_observed)
            Values for the rows with missing entries.
        """
        filled = rows.astype(result_dtype(rows))
        index = incomplete_rows(rows)
        if len(index):
            filled[index] = np.where(np.isnan(rows[index]), estimates, filled[index])
        return filled


def import_columns() -> Any:
    """Return the package that encodes the columns of data frames.

    Raises
    ------
    ImportError
        If pandas is missing.
    """
    import_optional("pandas", "Reading the columns of data frames")
    from .. import columns

    return columns


@serializable(prepare=import_columns)
class FrameReader:
    """Reads tables with columns of any type, as bin numbers.

    Parameters
    ----------
    column_types : mapping, default=None
        Kinds of columns, by name, if the dtype does not determine the kind.
    missing_is_level : bool, default=True
        Whether a missing value is a value like any other, or an entry that was not observed.

    Attributes
    ----------
    names : pandas.Index
        Names of the columns in `fit`.
    codec : FrameCodec
        Encodes and decodes the columns.
    table_format : TableFormat
        Library and dtypes of X in `fit`.
    observed : ndarray of shape (n_features,)
        Whether a column is read. Without `missing_is_level`, columns without any observed entry in
        `fit` are not read.
    empty_dtypes : list of dtype
        Plain dtypes of the columns that are not read.
    """

    names: Any
    codec: FrameCodec
    table_format: TableFormat
    observed: np.ndarray
    empty_dtypes: list[Any]
    dtype: str = "float64"

    def __init__(
        self, column_types: Mapping[Any, str] | None = None, *, missing_is_level: bool = True
    ) -> None:
        self.column_types = column_types
        self.missing_is_level = missing_is_level

    def _check_invariants(self) -> None:
        columns = import_columns()
        columns.check_restored(all(columns.is_dtype(dtype) for dtype in self.empty_dtypes))
        columns.check_restored(len(self.empty_dtypes) == (~self.observed).sum())

    def fit(self, table: Table) -> Self:
        """Learn the bins of each column, and the format of the table.

        Raises
        ------
        TypeError, ValueError
            If a column cannot be read as its kind or restored, or if all entries are missing.
        """
        frame, self.table_format = table
        self.observed = np.ones(frame.shape[1], dtype=bool)
        if not self.missing_is_level:
            self.observed = frame.notna().any().to_numpy()
            check_any_observed(self.observed)
        self.names = frame.columns
        self.empty_dtypes = frame.dtypes[~self.observed].tolist()
        self.codec = import_columns().FrameCodec(
            self._select(frame), self.column_types or {}, missing_is_level=self.missing_is_level
        )
        self._check_restored(frame.iloc[:_MAX_CHECKED_ROWS])
        return self

    def _check_restored(self, frame: Any) -> None:
        """Raise a ValueError if `write` does not return the dtypes and categories of `fit`."""
        rows = self.codec.encode(self._select(frame))
        any_bin = [column.representative_bin[0] for column in self.codec.likelihood.columns]
        written = self.write(np.where(np.isnan(rows), any_bin, rows))
        restored, restored_format = import_columns().read_table(written)
        again = self.codec.encode(restored.set_axis(self.codec.names, axis=1))
        formats = [self.table_format.columns[j] for j in np.flatnonzero(self.observed)]
        for j, (name, codec) in enumerate(zip(self.codec.names, self.codec.codecs, strict=True)):
            is_kept = np.isnan(rows[:, j]) | (again[:, j] == rows[:, j]) | codec.is_numeric
            same_dtype = self.table_format.is_array or formats[j] == restored_format.columns[j]
            if not (is_kept.all() and same_dtype):
                raise ValueError(
                    f"Column {name!r} of X can't be used: results would not have its dtype, "
                    f"{formats[j].stored_dtype}. Convert the column to numbers, strings or a "
                    "categorical dtype."
                )

    @property
    def likelihood(self) -> Likelihood:
        """Likelihood of the bins of all columns."""
        return self.codec.likelihood

    def read(self, table: Table) -> np.ndarray:
        """Return the bin number of each entry, (n, n_observed), with NaN for missing entries."""
        return self.codec.encode(self._select(table.frame))

    def mark_missing(self, table: Table) -> np.ndarray:
        """Return an array, (n, n_features), with NaN for missing entries and 0 elsewhere."""
        return np.where(self.reorder(table.frame).isna().to_numpy(), np.nan, 0.0)

    def write(
        self, rows: np.ndarray, positions: np.ndarray | None = None, *, like: Any = None
    ) -> Any:
        """Return bin numbers as a table of the library and the dtypes of X in `fit`.

        Parameters
        ----------
        rows : ndarray of shape (n, n_observed)
            Bin numbers.
        positions : ndarray of shape (n, n_observed), optional
            Positions within bins, in [0, 1). By default, the midpoint of each bin.
        like : Table, optional
            Table with the same rows. The result has the index of the table.
        """
        frame = self.codec.decode(rows, positions)
        if like is not None:
            frame = frame.set_axis(like.frame.index)
        return self.table_format.write(frame, self.observed)

    def fill(self, table: Table, rows: np.ndarray, estimates: Any) -> Any:
        """Return the observed columns with estimates for missing entries, a data frame.

        Parameters
        ----------
        table : Table of shape (n_samples, n_features)
        rows : ndarray of shape (n_samples, n_observed)
            Result of `read` for the table.
        estimates : DataFrame of shape (n_incomplete, n_observed)
            Values for the rows with missing entries.
        """
        estimates = estimates.set_axis(incomplete_rows(rows))
        return self.codec.fill(self._select(table.frame), np.isnan(rows), estimates)

    def reorder(self, frame: Any) -> Any:
        """Return the columns in the order of `fit`; data with other names, as they are."""
        # `isin` of a MultiIndex refuses names that are not tuples.
        if self.names.equals(frame.columns) or set(self.names) != set(frame.columns):
            return frame
        return frame[list(self.names)]

    def _select(self, frame: Any) -> Any:
        """Return the observed columns, in the order of `fit`."""
        frame = self.reorder(frame)
        return frame if self.observed.all() else frame.loc[:, self.observed]


def is_nan_marker(missing_values: Any) -> bool:
    """Return whether NaN, None or pandas.NA mark missing entries, rather than another number."""
    return not isinstance(missing_values, Real) or math.isnan(missing_values)


def replace_marker(X: np.ndarray, missing_values: Any) -> np.ndarray:
    """Return an array with NaN in place of the placeholder of missing entries."""
    if X.dtype == bool:  # MissingIndicator does not support booleans
        X = X.astype(np.float64)
    return X if is_nan_marker(missing_values) else np.where(missing_values == X, np.nan, X)


def check_any_observed(observed: np.ndarray) -> None:
    """Raise `ValueError` if no feature has any observed entry."""
    if not observed.any():
        raise ValueError("All entries of X are missing, so there is nothing to learn from.")


def incomplete_rows(rows: np.ndarray) -> np.ndarray:
    """Return the positions of the rows with missing entries."""
    return np.flatnonzero(np.isnan(rows).any(axis=1))
