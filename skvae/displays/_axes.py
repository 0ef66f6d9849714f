"""Axes to draw on."""

from __future__ import annotations

from typing import Any

import numpy as np


def new_axes(display: object, figsize: tuple[float, float]) -> Any:
    """Return the axes of a new figure."""
    plt = _pyplot(display)
    return plt.subplots(figsize=figsize, layout="constrained")[1]


def divide(ax: Any, n_rows: int, n_columns: int, **gridspec: Any) -> np.ndarray:
    """Return an array of axes in place of `ax`, which is emptied; or `ax` alone, if one will do."""
    if n_rows == n_columns == 1:
        return np.array([[ax]])
    spec = ax.get_subplotspec()
    if spec is None:
        raise ValueError("Axes that are to be divided must be part of a grid: see plt.subplots.")
    ax.set_axis_off()
    return spec.subgridspec(n_rows, n_columns, **gridspec).subplots(squeeze=False)


def _pyplot(display: object) -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            f"{type(display).__name__}.plot needs matplotlib: pip install 'skvae[plot]'."
        ) from error
    return pyplot
