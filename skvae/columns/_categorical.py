"""Columns of categories, ordered or not, strings and booleans."""

from __future__ import annotations

import datetime
from collections.abc import Hashable
from numbers import Number
from typing import Any, ClassVar, NoReturn

import numpy as np
import pandas as pd

from ..serialization import serializable
from ._base import BinsBuilder, ColumnCodec
from ._casts import (
    as_index,
    check_restored,
    is_dtype,
    raise_inexpressible,
    raise_tuple,
    to_categories,
)

# Smallest number of training rows of an unordered category with a separate level.
_MIN_CATEGORY_ROWS = 10
# Largest number of unordered categories with separate levels.
_MAX_LEVELS = 200
# Largest number of ordered categories with separate levels. Time and memory grow with the levels.
_MAX_ORDERED_LEVELS = 1000
# Smallest number of training rows, each with another category, of a column of identifiers.
_MIN_IDENTIFIERS = 20
# Rows attributed to all unseen categories of a level together.
_UNSEEN_PSEUDOCOUNT = 1.0
# Classes of values that can be equal to each other.
_CLASSES: dict[type, tuple[type, ...]] = {
    Number: (Number, np.bool_),
    datetime.date: (datetime.date,),
    datetime.timedelta: (datetime.timedelta, np.timedelta64),
    **{cls: (cls,) for cls in (str, bytes, tuple, datetime.time, pd.Period, pd.Interval)},
}


@serializable
class CategoricalColumn(ColumnCodec):
    """Codec of categories: a bin for each category, with a common level for rare categories.

    An additional bin stands for all categories that did not occur in training, and has the
    probability of one additional training row. The bin is never sampled. If the categories are
    ordered, the bin belongs to the last level. Otherwise, the probability does not depend on the
    code: see `ColumnBins.is_known`.

    Parameters
    ----------
    values : Series
        Training data.
    is_ordered : bool
        Whether the categories are ordered. Each ordered category has a level, unless there are
        more than 1,000. Then, neighbouring categories share levels.
    missing_is_level : bool
        Whether missing values have a bin. Otherwise, missing values count as not observed.
    """

    is_numeric: ClassVar[bool] = False

    def __init__(self, values: Any, *, is_ordered: bool, missing_is_level: bool) -> None:
        self.dtype = values.dtype
        counts = _count_categories(values)
        if not is_ordered:
            counts = counts.sort_values(ascending=False, kind="stable")
        elif not isinstance(values.dtype, pd.CategoricalDtype):
            counts = _sort_categories(counts)
        self._categories = as_index(counts.index)
        builder = BinsBuilder()
        for level in _divide_into_levels(counts.to_numpy(dtype=float), is_ordered=is_ordered):
            builder.add_level(
                counts=[n or _UNSEEN_PSEUDOCOUNT / level.count(0.0) for n in level],
                log_widths=[0.0] * len(level),
                observed=[n > 0 for n in level],
                is_ordered=is_ordered,
            )
        is_missing = values.isna().to_numpy()
        self.has_missing = missing_is_level and bool(is_missing.any())
        n_ordered = builder.n_levels if is_ordered else 0
        if self.has_missing:
            builder.add_missing(int(is_missing.sum()))
        self.bins = builder.build(n_ordered=n_ordered)

    def _check_invariants(self) -> None:
        n_unseen = 1
        n_bins = len(self._categories) + n_unseen + self.has_missing
        check_restored(is_dtype(self.dtype) and isinstance(self._categories, pd.Index))
        check_restored(self.bins.n_bins == n_bins)

    def encode(self, values: Any) -> np.ndarray:
        is_missing = pd.isna(values).to_numpy()
        present = values[~is_missing]
        try:
            category = self._categories.get_indexer(as_index(present))
        except TypeError as error:
            _raise_unhashable(error)
        self._check_classes(present[category < 0])
        bin_index = np.where(category < 0, len(self._categories), category)
        return self._insert_missing(bin_index, is_missing)

    def _check_classes(self, unseen: Any) -> None:
        """Raise a TypeError if an unseen category cannot be equal to any category.

        Strings of digits in place of numbers, for example, would all count as unseen.
        """
        if not len(unseen):
            return
        known = {_class_of(category) for category in self._categories}
        for row, value in unseen.items():
            if known and _class_of(value) not in known:
                raise TypeError(
                    f"it has {value!r} of type {type(value).__name__} in row {row!r}, but had "
                    f"values such as {self._categories[0]!r} in fit: convert the column"
                )

    @property
    def is_identifier(self) -> bool:
        n_rows = sum(self.bins.counts) - (self.bins.counts[-1] if self.has_missing else 0)
        n_categories = sum(self.bins.observed) - self.has_missing
        return self.bins.n_ordered == 0 and n_rows == n_categories >= _MIN_IDENTIFIERS

    def cast(self, values: Any) -> Any:
        if values.dtype == self.dtype:
            return values
        if isinstance(self.dtype, pd.CategoricalDtype):
            return to_categories(values, self.dtype)
        objects = values.astype(object)
        try:
            result = values.astype(self.dtype)
        except (TypeError, ValueError):
            raise_inexpressible(values, self.dtype)
        is_lost = (objects != result.astype(object)).to_numpy(dtype=bool)
        if is_lost.any():
            raise_inexpressible(values[is_lost], self.dtype)
        return result

    def decode(self, bin_index: np.ndarray, position: np.ndarray) -> Any:
        is_missing = bin_index >= len(self._categories)
        if is_missing.all():
            return pd.Series([None] * len(bin_index), dtype=object).astype(self.dtype)
        category = np.where(is_missing, 0, bin_index)
        values = pd.Series(self._categories.to_numpy()[category], dtype=object)
        return values.mask(is_missing).astype(self.dtype)

    def from_estimates(self, estimates: np.ndarray) -> Any:
        return self.decode(estimates.astype(np.int64), np.zeros(len(estimates)))

    def level_means(self) -> None:
        return None

    def allowed_ranges(self, condition: Any) -> np.ndarray:
        choices = self._choices(condition)
        ranges = np.zeros((self.bins.n_bins, 2))
        category = self._categories.get_indexer(as_index(choices.dropna()))
        ranges[category[category >= 0]] = [0, 1]
        if choices.isna().any() and self.has_missing:
            ranges[-1] = [0, 1]
        return ranges

    def _choices(self, condition: Any) -> Any:
        """Return the values that a condition allows, a Series of objects.

        Raises
        ------
        TypeError
            If the condition is a tuple, and categories are no tuples, or if a value can be no
            category.
        """
        if isinstance(condition, tuple) and not self._has_tuples:
            raise_tuple(condition)
        is_single = isinstance(condition, tuple) or not pd.api.types.is_list_like(condition)
        choices = [condition] if is_single else list(condition)
        if not all(isinstance(choice, Hashable) for choice in choices):
            raise TypeError(f"{condition!r} is no value: pass a value or a list of values")
        return pd.Series(choices, dtype=object)

    @property
    def _has_tuples(self) -> bool:
        return any(isinstance(category, tuple) for category in self._categories)

    def satisfies(self, values: Any, condition: Any) -> np.ndarray:
        choices = self._choices(condition)
        chosen = self._categories.get_indexer(as_index(choices.dropna()))
        category = self._categories.get_indexer(as_index(values))
        satisfied = np.isin(category, chosen[chosen >= 0])
        return satisfied | (values.isna().to_numpy() & choices.isna().any())


