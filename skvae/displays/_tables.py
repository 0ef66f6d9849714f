"""Rows of X as tables: which columns to show, and by which names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from ._axes import divide

_MOST_COLUMNS = 4


def table(X: Any, feature_names: Sequence[str] | None) -> tuple[np.ndarray, list[str]]:
    """Return numbers and the names of their columns: those given, a frame's own, or x0, x1, ..."""
    numbers = check_array(X)
    n_features = numbers.shape[1]
    if feature_names is None:
        columns = getattr(X, "columns", None)
        names = [f"x{i}" for i in range(n_features)] if columns is None else [*map(str, columns)]
    else:
        names = [*map(str, feature_names)]
    if len(names) != n_features:
        raise ValueError(f"{len(names)} feature_names for {n_features} columns.")
    return numbers, names


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
