"""Base class of the codecs of single columns, and a builder of bins."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..likelihoods import ColumnBins


class ColumnCodec(ABC):
    """Encoder of the values of one column as bin numbers, and decoder.

    Missing values have a bin and a level if `has_missing` is True. Otherwise, a missing value
    counts as not observed, and the bin number is NaN.

    Attributes
    ----------
    bins : ColumnBins
        Bins of the column. The bin of missing values, if any, is the last.
    has_missing : bool
        Whether missing values have a bin.
    is_numeric : bool
        Whether the values are numbers or times, rather than categories.
    """

    bins: ColumnBins
    has_missing: bool
    is_numeric: ClassVar[bool]

    @abstractmethod
    def encode(self, values: Any) -> np.ndarray:
        """Return the bin of each value.

        Parameters
        ----------
        values : Series of length n
            Values of the column.

        Returns
        -------
        bin_index : ndarray of shape (n,)
            Bin numbers in float64, NaN for entries that are not observed.

        Raises
        ------
        TypeError, ValueError
            If a value does not suit the kind of the column.
        """

    @abstractmethod
    def cast(self, values: Any) -> Any:
        """Return values in the dtype of the training data.

        Parameters
        ----------
        values : Series of length n
            Values of the column, in any dtype, without missing values.

        Raises
        ------
        TypeError, ValueError
            If the dtype cannot express a value. Floats are rounded to the precision of the dtype.
        """

    @abstractmethod
    def decode(self, bin_index: np.ndarray, position: np.ndarray) -> Any:
        """Return values from bins.

        Parameters
        ----------
        bin_index : ndarray of shape (n,)
            Bin numbers, as integers.
        position : ndarray of shape (n,)
            Position of each value within the bin, in [0, 1). Categories ignore the position.

        Returns
        -------
        values : Series of length n
            Values in the dtype of the training data.
        """

    @abstractmethod
    def from_estimates(self, estimates: np.ndarray) -> Any:
        """Return values from estimates.

        Parameters
        ----------
        estimates : ndarray of shape (n,)
            Numbers in the units of the column, or bin numbers of categories.

        Returns
        -------
        values : Series of length n
            Nearest possible values, in the dtype of the training data.
        """

    @abstractmethod
    def level_means(self) -> np.ndarray | None:
        """Return the mean number in each level.

        Returns
        -------
        means : ndarray of shape (n_levels,) or None
            Means in the units of the column, NaN for the level of missing values. None for
            categories.
        """

    @abstractmethod
    def allowed_ranges(self, condition: Any) -> np.ndarray:
        """Return the range of positions in each bin allowed by a condition.

        Parameters
        ----------
        condition : object
            A value, a list of values, or a `pandas.Interval` for numbers and times. NaN and None
            stand for missing values.

        Returns
        -------
        ranges : ndarray of shape (n_bins, 2)
            Start and stop of the range in [0, 1], equal if no value of the bin satisfies the
            condition. A range may also contain some values without the condition: filter by
            `satisfies`.
        """

    @abstractmethod
    def satisfies(self, values: Any, condition: Any) -> np.ndarray:
        """Return a mask, True for values with the condition.

        Parameters
        ----------
        values : Series of length n
            Values of the column.
        condition : object
            See `allowed_ranges`.

        Returns
        -------
        satisfied : ndarray of bool, of shape (n,)
        """

    @property
    def is_identifier(self) -> bool:
        """Whether the values are names of the training rows."""
        return False

    def _insert_missing(self, bin_index: np.ndarray, is_missing: np.ndarray) -> np.ndarray:
        """Return the bin of each value, (n,), from the bins of the values that are present."""
        result = np.full(len(is_missing), np.nan)
        result[~is_missing] = bin_index
        if self.has_missing:
            result[is_missing] = self.bins.n_bins - 1
        return result


class BinsBuilder:
    """Builder of `ColumnBins`, level by level."""

    def __init__(self) -> None:
        self._level: list[int] = []
        self._fraction: list[float] = []
        self._log_width: list[float] = []
        self._observed: list[bool] = []
        self._counts: list[float] = []
        self._representative_bin: list[int] = []

    @property
    def n_levels(self) -> int:
        """Number of levels added so far."""
        return len(self._counts)

    def add_level(
        self,
        counts: Sequence[float],
        log_widths: Sequence[float],
        observed: Sequence[bool],
        *,
        is_ordered: bool = True,
    ) -> None:
        """Add a level.

        The bin with the median of the training rows represents the level, or the bin with the most
        rows if the bins have no order.

        Parameters
        ----------
        counts : sequence of float
            Number of training rows in each bin of the level, or a pseudocount for bins without
            training rows.
        log_widths : sequence of float
            Log of the width of each bin, in the units of X.
        observed : sequence of bool
            Whether each bin has training rows.
        is_ordered : bool, default=True
            Whether the bins have an order.
        """
        weights, is_observed = np.asarray(counts, dtype=float), np.asarray(observed)
        n_rows = np.where(is_observed, weights, 0.0)
        median = np.searchsorted(n_rows.cumsum(), 0.5 * n_rows.sum())
        representative = int(median if is_ordered else n_rows.argmax())
        self._representative_bin.append(len(self._level) + representative)
        self._level += [self.n_levels] * len(weights)
        self._fraction += (weights / weights.sum()).tolist()
        self._log_width += list(log_widths)
        self._observed += is_observed.tolist()
        self._counts.append(float(n_rows.sum()))

    def add_missing(self, n_missing: int) -> None:
        """Add a level with a single bin for missing values."""
        self.add_level([n_missing], [0.0], [True])

    def build(self, *, n_ordered: int) -> ColumnBins:
        """Return the bins.

        Parameters
        ----------
        n_ordered : int
            Number of ordered levels. Ordered levels precede unordered levels.

        Returns
        -------
        bins : ColumnBins
        """
        return ColumnBins(
            level=tuple(self._level),
            log_fraction=tuple(np.log(self._fraction).tolist()),
            log_width=tuple(self._log_width),
            observed=tuple(self._observed),
            counts=tuple(self._counts),
            representative_bin=tuple(self._representative_bin),
            n_ordered=n_ordered,
        )
