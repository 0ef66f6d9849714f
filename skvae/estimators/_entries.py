"""Entries of tables: which entries are numbers, missing, or neither."""

from __future__ import annotations

import datetime
from decimal import Decimal
from numbers import Complex, Real
from typing import Any

import numpy as np

from ..utils import MAX_EXACT_INTEGER

# Contents of arrays by the kind of the dtype. Other kinds are numbers and objects.
CONTENT_OF_KIND = {
    "c": "complex numbers",
    "m": "durations",
    "M": "datetimes",
    "S": "bytes",
    "T": "strings",
    "U": "strings",
    "V": "records",
}
_CONTENT_OF_TYPE: list[tuple[Any, str]] = [
    (datetime.timedelta | np.timedelta64, "durations"),  # before numbers: NumPy's are integers
    (Real | Decimal | np.bool_, "numbers"),
    (str, "strings"),
    (bytes, "bytes"),
    (datetime.date | np.datetime64, "datetimes"),
    (Complex, "complex numbers"),
]
INEXACT = "integers beyond 2**53, which float64 cannot represent"
# Types of missing entries, by name: pandas is optional.
_MISSING_TYPES = ("NAType", "NaTType", "NoneType", "MaskedConstant")


class UnsuitableEntryError(Exception):
    """An entry of a table is not a real number.

    Parameters
    ----------
    content : str
        Kind of the entry, in the plural.
    column, row : int
        Position of the first such entry in the first such column.
    value : object
        The entry.
    """

    def __init__(self, content: str, column: int, row: int, value: Any) -> None:
        super().__init__(content, column, row, value)
        value = value.item() if isinstance(value, np.str_ | np.bytes_ | np.number) else value
        self.content, self.column, self.row, self.value = content, column, row, value


def unsuitable_column(content: str, values: Any, j: int) -> UnsuitableEntryError:
    """Return the error for a column, with its first entry that is not missing."""
    row = next((i for i, value in enumerate(values) if not is_missing(value)), 0)
    return UnsuitableEntryError(content, j, row, values[row])


def is_inexact(integers: np.ndarray) -> np.ndarray:
    """Return which integers float64 cannot represent."""
    large = (integers > MAX_EXACT_INTEGER) | (integers < -MAX_EXACT_INTEGER)
    # Python compares integers with floats exactly.
    large[large] = [float(number) != number for number in integers[large].tolist()]
    return large


def object_numbers(cells: np.ndarray, j: int) -> np.ndarray:
    """Return the numbers of column j, an array of objects, as float64, (n,)."""
    if set(map(type, cells)) <= {float, np.float64, np.float32}:
        return cells.astype(np.float64)
    numbers = np.empty(len(cells))
    for row, cell in enumerate(cells):
        content = _content(cell)
        if content == "missing":
            numbers[row] = np.nan
        elif content == "numbers":
            numbers[row] = _number(cell, j, row)
        else:
            raise UnsuitableEntryError(content, j, row, cell)
    return numbers


def _number(cell: Any, j: int, row: int) -> float:
    try:
        number = float(cell)
    except OverflowError:
        return np.inf  # an error later
    except ValueError as error:  # a signalling NaN
        raise UnsuitableEntryError("invalid numbers", j, row, cell) from error
    is_exact = isinstance(cell, float | np.floating) or abs(number) < MAX_EXACT_INTEGER
    if not is_exact and np.isfinite(number) and number != cell:
        raise UnsuitableEntryError(INEXACT, j, row, cell)
    return number


def _content(cell: Any) -> str:
    """Return the kind of a cell in the plural, or "missing"."""
    if is_missing(cell):
        return "missing"
    for types, content in _CONTENT_OF_TYPE:
        if isinstance(cell, types):
            return content
    return f"objects of type {type(cell).__name__}"


def is_missing(cell: Any) -> bool:
    """Return whether a cell is None, NaT, NaN, `pandas.NA` or masked."""
    if isinstance(cell, np.datetime64 | np.timedelta64):
        return bool(np.isnat(cell))
    return type(cell).__name__ in _MISSING_TYPES or (isinstance(cell, float) and cell != cell)
