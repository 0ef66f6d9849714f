"""Values of numeric columns as floating-point numbers, and back to the dtype of the column."""

from __future__ import annotations

import decimal
import math
from abc import ABC, abstractmethod
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..serialization import serializable
from ._casts import (
    check_all,
    check_exact_integers,
    check_restored,
    is_dtype,
    raise_inexpressible,
    raise_tuple,
    raise_wrong_kind,
    to_categories,
)

# A day, in microseconds.
_MAX_UNIT = 86_400_000_000
# The smallest float64 has 1,074 decimals.
_MAX_DECIMALS = 1_074


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
    dtype : pandas or numpy dtype
        Dtype of the column.
    size : float
        Size of a unit: 1 for numbers, and in microseconds for times.
    """

    dtype: Any
    size: float = 1

    def _check_invariants(self) -> None:
        check_restored(is_dtype(self.dtype) and 0 < self.size <= _MAX_UNIT)

    def numbers(self, values: Any) -> np.ndarray:
        """Convert values to numbers.

        Parameters
        ----------
        values : Series of length n
            Values of the column, in any dtype with the same kind of values.

        Returns
        -------
        numbers : ndarray of shape (n,)
            Numbers in float64, NaN for missing values.

        Raises
        ------
        TypeError, ValueError
            If a value is of another kind, or has no representation in float64.
        """
        present = values[values.notna().to_numpy()]
        numbers = np.full(len(values), np.nan)
        if len(present):
            numbers[values.notna().to_numpy()] = self._numbers(present)
        return numbers

    @abstractmethod
    def _numbers(self, values: Any) -> np.ndarray:
        """Convert values without missing values to numbers in float64."""

    @abstractmethod
    def values(self, numbers: np.ndarray) -> Any:
        """Convert numbers, (n,), to a Series in the dtype of the column."""

    def cast(self, values: Any) -> Any:
        """Convert values, without missing values, to the dtype of the column.

        Raises
        ------
        TypeError, ValueError
            If a value is of another kind, or if the dtype cannot express a value. Floats are
            rounded to the precision of the dtype.
        """
        result = self._cast(values)
        numbers = self.round_to_dtype(self.numbers(values))
        is_lost = numbers != self.numbers(result)
        if is_lost.any():
            raise_inexpressible(values[is_lost], self.dtype)
        return result.set_axis(values.index)

    def _cast(self, values: Any) -> Any:
        if values.dtype == self.dtype and values.dtype != object:
            return values
        numbers = self.numbers(values)
        check_exact_integers(values.dtype, numbers)
        restored = self.values(numbers).set_axis(values.index)
        if self.dtype != object and not isinstance(self.dtype, pd.StringDtype):
            return restored
        pairs = zip(values.astype(object), restored.astype(object), strict=True)
        is_kept = [type(value) is type(other) for value, other in pairs]
        return restored.mask(np.array(is_kept), values.astype(object))

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
        if isinstance(condition, tuple):
            raise_tuple(condition)
        choices = list(condition) if pd.api.types.is_list_like(condition) else [condition]
        numbers = [self._to_number(choice) for choice in choices]
        return [Interval(number, number, True, True) for number in numbers]

    def _parse(self, value: Any) -> Any:
        """Return a value of the kind of the column, from a value of a condition."""
        return value

    def _to_number(self, value: Any) -> float:
        """Convert an end of an interval, possibly infinite, or a value of a condition."""
        if isinstance(value, float) and math.isinf(value):
            return value
        try:
            return float(self.numbers(pd.Series([self._parse(value)]))[0])
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{value!r} is no value of a column of dtype {self.dtype}: pass a value, a list of "
                "values or a pandas.Interval of such values"
            ) from error


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

    def _check_invariants(self) -> None:
        super()._check_invariants()
        check_restored(is_dtype(self._numpy_dtype))

    def round_to_dtype(self, numbers: np.ndarray) -> np.ndarray:
        if not self._has_low_precision:
            return numbers
        with np.errstate(over="ignore"):
            return numbers.astype(self._numpy_dtype).astype(np.float64)

    def _to_number(self, value: Any) -> float:
        number = super()._to_number(value)
        if not self._has_low_precision:
            return number
        with np.errstate(over="ignore"):
            return float(np.float32(number))

    def _cast(self, values: Any) -> Any:
        if values.dtype != self.dtype and self._numpy_dtype.kind != "b":
            is_beyond = self._is_beyond_range(self.numbers(values))
            if is_beyond.any():
                raise_inexpressible(values[is_beyond], self.dtype)
        return super()._cast(values)

    def _is_beyond_range(self, numbers: np.ndarray) -> np.ndarray:
        if self._numpy_dtype.kind == "f":
            return np.abs(numbers) > float(np.finfo(self._numpy_dtype).max)
        integers = np.iinfo(self._numpy_dtype)
        return (numbers < float(integers.min)) | (numbers >= float(integers.max) + 1)

    def _numbers(self, values: Any) -> np.ndarray:
        if values.dtype == object or isinstance(values.dtype, pd.CategoricalDtype):
            check_all(values, (Real, decimal.Decimal, np.bool_), "numbers")
        elif not pd.api.types.is_numeric_dtype(values.dtype) or values.dtype.kind == "c":
            raise_wrong_kind(values, "numbers")
        numbers: np.ndarray = values.to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isinf(numbers).any():
            raise ValueError("it contains infinity: replace infinite values, for example by NaN")
        return numbers

    def values(self, numbers: np.ndarray) -> Any:
        series = pd.Series(numbers)
        if pd.api.types.is_integer_dtype(self.dtype) or pd.api.types.is_bool_dtype(self.dtype):
            series = series.round()
        return series.astype(self.dtype)


@serializable
class Decimals(Units):
    """Objects of the class `decimal.Decimal`.

    Parameters
    ----------
    values : Series of object
        Training data.
    """

    def __init__(self, values: Any) -> None:
        self.dtype = values.dtype
        present = values[values.notna().to_numpy()]
        numbers = self._numbers(present)
        digits = [-int(value.as_tuple().exponent) for value in present]
        # The number of decimals of a decoded value.
        self.n_decimals = max(0, *digits)
        restored = self.values(numbers)
        if not all(a == b for a, b in zip(present, restored, strict=True)):
            raise ValueError(
                "it has decimals with more digits than float64 can represent: round them, or "
                "convert the column to float, or to strings if the values are identifiers"
            )

    def _numbers(self, values: Any) -> np.ndarray:
        check_all(values, (Real, decimal.Decimal, np.bool_), "numbers")
        numbers: np.ndarray = values.to_numpy(dtype=np.float64)
        if np.isinf(numbers).any():
            raise ValueError(
                "it contains infinity, or a number beyond the range of float64: replace the value, "
                "for example by None"
            )
        return numbers

    def _check_invariants(self) -> None:
        super()._check_invariants()
        check_restored(0 <= self.n_decimals <= _MAX_DECIMALS)

    def values(self, numbers: np.ndarray) -> Any:
        decimals = [
            None if math.isnan(number) else decimal.Decimal(f"{number:.{self.n_decimals}f}")
            for number in numbers.tolist()
        ]
        return pd.Series(decimals, dtype=object)


@serializable
class Labels(Units):
    """Categories or strings that stand for numbers, such as "007".

    Numbers are converted to the nearest label.

    Parameters
    ----------
    values : Series
        Training data. The labels are the categories of a categorical dtype, or else the values.

    Raises
    ------
    ValueError
        If a label is no finite number.
    """

    def __init__(self, values: Any) -> None:
        self.dtype = values.dtype
        is_categorical = isinstance(values.dtype, pd.CategoricalDtype)
        labels = values.dtype.categories if is_categorical else values.dropna().unique()
        labels = pd.Series(labels).astype(object)
        numbers = self._numbers(labels)
        # Of several labels for a number, such as "7" and "07", the first.
        self._label_numbers, first = np.unique(numbers, return_index=True)
        self._labels = labels.to_numpy()[first]

    def _numbers(self, values: Any) -> np.ndarray:
        try:
            numbers = np.array([float(value) for value in values], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"it holds labels that are no numbers ({error}): do not declare the column numeric"
            ) from error
        if not np.isfinite(numbers).all():
            raise ValueError("it holds labels that are no finite numbers: replace them by None")
        return numbers

    def _cast(self, values: Any) -> Any:
        if isinstance(self.dtype, pd.CategoricalDtype):
            return to_categories(values, self.dtype)
        return super()._cast(values)

    def values(self, numbers: np.ndarray) -> Any:
        is_missing = np.isnan(numbers)
        middles = (self._label_numbers[:-1] + self._label_numbers[1:]) / 2
        nearest = np.searchsorted(middles, np.where(is_missing, 0, numbers))
        labels = pd.Series(self._labels[nearest], dtype=object)
        return labels.mask(is_missing).astype(self.dtype)
