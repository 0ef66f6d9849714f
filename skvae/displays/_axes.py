"""Axes to draw on."""

from __future__ import annotations

from typing import Any

import numpy as np


def new_axes(display: object, figsize: tuple[float, float]) -> Any:
    """Return the axes of a new figure."""
    plt = _pyplot(display)
    return plt.subplots(figsize=figsize, layout="constrained")[1]


def divide(ax: Any, n_rows: int, n_columns: int, **gridspec: Any) -> np.ndarray:
    """Return an array of axes in place of `ax`, which is emptied."""
    ax.set_axis_off()
    inner = ax.get_subplotspec().subgridspec(n_rows, n_columns, **gridspec)
    return inner.subplots(squeeze=False)


def _pyplot(display: object) -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            f"{type(display).__name__}.plot needs matplotlib: pip install 'skvae[plot]'."
        ) from error
    return pyplot
