"""Columns of numbers, points in time and durations."""

from __future__ import annotations

import math
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np

from ._base import BinsBuilder, ColumnCodec
from ._units import INTEGERS_OF_FLOAT64, Interval, Units

# A value that this share of the rows has, and at least so many, is a level by itself.
_SHARE_OF_VALUE = 1 / 1000
_ROWS_OF_LEVEL = 20
# Between such values, levels hold this share of the rows, and are cut into so many cells.
_SHARE_OF_LEVEL = 1 / 50
_CELLS_OF_LEVEL = 8
_ROWS_OF_CELL = 10
# A cell between others counts as many rows, and all beyond the smallest or largest together.
_ROWS_OF_GAP = 0.5
# How far the cells beyond reach, in units of the range of values. Each is half as probable as the
# one before.
_REACH = 10.0 ** np.array([0, 1, 2, 4, 8, 16, 32, 64, 128])
_MAX_LEVELS = 50
_MAX_DECIMALS = 4
_MAX_MAGNITUDE = 1e300
# So much may numbers be off what they are meant to be.
_ROUNDING_TOL = 1e-6


class _Cell(NamedTuple):
    """Part of the line, from `left` up to `right`, or the one value at `left`."""

    left: float
    right: float
    n_rows: float
    level: int
    observed: bool


