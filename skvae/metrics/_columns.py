"""Columns of tables as numbers or as categories, as the real table decides.

The same values may have different dtypes in different tables: booleans come back from a CSV file as
integers or text, categories as integers, and datetimes as text. A reader learns from the column of
the real table what the column is, and reads the column of any table as the same.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd

# Text of missing values of categories. The text of any other value begins with "=".
MISSING = ""
_MAX_EXACT_INTEGER = 2**53  # every integer of smaller magnitude is exact in float64
_DURATION = re.compile(r"[-+]?(P|\d+ days?\b|\d+:\d\d)")
_INTEGER = re.compile(r"[-+]?[0-9]{1,400}")
_NUMBER_TYPES = (str, Real, Decimal, np.bool_)
_INEXACT = (
    "float64 cannot represent exactly. If the values are identifiers, convert the column to "
    "strings in all tables"
)
_TRUTH_VALUES = {"true": 1, "false": 0}
_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")
_DATETIMES = ("datetime", "datetime64", "date", "period")
_DURATIONS = ("timedelta", "timedelta64")


class InvalidValueError(ValueError):
    """Error for the value of a row. The message follows "the value x in row i, which "."""

    def __init__(self, row: Any, value: Any, problem: str) -> None:
        value = value.item() if isinstance(value, np.generic) else value
        super().__init__(f"has the value {value!r} in row {row}, which {problem}")


class ColumnReader(ABC):
    """Reader of a column of any table.

    Attributes
    ----------
    is_numeric : bool
        Whether the column consists of numbers, datetimes or durations, rather than categories.
    """

    is_numeric: ClassVar[bool]

    @abstractmethod
    def read(self, column: Any) -> np.ndarray:
        """Return the values in a form that does not depend on the dtype.

        Parameters
        ----------
        column : Series of length n
            Column of a table.

        Returns
        -------
        values : ndarray of shape (n,)
            Numbers in float64, NaN for missing values, or the text of categories.

        Raises
        ------
        InvalidValueError
            If a value cannot be read as a value of the column of the real table.
        """


def column_reader(column: Any) -> ColumnReader:
    """Return the reader learned from a column of the real table.

    Raises
    ------
    TypeError
        If the column holds complex numbers.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        return CategoryReader(column)
    kind = _kind(column)
    if kind == "complex":
        raise TypeError("holds complex numbers. Split real and imaginary parts into two columns")
    if kind == "boolean":
        return BooleanReader()
    if kind in _NUMBERS:
        return NumberReader(column)
    if kind in _DATETIMES:
        return DatetimeReader(column)
    return DurationReader() if kind in _DURATIONS else CategoryReader(column)


def _kind(column: Any) -> str:
    """Return the kind of the values, in the words of `pandas.api.types.infer_dtype`."""
    kinds = {"b": "boolean", "i": "integer", "u": "integer", "f": "floating", "c": "complex"}
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
        values = _dense(column)
        if values.dtype.kind in "iuf":
            numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
            if values.dtype.kind != "f":
                _check_exact(values, numbers)
        else:
            numbers = _parse_distinct(values, _parse_number, np.nan).astype(np.float64)
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
        rounded = _rounded(self._distinct, precision)
        index = np.minimum(np.searchsorted(rounded, numbers), len(rounded) - 1)
        return np.where(rounded[index] == numbers, self._distinct[index], numbers)

    @cached_property
    def _distinct(self) -> np.ndarray:
        numbers = np.unique(self.read(self._column))  # NaN is last
        return np.append(numbers[~np.isnan(numbers)], np.inf)


def _precision(dtype: Any) -> Any:
    """Return float16 or float32, or None for dtypes of higher precision."""
    dtype = getattr(dtype, "subtype", dtype)  # of a sparse column
    dtype = getattr(dtype, "numpy_dtype", dtype)
    return dtype if dtype in (np.float16, np.float32) else None


def _rounded(numbers: np.ndarray, precision: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        return numbers.astype(precision).astype(np.float64)


def _check_exact(values: Any, numbers: np.ndarray) -> None:
    """Raise `InvalidValueError` if float64 rounds an integer."""
    for row in np.flatnonzero(np.abs(numbers) >= _MAX_EXACT_INTEGER):
        if int(values.iloc[row]) != int(numbers[row]):
            raise InvalidValueError(row, int(values.iloc[row]), _INEXACT)


def _parse_number(value: Any) -> float:
    try:
        exact = _exact_number(value)
        number = float(exact)
    except OverflowError:
        return math.inf
    except ValueError as error:
        raise ValueError("is not a number") from error
    if isinstance(exact, int) and int(number) != exact:
        raise ValueError(_INEXACT)
    return number


def _exact_number(value: Any) -> float:
    """Return a number or the text of a number, with True and False as 1 and 0."""
    if isinstance(value, str):
        text = value.strip().lower()
        value = _TRUTH_VALUES.get(text, int(text) if _INTEGER.fullmatch(text) else text)
    if not isinstance(value, _NUMBER_TYPES) or (isinstance(value, str) and "_" in value):
        raise ValueError
    number = float(value)
    return int(value) if isinstance(value, Integral | Decimal) and number.is_integer() else number


# ---- Times -------------------------------------------------------------------------------


class DatetimeReader(ColumnReader):
    """Reader of datetimes, dates and periods as microseconds since 1970.

    Datetimes with a time zone count in the local time of the real column.

    Parameters
    ----------
    column : Series
        Column of the real table.
    """

    is_numeric = True

    def __init__(self, column: Any) -> None:
        self._frequency = getattr(column.dtype, "freq", None)
        known = column.dropna()
        self._zone = getattr(column.dtype, "tz", None)
        if len(known):
            self._zone = pd.Timestamp(_to_datetime(known.iloc[0], None)).tz

    def read(self, column: Any) -> np.ndarray:
        values = _dense(column)
        if values.dtype.kind == "M" and len(known := values.dropna()):
            self._check_zone(known.iloc[0])
            if self._zone is not None:
                # Arrow's own conversion differs in the hour that occurs twice.
                values = values.astype(pd.DatetimeTZDtype("us", values.dt.tz))
                values = values.dt.tz_convert(self._zone).dt.tz_localize(None)
            stamps = values.to_numpy(dtype="datetime64[us]")
            return np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64))
        return _parse_distinct(values, self._parse, np.nan).astype(np.float64)

    def _parse(self, value: Any) -> float:
        stamp = _to_datetime(value, self._frequency)
        self._check_zone(stamp)
        if self._zone is not None:
            stamp = pd.Timestamp(stamp).tz_convert(self._zone).tz_localize(None)
        return float(np.datetime64(stamp, "us").astype(np.int64))

    def _check_zone(self, stamp: Any) -> None:
        has_zone = stamp.tzinfo is not None
        if has_zone is not (self._zone is not None):
            zone = f"the time zone {self._zone}" if self._zone else "no time zone"
            raise ValueError(
                f"has {'a' if has_zone else 'no'} time zone, while the real column has {zone}. "
                "Convert the column with Series.dt.tz_localize or Series.dt.tz_convert"
            )


