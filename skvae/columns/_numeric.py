"""Columns of numbers, datetimes and durations."""

from __future__ import annotations

import math
from itertools import groupby, pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..serialization import serializable
from ..utils import MAX_EXACT_INTEGER
from ._base import BinsBuilder, ColumnCodec
from ._casts import check_restored
from ._units import Interval, Units

# Smallest fraction and number of rows for which a single value has a separate level.
_MIN_VALUE_FRACTION = 1 / 1000
_MIN_LEVEL_ROWS = 20
# Smallest fraction of rows of the levels between frequent values.
_MIN_LEVEL_FRACTION = 1 / 50
_MAX_LEVELS = 50
_MAX_BINS_PER_LEVEL = 8
_MIN_BIN_ROWS = 10
# Rows attributed to each gap between training values, and to all numbers beyond either end.
_GAP_PSEUDOCOUNT = 0.5
# Distances of the bins beyond either end, in units of the range of the training values. Each bin
# has half the probability of the preceding bin.
_TAIL_DISTANCES = 10.0 ** np.array([0, 1, 2, 4, 8, 16, 32, 64, 128])
_MAX_MAGNITUDE = 1e300
_MAX_DECIMALS = 4
# Tolerance for the rounding error of a condition such as 0.3, in units of the last decimal.
_ROUNDING_TOL = 1e-6


