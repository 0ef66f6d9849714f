"""Creation and division of matplotlib axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..utils import import_optional


def new_axes(figsize: tuple[float, float]) -> Any:
    """Return the axes of a new figure."""
    plt = import_optional("matplotlib.pyplot", "skvae.displays")
    return plt.subplots(figsize=figsize, layout="constrained")[1]


def split_axes(ax: Any, n_rows: int, n_columns: int, **gridspec: Any) -> np.ndarray:
    """Replace axes by a grid of axes.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to split, emptied unless the grid has a single cell.
    n_rows, n_columns : int
        Shape of the grid.
    **gridspec : dict
        Keyword arguments for ``subgridspec``.

    Returns
    -------
    axes : ndarray of matplotlib Axes, of shape (n_rows, n_columns)
        New axes, or `ax` itself if the grid has a single cell.

    Raises
    ------
    ValueError
        If `ax` is not part of a grid of subplots.
    """
    if n_rows == n_columns == 1:
        return np.array([[ax]])
    spec = ax.get_subplotspec()
    if spec is None:
        raise ValueError(
            "For a plot of several panels, ax must belong to a grid of subplots. Create ax with "
            "plt.subplots."
        )
    current = ax.figure.gca()
    ax.set_axis_off()
    axes = spec.subgridspec(n_rows, n_columns, **gridspec).subplots(squeeze=False)
    ax.figure.sca(current)  # new axes become the current axes of pyplot
    return axes