def _to_datetime(value: Any, frequency: Any) -> datetime:
    """Return a datetime, a date, a period or ISO 8601 text as a datetime.

    `datetime.fromisoformat` refuses words such as "now", unlike pandas.
    """
    try:
        if isinstance(value, str) and frequency is not None and value[:1].isdigit():
            value = pd.Period(value, frequency)
        if isinstance(value, str):
            return datetime.fromisoformat(value.strip())
        if isinstance(value, pd.Period):
            return value.to_timestamp()
        if isinstance(value, date | np.datetime64):
            return pd.Timestamp(value)
    except ValueError as error:
        raise ValueError("is not a datetime in the format of ISO 8601") from error
    raise ValueError("is not a datetime. Convert the column with pandas.to_datetime")


class DurationReader(ColumnReader):
    """Reader of durations as microseconds."""

    is_numeric = True

    def read(self, column: Any) -> np.ndarray:
        values = _dense(column)
        if values.dtype.kind == "m":
            durations = values.to_numpy(dtype="timedelta64[us]")
            return np.where(np.isnat(durations), np.nan, durations.astype(np.int64))
        return _parse_distinct(values, _parse_duration, np.nan).astype(np.float64)


def _parse_duration(value: Any) -> float:
    # pandas reads text without a unit, such as "5", as nanoseconds.
    is_text = isinstance(value, str) and _DURATION.match(value.strip())
    if not is_text and not isinstance(value, timedelta | np.timedelta64):
        raise ValueError("is not a duration. Convert the column with pandas.to_timedelta")
    try:
        return float(pd.Timedelta(value).to_timedelta64().astype("timedelta64[us]").astype(int))
    except ValueError as error:
        raise ValueError("is not a duration") from error


# ---- Categories --------------------------------------------------------------------------


class BooleanReader(ColumnReader):
    """Reader of booleans: True and False, 1 and 0, or text of these."""

    is_numeric = False

    def read(self, column: Any) -> np.ndarray:
        return _parse_distinct(_dense(column), _parse_boolean, MISSING)


def _parse_boolean(value: Any) -> str:
    with suppress(ValueError, OverflowError):
        if (number := _exact_number(value)) in (0, 1):
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
        self._known = _distinct(_dense(column))[1]
        self._texts = {f"={value}" for value in self._known}

    def read(self, column: Any) -> np.ndarray:
        return _parse_distinct(_dense(column), self._parse, MISSING)

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
    for parse in (_exact_number, _datetime_key, _parse_duration):
        with suppress(ValueError, OverflowError):
            keys.append((parse, parse(value)))
    return keys


def _datetime_key(value: Any) -> str:
    return _to_datetime(value, None).isoformat()


# ---- Values ------------------------------------------------------------------------------


def _dense(column: Any) -> Any:
    """Return a column as a Series of numbers, times or objects."""
    if isinstance(column.dtype, pd.SparseDtype):
        column = column.sparse.to_dense()
    return column if column.dtype.kind in "iufmM" else column.astype(object)


def _distinct(values: Any) -> tuple[np.ndarray, Any]:
    """Return the index of each value among the distinct values, -1 for missing values."""
    values = values.astype(object).to_numpy()
    try:
        return pd.factorize(values)
    except TypeError:  # lists and dictionaries have no hash
        is_missing = pd.Series(values, dtype=object).isna().to_numpy()
        return np.where(is_missing, -1, np.cumsum(~is_missing) - 1), values[~is_missing]


def _parse_distinct(values: Any, parse: Callable[[Any], Any], missing: Any) -> np.ndarray:
    """Parse each distinct value once, and return the results of all rows as objects."""
    codes, distinct = _distinct(values)
    parsed = np.empty(len(distinct) + 1, dtype=object)
    parsed[-1] = missing
    for k, value in enumerate(distinct):
        try:
            parsed[k] = parse(value)
        except ValueError as error:
            row = int(np.argmax(codes == k))
            raise InvalidValueError(row, value, str(error)) from error
    return parsed[codes]
