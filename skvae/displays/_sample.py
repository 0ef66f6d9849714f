"""Plots of generated rows."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.utils import check_scalar

from ..estimators import TabularVAE
from ._axes import new_axes, split_axes
from ._colors import PRIMARY_COLOR, SECONDARY_COLOR
from ._estimators import (
    align_columns,
    check_methods,
    fitted_vae,
    invert_earlier_steps,
    modelled_names,
    without_conditions,
)
from ._images import GAP_IN_COLOR, draw_images, resolve_image_shape, to_images
from ._tables import align_frame, check_table, column_names, panel_grid, panel_grid_size

_N_IMAGES = 100
_CORRELATIONS_HEIGHT = 4.0  # inches
_MAX_NAMES = 20
_TITLES = ("real", "generated")


class SampleDisplay:
    """Generated rows: a grid of images, or a table compared with real rows.

    For tables, the plot shows the distribution of each column and the correlations between columns,
    for real and generated rows. Create a display with `from_estimator` or `from_rows`. The
    constructor takes the data to draw.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_features)
        Generated rows.
    X : ndarray of shape (n_real, n_features), default=None
        Real rows, required for tables.
    image_shape : tuple of int, default=None
        Shape of an image: (height, width) or (channels, height, width). None for tables.
    feature_names : sequence of str, default=None
        Names of the columns of a table. By default, x0, x1, ...

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot, emptied if there are several panels.
    axes_ : ndarray of matplotlib Axes
        For images, only `ax_`. For tables, the axes of the panel of each column, followed by the
        axes of the real and of the generated correlations.
    figure_ : matplotlib Figure
        Figure of the plot.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.displays import SampleDisplay
    >>> X = load_wine(as_frame=True).data
    >>> vae = VAETransformer(max_iter=5, random_state=0).fit(X)
    >>> display = SampleDisplay.from_estimator(vae, X, random_state=0)
    >>> len(display.axes_)
    14
    """

    def __init__(
        self,
        *,
        samples: np.ndarray,
        X: np.ndarray | None = None,
        image_shape: tuple[int, ...] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.samples = samples
        self.X = X
        self.image_shape = image_shape
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        n_samples: int | None = None,
        conditions: Any = None,
        noise: bool | None = None,
        random_state: Any = None,
        image_shape: tuple[int, ...] | None = None,
        **options: Any,
    ) -> Self:
        """Generate rows with a fitted estimator and plot the rows.

        Parameters
        ----------
        estimator : fitted estimator
            `VAETransformer`, or a pipeline or hyperparameter search with a `VAETransformer` as the
            final step. The `inverse_transform` of the earlier steps is applied to the generated
            rows.
        X : array-like of shape (n_real, n_features), default=None
            Real rows, required for tables.
        n_samples : int, default=None
            Number of rows to generate. By default, 100 for images, and the number of rows of `X`
            for tables.
        conditions : mapping or data frame, default=None
            Value of each condition column: a value for all rows, or a value for each row. Required
            if the model has condition columns. For a table,
            ``conditions=X`` takes the conditions of real rows from a data frame.
        noise : bool, default=None
            Whether to draw rows from the likelihood p(x | z) instead of returning the mean. By
            default, False for images and True for tables.
        random_state : int, RandomState instance or None, default=None
            Controls the generated rows. Pass an int for reproducible results.
        image_shape : tuple of int, default=None
            Shape of an image: (height, width) or (channels, height, width). By default, the
            `image_shape` of the estimator. If both are None, the rows are a table.
        **options : dict
            Keyword arguments of `from_rows`.

        Returns
        -------
        display : SampleDisplay
            Object that stores the data and the axes.

        Raises
        ------
        TypeError
            If the estimator has no `sample`, or is a `TabularVAE`, whose rows
            `SyntheticTableDisplay` draws.
        ValueError
            If the rows are a table and `X` is None, or has other columns than in `fit`.
        """
        vae = fitted_vae(estimator)
        check_methods(cls, estimator, "sample", refused=(TabularVAE,))
        shape = resolve_image_shape(estimator, image_shape)
        if n_samples is None:
            n_samples = _N_IMAGES if shape is not None else len(_check_real_rows(X))
        X = align_columns(estimator, X)
        samples = vae.sample(
            n_samples,
            conditions=conditions,
            noise=shape is None if noise is None else noise,
            random_state=random_state,
        )
        samples = invert_earlier_steps(estimator, samples)
        real = without_conditions(estimator, X)
        if options.get("feature_names") is None:
            options["feature_names"] = modelled_names(estimator, X)
        return cls.from_rows(samples, real, image_shape=shape, **options)

    @classmethod
    def from_rows(
        cls,
        samples: Any,
        X: Any = None,
        *,
        image_shape: tuple[int, ...] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **plot_options: Any,
    ) -> Self:
        """Plot generated rows.

        Parameters
        ----------
        samples : array-like of shape (n_samples, n_features)
            Generated rows.
        X : array-like of shape (n_real, n_features), default=None
            Real rows, required for tables.
        image_shape : tuple of int, default=None
            Shape of an image: (height, width) or (channels, height, width). None for tables.
        feature_names : sequence of str, default=None
            Names of the columns of a table. By default, the column names of the frame `X`, or x0,
            x1, ...
        ax : matplotlib Axes, default=None
            Axes to draw on, split for tables. By default, a new figure is created.
        **plot_options : dict
            Keyword arguments of `plot`.

        Returns
        -------
        display : SampleDisplay
            Object that stores the data and the axes.

        Raises
        ------
        ValueError
            If the rows are a table and `X` is None or has other columns.
        """
        generated, _ = check_table(align_frame(samples, X), None, "samples")
        if image_shape is not None:
            return cls(samples=generated, image_shape=image_shape).plot(ax, **plot_options)
        real, names = check_table(_check_real_rows(X), feature_names)
        if real.shape[1] != generated.shape[1]:
            raise ValueError(
                f"samples has {generated.shape[1]} columns, but X has {real.shape[1]} columns."
            )
        return cls(samples=generated, X=real, feature_names=names).plot(ax, **plot_options)

    def plot(
        self,
        ax: Any = None,
        *,
        max_features: int = 12,
        hist_kwargs: dict[str, Any] | None = None,
        imshow_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Plot the grid of images, or the distributions and correlations of a table.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on, split for tables. By default, a new figure is created.
        max_features : int, default=12
            Maximum number of distributions. The first columns of the table are shown. The
            correlations always include all columns.
        hist_kwargs : dict, default=None
            Keyword arguments for ``ax.hist`` (tables), overriding the defaults.
        imshow_kwargs : dict, default=None
            Keyword arguments for ``ax.imshow`` (images), overriding the defaults.

        Returns
        -------
        display : SampleDisplay
            Object that stores the data and the axes.
        """
        check_scalar(max_features, "max_features", Integral, min_val=1)
        if self.image_shape is not None:
            ax = new_axes((6.0, 6.0)) if ax is None else ax
            draw_images(
                ax, _arrange(to_images(self.samples, self.image_shape)), **imshow_kwargs or {}
            )
            ax.set(xticks=[], yticks=[])
            self.axes_ = np.array([ax])
        else:
            n_panels = min(max_features, self.samples.shape[1])
            if ax is None:
                width, height = panel_grid_size(n_panels)
                ax = new_axes((width, height + _CORRELATIONS_HEIGHT))
            self._draw_table(ax, n_panels, hist_kwargs or {})
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_table(self, ax: Any, n_panels: int, hist_kwargs: dict[str, Any]) -> None:
        real, generated = _check_real_rows(self.X), self.samples
        names = column_names(self.feature_names, generated.shape[1])
        _, height = panel_grid_size(n_panels)
        upper, lower = split_axes(ax, 2, 1, height_ratios=[height, _CORRELATIONS_HEIGHT])[:, 0]
        columns = panel_grid(upper, n_panels)
        for i, panel in enumerate(columns):
            _draw_marginal(panel, real[:, i], generated[:, i], hist_kwargs)
            panel.set_title(names[i], fontsize=9, parse_math=False)
        columns[0].set_ylabel("fraction of rows")
        columns[0].legend(fontsize=8)
        matrices = split_axes(lower, 1, 2)[0]
        for panel, rows, title in zip(matrices, (real, generated), _TITLES, strict=True):
            image = _draw_correlations(panel, rows, names)
            panel.set_title(f"correlations, {title}", fontsize=9)
        ax.figure.colorbar(image, ax=list(matrices), label="correlation")
        self.axes_ = np.array([*columns, *matrices])