def _divide_into_levels(n_rows: np.ndarray, *, is_ordered: bool) -> list[list[float]]:
    """Return the number of rows of each category, by level.

    Parameters
    ----------
    n_rows : ndarray of shape (n_categories,)
        Rows of each category: in the order of the categories if ordered, otherwise decreasing.
    is_ordered : bool
        Whether the categories are ordered.

    Returns
    -------
    levels : list of list of float
        Rows of each bin of each level. The final 0 is the bin of unseen categories.
    """
    if is_ordered and len(n_rows) > _MAX_ORDERED_LEVELS:
        levels = _split_evenly(n_rows, _MAX_LEVELS)
        levels[-1].append(0.0)
        return levels
    is_frequent = (n_rows >= _MIN_CATEGORY_ROWS) & (np.arange(len(n_rows)) < _MAX_LEVELS)
    n_separate = len(n_rows) if is_ordered else int(is_frequent.sum())
    levels = [[n] for n in n_rows[:n_separate]]
    if n_separate < len(n_rows) or not levels:
        levels.append([*n_rows[n_separate:]])
    levels[-1].append(0.0)
    return levels


def _class_of(value: Any) -> Any:
    """Return a common key of all values that can be equal to a value."""
    if isinstance(value, datetime.datetime | np.datetime64):
        return datetime.datetime, getattr(value, "tzinfo", None) is None
    return next((key for key, classes in _CLASSES.items() if isinstance(value, classes)), object)


def _sort_categories(counts: Any) -> Any:
    try:
        return counts.sort_index()
    except TypeError as error:
        raise TypeError(
            f"its values have no order ({error}): convert the column to an ordered categorical "
            "dtype, or do not declare the column ordinal"
        ) from error


def _split_evenly(n_rows: np.ndarray, max_levels: int) -> list[list[float]]:
    """Divide categories into levels of neighbours with about equally many rows."""
    preceding = n_rows.cumsum() - 0.5 * n_rows
    level = (preceding * max_levels / max(n_rows.sum(), 1)).astype(int)
    return [part.tolist() for part in np.split(n_rows, np.flatnonzero(np.diff(level)) + 1)]


def _count_categories(values: Any) -> Any:
    """Return the number of rows of each category, a Series.

    Categories are in the declared order, or in order of appearance.

    Raises
    ------
    TypeError
        If a value is not hashable.
    """
    try:
        if pd.api.types.is_object_dtype(values.dtype):
            set(values)
        if not isinstance(values.dtype, pd.CategoricalDtype):
            values = values.astype(object)  # other dtypes have another order of categories
        return values.value_counts(sort=False)
    except TypeError as error:
        _raise_unhashable(error)


def _raise_unhashable(error: TypeError) -> NoReturn:
    # With the text that scikit-learn's estimator checks expect.
    raise TypeError(
        f"it has values that are not hashable ({error}), but the argument must be a string or "
        "a number: expand the values into columns, or convert them to strings"
    ) from error