@serializable
class NumericColumn(ColumnCodec):
    """Codec of numbers: bins between quantiles, and a bin for each frequent value.

    Levels hold about equally many training rows. Each frequent value has a separate level with one
    bin of width 0. If all training values have few decimals, numbers are counted in steps of the
    last decimal, so that decoded numbers have no more decimals. Integers are counted in steps
    of 1.

    Bins without training values fill the gaps between training values and extend beyond both
    ends, so every number has a positive probability. Such bins are never sampled.

    Parameters
    ----------
    units : Units
        Conversion between numbers and the dtype of the column.
    numbers : ndarray of shape (n,)
        Training values in `units`, NaN for missing values.
    missing_is_level : bool
        Whether missing values have a bin. Otherwise, missing values count as not observed.
    """

    is_numeric: ClassVar[bool] = True

    def __init__(self, units: Units, numbers: np.ndarray, *, missing_is_level: bool) -> None:
        self.units = units
        present = numbers[~np.isnan(numbers)]
        self.has_missing = missing_is_level and len(present) < len(numbers)
        # 0 if numbers are not rounded: then, a step is a unit.
        self._steps_per_unit = _infer_steps_per_unit(present, units)
        builder = BinsBuilder()
        # Edges of the bins in steps, (n_bins,): bins are half-open intervals [left, right), or
        # single values if both edges are equal.
        self._left, self._right = self._build_levels(self._to_steps(present), builder)
        n_ordered = builder.n_levels
        if self.has_missing:
            builder.add_missing(len(numbers) - len(present))
        self.bins = builder.build(n_ordered=n_ordered)

    def _check_invariants(self) -> None:
        for edges in (self._left, self._right):
            check_restored(isinstance(edges, np.ndarray) and edges.dtype == np.float64)
            check_restored(edges.shape == (self.bins.n_bins - self.has_missing,))
        check_restored(bool((self._left <= self._right).all()) and isinstance(self.units, Units))

    def encode(self, values: Any) -> np.ndarray:
        numbers = self.units.numbers(values)
        is_missing = np.isnan(numbers)
        if not len(self._left):  # no number in training: later numbers count as not observed
            return self._insert_missing(np.full((~is_missing).sum(), np.nan), is_missing)
        steps = self._to_steps(numbers[~is_missing])
        bin_index = np.searchsorted(self._left, steps, side="right") - 1
        return self._insert_missing(bin_index.clip(0), is_missing)

    def cast(self, values: Any) -> Any:
        return self.units.cast(values)

    def decode(self, bin_index: np.ndarray, position: np.ndarray) -> Any:
        is_missing = bin_index >= len(self._left)
        left, right = np.append(self._left, 0.0), np.append(self._right, 1.0)
        bin_index = np.where(is_missing, len(self._left), bin_index)
        left, right = left[bin_index], right[bin_index]
        steps = left + position * (right - left)
        if self._is_rounded:
            steps = np.minimum(np.floor(steps), right - 1)
        else:
            # Rounding errors must not move a number into the next bin.
            steps = np.where(right > left, np.minimum(steps, np.nextafter(right, left)), left)
        return self.units.values(np.where(is_missing, np.nan, self._to_units(steps)))

    def from_estimates(self, estimates: np.ndarray) -> Any:
        return self.units.values(self._to_units(self._to_steps(estimates)))

    def level_means(self) -> np.ndarray:
        midpoint = (self._left + self._right) / 2
        if self._is_rounded:
            midpoint = self._to_units((self._left + self._right - 1) / 2)
        if self.has_missing:
            midpoint = np.append(midpoint, np.nan)
        level = np.array(self.bins.level)
        weight = np.where(self.bins.observed, np.exp(self.bins.log_fraction), 0.0)
        total = np.bincount(level, np.where(weight > 0, midpoint, 0.0) * weight)
        return total / np.bincount(level, weight)

    def allowed_ranges(self, condition: Any) -> np.ndarray:
        ranges = np.zeros((self.bins.n_bins, 2))
        numeric = ranges[: len(self._left)]  # a view
        for interval in self._intervals(condition):
            if math.isnan(interval.low):
                ranges[len(self._left) :] = [0, 1]
                continue
            added = self._positions_in(interval)
            is_allowed = added[:, 1] > added[:, 0]
            is_both = is_allowed & (numeric[:, 1] > numeric[:, 0])
            # A range that joins two intervals also contains what lies between the intervals.
            added[is_both, 0] = np.minimum(added, numeric)[is_both, 0]
            added[is_both, 1] = np.maximum(added, numeric)[is_both, 1]
            numeric[is_allowed] = added[is_allowed]
        return ranges

    def satisfies(self, values: Any, condition: Any) -> np.ndarray:
        steps = self._to_steps(self.units.numbers(values))
        satisfied = np.zeros(len(steps), dtype=bool)
        for interval in self._intervals(condition):
            is_missing = math.isnan(interval.low)
            satisfied |= np.isnan(steps) if is_missing else interval.contains(steps)
        return satisfied

    @property
    def _is_rounded(self) -> bool:
        """Whether all training values are multiples of a step."""
        return self._steps_per_unit > 0

    def _to_steps(self, numbers: np.ndarray) -> np.ndarray:
        return np.rint(numbers * self._steps_per_unit) if self._is_rounded else numbers

    def _to_units(self, steps: np.ndarray) -> np.ndarray:
        return steps / self._steps_per_unit if self._is_rounded else steps

    def _positions_in(self, interval: Interval) -> np.ndarray:
        """Return start and stop of the positions in each bin that lie in an interval, (n_bins, 2).

        The interval is in steps.
        """
        width = self._right - self._left
        is_value = width == 0
        ends = np.array([interval.low, interval.high + self._is_rounded])[:, None]
        positions = ((ends - self._left) / np.where(is_value, 1, width)).clip(0, 1).T
        positions[is_value] = interval.contains(self._left[is_value])[:, None] * [0, 1]
        return positions

    def _intervals(self, condition: Any) -> list[Interval]:
        """Return the intervals of a condition in steps.

        Intervals of rounded numbers are closed, with possible values as ends.
        """
        intervals = self.units.intervals(condition)
        if not self._is_rounded:
            return intervals
        rounded = []
        for low, high, has_low, has_high in intervals:
            low, high = low * self._steps_per_unit, high * self._steps_per_unit
            first = np.ceil(low - _ROUNDING_TOL) if has_low else np.floor(low + _ROUNDING_TOL) + 1
            last = np.floor(high + _ROUNDING_TOL) if has_high else np.ceil(high - _ROUNDING_TOL) - 1
            if not first > last:  # NaN, for missing values, stays
                rounded.append(Interval(first, last, True, True))
        return rounded

    def _build_levels(
        self, steps: np.ndarray, builder: BinsBuilder
    ) -> tuple[np.ndarray, np.ndarray]:
        """Add levels to the builder, and return the left and right edges of the bins.

        Parameters
        ----------
        steps : ndarray of shape (n,)
            Training values in steps, without missing values.
        builder : BinsBuilder
            Builder without levels.

        Returns
        -------
        left, right : ndarray of shape (n_bins,)
            Edges in steps.
        """
        if not len(steps):
            return np.empty(0), np.empty(0)
        bins = _observed_bins(steps, is_rounded=self._is_rounded)
        bins = _fill_gaps(bins, is_rounded=self._is_rounded)
        left, right = np.array([b.left for b in bins]), np.array([b.right for b in bins])
        widths = self._to_units(right - left)
        for _, group in groupby(zip(bins, widths, strict=True), key=lambda pair: pair[0].level):
            level, level_widths = zip(*group, strict=True)
            builder.add_level(
                counts=[b.n_rows for b in level],
                log_widths=[math.log(width) if width else 0.0 for width in level_widths],
                observed=[b.observed for b in level],
            )
        return left, right


