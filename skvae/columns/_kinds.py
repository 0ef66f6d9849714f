"""Kinds of columns: numeric, categorical or ordinal, by dtype or as declared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ._base import ColumnCodec
from ._casts import check_exact_integers, raise_wrong_kind
from ._categorical import CategoricalColumn
from ._numeric import NumericColumn
from ._times import Dates, Periods, Times, TimesOfDay
from ._units import Decimals, Labels, Numbers, Units

KINDS = ("numeric", "categorical", "ordinal")
# Classes of objects that are numeric, by the names of `pandas.api.types.infer_dtype`.
_NUMERIC_OBJECTS = ("date", "decimal", "time")


def infer_kind(values: Any) -> str:
    """Return the kind of a column.

    Numbers, decimals, datetimes, dates, durations, periods and times of day are numeric. All other
    values are categorical, and ordinal if the dtype is an ordered `CategoricalDtype`.

    Parameters
    ----------
    values : Series
        Column of a data frame from `read_table`.

    Returns
    -------
    kind : {"numeric", "categorical", "ordinal"}
    """
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return "ordinal" if dtype.ordered else "categorical"
    if pd.api.types.is_object_dtype(dtype):
        return "numeric" if _class_of_objects(values) in _NUMERIC_OBJECTS else "categorical"
    is_number = pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
    is_time = dtype.kind in "mM" or isinstance(dtype, pd.PeriodDtype)
    return "numeric" if is_number or is_time else "categorical"


def infer_units(values: Any) -> Units:
    """Return the units of a numeric column.

    Parameters
    ----------
    values : Series
        Training data: numbers, decimals, datetimes, dates, durations, periods or times of day.

    Raises
    ------
    TypeError
        If the dtype of the values has no conversion from numbers.
    """
    dtype = values.dtype
    if isinstance(dtype, pd.PeriodDtype):
        return Periods(dtype)
    if pd.api.types.is_object_dtype(dtype):
        return _units_of_objects(values)
    if dtype.kind in "mM":
        return Times(values)
    if isinstance(dtype, pd.CategoricalDtype | pd.StringDtype):
        return Labels(values)
    if not pd.api.types.is_numeric_dtype(dtype):
        raise TypeError(
            f"its dtype {dtype} is not numeric: convert the column to numbers, or do not declare "
            "it numeric"
        )
    return Numbers(dtype)


def build_codec(values: Any, kind: str | None, missing_is_level: bool) -> ColumnCodec:
    """Return the codec of a column.

    Parameters
    ----------
    values : Series
        Training data: a column of a data frame from `read_table`.
    kind : {"numeric", "categorical", "ordinal"} or None
        Kind of the column. None infers the kind from the dtype.
    missing_is_level : bool
        Whether missing values have a bin.

    Raises
    ------
    ValueError, TypeError
        If the values do not suit the kind, or if the codec cannot restore the values.
    """
    kind = kind or infer_kind(values)
    if kind == "numeric":
        units = infer_units(values)
        numbers = units.numbers(values)
        check_exact_integers(values.dtype, numbers)
        return NumericColumn(units, numbers, missing_is_level=missing_is_level)
    return CategoricalColumn(
        values, is_ordered=kind == "ordinal", missing_is_level=missing_is_level
    )


def _class_of_objects(values: Any) -> str:
    return pd.api.types.infer_dtype(values, skipna=True)


def _units_of_objects(values: Any) -> Units:
    kind = _class_of_objects(values)
    if kind == "decimal":
        return Decimals(values)
    if kind == "date":
        return Dates()
    if kind == "time":
        return TimesOfDay(values)
    if kind in ("string", "bytes"):
        return Labels(values)
    present = values[values.notna().to_numpy()]
    names = sorted({type(value).__name__ for value in present})
    if len(names) > 1:
        raise ValueError(
            f"it has values of several types, {', '.join(names)}: convert them to one type, for "
            "example with pandas.to_numeric"
        )
    if names:
        raise_wrong_kind(present, "numbers or times")
    return Numbers(np.dtype(np.float64))