def _draw_marginal(
    ax: Any, real: np.ndarray, generated: np.ndarray, kwargs: dict[str, Any]
) -> None:
    # Bins cover 99 % of the real values: with bins for the extremes, most rows would share a bin.
    lowest, highest = np.quantile(real, [0.005, 0.995])
    if lowest == highest:
        lowest, highest = real.min() - 0.5, real.max() + 0.5
    bins = np.linspace(lowest, highest, 31)
    for values, label, style in (
        (real, _TITLES[0], {"color": PRIMARY_COLOR, "alpha": 0.5}),
        (generated, _TITLES[1], {"color": SECONDARY_COLOR, "histtype": "step"}),
    ):
        # Weights make each bar a fraction of all rows, including the rows outside the bins.
        weights = np.full(len(values), 1 / len(values))
        ax.hist(values, bins, **{"weights": weights, "label": label, **style, **kwargs})
    ax.set_yticks([])


def _draw_correlations(ax: Any, rows: np.ndarray, names: Sequence[str]) -> Any:
    correlations = np.full((rows.shape[1],) * 2, np.nan)
    if len(rows) > 1:
        with np.errstate(invalid="ignore", divide="ignore"):  # NaN for constant columns
            correlations = np.corrcoef(rows, rowvar=False)
    image = ax.imshow(np.atleast_2d(correlations), cmap="RdBu_r", vmin=-1, vmax=1)
    if len(names) <= _MAX_NAMES:
        text = {"fontsize": 7, "parse_math": False}  # "$" is no formula
        ax.set_xticks(range(len(names)), names, rotation=90, **text)
        ax.set_yticks(range(len(names)), names, **text)
    else:
        ax.set(xticks=[], yticks=[])
    return image


def _arrange(images: np.ndarray) -> np.ndarray:
    """Arrange images in a nearly square grid, with nothing at the end of the last row."""
    n_columns = int(np.ceil(np.sqrt(len(images))))
    n_rows = -(-len(images) // n_columns)
    blank = n_rows * n_columns - len(images)
    padding = [(0, blank), *((0, 0) for _ in images.shape[1:])]
    nothing = GAP_IN_COLOR if images.ndim == 4 else np.nan
    padded = np.pad(images.astype(np.float64), padding, constant_values=nothing)
    return padded.reshape(n_rows, n_columns, *images.shape[1:])


def _check_real_rows(X: Any) -> Any:
    if X is None:
        raise ValueError("For images, pass image_shape; for a table, pass real rows as X.")
    return X
