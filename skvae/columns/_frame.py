"""Frames as arrays of cells' numbers, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_array

from ..likelihoods import Histogram
from ._base import ColumnCodec
from ._categorical import CategoricalColumn
from ._numeric import NumericColumn
from ._units import INTEGERS_OF_FLOAT64, units_of

KINDS = ("numeric", "categorical", "ordinal")


def as_frame(X: Any, estimator: Any) -> Any:
    """Return X as a frame: X itself if it is one.

    Raises
    ------
    ValueError, TypeError
        If X is not two-dimensional, is empty, or has a column's name twice.
    """
    if not isinstance(X, pd.DataFrame):
        names = getattr(X, "columns", None)
        values = check_array(X, dtype=None, ensure_all_finite=False, estimator=estimator)
        return pd.DataFrame(values, columns=None if names is None else list(names))
    if 0 in X.shape:
        raise ValueError(f"X has shape {X.shape}, but at least one row and one column is required.")
    if not X.columns.is_unique:
        raise ValueError(f"Names of columns must differ; got {list(X.columns)}.")
    return X


class FrameCodec:
    """A codec for each column of a frame.

    Parameters
    ----------
    frame : DataFrame
        Training data.
    kinds : mapping
        Kinds of columns, by name, of which the dtype says something else.
    missing_is_level : bool, default=True
        Whether missing values are values like others, or stand for what was not observed.

    Raises
    ------
    ValueError, TypeError
        If a column can't be read as what it should be.
    """

    def __init__(
        self, frame: Any, kinds: Mapping[Any, str], *, missing_is_level: bool = True
    ) -> None:
        unknown = [name for name in kinds if name not in frame.columns]
        if unknown:
            raise ValueError(f"column_types names {unknown}, which X does not have.")
        for name, kind in kinds.items():
            if kind not in KINDS:
                raise ValueError(f"column_types[{name!r}] must be one of {KINDS}; got {kind!r}.")
        self.names = frame.columns
        self._dtypes = list(frame.dtypes)
        self.codecs: list[ColumnCodec] = [
            _named(name, _codec, frame.iloc[:, j], kinds.get(name), missing_is_level)
            for j, name in enumerate(frame.columns)
        ]

    @property
    def likelihood(self) -> Histogram:
        return Histogram(tuple(codec.bins for codec in self.codecs))

    def encode(self, frame: Any) -> np.ndarray:
        """Return the number of each value's cell, (n, n_columns), or NaN: not observed."""
        cells = np.empty(frame.shape)
        for j, (name, codec) in enumerate(zip(self.names, self.codecs, strict=True)):
            cells[:, j] = _named(name, codec.encode, frame.iloc[:, j])
        return cells

    def decode(self, cells: np.ndarray, positions: np.ndarray | None = None) -> Any:
        """Return values as a frame, from the middle of cells or at positions in [0, 1)."""
        if positions is None:
            positions = np.full(cells.shape, 0.5)
        columns = [
            codec.decode(cells[:, j].astype(np.int64), positions[:, j])
            for j, codec in enumerate(self.codecs)
        ]
        return self._table(columns)

    def from_estimates(self, estimates: np.ndarray) -> Any:
        """Return values as a frame, from numbers, and from cells of categories, (n, n_columns)."""
        columns = [codec.from_estimates(estimates[:, j]) for j, codec in enumerate(self.codecs)]
        return self._table(columns)

    def _table(self, columns: list[Any]) -> Any:
        """Return columns as a frame of the dtypes of the training data."""
        for j, dtype in enumerate(self._dtypes):
            # Of objects, codecs took the dtype that suits the values.
            if pd.api.types.is_object_dtype(dtype):
                columns[j] = columns[j].astype(object)
        return pd.concat(columns, axis=1).set_axis(self.names, axis=1)

    def fill(self, frame: Any, is_missing: np.ndarray, values: Any) -> Any:
        """Return a copy of the frame with values where entries are missing.

        Parameters
        ----------
        frame : DataFrame of shape (n, n_columns)
        is_missing : ndarray of shape (n, n_columns)
        values : DataFrame of shape (n_incomplete, n_columns)
            Its index tells the positions of the rows.
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
        """Return between which positions cells may satisfy conditions, for columns' numbers.

        Raises
        ------
        ValueError
            If a column is unknown, or if none of its values that were seen satisfies a condition.
        """
        ranges = {}
        for name, condition in conditions.items():
            j = self._number(name)
            part = _named(name, self.codecs[j].allowed_ranges, condition)
            part[~np.array(self.codecs[j].bins.observed)] = 0
            if not (part[:, 1] > part[:, 0]).any():
                raise ValueError(
                    f"No value that column {name!r} had in training satisfies {condition!r}. Where "
                    "numbers are not rounded, ask for an interval."
                )
            ranges[j] = part
        return ranges

    def sample_positions(
        self, cells: np.ndarray, ranges: Mapping[int, np.ndarray], rng: np.random.RandomState
    ) -> np.ndarray:
        """Draw positions within cells, (n, n_columns), within the ranges that are given."""
        positions = rng.uniform(size=cells.shape)
        for j, part in ranges.items():
            start, stop = part[cells[:, j].astype(np.int64)].T
            positions[:, j] = start + positions[:, j] * (stop - start)
        return positions

    def satisfies(self, frame: Any, conditions: Mapping[Any, Any]) -> np.ndarray:
        """Return which rows satisfy all conditions, (n,)."""
        satisfied = np.ones(len(frame), dtype=bool)
        for name, condition in conditions.items():
            satisfied &= self.codecs[self._number(name)].satisfies(frame[name], condition)
        return satisfied

    def _number(self, name: Any) -> int:
        if name not in self.names:
            raise ValueError(f"There is no column {name!r}: X has {list(self.names)}.")
        return int(self.names.get_loc(name))


def _codec(values: Any, kind: str | None, missing_is_level: bool) -> ColumnCodec:
    """Return the codec of a column, of the kind that was given or that its dtype says."""
    if values.dtype == object:
        values = values.infer_objects()
    if values.dtype.kind == "c":
        raise ValueError("complex data not supported")
    is_category = isinstance(values.dtype, pd.CategoricalDtype)
    if kind is None:
        if is_category:
            kind = "ordinal" if values.dtype.ordered else "categorical"
        elif pd.api.types.is_bool_dtype(values.dtype):
            kind = "categorical"
        elif pd.api.types.is_numeric_dtype(values.dtype):
            kind = "numeric"
        else:
            is_time = pd.api.types.is_datetime64_any_dtype(values.dtype)
            is_time |= pd.api.types.is_timedelta64_dtype(values.dtype)
            kind = "numeric" if is_time else "categorical"
    if kind != "numeric":
        is_ordered = kind == "ordinal"
        return CategoricalColumn(values, is_ordered=is_ordered, missing_is_level=missing_is_level)
    units = units_of(values)
    numbers = units.numbers(values)
    is_integer = pd.api.types.is_integer_dtype(values.dtype)
    if is_integer and (np.abs(numbers) >= INTEGERS_OF_FLOAT64).any():
        raise ValueError(
            "it has integers beyond 2**53, which floating point can't tell apart: make them "
            "categorical, or drop them if they are identifiers"
        )
    return NumericColumn(units, numbers, missing_is_level=missing_is_level)


def _named(name: Any, function: Callable[..., Any], *args: Any) -> Any:
    """Call the function, and let its errors name the column."""
    try:
        return function(*args)
    except (TypeError, ValueError) as error:
        raise type(error)(f"Column {name!r} of X can't be used: {error}.") from error
