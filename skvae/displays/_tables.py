"""Checks of tables, column names, and grids with a panel for each column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from ._axes import split_axes

_MAX_GRID_COLUMNS = 4


def check_table(X: Any, feature_names: Sequence[str] | None) -> tuple[np.ndarray, list[str]]:
    """Return a table as an array, and the names of the columns.

    The names are `feature_names`, or the column names of a frame, or x0, x1, ...
    """
    numbers = check_array(X)
    if feature_names is None:
        feature_names = getattr(X, "columns", None)
    names = column_names(feature_names, numbers.shape[1])
    if len(names) != numbers.shape[1]:
        raise ValueError(
            f"feature_names has {len(names)} names, but X has {numbers.shape[1]} columns."
        )
    return numbers, names


def column_names(names: Iterable[Any] | None, n_columns: int) -> list[str]:
    """Return the names as strings, or x0, x1, ... if `names` is None."""
    return [f"x{i}" for i in range(n_columns)] if names is None else [str(name) for name in names]


def panel_grid(ax: Any, n_panels: int) -> np.ndarray:
    """Replace `ax` by a grid of `n_panels` axes, and return the new axes."""
    n_columns = min(n_panels, _MAX_GRID_COLUMNS)
    axes = split_axes(ax, -(-n_panels // n_columns), n_columns).ravel()
    for unused in axes[n_panels:]:
        unused.remove()
    return axes[:n_panels]


def panel_grid_size(n_panels: int) -> tuple[float, float]:
    """Return a suitable width and height, in inches, of a grid of panels."""
    n_columns = min(n_panels, _MAX_GRID_COLUMNS)
    return 2.6 * n_columns, 2.2 * -(-n_panels // n_columns)
