"""Axes to draw on."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..utils import import_optional


def new_axes(figsize: tuple[float, float]) -> Any:
    """Return the axes of a new figure."""
    plt = import_optional("matplotlib.pyplot", "skvae.displays")
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