class NumericColumn(ColumnCodec):
    """Numbers, cut at their quantiles; one that occurs often has a cell and level for itself.

    Numbers that have few decimals, integers above all, are counted in units of the last one, and
    what is decoded has no more. Bins without training values lie between and beyond the others,
    so that no number is impossible; none of them is drawn from.

    Parameters
    ----------
    units : Units
    numbers : ndarray of shape (n,)
        Training values, NaN for missing ones.
    missing_is_level : bool
    """

    def __init__(self, units: Units, numbers: np.ndarray, *, missing_is_level: bool) -> None:
        self.units = units
        known = numbers[~np.isnan(numbers)]
        self.has_missing = missing_is_level and len(known) < len(numbers)
        self._per_unit = _points_per_unit(known, units)  # 0 if they are not rounded
        builder = BinsBuilder()
        self._left, self._right = self._cut(self._counted(known), builder)
        n_ordered = builder.n_levels
        if self.has_missing:
            builder.add_missing(len(numbers) - len(known))
        self.bins = builder.build(n_ordered=n_ordered)

    def encode(self, values: Any) -> np.ndarray:
        numbers = self.units.numbers(values)
        is_missing = np.isnan(numbers)
        known = self._counted(numbers[~is_missing])
        cell = np.searchsorted(self._left, known, side="right") - 1
        return self._with_missing(cell.clip(0), is_missing)

    def decode(self, cell: np.ndarray, position: np.ndarray) -> Any:
        is_missing = cell >= len(self._left)
        left, right = np.append(self._left, 0.0), np.append(self._right, 1.0)
        cell = np.where(is_missing, len(self._left), cell)
        left, right = left[cell], right[cell]
        numbers = left + position * (right - left)
        if self._per_unit:
            numbers = np.minimum(np.floor(numbers), right - 1) / self._per_unit
        else:  # rounding may have moved it to the next cell
            numbers = np.where(right > left, np.minimum(numbers, np.nextafter(right, left)), left)
        return self.units.values(np.where(is_missing, np.nan, numbers))

    def from_estimates(self, estimates: np.ndarray) -> Any:
        return self.units.values(self._counted(estimates) / (self._per_unit or 1.0))

    def level_means(self) -> np.ndarray:
        middle = (self._left + self._right) / 2
        if self._per_unit:
            middle = (self._left + self._right - 1) / 2 / self._per_unit
        level = np.array(self.bins.level)
        rows = np.where(self.bins.observed, np.exp(self.bins.log_fraction), 0.0)
        return np.bincount(level, np.where(rows > 0, middle, 0.0) * rows) / np.bincount(level, rows)

    def allowed_ranges(self, condition: Any) -> np.ndarray:
        ranges = np.zeros((len(self.bins.level), 2))
        of_numbers = ranges[: len(self._left)]
        width = self._right - self._left
        is_value = width == 0
        for interval in self._intervals(condition):
            if math.isnan(interval.low):
                ranges[len(self._left) :] = [0, 1]
                continue
            ends = np.array([interval.low, interval.high + (self._per_unit > 0)])[:, None]
            part = ((ends - self._left) / np.where(is_value, 1, width)).clip(0, 1).T
            part[is_value] = _within(self._left[is_value], interval)[:, None] * [0, 1]
            new = part[:, 1] > part[:, 0]
            both = new & (of_numbers[:, 1] > of_numbers[:, 0])
            # Positions from one part to the other belong to neither: `satisfies` tells.
            part[both, 0] = np.minimum(part, of_numbers)[both, 0]
            part[both, 1] = np.maximum(part, of_numbers)[both, 1]
            of_numbers[new] = part[new]
        return ranges

    def satisfies(self, values: Any, condition: Any) -> np.ndarray:
        numbers = self._counted(self.units.numbers(values))
        satisfied = np.zeros(len(numbers), dtype=bool)
        for interval in self._intervals(condition):
            is_missing = math.isnan(interval.low)
            satisfied |= np.isnan(numbers) if is_missing else _within(numbers, interval)
        return satisfied

    def _intervals(self, condition: Any) -> list[Interval]:
        """Return intervals in the counted units, whose ends are possible values if rounded."""
        intervals = self.units.intervals(condition)
        if not self._per_unit:
            return intervals
        rounded = []
        for low, high, has_low, has_high in intervals:
            low, high = low * self._per_unit, high * self._per_unit
            first = np.ceil(low - _ROUNDING_TOL) if has_low else np.floor(low + _ROUNDING_TOL) + 1
            last = np.floor(high + _ROUNDING_TOL) if has_high else np.ceil(high - _ROUNDING_TOL) - 1
            if not first > last:
                rounded.append(Interval(first, last, True, True))
        return rounded

    def _counted(self, numbers: np.ndarray) -> np.ndarray:
        return np.rint(numbers * self._per_unit) if self._per_unit else numbers

    def _cut(self, known: np.ndarray, builder: BinsBuilder) -> tuple[np.ndarray, np.ndarray]:
        """Add levels to the builder, and return the left and right end of each cell."""
        if not len(known):
            return np.empty(0), np.empty(0)
        cells = self._with_gaps(_seen_cells(known, is_rounded=self._per_unit > 0))
        for _, group in groupby(cells, key=lambda cell: cell.level):
            per_level = [*group]
            widths = [(cell.right - cell.left) / (self._per_unit or 1.0) for cell in per_level]
            builder.add_level(
                counts=[cell.n_rows for cell in per_level],
                log_widths=[math.log(width) if width else 0.0 for width in widths],
                observed=[cell.observed for cell in per_level],
            )
        return np.array([cell.left for cell in cells]), np.array([cell.right for cell in cells])

    def _with_gaps(self, seen: list[_Cell]) -> list[_Cell]:
        """Return cells that cover the whole line, those without training values put in."""
        first, last = seen[0], seen[-1]
        start, stop = first.left, self._end(last)
        spread = 2 * min(stop / 2 - start / 2, _MAX_MAGNITUDE)
        spread = max(spread, 1e-3 * max(abs(start), abs(stop)), 1 / _MAX_MAGNITUDE)
        with np.errstate(over="ignore"):
            reach = np.minimum(spread * _REACH, _MAX_MAGNITUDE)
        reach = np.ceil(reach) if self._per_unit else reach
        n_rows = _ROWS_OF_GAP * 0.5 ** np.arange(1, len(reach) + 1)
        below = pairwise([*(start - reach[::-1]), start])
        above = pairwise([stop, *(stop + reach)])
        cells = [
            _Cell(*ends, n, first.level, False) for ends, n in zip(below, n_rows[::-1], strict=True)
        ]
        for cell, following in pairwise(seen):
            cells.append(cell)
            if self._end(cell) < following.left:
                gap = (self._end(cell), following.left)
                cells.append(_Cell(*gap, _ROWS_OF_GAP, cell.level, False))
        cells.append(last)
        cells += [_Cell(*ends, n, last.level, False) for ends, n in zip(above, n_rows, strict=True)]
        return [cell for cell in cells if cell.observed or cell.left < cell.right]

    @staticmethod
    def _end(cell: _Cell) -> float:
        """Return where the next cell may begin."""
        return cell.right if cell.right > cell.left else float(np.nextafter(cell.left, np.inf))