class _Bin(NamedTuple):
    """Half-open interval [left, right) of numbers in steps, or a single value if both are equal."""

    left: float
    right: float
    n_rows: float
    level: int
    observed: bool

    @property
    def end(self) -> float:
        """Smallest number to the right of the bin."""
        return self.right if self.right > self.left else float(np.nextafter(self.left, np.inf))


def _observed_bins(steps: np.ndarray, *, is_rounded: bool) -> list[_Bin]:
    """Return the bins with training values, from left to right.

    Parameters
    ----------
    steps : ndarray of shape (n,)
        Training values in steps.
    is_rounded : bool
        Whether the training values are integers.

    Returns
    -------
    bins : list of _Bin
        Bins with gaps in between.
    """
    values, counts = np.unique(steps, return_counts=True)
    is_frequent = counts >= max(len(steps) * _MIN_VALUE_FRACTION, _MIN_LEVEL_ROWS)
    min_level_rows = max(len(steps) * _MIN_LEVEL_FRACTION, _MIN_LEVEL_ROWS)
    bins: list[_Bin] = []
    level = 0
    # Divide the values into single frequent values and runs of other values.
    breaks = np.flatnonzero(is_frequent[1:] | is_frequent[:-1]) + 1
    for run in np.split(np.arange(len(values)), breaks):
        for group in _split_evenly(run, counts, min_level_rows, _MAX_LEVELS):
            for part in _split_evenly(group, counts, _MIN_BIN_ROWS, _MAX_BINS_PER_LEVEL):
                left, right = values[part[0]], values[part[-1]]
                if is_rounded:
                    right += 1
                elif left < right or not is_frequent[part[0]]:
                    right = np.nextafter(right, np.inf)
                bins.append(_Bin(left, right, counts[part].sum(), level, True))
            level += 1
    return _widen(bins, is_rounded=is_rounded)


