"""Data frames as arrays of bin numbers, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..likelihoods import Histogram
from ..serialization import serializable
from ._base import ColumnCodec
from ._casts import check_restored
from ._errors import column_in_errors, place_in_errors
from ._kinds import KINDS, build_codec


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
        unknown = [name for name in kinds if not _has_column(frame.columns, name)]
        if unknown:
            raise ValueError(
                f"column_types names {unknown}, which X does not have. X has {list(frame.columns)}."
            )
        for name, kind in kinds.items():
            if kind not in KINDS:
                raise ValueError(f"column_types[{name!r}] must be one of {KINDS}; got {kind!r}.")
        self.names = frame.columns
        self.codecs: list[ColumnCodec] = []
        for j, name in enumerate(frame.columns):
            with column_in_errors(name):
                codec = build_codec(frame.iloc[:, j], kinds.get(name), missing_is_level)
            self.codecs.append(codec)

    def _check_invariants(self) -> None:
        check_restored(all(isinstance(codec, ColumnCodec) for codec in self.codecs))
        check_restored(isinstance(self.names, pd.Index) and len(self.names) == len(self.codecs))

    @property
    def likelihood(self) -> Histogram:
        """Likelihood of the bin numbers."""
        return Histogram(tuple(codec.bins for codec in self.codecs))

    @property
    def identifiers(self) -> list[Any]:
        """Names of the columns whose values are names of the training rows."""
        codecs = zip(self.names, self.codecs, strict=True)
        return [name for name, codec in codecs if codec.is_identifier]

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
            with column_in_errors(name):
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
        columns = []
        for j, (name, codec) in enumerate(zip(self.names, self.codecs, strict=True)):
            with column_in_errors(name):
                columns.append(codec.decode(bin_index[:, j].astype(np.int64), positions[:, j]))
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
        """Return a data frame of columns, with the names of the training data."""
        return pd.concat(columns, axis=1).set_axis(self.names, axis=1)

    def fill(self, frame: Any, is_missing: np.ndarray, values: Any) -> Any:
        """Return a data frame in the dtypes of the training data, without missing entries.

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

        Raises
        ------
        TypeError, ValueError
            If the dtype of the training data cannot express an observed entry.
        """
        columns = []
        for j, (name, codec) in enumerate(zip(self.names, self.codecs, strict=True)):
            observed, missing = np.flatnonzero(~is_missing[:, j]), np.flatnonzero(is_missing[:, j])
            parts = [values.iloc[:, j].loc[missing]] if len(missing) else []
            if len(observed):
                with column_in_errors(name):
                    parts.append(codec.cast(frame.iloc[observed, j]).set_axis(observed))
            columns.append(pd.concat(parts).sort_index())
        return self._join(columns).set_axis(frame.index)

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
            with place_in_errors(f"conditions[{name!r}]"):
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
        if not _has_column(self.names, name):
            raise ValueError(f"There is no column {name!r}: X has {list(self.names)}.")
        return int(self.names.get_loc(name))


def _has_column(names: Any, name: Any) -> bool:
    """Return whether a name is that of one column, not of several with a common first level."""
    return name in names and pd.api.types.is_integer(names.get_loc(name))
