"""What the numbers of a column are numbers of: numbers, points in time, or durations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import pandas as pd

# Of points in time, and in microseconds.
_TIME_UNITS = (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000, 1_000, 1)


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

    def bounds(self, condition: Any) -> list[tuple[float, float]]:
        """Return intervals that hold all numbers that satisfy the condition; NaN if missing."""
        if isinstance(condition, pd.Interval):
            ends = pd.Series([condition.left, condition.right])
            low, high = self.numbers(ends).tolist()
            return [(low, high)]
        choices = list(condition) if pd.api.types.is_list_like(condition) else [condition]
        return [(number, number) for number in self.numbers(pd.Series(choices)).tolist()]

    def satisfies(self, values: Any, condition: Any) -> np.ndarray:
        """Return which values satisfy the condition, (n,)."""
        numbers = self.numbers(values)
        satisfied = np.zeros(len(numbers), dtype=bool)
        for low, high in self.bounds(condition):
            satisfied |= (numbers >= low) & (numbers <= high)
            satisfied |= np.isnan(numbers) & np.isnan(low)
            if isinstance(condition, pd.Interval):
                satisfied &= (numbers > low) | condition.closed_left
                satisfied &= (numbers < high) | condition.closed_right
        return satisfied


class Numbers(Units):
    """Integers and floats of any dtype."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

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
            if times.dt.tz is not None:
                times = times.dt.tz_convert("UTC").dt.tz_localize(None)
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
            stamps = stamps.dt.tz_localize("UTC")
        return stamps.astype(self.dtype).mask(is_missing)


def units_of(values: Any) -> Units:
    """Return the units of a column's values."""
    is_time = values.dtype.kind in "mM"
    return Times(values.dtype, values) if is_time else Numbers(values.dtype)
