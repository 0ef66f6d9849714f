"""Data frames as arrays of bin numbers, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_array

from ..likelihoods import Histogram
from ..serialization import serializable
from ._base import ColumnCodec
from ._categorical import CategoricalColumn
from ._numeric import NumericColumn
from ._units import MAX_EXACT_INTEGER, infer_units

KINDS = ("numeric", "categorical", "ordinal")


def as_frame(X: Any, estimator: Any) -> Any:
    """Return X as a data frame.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n, n_columns)
        Table.
    estimator : object
        Estimator named in error messages.

    Returns
    -------
    frame : DataFrame of shape (n, n_columns)
        X itself if X is a DataFrame.

    Raises
    ------
    ValueError, TypeError
        If X is not two-dimensional, is empty, or has duplicate column names.
    """
    if not isinstance(X, pd.DataFrame):
        names = getattr(X, "columns", None)
        values = check_array(X, dtype=None, ensure_all_finite=False, estimator=estimator)
        return pd.DataFrame(values, columns=None if names is None else list(names))
    if 0 in X.shape:
        raise ValueError(f"X has shape {X.shape}, but needs at least one row and one column.")
    if not X.columns.is_unique:
        raise ValueError(
            f"Names of columns must differ; got {list(X.columns)}. Rename the duplicate columns."
        )
    return X


@serializable
class FrameCodec:
    """Encoder of data frames as bin numbers, and decoder, with a codec for each column.

    Parameters
    ----------
    frame : DataFrame of shape (n, n_columns)
        Training data.
    kinds : mapping of column name to {"numeric", "categorical", "ordinal"}
        Kinds of columns. The dtype determines the kind of any other column.
    missing_is_level : bool, default=True
        Whether missing values have a bin. Otherwise, missing values count as not observed.

    Attributes
    ----------
    names : Index
        Names of the columns.
    codecs : list of ColumnCodec
        Codec of each column.

    Raises
    ------
    ValueError, TypeError
        If `kinds` has an unknown column or kind, or if the values of a column do not suit the
        kind.
    """

    def __init__(
        self, frame: Any, kinds: Mapping[Any, str], *, missing_is_level: bool = True
    ) -> None:
        unknown = [name for name in kinds if name not in frame.columns]
        if unknown:
            raise ValueError(
                f"column_types names {unknown}, which X does not have. X has {list(frame.columns)}."
            )
        for name, kind in kinds.items():
            if kind not in KINDS:
                raise ValueError(f"column_types[{name!r}] must be one of {KINDS}; got {kind!r}.")
        self.names = frame.columns
        self._dtypes = list(frame.dtypes)
        self.codecs: list[ColumnCodec] = []
        for j, name in enumerate(frame.columns):
            with _column_in_errors(name):
                codec = _build_codec(frame.iloc[:, j], kinds.get(name), missing_is_level)
            self.codecs.append(codec)

    @property
    def likelihood(self) -> Histogram:
        """Likelihood of the bin numbers."""
        return Histogram(tuple(codec.bins for codec in self.codecs))

    def encode(self, frame: Any) -> np.ndarray:
        """Return the bin of each value.

        Parameters
        ----------
        frame : DataFrame of shape (n, n_columns)
            Table with the columns of the training data.

        Returns
        -------
        bin_index : ndarray of shape (n, n_columns)
            Bin numbers in float64, NaN for entries that are not observed.
        """
        bin_index = np.empty(frame.shape)
        for j, (name, codec) in enumerate(zip(self.names, self.codecs, strict=True)):
            with _column_in_errors(name):
                bin_index[:, j] = codec.encode(frame.iloc[:, j])
        return bin_index

    def decode(self, bin_index: np.ndarray, positions: np.ndarray | None = None) -> Any:
        """Return values from bins.

        Parameters
        ----------
        bin_index : ndarray of shape (n, n_columns)
            Bin numbers.
        positions : ndarray of shape (n, n_columns), default=None
            Position of each value within the bin, in [0, 1). None stands for the midpoint.

        Returns
        -------
        frame : DataFrame of shape (n, n_columns)
            Table with the names and dtypes of the training data.
        """
        if positions is None:
            positions = np.full(bin_index.shape, 0.5)
        columns = [
            codec.decode(bin_index[:, j].astype(np.int64), positions[:, j])
            for j, codec in enumerate(self.codecs)
        ]
        return self._join(columns)

    def from_estimates(self, estimates: np.ndarray) -> Any:
        """Return values from estimates.

        Parameters
        ----------
        estimates : ndarray of shape (n, n_columns)
            Numbers in the units of the column, or bin numbers of categories.

        Returns
        -------
        frame : DataFrame of shape (n, n_columns)
            Table with the names and dtypes of the training data.
        """
        columns = [codec.from_estimates(estimates[:, j]) for j, codec in enumerate(self.codecs)]
        return self._join(columns)

    def _join(self, columns: list[Any]) -> Any:
        """Return a data frame of columns, with the names and dtypes of the training data."""
        for j, dtype in enumerate(self._dtypes):
            # The codec of a column of objects has the dtype inferred from the values.
            if pd.api.types.is_object_dtype(dtype):
                columns[j] = columns[j].astype(object)
        return pd.concat(columns, axis=1).set_axis(self.names, axis=1)

    def fill(self, frame: Any, is_missing: np.ndarray, values: Any) -> Any:
        """Return a copy of a data frame, with missing entries replaced.

        Parameters
        ----------
        frame : DataFrame of shape (n, n_columns)
            Table with missing entries.
        is_missing : ndarray of bool, of shape (n, n_columns)
            Entries to replace.
        values : DataFrame of shape (n_incomplete, n_columns)
            New values of the incomplete rows. The index contains the positions of the rows in
            `frame`.

        Returns
        -------
        filled : DataFrame of shape (n, n_columns)
        """
        filled = frame.copy()
        for j in np.flatnonzero(is_missing.any(axis=0)):
            rows = np.flatnonzero(is_missing[:, j])
            column, new = filled.iloc[:, j].copy(), values.iloc[:, j].loc[rows]
            if column.dtype != new.dtype:
                column, new = column.astype(object), new.astype(object)
            column.iloc[rows] = new.array
            filled.isetitem(j, column)
        return filled

    def allowed_ranges(self, conditions: Mapping[Any, Any]) -> dict[int, np.ndarray]:
        """Return the ranges of positions in observed bins allowed by conditions.

        Parameters
        ----------
        conditions : mapping of column name to object
            A value, a list of values or a `pandas.Interval`.

        Returns
        -------
        ranges : dict of int to ndarray of shape (n_bins, 2)
            Start and stop of the range in each bin, in [0, 1], by column number: see
            `ColumnCodec.allowed_ranges`.

        Raises
        ------
        ValueError
            If a column is unknown, or if no training value of a column satisfies the condition.
        """
        ranges = {}
        for name, condition in conditions.items():
            j = self._column_number(name)
            codec = self.codecs[j]
            with _column_in_errors(name):
                column_ranges = codec.allowed_ranges(condition)
            column_ranges[~np.array(codec.bins.observed)] = 0
            if not (column_ranges[:, 1] > column_ranges[:, 0]).any():
                raise ValueError(
                    f"No training value of column {name!r} satisfies {condition!r}. Relax the "
                    "condition, or pass a pandas.Interval if the numbers are not rounded."
                )
            ranges[j] = column_ranges
        return ranges

    def sample_positions(
        self, bin_index: np.ndarray, ranges: Mapping[int, np.ndarray], rng: np.random.RandomState
    ) -> np.ndarray:
        """Sample positions within bins.

        Parameters
        ----------
        bin_index : ndarray of shape (n, n_columns)
            Bin numbers.
        ranges : mapping of int to ndarray of shape (n_bins, 2)
            Start and stop of the allowed positions in each bin, by column number. Any position
            is allowed in other columns.
        rng : RandomState
            Source of randomness.

        Returns
        -------
        positions : ndarray of shape (n, n_columns)
            Positions in [0, 1).
        """
        positions = rng.uniform(size=bin_index.shape)
        for j, column_ranges in ranges.items():
            start, stop = column_ranges[bin_index[:, j].astype(np.int64)].T
            positions[:, j] = start + positions[:, j] * (stop - start)
        return positions

    def satisfies(self, frame: Any, conditions: Mapping[Any, Any]) -> np.ndarray:
        """Return a mask, True for rows with all conditions satisfied.

        Parameters
        ----------
        frame : DataFrame of shape (n, n_columns)
            Table with the columns of the training data.
        conditions : mapping of column name to object
            A value, a list of values or a `pandas.Interval`.

        Returns
        -------
        satisfied : ndarray of bool, of shape (n,)
        """
        satisfied = np.ones(len(frame), dtype=bool)
        for name, condition in conditions.items():
            codec = self.codecs[self._column_number(name)]
            satisfied &= codec.satisfies(frame[name], condition)
        return satisfied

    def _column_number(self, name: Any) -> int:
        if name not in self.names:
            raise ValueError(f"There is no column {name!r}: X has {list(self.names)}.")
        return int(self.names.get_loc(name))


def _build_codec(values: Any, kind: str | None, missing_is_level: bool) -> ColumnCodec:
    """Return the codec of a column.

    Parameters
    ----------
    values : Series
        Training data.
    kind : {"numeric", "categorical", "ordinal"} or None
        Kind of the column. None infers the kind from the dtype.
    missing_is_level : bool
        Whether missing values have a bin.

    Raises
    ------
    ValueError, TypeError
        If the values do not suit the kind.
    """
    if values.dtype == object:
        values = values.infer_objects()
    if values.dtype.kind == "c":
        raise ValueError("it has complex numbers: split real and imaginary parts into two columns")
    kind = kind or _infer_kind(values.dtype)
    if kind == "numeric":
        units = infer_units(values)
        numbers = units.numbers(values)
        _check_exact_integers(values.dtype, numbers)
        return NumericColumn(units, numbers, missing_is_level=missing_is_level)
    return CategoricalColumn(
        values, is_ordered=kind == "ordinal", missing_is_level=missing_is_level
    )


def _infer_kind(dtype: Any) -> str:
    """Return the kind of a column from the dtype."""
    if isinstance(dtype, pd.CategoricalDtype):
        return "ordinal" if dtype.ordered else "categorical"
    if pd.api.types.is_bool_dtype(dtype):
        return "categorical"
    is_number = pd.api.types.is_numeric_dtype(dtype)
    is_datetime = pd.api.types.is_datetime64_any_dtype(dtype)
    is_duration = pd.api.types.is_timedelta64_dtype(dtype)
    return "numeric" if is_number or is_datetime or is_duration else "categorical"


def _check_exact_integers(dtype: Any, numbers: np.ndarray) -> None:
    """Raise a ValueError if integers have no exact representation in float64."""
    if pd.api.types.is_integer_dtype(dtype) and (np.abs(numbers) >= MAX_EXACT_INTEGER).any():
        raise ValueError(
            "it has integers beyond 2**53, which float64 cannot represent exactly: convert the "
            "column to a categorical dtype, or drop the column if the values are identifiers"
        )


@contextmanager
def _column_in_errors(name: Any) -> Iterator[None]:
    """Add the name of a column to TypeErrors and ValueErrors."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"Column {name!r} of X can't be used: {error}.") from error
