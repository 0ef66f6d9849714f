"""Columns of categories, ordered or not, strings and truth values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ._base import BinsBuilder, ColumnCodec

# Categories with fewer training rows share a level, and so do those beyond the most frequent.
_ROWS_OF_CATEGORY = 10
_MAX_LEVELS = 200
# What a level's categories without any count as together.
_ROWS_OF_UNSEEN = 1.0


class CategoricalColumn(ColumnCodec):
    """Categories, each a cell; rare ones share a level.

    A last cell is for categories that `fit` did not see. It belongs to the rare ones' level, with
    the probability that one row more would have, and is not drawn from.

    Parameters
    ----------
    values : Series
        Training data.
    is_ordered : bool
        Whether categories are in order: then each has a level for itself.
    missing_is_level : bool
    """

    def __init__(self, values: Any, *, is_ordered: bool, missing_is_level: bool) -> None:
        self.dtype = values.dtype
        counts = _counts(values)
        if not is_ordered:
            counts = counts.sort_values(ascending=False, kind="stable")
        elif not isinstance(values.dtype, pd.CategoricalDtype):
            counts = counts.sort_index()
        self._index = pd.Index(counts.index.astype(object))
        n_rows = counts.to_numpy(dtype=float)
        is_frequent = (n_rows >= _ROWS_OF_CATEGORY) & (np.arange(len(n_rows)) < _MAX_LEVELS)
        n_alone = len(n_rows) if is_ordered else int(is_frequent.sum())
        levels = [[n] for n in n_rows[:n_alone]]
        if n_alone < len(n_rows) or not levels:
            levels.append([*n_rows[n_alone:]])
        levels[-1].append(0.0)  # for what was not seen
        builder = BinsBuilder()
        for level in levels:
            builder.add_level(
                counts=[n or _ROWS_OF_UNSEEN / level.count(0.0) for n in level],
                log_widths=[0.0] * len(level),
                observed=[n > 0 for n in level],
            )
        is_missing = values.isna().to_numpy()
        self.has_missing = missing_is_level and bool(is_missing.any())
        n_ordered = builder.n_levels if is_ordered else 0
        if self.has_missing:
            builder.add_missing(int(is_missing.sum()))
        self.bins = builder.build(n_ordered=n_ordered)

    def encode(self, values: Any) -> np.ndarray:
        is_missing = pd.isna(values).to_numpy()
        cell = self._index.get_indexer(pd.Index(values[~is_missing].astype(object)))
        return self._with_missing(np.where(cell < 0, len(self._index), cell), is_missing)

    def decode(self, cell: np.ndarray, position: np.ndarray) -> Any:
        is_missing = cell >= len(self._index)
        if is_missing.all():
            return pd.Series([None] * len(cell), dtype=object).astype(self.dtype)
        values = pd.Series(self._index.take(np.where(is_missing, 0, cell)), dtype=object)
        return values.mask(is_missing).astype(self.dtype)

    def from_estimates(self, estimates: np.ndarray) -> Any:
        return self.decode(estimates.astype(np.int64), np.zeros(len(estimates)))

    def level_means(self) -> None:
        return None

    def allowed_ranges(self, condition: Any) -> np.ndarray:
        choices = pd.Series(_choices(condition), dtype=object)
        ranges = np.zeros((len(self.bins.level), 2))
        known = self._index.get_indexer(choices.dropna())
        ranges[known[known >= 0]] = [0, 1]
        if choices.isna().any() and self.has_missing:
            ranges[-1] = [0, 1]
        return ranges

    def satisfies(self, values: Any, condition: Any) -> np.ndarray:
        choices = pd.Series(_choices(condition), dtype=object)
        satisfied = values.isin(choices.dropna()).to_numpy(dtype=bool)
        return satisfied | (values.isna().to_numpy() & choices.isna().any())


def _choices(condition: Any) -> list[Any]:
    return list(condition) if pd.api.types.is_list_like(condition) else [condition]


def _counts(values: Any) -> Any:
    """Return how many rows each category has, in the order of categories, or as they come.

    Raises
    ------
    TypeError
        If a value can't be a category.
    """
    try:
        if values.dtype == object:
            set(values)
        return values.value_counts(sort=False)
    except TypeError as error:
        raise TypeError(f"{error}: the argument must be a string or a number") from error
