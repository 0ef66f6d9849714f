"""Values of columns in a form that does not depend on the dtype."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd

_INTEGER = re.compile(r"[-+]?[0-9]{1,400}")
_NUMBER_TYPES = (str, Real, Decimal, np.bool_)
_TRUTH_VALUES = {"true": 1, "false": 0}


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
        Whether the column consists of numbers, datetimes, durations or times of day, rather than
        categories.
    """

    is_numeric: ClassVar[bool]

    @abstractmethod
    def read(self, column: Any) -> np.ndarray:
        """Return the values in a form that does not depend on the dtype.

        Parameters
        ----------
        column : Series of length n
            Column of a table, as read by `read_table`.

        Returns
        -------
        values : ndarray of shape (n,)
            Numbers in float64, NaN for missing values, or the text of categories.

        Raises
        ------
        InvalidValueError
            If a value cannot be read as a value of the column of the real table.
        """


def exact_number(value: Any) -> float:
    """Return a number or the text of a number, with True and False as 1 and 0."""
    if isinstance(value, str):
        text = value.strip().lower()
        value = _TRUTH_VALUES.get(text, int(text) if _INTEGER.fullmatch(text) else text)
    if not isinstance(value, _NUMBER_TYPES) or (isinstance(value, str) and "_" in value):
        raise ValueError
    number = float(value)
    return int(value) if isinstance(value, Integral | Decimal) and number.is_integer() else number


def distinct_values(values: Any) -> tuple[np.ndarray, Any]:
    """Return the index of each value among the distinct values, -1 for missing values."""
    values = values.astype(object).to_numpy()
    try:
        return pd.factorize(values)
    except TypeError:  # lists and dictionaries have no hash
        is_missing = pd.Series(values, dtype=object).isna().to_numpy()
        return np.where(is_missing, -1, np.cumsum(~is_missing) - 1), values[~is_missing]


def parse_distinct(values: Any, parse: Callable[[Any], Any], missing: Any) -> np.ndarray:
    """Parse each distinct value once, and return the results of all rows as objects."""
    codes, distinct = distinct_values(values)
    parsed = np.empty(len(distinct) + 1, dtype=object)
    parsed[-1] = missing
    for k, value in enumerate(distinct):
        try:
            parsed[k] = parse(value)
        except ValueError as error:
            row = int(np.argmax(codes == k))
            raise InvalidValueError(row, value, str(error)) from error
    return parsed[codes]