def _seen_cells(known: np.ndarray, *, is_rounded: bool) -> list[_Cell]:
    """Return the cells that hold training values, in order."""
    values, counts = np.unique(known, return_counts=True)
    n_rows = len(known)
    alone = counts >= max(n_rows * _SHARE_OF_VALUE, _ROWS_OF_LEVEL)
    level_rows = max(n_rows * _SHARE_OF_LEVEL, _ROWS_OF_LEVEL)
    cells: list[_Cell] = []
    level = 0
    # Runs of values that do not stand alone, and single ones that do.
    breaks = np.flatnonzero(alone[1:] | alone[:-1]) + 1
    for run in np.split(np.arange(len(values)), breaks):
        for group in _split(run, counts, level_rows, _MAX_LEVELS):
            for part in _split(group, counts, _ROWS_OF_CELL, _CELLS_OF_LEVEL):
                low, high = values[part[0]], values[part[-1]]
                if is_rounded:
                    high += 1
                elif low < high or not alone[part[0]]:
                    high = np.nextafter(high, np.inf)
                cells.append(_Cell(low, high, counts[part].sum(), level, True))
            level += 1
    return _meeting(cells, is_rounded)


def _split(index: np.ndarray, counts: np.ndarray, n_rows: float, most: int) -> list[np.ndarray]:
    """Split neighbouring values into ranges of about as many rows each, of `n_rows` at least."""
    total = counts[index].sum()
    n_parts = int(min(max(total // n_rows, 1), most, len(index)))
    before = counts[index].cumsum() - 0.5 * counts[index]
    part = (before * n_parts / total).astype(int)
    return np.split(index, np.flatnonzero(np.diff(part)) + 1)


def _meeting(cells: list[_Cell], is_rounded: bool) -> list[_Cell]:
    """Let neighbouring cells that are not single values meet half-way.

    One that holds a single number by chance gets some width from the gaps beside it.
    """
    lefts, rights = ([*ends] for ends in zip(*((c.left, c.right) for c in cells), strict=True))
    width = 1 if is_rounded else 0
    for i, (cell, following) in enumerate(pairwise(cells)):
        if cell.right - cell.left > width and following.right - following.left > width:
            middle = cell.right + (following.left - cell.right) / 2
            rights[i] = lefts[i + 1] = math.floor(middle) if is_rounded else middle
    if not is_rounded:
        for i, cell in enumerate(cells):
            if cell.right == np.nextafter(cell.left, np.inf):
                if lefts[i] == cell.left and i > 0:
                    lefts[i] = (cell.left + rights[i - 1]) / 2
                if rights[i] == cell.right and i < len(cells) - 1:
                    rights[i] = (cell.right + lefts[i + 1]) / 2
    ends = zip(cells, lefts, rights, strict=True)
    return [cell._replace(left=left, right=right) for cell, left, right in ends]


def _within(numbers: np.ndarray, interval: Interval) -> np.ndarray:
    """Return which numbers are in the interval; NaN is in none."""
    above = numbers >= interval.low if interval.has_low else numbers > interval.low
    below = numbers <= interval.high if interval.has_high else numbers < interval.high
    return above & below


def _points_per_unit(numbers: np.ndarray, units: Units) -> float:
    """Return the smallest of 1, 10, 100, ... in whose inverse all numbers are whole, or 0.

    They are so if rounding them changes nothing that the column's dtype could tell.
    """
    for decimals in range(_MAX_DECIMALS + 1):
        points = 10.0**decimals
        if not (np.abs(numbers) < INTEGERS_OF_FLOAT64 / points).all():
            return 0.0
        if (units.rounded(np.rint(numbers * points) / points) == numbers).all():
            return points
    return 0.0
