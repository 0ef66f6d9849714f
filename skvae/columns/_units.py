"""What the numbers of a column are numbers of: numbers, points in time, or durations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

# Of points in time, and in microseconds.
_TIME_UNITS = (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000, 1_000, 1)


# Below it, float64 holds every integer.
INTEGERS_OF_FLOAT64 = 2.0**53


class Interval(NamedTuple):
    """Numbers between two, or NaN, which stands for missing values."""

    low: float
    high: float
    has_low: bool
    has_high: bool


class Units(ABC):
    """Values of a column to float64, NaN where they are missing, and back to its dtype.

    Attributes
    ----------
    size : int
        Of a unit: 1 for numbers, and in microseconds for times.
    """

    size: int = 1

    @abstractmethod
    def numbers(self, values: Any) -> np.ndarray:
        """Return the values as numbers, (n,)."""

    @abstractmethod
    def values(self, numbers: np.ndarray) -> Any:
        """Return numbers as a Series of the column's dtype."""

    def rounded(self, numbers: np.ndarray) -> np.ndarray:
        """Return the numbers that the column's dtype has for these, (n,)."""
        return numbers

    def intervals(self, condition: Any) -> list[Interval]:
        """Return intervals of numbers that satisfy the condition; of NaN for missing ones."""
        if isinstance(condition, pd.Interval):
            low, high = self._number(condition.left), self._number(condition.right)
            return [Interval(low, high, condition.closed_left, condition.closed_right)]
        choices = list(condition) if pd.api.types.is_list_like(condition) else [condition]
        numbers = [self._number(choice) for choice in choices]
        return [Interval(number, number, True, True) for number in numbers]

    def _number(self, value: Any) -> float:
        if isinstance(value, Real) and math.isinf(value):
            return float(value)
        return float(self.numbers(pd.Series([value]))[0])


class Numbers(Units):
    """Integers and floats of any dtype."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self._plain = getattr(dtype, "numpy_dtype", dtype)
        self._is_short = self._plain in (np.float16, np.float32)

    def rounded(self, numbers: np.ndarray) -> np.ndarray:
        return numbers.astype(self._plain).astype(np.float64) if self._is_short else numbers

    def _number(self, value: Any) -> float:
        number = super()._number(value)
        return float(np.float32(number)) if self._is_short else number

    def numbers(self, values: Any) -> np.ndarray:
        numbers = pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isinf(numbers).any():
            raise ValueError("it contains infinity")
        return numbers

    def values(self, numbers: np.ndarray) -> Any:
        series = pd.Series(numbers)
        if pd.api.types.is_integer_dtype(self.dtype):
            series = series.round()
        return series.astype(self.dtype)


class Times(Units):
    """Points in time or durations, in the largest unit of which all are multiples.

    Units go down to microseconds. Of points in a time zone, what clocks there show counts.

    Parameters
    ----------
    dtype : pandas dtype
    values : Series
        Training data.
    """

    def __init__(self, dtype: Any, values: Any) -> None:
        self.dtype = dtype
        self.is_duration = pd.api.types.is_timedelta64_dtype(dtype)
        micros = self._microseconds(values)[~values.isna().to_numpy()]
        self.size = next(unit for unit in _TIME_UNITS if not (micros % unit).any())

    def _microseconds(self, values: Any) -> np.ndarray:
        """Return integers; those of missing values mean nothing."""
        if self.is_duration:
            stamps = pd.to_timedelta(values).to_numpy(dtype="timedelta64[us]")
        else:
            times = pd.to_datetime(values)
            if times.dt.tz is not None:  # what clocks on the wall showed
                zone = getattr(self.dtype, "tz", None) or "UTC"
                times = times.dt.tz_convert(zone).dt.tz_localize(None)
            stamps = times.to_numpy(dtype="datetime64[us]")
        return stamps.astype(np.int64)

    def numbers(self, values: Any) -> np.ndarray:
        numbers = self._microseconds(values) / self.size
        return np.where(pd.isna(values), np.nan, numbers)

    def values(self, numbers: np.ndarray) -> Any:
        is_missing = np.isnan(numbers)
        micros = (np.where(is_missing, 0, np.rint(numbers)) * self.size).astype(np.int64)
        stamps = pd.Series(
            micros.astype("timedelta64[us]" if self.is_duration else "datetime64[us]")
        )
        if getattr(self.dtype, "tz", None) is not None:
            is_summer = np.ones(len(stamps), dtype=bool)  # of hours that clocks show twice
            stamps = stamps.dt.tz_localize(
                self.dtype.tz, ambiguous=is_summer, nonexistent="shift_forward"
            )
        return stamps.astype(self.dtype).mask(is_missing)


def units_of(values: Any) -> Units:
    """Return the units of a column's values."""
    is_time = values.dtype.kind in "mM"
    return Times(values.dtype, values) if is_time else Numbers(values.dtype)
