"""What a column's codec is, and how one puts its cells together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ..likelihoods import ColumnBins


class ColumnCodec(ABC):
    """Values of one column to numbers of cells, and back.

    If training had missing values that count as a level, they have the last cell. Otherwise a
    missing value has no cell: it is NaN, which stands for what was not observed.
    """

    bins: ColumnBins
    has_missing: bool

    @abstractmethod
    def encode(self, values: Any) -> np.ndarray:
        """Return the number of each value's cell, (n,) in float64, or NaN."""

    @abstractmethod
    def decode(self, cell: np.ndarray, position: np.ndarray) -> Any:
        """Return the values, (n,), at positions in [0, 1) within cells."""

    @abstractmethod
    def from_estimates(self, estimates: np.ndarray) -> Any:
        """Return the values nearest to numbers, (n,), or those of categories' cells."""

    @abstractmethod
    def level_means(self) -> np.ndarray | None:
        """Return what number each level is on average, (n_levels,), or None for categories."""

    @abstractmethod
    def allowed_ranges(self, condition: Any) -> np.ndarray:
        """Return between which positions each cell may satisfy the condition, (n_cells, 2)."""

    @abstractmethod
    def satisfies(self, values: Any, condition: Any) -> np.ndarray:
        """Return which values satisfy the condition, (n,)."""

    def _with_missing(self, known: np.ndarray, is_missing: np.ndarray) -> np.ndarray:
        """Return cells, (n,), from those of the values that are not missing."""
        cell = np.full(len(is_missing), np.nan)
        cell[~is_missing] = known
        if self.has_missing:
            cell[is_missing] = len(self.bins.level) - 1
        return cell


class BinsBuilder:
    """The levels of a column and their cells, put together one level after the other."""

    def __init__(self) -> None:
        self._level: list[int] = []
        self._share: list[float] = []
        self._log_width: list[float] = []
        self._drawable: list[bool] = []
        self._counts: list[float] = []
        self._middle: list[int] = []

    @property
    def n_levels(self) -> int:
        return len(self._counts)

    def add_level(self, counts: Any, log_widths: Any, observed: Any) -> None:
        """Add a level.

        Parameters
        ----------
        counts : sequence of float
            Rows of each of its cells in training; of those that had none, what they count as.
        log_widths : sequence of float
        observed : sequence of bool
            Which cells had rows.
        """
        weights, had_rows = np.asarray(counts, dtype=float), np.asarray(observed)
        seen = np.where(had_rows, weights, 0.0)
        middle = int(np.searchsorted(seen.cumsum(), 0.5 * seen.sum()))
        self._middle.append(len(self._level) + middle)
        self._level += [self.n_levels] * len(weights)
        self._share += (weights / weights.sum()).tolist()
        self._log_width += list(log_widths)
        self._drawable += had_rows.tolist()
        self._counts.append(float(seen.sum()))

    def add_missing(self, n_missing: int) -> None:
        """Add the level of missing values."""
        self.add_level([n_missing], [0.0], [True])

    def build(self, *, n_ordered: int) -> ColumnBins:
        """Return what was built."""
        return ColumnBins(
            level=tuple(self._level),
            log_fraction=tuple(np.log(self._share).tolist()),
            log_width=tuple(self._log_width),
            observed=tuple(self._drawable),
            counts=tuple(self._counts),
            representative_bin=tuple(self._middle),
            n_ordered=n_ordered,
        )
