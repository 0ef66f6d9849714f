"""Checks of tables, column names, and grids with a panel for each column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from ._axes import split_axes

_MAX_GRID_COLUMNS = 4


def check_table(
    X: Any, feature_names: Sequence[str] | None, input_name: str = "X"
) -> tuple[np.ndarray, list[str]]:
    """Return a table as an array of finite numbers, and the names of the columns.

    The names are `feature_names`, or the column names of a frame, or x0, x1, ...
    """
    if np.ma.is_masked(X):
        raise ValueError(
            f"{input_name} is a masked array with missing values, which can't be drawn. Drop the "
            "rows with missing values."
        )
    try:
        numbers = check_array(X, input_name=input_name)
    except (TypeError, ValueError) as error:
        if (place := _first_invalid_place(X)) is None:
            raise
        # NumPy's text about dtypes without a common dtype does not help.
        is_clear = not isinstance(error, np.exceptions.DTypePromotionError)
        raise ValueError(
            f"{input_name} must consist of finite numbers, unlike {place}. For columns of any type "
            "and missing values, use SyntheticTableDisplay."
            f"{f' The error was: {error}' if is_clear else ''}"
        ) from error
    if feature_names is None:
        feature_names = frame_names(X)
    names = column_names(feature_names, numbers.shape[1])
    if len(names) != numbers.shape[1]:
        raise ValueError(
            f"feature_names has {len(names)} names, but X has {numbers.shape[1]} columns."
        )
    return numbers, names


def frame_names(X: Any) -> list[Any] | None:
    """Return the names of the columns of a frame of any library, or None for other objects."""
    # `columns` of an Arrow table holds the values.
    names = getattr(X, "column_names", getattr(X, "columns", None))
    return None if names is None else list(names)


def align_frame(frame: Any, X: Any) -> Any:
    """Return a frame with the columns in the order of X, and any other object as it is."""
    names, other = frame_names(X), frame_names(frame)
    if names is None or other is None or names == other:
        return frame
    if len(set(names)) < len(names) or set(names) != set(other):
        return frame
    return select_columns(frame, names)


def select_columns(frame: Any, names: list[Any]) -> Any:
    """Return some columns of a frame of any library, in the given order."""
    return frame[names] if hasattr(frame, "iloc") else frame.select(names)


def _first_invalid_place(X: Any) -> str | None:
    """Return the first column of a frame without finite numbers, and the row if known."""
    frame = X.to_pandas() if hasattr(X, "to_pandas") else X
    if not hasattr(frame, "iloc") or getattr(frame, "ndim", 0) != 2 or not len(frame):
        return None
    from pandas import to_numeric

    for j, name in enumerate(frame.columns):
        try:
            is_number = check_array(frame.iloc[:, [j]]).dtype.kind in "biuf"
        except (TypeError, ValueError):
            is_number = False
        if not is_number:
            values = to_numeric(frame.iloc[:, j].astype(object), errors="coerce")
            is_invalid = ~np.isfinite(values.to_numpy(dtype=np.float64, na_value=np.nan))
            row = f", row {is_invalid.argmax()}" if is_invalid.any() else ""
            return f"column {name!r}{row}"
    return None


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
