"""Exact conversion of Arrow columns to columns of an array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..utils import MAX_EXACT_INTEGER
from ._arrow_columns import import_pyarrow

# Largest rounding error without a warning, as a fraction of the range of the column.
MAX_ROUNDING_ERROR = 1e-3
_ROUND_IN_SOURCE = "convert the column to float64 in the source"


@dataclass(frozen=True)
class InvalidValue:
    """First value of a column that the array cannot hold.

    Parameters
    ----------
    row : int
        Row of the value in the batch.
    problem : str
        Description of the value, for the sentence "Column x has <problem> in row i."
    remedy : str
        Sentence with the remedy.
    """

    row: int
    problem: str
    remedy: str


@dataclass(frozen=True)
class Conversion:
    """Column of a batch, before and after the conversion.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Exact values, unspecified where a value is missing. Decimals are rounded to float64 if the
        array has a floating-point dtype.
    converted : ndarray of shape (n,)
        Values in the dtype of the array, with NaN for missing values.
    is_missing : ndarray of bool, of shape (n,), or None
        Whether each value is missing. None if no value is missing.
    invalid : InvalidValue or None
        First invalid value. `converted` is unspecified if there is an invalid value.
    """

    values: np.ndarray
    converted: np.ndarray
    is_missing: np.ndarray | None
    invalid: InvalidValue | None = None


def convert(column: Any, dtype: np.dtype[Any], *, allow_missing: bool) -> Conversion:
    """Convert an Arrow array of numbers, booleans or decimals.

    Integers and decimals are never converted by way of a type that rounds them: missing values are
    held by a mask rather than by NaN, and decimals become integers without float64 between.

    Parameters
    ----------
    column : pyarrow.Array of length n
        Column of a batch.
    dtype : dtype
        Dtype of the array.
    allow_missing : bool
        Whether missing values may become NaN.
    """
    pa = import_pyarrow()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_decimal(column.type):
        values, is_lossy = _convert_decimals(column, dtype)
    else:
        values = _to_numpy(column)
        is_lossy = _is_lossy(values, dtype)
    is_missing = _find_missing(column, values)
    known = values if is_missing is None else np.where(is_missing, 0, values)
    with np.errstate(over="ignore", invalid="ignore"):
        converted = known.astype(dtype)
    if dtype.kind == "f":
        is_lossy |= ~np.isfinite(converted)
    if is_missing is not None:
        if not allow_missing:
            invalid = _missing_value(int(is_missing.argmax()), dtype)
            return Conversion(values, converted, is_missing, invalid)
        is_lossy &= ~is_missing
        converted[is_missing] = np.nan
    if not is_lossy.any():
        return Conversion(values, converted, is_missing)
    row = int(is_lossy.argmax())
    invalid = _lossy_value(row, column[row].as_py(), dtype)
    return Conversion(values, converted, is_missing, invalid)


def _find_missing(column: Any, values: np.ndarray) -> np.ndarray | None:
    """Return whether each value of an Arrow array is null or NaN, or None if no value is."""
    if values.dtype.kind == "f" and not import_pyarrow().types.is_decimal(column.type):
        is_missing = np.isnan(values)
        return is_missing if is_missing.any() else None
    return column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None


def _to_numpy(column: Any) -> np.ndarray:
    """Return integers, floats or booleans as an array, with zeros or NaN for missing values."""
    pa = import_pyarrow()
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    if column.null_count and pa.types.is_integer(column.type):
        column = column.fill_null(0)
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    return values


def _convert_decimals(column: Any, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return decimals as float64 or as integers, and whether the conversion changes a value."""
    pa = import_pyarrow()
    if dtype.kind == "f":
        # Arrow's own conversion to float64 is not rounded to the closest float64.
        text = column.cast(pa.string()).fill_null("0")
        values: np.ndarray = text.cast(pa.float64()).to_numpy(zero_copy_only=False)
        is_lossy = np.zeros(len(values), dtype=bool)
        for row in np.flatnonzero(np.abs(values) >= MAX_EXACT_INTEGER):
            is_lossy[row] = column[int(row)].as_py() != int(values[row])
        return values, is_lossy
    integer = pa.uint64() if dtype.kind == "u" else pa.int64()
    try:
        values = _to_numpy(column.cast(integer))
    except pa.ArrowInvalid:
        limits = np.iinfo(integer.to_pandas_dtype())
        exact = [0 if value is None else value for value in column.to_pylist()]
        is_lossy = np.array([v != int(v) or not limits.min <= v <= limits.max for v in exact])
        kept = [0 if lossy else int(v) for v, lossy in zip(exact, is_lossy, strict=True)]
        values = np.array(kept, dtype=limits.dtype)
        return values, is_lossy | _is_lossy(values, dtype)
    return values, _is_lossy(values, dtype)


