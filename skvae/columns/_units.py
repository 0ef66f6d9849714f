"""Values of numeric columns as floating-point numbers: numbers, datetimes and durations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..serialization import serializable

# Day, hour, minute, second, millisecond and microsecond, in microseconds.
_TIME_UNITS = (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000, 1_000, 1)
# Every integer of smaller magnitude has an exact representation in float64.
MAX_EXACT_INTEGER = 2.0**53


class Interval(NamedTuple):
    """Interval of numbers, or missing values if `low` is NaN.

    Attributes
    ----------
    low : float
        Lower end.
    high : float
        Upper end.
    has_low : bool
        Whether the lower end belongs to the interval.
    has_high : bool
        Whether the upper end belongs to the interval.
    """

    low: float
    high: float
    has_low: bool
    has_high: bool

    def contains(self, numbers: np.ndarray) -> np.ndarray:
        """Return a mask of the numbers in the interval. NaN is in no interval."""
        above = numbers >= self.low if self.has_low else numbers > self.low
        below = numbers <= self.high if self.has_high else numbers < self.high
        return above & below


class Units(ABC):
    """Conversion of the values of a column to float64, and back to the dtype of the column.

    Attributes
    ----------
    size : int
        Size of a unit: 1 for numbers, and in microseconds for times.
    """

    size: int = 1

    @abstractmethod
    def numbers(self, values: Any) -> np.ndarray:
        """Convert values to numbers.

        Parameters
        ----------
        values : Series of length n
            Values of the column.

        Returns
        -------
        numbers : ndarray of shape (n,)
            Numbers in float64, NaN for missing values.
        """

    @abstractmethod
    def values(self, numbers: np.ndarray) -> Any:
        """Convert numbers, (n,), to a Series in the dtype of the column."""

    def round_to_dtype(self, numbers: np.ndarray) -> np.ndarray:
        """Round numbers, (n,), to the precision of the dtype of the column."""
        return numbers

    def intervals(self, condition: Any) -> list[Interval]:
        """Convert a condition to intervals of numbers.

        Parameters
        ----------
        condition : object
            A value, a list of values or a `pandas.Interval`.

        Returns
        -------
        intervals : list of Interval
            Intervals whose union satisfies the condition.
        """
        if isinstance(condition, pd.Interval):
            low, high = self._to_number(condition.left), self._to_number(condition.right)
            return [Interval(low, high, condition.closed_left, condition.closed_right)]
        choices = list(condition) if pd.api.types.is_list_like(condition) else [condition]
        numbers = [self._to_number(choice) for choice in choices]
        return [Interval(number, number, True, True) for number in numbers]

    def _to_number(self, value: Any) -> float:
        """Convert an end of an interval, possibly infinite, or a value of a condition."""
        if isinstance(value, Real) and math.isinf(value):
            return float(value)
        return float(self.numbers(pd.Series([value]))[0])


@serializable
class Numbers(Units):
    """Integers and floats of any dtype.

    Parameters
    ----------
    dtype : pandas or numpy dtype
        Dtype of the column.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self._numpy_dtype = getattr(dtype, "numpy_dtype", dtype)
        self._has_low_precision = self._numpy_dtype in (np.float16, np.float32)

    def round_to_dtype(self, numbers: np.ndarray) -> np.ndarray:
        if not self._has_low_precision:
            return numbers
        return numbers.astype(self._numpy_dtype).astype(np.float64)

    def _to_number(self, value: Any) -> float:
        number = super()._to_number(value)
        return float(np.float32(number)) if self._has_low_precision else number

    def numbers(self, values: Any) -> np.ndarray:
        numbers = pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isinf(numbers).any():
            raise ValueError("it contains infinity: replace infinite values, for example by NaN")
        return numbers

    def values(self, numbers: np.ndarray) -> Any:
        series = pd.Series(numbers)
        if pd.api.types.is_integer_dtype(self.dtype):
            series = series.round()
        return series.astype(self.dtype)


@serializable
class Times(Units):
    """Datetimes or durations, as multiples of a unit.

    The unit is the largest of day, hour, minute, second, millisecond and microsecond that divides
    all training values. Datetimes with a time zone count in local time.

    Parameters
    ----------
    dtype : pandas dtype
        Dtype of the column.
    values : Series
        Training data.
    """

    def __init__(self, dtype: Any, values: Any) -> None:
        self.dtype = dtype
        self.is_duration = pd.api.types.is_timedelta64_dtype(dtype)
        micros = self._microseconds(values)[~values.isna().to_numpy()]
        self.size = next(unit for unit in _TIME_UNITS if not (micros % unit).any())

    def _microseconds(self, values: Any) -> np.ndarray:
        """Return integers, (n,), with arbitrary results for missing values."""
        if self.is_duration:
            stamps = pd.to_timedelta(values).to_numpy(dtype="timedelta64[us]")
        else:
            times = pd.to_datetime(values)
            if times.dt.tz is not None:
                zone = getattr(self.dtype, "tz", None) or "UTC"
                times = times.dt.tz_convert(zone).dt.tz_localize(None)  # local time
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
            # The hour that occurs twice in autumn counts as daylight saving time.
            is_daylight_saving = np.ones(len(stamps), dtype=bool)
            stamps = stamps.dt.tz_localize(
                self.dtype.tz, ambiguous=is_daylight_saving, nonexistent="shift_forward"
            )
        return stamps.astype(self.dtype).mask(is_missing)


def infer_units(values: Any) -> Units:
    """Return the units of a column.

    Parameters
    ----------
    values : Series
        Training data: numbers, datetimes or durations.

    Returns
    -------
    units : Units
    """
    is_time = values.dtype.kind in "mM"
    return Times(values.dtype, values) if is_time else Numbers(values.dtype)
