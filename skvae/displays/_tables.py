"""Rows of X as tables: which columns to show, and by which names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from ._axes import divide

_MOST_COLUMNS = 4


def table(X: Any, feature_names: Sequence[str] | None) -> tuple[np.ndarray, list[str]]:
    """Return numbers and the names of their columns: those given, a frame's own, or x0, x1, ..."""
    numbers = check_array(X)
    if feature_names is None:
        feature_names = getattr(X, "columns", None)
    names = column_names(feature_names, numbers.shape[1])
    if len(names) != numbers.shape[1]:
        raise ValueError(f"{len(names)} feature_names for {numbers.shape[1]} columns.")
    return numbers, names


def column_names(names: Iterable[Any] | None, n_columns: int) -> list[str]:
    """Return the names as strings, or x0, x1, ... if there are none."""
    return [f"x{i}" for i in range(n_columns)] if names is None else [str(name) for name in names]


def panels(ax: Any, n_panels: int) -> np.ndarray:
    """Return so many axes in a grid in place of `ax`."""
    n_columns = min(n_panels, _MOST_COLUMNS)
    axes = divide(ax, -(-n_panels // n_columns), n_columns).ravel()
    for unused in axes[n_panels:]:
        unused.remove()
    return axes[:n_panels]


def panels_size(n_panels: int) -> tuple[float, float]:
    """Return the width and height in inches that so many panels need."""
    n_columns = min(n_panels, _MOST_COLUMNS)
    return 2.6 * n_columns, 2.2 * -(-n_panels // n_columns)
