"""Casts of later rows to the dtype of the training data, and errors about values."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import pandas as pd

from ..utils import MAX_EXACT_INTEGER


def as_index(values: Any) -> Any:
    """Return values as an Index of objects. Tuples stay objects."""
    return pd.Index(np.asarray(values.astype(object)), dtype=object, tupleize_cols=False)


def to_categories(values: Any, dtype: Any) -> Any:
    """Return a Series in a categorical dtype.

    Parameters
    ----------
    values : Series
        Values without missing values.
    dtype : CategoricalDtype

    Raises
    ------
    ValueError
        If a value is no category.
    """
    codes = as_index(dtype.categories).get_indexer(as_index(values))
    if (codes < 0).any():
        raise_inexpressible(values[codes < 0], dtype)
    return pd.Series(pd.Categorical.from_codes(codes, dtype=dtype), index=values.index)


def check_exact_integers(dtype: Any, numbers: np.ndarray) -> None:
    """Raise a ValueError if integers have no exact representation in float64."""
    if pd.api.types.is_integer_dtype(dtype) and (np.abs(numbers) >= MAX_EXACT_INTEGER).any():
        raise ValueError(
            "it has integers beyond 2**53, which float64 cannot represent exactly: convert the "
            "column to a categorical dtype, or drop the column if the values are identifiers"
        )


def check_all(values: Any, classes: tuple[type, ...], kind: str) -> None:
    """Raise a ValueError if a value is no instance of the classes.

    Parameters
    ----------
    values : Series
        Values without missing values.
    classes : tuple of type
        Classes of values.
    kind : str
        Name of the values of such classes, for the message.
    """
    is_right = np.fromiter((isinstance(value, classes) for value in values), bool, len(values))
    if not is_right.all():
        raise_wrong_kind(values[~is_right], kind)


def raise_wrong_kind(values: Any, kind: str) -> NoReturn:
    """Raise a ValueError that names the first of several values of the wrong kind."""
    value = values.astype(object).iloc[0]
    raise ValueError(
        f"it should hold {kind}, but has {value!r} of type {type(value).__name__} in row "
        f"{values.index[0]}: "
        "convert the column, or declare another kind in column_types"
    )


def raise_inexpressible(values: Any, dtype: Any) -> NoReturn:
    """Raise a ValueError that names the first of several values that a dtype cannot express."""
    raise ValueError(
        f"it has {values.astype(object).iloc[0]!r} in row {values.index[0]}, which the dtype of "
        f"the column in fit, {dtype}, cannot express: fit with a dtype that holds all values"
    )


def raise_tuple(condition: tuple[Any, ...]) -> NoReturn:
    """Raise a TypeError for a condition that may be meant as a list of values or as an interval."""
    raise TypeError(
        f"the condition {condition!r} is a tuple: pass a list for one of several values, or a "
        "pandas.Interval for all values between two ends"
    )


def check_restored(is_valid: bool) -> None:
    """Raise a ValueError if a column from a file has attributes that `fit` never sets."""
    if not is_valid:
        raise ValueError("the attributes of a column do not agree")


def is_dtype(dtype: Any) -> bool:
    """Return whether an object is a dtype. Texts are none: pandas opens files that texts name."""
    return isinstance(dtype, np.dtype | pd.api.extensions.ExtensionDtype)