def _is_lossy(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Return whether the conversion of numbers to a dtype is more than floating-point rounding."""
    if dtype.kind == "f":
        is_wide = np.finfo(dtype).nmant >= 63
        if values.dtype.kind == "f" or is_wide:
            return np.zeros(len(values), dtype=bool)
        return _is_rounded_integer(values)
    lowest, highest = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if values.dtype.kind == "f":
        values = values.astype(np.float64)
        # float(highest) of 64-bit integers is the next larger power of 2.
        fits = (values >= lowest) & (values < float(highest + 1)) & (values == np.floor(values))
        return ~fits
    limits = np.iinfo(values.dtype)
    return (values < max(lowest, limits.min)) | (values > min(highest, limits.max))


def _is_rounded_integer(values: np.ndarray) -> np.ndarray:
    """Return whether float64 rounds each integer."""
    is_rounded = np.zeros(len(values), dtype=bool)
    if values.dtype.itemsize == 8:
        is_large = values >= MAX_EXACT_INTEGER
        if values.dtype.kind == "i":
            is_large |= values <= -MAX_EXACT_INTEGER
        large = values[is_large]
        floats = large.astype(np.float64)
        beyond = floats >= float(np.iinfo(values.dtype).max)  # the conversion back would overflow
        back = np.where(beyond, 0, floats).astype(values.dtype)
        is_rounded[is_large] = beyond | (back != large)
    return is_rounded


def _missing_value(row: int, dtype: np.dtype[Any]) -> InvalidValue:
    types = "" if dtype.kind == "f" else " and a floating-point dtype, such as dtype='float64',"
    return InvalidValue(
        row,
        "a missing value",
        f"Pass allow_missing=True{types} to write missing values as NaN for VAEImputer, or drop "
        "incomplete rows by passing a pyarrow dataset with a filter.",
    )


def _lossy_value(row: int, value: Any, dtype: np.dtype[Any]) -> InvalidValue:
    problem = f"the value {value}"
    if not np.isfinite(float(value)):
        return InvalidValue(row, problem, "Estimators accept finite values only.")
    larger = _exact_dtype(value)
    if dtype.kind == "f" and not isinstance(value, float) and float(value) != value:
        integers = "dtype='int64' or dtype='uint64' if all columns are integers"
        remedy = (
            f"{dtype} cannot represent this value exactly: leave out the column if the values are "
            f"identifiers, or {f'pass {integers}' if larger else _ROUND_IN_SOURCE}."
        )
    elif larger:
        remedy = f"{dtype} cannot represent this value: pass dtype={larger!r}."
    else:
        remedy = f"No dtype can represent this value exactly: {_ROUND_IN_SOURCE}."
    return InvalidValue(row, problem, remedy)


def _exact_dtype(value: Any) -> str | None:
    """Return the name of a dtype that `memmap_from_arrow` takes for a finite number, if any."""
    if not isinstance(value, float) and value == int(value) and -(2**63) <= value < 2**64:
        return "int64" if value < 2**63 else "uint64"
    is_exact = isinstance(value, float) or abs(value) < MAX_EXACT_INTEGER or float(value) == value
    return "float64" if is_exact else None


class RoundingMonitor:
    """Monitor of the rounding error of each column relative to the range of the column."""

    def __init__(self, n_columns: int) -> None:
        # NaN before the first value; fmin and fmax ignore NaN.
        self.low, self.high, self.error = np.full((3, n_columns), np.nan)

    def update(self, index: int, column: Conversion) -> None:
        """Add the values of a batch of a column."""
        if np.can_cast(column.values.dtype, column.converted.dtype):
            return
        values, converted = column.values, column.converted
        if column.is_missing is not None:
            values, converted = values[~column.is_missing], converted[~column.is_missing]
        if not len(values):
            return
        error = np.abs(values - converted)
        self.low[index] = np.fmin(self.low[index], values.min())
        self.high[index] = np.fmax(self.high[index], values.max())
        self.error[index] = np.fmax(self.error[index], error.max())

    def imprecise_columns(self) -> np.ndarray:
        """Return the indices of the columns with a rounding error above the tolerance."""
        # Scaling before the subtraction avoids an overflow.
        tolerance = MAX_ROUNDING_ERROR * self.high - MAX_ROUNDING_ERROR * self.low
        return np.flatnonzero(self.error > tolerance)
