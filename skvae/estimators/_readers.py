"""Readers, which convert X to the rows of numbers for a module, and rows back to X."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
    from ._conditions import ConditionReader

# Rows of the training data that a reader writes and reads again, to check its results.
_MAX_CHECKED_ROWS = 1000


def result_dtype(X: Any) -> str:
    """Return the dtype of results that are computed from X: float32 for float32, else float64."""
    return "float32" if X.dtype.type is np.float32 else "float64"


class _Reader:
    """Base class of readers: the columns of X in rows, with and without condition columns.

    Attributes
    ----------
    observed : ndarray of shape (n_features,)
        Whether a column of X is a column of rows.
    conditions : ConditionReader or None
        Reads the condition columns, if there are any.
    """

    observed: np.ndarray
    conditions: ConditionReader | None = None

    @property
    def given(self) -> list[int]:
        """Positions in X of the condition columns."""
        return [] if self.conditions is None else self.conditions.positions

    @property
    def modelled(self) -> np.ndarray:
        """Whether a column of X is modelled, (n_features,)."""
        modelled = self.observed.copy()
        modelled[self.given] = False
        return modelled

    @property
    def modelled_in_rows(self) -> np.ndarray:
        """Positions of the modelled columns in rows, (n_modelled,)."""
        return np.flatnonzero(self.modelled[self.observed])


@serializable
class ArrayReader(_Reader):
    """Reads arrays of numbers, with or without missing entries.

    Parameters
    ----------
    takes_missing : bool, default=False
        Whether X may have missing entries, which are NaN.
    conditions : ConditionReader, default=None
        Reads the condition columns, which are never left out.

    Attributes
    ----------
    dtype : {"float32", "float64"}
        Dtype of new rows.
    observed : ndarray of shape (n_features,)
        Whether a feature had any observed entry in `fit`. Other features are not read.
    """

    dtype: str

    def __init__(
        self, *, takes_missing: bool = False, conditions: ConditionReader | None = None
    ) -> None:
        self.takes_missing = takes_missing
        self.conditions = conditions

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
            check_any_observed(self.modelled)
            self.observed[self.given] = True
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
        estimates : ndarray of shape (n_incomplete, n_modelled)
            Values for the rows with missing entries.
        """
        filled = rows.astype(result_dtype(rows))
        index = incomplete_rows(rows)
        if len(index):
            entries = np.ix_(index, self.modelled_in_rows)
            filled[entries] = np.where(np.isnan(rows[entries]), estimates, filled[entries])
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
class FrameReader(_Reader):
    """Reads tables with columns of any type, as bin numbers, and condition columns as numbers.

    Parameters
    ----------
    column_types : mapping, default=None
        Kinds of columns, by name, if the dtype does not determine the kind.
    missing_is_level : bool, default=True
        Whether a missing value is a value like any other, or an entry that was not observed.
    conditions : ConditionReader, default=None
        Reads the condition columns.

    Attributes
    ----------
    names : pandas.Index
        Names of the columns in `fit`.
    codec : FrameCodec
        Encodes and decodes the modelled columns.
    table_format : TableFormat
        Library and dtypes of X in `fit`.
    observed : ndarray of shape (n_features,)
        Whether a column is read. Without `missing_is_level`, columns without any observed entry in
        `fit` are not read.
    empty_dtypes : list of dtype
        Plain dtypes of the columns that are not read.
    condition_dtypes : sequence of dtype
        Plain dtypes of the condition columns.
    """

    names: Any
    codec: FrameCodec
    table_format: TableFormat
    empty_dtypes: list[Any]
    condition_dtypes: Sequence[Any] = ()
    dtype: str = "float64"

    def __init__(
        self,
        column_types: Mapping[Any, str] | None = None,
        *,
        missing_is_level: bool = True,
        conditions: ConditionReader | None = None,
    ) -> None:
        self.column_types = column_types
        self.missing_is_level = missing_is_level
        self.conditions = conditions

    def _check_invariants(self) -> None:
        columns = import_columns()
        dtypes = [*self.empty_dtypes, *self.condition_dtypes]
        columns.check_restored(all(columns.is_dtype(dtype) for dtype in dtypes))
        columns.check_restored(len(self.condition_dtypes) == len(self.given))
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
            self.observed = frame.notna().any().to_numpy(copy=True)
            self.observed[self.given] = True
            check_any_observed(self.modelled)
        self.names = frame.columns
        self.empty_dtypes = frame.dtypes[~self.observed].tolist()
        self.condition_dtypes = frame.dtypes.iloc[self.given].tolist()
        declared = [self.names[j] for j in self.given if self.names[j] in (self.column_types or {})]
        if declared:
            raise ValueError(
                f"column_types names {declared}, which are condition columns. Declare their kinds "
                "in condition_columns."
            )
        self.codec = import_columns().FrameCodec(
            self._select(frame), self.column_types or {}, missing_is_level=self.missing_is_level
        )
        self._check_restored(frame.iloc[:_MAX_CHECKED_ROWS])
        return self

    def _check_restored(self, frame: Any) -> None:
        """Raise a ValueError if `write` does not return the dtypes and categories of `fit`."""
        rows = self.codec.encode(self._select(frame))
        any_bin = [column.representative_bin[0] for column in self.codec.likelihood.columns]
        written = self.write(
            np.where(np.isnan(rows), any_bin, rows), given=frame.iloc[:, self.given]
        )
        restored, restored_format = import_columns().read_table(written)
        restored = restored.iloc[:, self.modelled_in_rows]
        again = self.codec.encode(restored.set_axis(self.codec.names, axis=1))
        formats = [self.table_format.columns[j] for j in np.flatnonzero(self.modelled)]
        restored_formats = [restored_format.columns[j] for j in self.modelled_in_rows]
        for j, (name, codec) in enumerate(zip(self.codec.names, self.codec.codecs, strict=True)):
            is_kept = np.isnan(rows[:, j]) | (again[:, j] == rows[:, j]) | codec.is_numeric
            same_dtype = self.table_format.is_array or formats[j] == restored_formats[j]
            if not (is_kept.all() and same_dtype):
                raise ValueError(
                    f"Column {name!r} of X can't be used: results would not have its dtype, "
                    f"{formats[j].stored_dtype}. Convert the column to numbers, strings or a "
                    "categorical dtype."
                )

    @property
    def likelihood(self) -> Likelihood:
        """Likelihood of the bins of all modelled columns."""
        return self.codec.likelihood

    def read(self, table: Table) -> np.ndarray:
        """Return the bin number of each entry, (n, n_observed), with NaN for missing entries.

        Condition columns are numbers instead of bin numbers.
        """
        bins = self.codec.encode(self._select(table.frame))
        if self.conditions is None:
            return bins
        rows = np.empty((len(bins), self.observed.sum()))
        rows[:, self.modelled_in_rows] = bins
        positions = (np.cumsum(self.observed) - 1)[self.given]
        rows[:, positions] = self.conditions.read(self.reorder(table.frame))
        return rows

    def mark_missing(self, table: Table) -> np.ndarray:
        """Return an array, (n, n_features), with NaN for missing entries and 0 elsewhere."""
        return np.where(self.reorder(table.frame).isna().to_numpy(), np.nan, 0.0)

    def write(
        self,
        bins: np.ndarray,
        positions: np.ndarray | None = None,
        *,
        like: Table | None = None,
        given: Any = None,
    ) -> Any:
        """Return bin numbers as a table of the library and the dtypes of X in `fit`.

        Parameters
        ----------
        bins : ndarray of shape (n, n_modelled)
            Bin numbers.
        positions : ndarray of shape (n, n_modelled), optional
            Positions within bins, in [0, 1). By default, the midpoint of each bin.
        like : Table, optional
            Table with the same rows. The result has the index and the conditions of the table.
        given : DataFrame of shape (n, n_conditions), optional
            Condition columns, unless `like` is given.
        """
        frame = self.codec.decode(bins, positions)
        if like is not None:
            frame = frame.set_axis(like.frame.index)
            given = self.reorder(like.frame).iloc[:, self.given]
        return self.table_format.write(self._insert(frame, given), self.observed)

    def _insert(self, frame: Any, given: Any) -> Any:
        """Return modelled columns together with condition columns, in the order of X."""
        if self.conditions is None:
            return frame
        modelled = np.flatnonzero(self.modelled).tolist()
        columns = {j: frame.iloc[:, i] for i, j in enumerate(modelled)}
        for i, (j, dtype) in enumerate(zip(self.given, self.condition_dtypes, strict=True)):
            with import_columns().column_in_errors(self.names[j]):
                values = given.iloc[:, i].set_axis(frame.index)
                columns[j] = self.table_format.columns[j].cast(values, dtype)
        columns = {self.names[j]: columns[j] for j in sorted(columns)}
        return import_optional("pandas", "").concat(columns, axis=1)

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
        is_missing = np.isnan(rows[:, self.modelled_in_rows])
        filled = self.codec.fill(self._select(table.frame), is_missing, estimates)
        return self._insert(filled, self.reorder(table.frame).iloc[:, self.given])

    def reorder(self, frame: Any) -> Any:
        """Return the columns in the order of `fit`; data with other names, as they are."""
        # `isin` of a MultiIndex refuses names that are not tuples.
        if self.names.equals(frame.columns) or set(self.names) != set(frame.columns):
            return frame
        return frame[list(self.names)]

    def _select(self, frame: Any) -> Any:
        """Return the modelled columns, in the order of `fit`."""
        frame, modelled = self.reorder(frame), self.modelled
        return frame if modelled.all() else frame.loc[:, modelled]


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
