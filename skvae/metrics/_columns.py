"""Columns of tables as numbers or as categories, as the real table decides.

The same values may have different dtypes in different tables: booleans come back from a CSV file as
integers or text, categories as integers, and datetimes as text. A reader learns from the column of
the real table what the column is, and reads the column of any table as the same.
"""

from __future__ import annotations

import math
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..utils import MAX_EXACT_INTEGER
from ._column_values import (
    ColumnReader,
    InvalidValueError,
    distinct_values,
    exact_number,
    parse_distinct,
)
from ._time_columns import (
    DatetimeReader,
    DurationReader,
    TimeOfDayReader,
    parse_duration,
    to_datetime,
)

# Text of missing values of categories. The text of any other value begins with "=".
MISSING = ""
_INEXACT = (
    "float64 cannot represent exactly. If the values are identifiers, convert the column to "
    "strings in all tables"
)
_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")
_DATETIMES = ("datetime", "datetime64", "date", "period")
_DURATIONS = ("timedelta", "timedelta64")


def column_reader(column: Any) -> ColumnReader:
    """Return the reader learned from a column of the real table, as read by `read_table`."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return CategoryReader(column)
    kind = _kind(column)
    if kind == "boolean":
        return BooleanReader()
    if kind in _NUMBERS:
        return NumberReader(column)
    if kind in _DATETIMES:
        return DatetimeReader(column)
    if kind == "time":
        return TimeOfDayReader()
    return DurationReader() if kind in _DURATIONS else CategoryReader(column)


def _kind(column: Any) -> str:
    """Return the kind of the values, in the words of `pandas.api.types.infer_dtype`."""
    kinds = {"b": "boolean", "i": "integer", "u": "integer", "f": "floating"}
    kinds |= {"M": "datetime", "m": "timedelta"}
    if column.dtype.kind in kinds:
        return kinds[column.dtype.kind]
    return str(pd.api.types.infer_dtype(column.astype(object), skipna=True))


# ---- Numbers -----------------------------------------------------------------------------


class NumberReader(ColumnReader):
    """Reader of numbers, in the precision of the real column.

    A float64 value is rounded if the real column is float32. Conversely, the float32 value closest
    to a real float64 value is read as the real value.

    Parameters
    ----------
    column : Series
        Column of the real table.
    """

    is_numeric = True

    def __init__(self, column: Any) -> None:
        self._column = column
        self._precision = _precision(column.dtype)

    def read(self, column: Any) -> np.ndarray:
        if column.dtype.kind in "iuf":
            numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
            if column.dtype.kind != "f":
                _check_exact(column, numbers)
        else:
            numbers = parse_distinct(column, _parse_number, np.nan).astype(np.float64)
        infinite = np.flatnonzero(np.isinf(numbers))
        if len(infinite):
            raise InvalidValueError(
                infinite[0],
                column.iloc[infinite[0]],
                "is not finite. Replace infinite values, for example by NaN",
            )
        if self._precision is not None:
            rounded = _rounded(numbers, self._precision)
            return np.where(np.isinf(rounded), numbers, rounded)
        precision = _precision(column.dtype)
        return numbers if precision is None else self._real_values(numbers, precision)

    def _real_values(self, numbers: np.ndarray, precision: Any) -> np.ndarray:
        """Return the real values that round to numbers, and other numbers as they are."""
        rounded = _rounded(self._real_numbers, precision)
        index = np.minimum(np.searchsorted(rounded, numbers), len(rounded) - 1)
        return np.where(rounded[index] == numbers, self._real_numbers[index], numbers)

    @cached_property
    def _real_numbers(self) -> np.ndarray:
        numbers = np.unique(self.read(self._column))  # NaN is last
        return np.append(numbers[~np.isnan(numbers)], np.inf)


def _precision(dtype: Any) -> Any:
    """Return float16 or float32, or None for dtypes of higher precision."""
    dtype = getattr(dtype, "numpy_dtype", dtype)  # of a nullable column
    return dtype if dtype in (np.float16, np.float32) else None


def _rounded(numbers: np.ndarray, precision: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        return numbers.astype(precision).astype(np.float64)


def _check_exact(values: Any, numbers: np.ndarray) -> None:
    """Raise `InvalidValueError` if float64 rounds an integer."""
    for row in np.flatnonzero(np.abs(numbers) >= MAX_EXACT_INTEGER):
        if int(values.iloc[row]) != int(numbers[row]):
            raise InvalidValueError(row, int(values.iloc[row]), _INEXACT)


def _parse_number(value: Any) -> float:
    try:
        exact = exact_number(value)
        number = float(exact)
    except OverflowError:
        return math.inf
    except ValueError as error:
        raise ValueError("is not a number") from error
    if isinstance(exact, int) and int(number) != exact:
        raise ValueError(_INEXACT)
    return number


# ---- Categories --------------------------------------------------------------------------


class BooleanReader(ColumnReader):
    """Reader of booleans: True and False, 1 and 0, or text of these."""

    is_numeric = False

    def read(self, column: Any) -> np.ndarray:
        return parse_distinct(column, _parse_boolean, MISSING)


def _parse_boolean(value: Any) -> str:
    with suppress(ValueError, OverflowError):
        if (number := exact_number(value)) in (0, 1):
            return f"={number == 1}"
    raise ValueError("is not a boolean")


class CategoryReader(ColumnReader):
    """Reader of categories as text.

    A value that equals a category of the real column, apart from the dtype, has the text of that
    category: the integer 1, the float 1.0 and the text "1" are the same category. If the real
    categories are text, then different text remains different: "1" is not "01".

    Parameters
    ----------
    column : Series
        Column of the real table.
    """

    is_numeric = False

    def __init__(self, column: Any) -> None:
        self._known = distinct_values(column)[1]
        self._texts = {f"={value}" for value in self._known}

    def read(self, column: Any) -> np.ndarray:
        return parse_distinct(column, self._parse, MISSING)

    def _parse(self, value: Any) -> str:
        text = f"={value}"
        if text in self._texts:
            return text
        matches = self._by_key_of_others if isinstance(value, str) else self._by_key
        return next((matches[key] for key in _keys(value) if key in matches), text)

    @cached_property
    def _by_key(self) -> dict[Any, str]:
        return _texts_by_key(self._known)

    @cached_property
    def _by_key_of_others(self) -> dict[Any, str]:
        return _texts_by_key(value for value in self._known if not isinstance(value, str))


def _texts_by_key(values: Any) -> dict[Any, str]:
    """Return the text of each value by key, without keys of several values."""
    texts: dict[Any, set[str]] = {}
    for value in values:
        for key in _keys(value):
            texts.setdefault(key, set()).add(f"={value}")
    return {key: next(iter(found)) for key, found in texts.items() if len(found) == 1}


def _keys(value: Any) -> list[Any]:
    """Return a number, a datetime and a duration, as far as a category equals one of these."""
    keys = []
    for parse in (exact_number, _datetime_key, parse_duration):
        with suppress(ValueError, OverflowError):
            keys.append((parse, parse(value)))
    return keys


def _datetime_key(value: Any) -> str:
    return to_datetime(value, None).isoformat()