def _split_evenly(
    index: np.ndarray, counts: np.ndarray, min_rows: float, max_parts: int
) -> list[np.ndarray]:
    """Split neighbouring values into parts with about equally many rows.

    Parameters
    ----------
    index : ndarray of int
        Consecutive indices into `counts`.
    counts : ndarray of int
        Rows of each value.
    min_rows : float
        Average number of rows per part, at least, if there is more than one part.
    max_parts : int
        Maximum number of parts.

    Returns
    -------
    parts : list of ndarray of int
        Indices of each part.
    """
    total = counts[index].sum()
    n_parts = int(min(max(total // min_rows, 1), max_parts, len(index)))
    preceding = counts[index].cumsum() - 0.5 * counts[index]
    part = (preceding * n_parts / total).astype(int)
    return np.split(index, np.flatnonzero(np.diff(part)) + 1)


def _widen(bins: list[_Bin], *, is_rounded: bool) -> list[_Bin]:
    """Close gaps: neighbouring bins of positive width meet at the midpoint between the bins.

    A bin with a single infrequent number extends into half of each adjacent gap. With minimal
    width, the density of the bin would be excessive.
    """
    left, right = [b.left for b in bins], [b.right for b in bins]
    min_width = 1 if is_rounded else 0
    for i, (current, following) in enumerate(pairwise(bins)):
        widths = current.right - current.left, following.right - following.left
        if min(widths) > min_width:
            midpoint = current.right + (following.left - current.right) / 2
            right[i] = left[i + 1] = math.floor(midpoint) if is_rounded else midpoint
    if not is_rounded:
        for i, current in enumerate(bins):
            if current.right == np.nextafter(current.left, np.inf):
                if left[i] == current.left and i > 0:
                    left[i] = (current.left + right[i - 1]) / 2
                if right[i] == current.right and i < len(bins) - 1:
                    right[i] = (current.right + left[i + 1]) / 2
    edges = zip(bins, left, right, strict=True)
    return [b._replace(left=b_left, right=b_right) for b, b_left, b_right in edges]


def _fill_gaps(observed: list[_Bin], *, is_rounded: bool) -> list[_Bin]:
    """Add bins without training values, so that the bins cover the real line.

    Parameters
    ----------
    observed : list of _Bin
        Bins with training values, from left to right.
    is_rounded : bool
        Whether edges are integers.

    Returns
    -------
    bins : list of _Bin
        Bins from left to right, without gaps, up to 1e128 times the range of the training values.
        The outermost bins also stand for numbers farther away.
    """
    first, last = observed[0], observed[-1]
    distances = _tail_distances(first.left, last.end)
    if is_rounded:
        distances = np.ceil(distances)
    n_rows = _GAP_PSEUDOCOUNT * 0.5 ** np.arange(1, len(distances) + 1)
    below = pairwise([*(first.left - distances[::-1]), first.left])
    above = pairwise([last.end, *(last.end + distances)])
    bins = [_Bin(*ends, n, first.level, False) for ends, n in zip(below, n_rows[::-1], strict=True)]
    for current, following in pairwise(observed):
        bins.append(current)
        if current.end < following.left:
            bins.append(
                _Bin(current.end, following.left, _GAP_PSEUDOCOUNT, current.level, observed=False)
            )
    bins.append(last)
    bins += [_Bin(*ends, n, last.level, False) for ends, n in zip(above, n_rows, strict=True)]
    return [b for b in bins if b.observed or b.left < b.right]


def _tail_distances(start: float, stop: float) -> np.ndarray:
    """Return distances of the outer edges of bins beyond training values in [start, stop)."""
    spread = 2 * min(stop / 2 - start / 2, _MAX_MAGNITUDE)
    spread = max(spread, 1e-3 * max(abs(start), abs(stop)), 1 / _MAX_MAGNITUDE)
    with np.errstate(over="ignore"):
        return np.minimum(spread * _TAIL_DISTANCES, _MAX_MAGNITUDE)


def _infer_steps_per_unit(numbers: np.ndarray, units: Units) -> float:
    """Return the number of steps per unit, or 0 if the numbers are not rounded.

    Parameters
    ----------
    numbers : ndarray of shape (n,)
        Numbers without NaN.
    units : Units
        Conversion between numbers and the dtype of the column.

    Returns
    -------
    steps_per_unit : float
        The smallest of 1, 10, ..., 10,000 for which all numbers equal, in the precision of the
        dtype, a multiple of the inverse. 0 if no such power of 10 exists.
    """
    for decimals in range(_MAX_DECIMALS + 1):
        steps_per_unit = 10.0**decimals
        if not (np.abs(numbers) < MAX_EXACT_INTEGER / steps_per_unit).all():
            return 0.0
        rounded = np.rint(numbers * steps_per_unit) / steps_per_unit
        if (units.round_to_dtype(rounded) == numbers).all():
            return steps_per_unit
    return 0.0
