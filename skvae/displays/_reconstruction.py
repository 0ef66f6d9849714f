"""Plots of rows and reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils import check_scalar

from ._axes import new_axes
from ._colors import PRIMARY_COLOR
from ._estimators import (
    apply_earlier_steps,
    check_methods,
    condition_positions,
    final_estimator,
    invert_earlier_steps,
    modelled_names,
    without_conditions,
)
from ._images import draw_images, resolve_image_shape, to_images
from ._tables import align_frame, check_table, column_names, panel_grid, panel_grid_size


class ReconstructionDisplay:
    """Comparison of rows with reconstructions.

    Images are drawn above the reconstructed images. For tables, each column has a scatter plot of
    reconstructed against original values. Create a display with `from_estimator` or `from_rows`.
    The constructor takes the data to draw.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Original rows.
    X_reconstructed : ndarray of shape (n_samples, n_features)
        Reconstructed rows.
    image_shape : tuple of int, default=None
        Shape of an image: (height, width) or (channels, height, width). None for tables.
    feature_names : sequence of str, default=None
        Names of the columns of a table. By default, x0, x1, ...

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot, emptied if there are several panels.
    axes_ : ndarray of matplotlib Axes
        Axes of the panel of each column of a table, or only `ax_` for images.
    figure_ : matplotlib Figure
        Figure of the plot.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAETransformer
    >>> from skvae.displays import ReconstructionDisplay
    >>> X = load_digits().data / 16
    >>> vae = VAETransformer(likelihood="bernoulli", max_iter=5, random_state=0).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(vae, X[:10], image_shape=(8, 8))
    """

    def __init__(
        self,
        *,
        X: np.ndarray,
        X_reconstructed: np.ndarray,
        image_shape: tuple[int, ...] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.X = X
        self.X_reconstructed = X_reconstructed
        self.image_shape = image_shape
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        image_shape: tuple[int, ...] | None = None,
        **options: Any,
    ) -> Self:
        """Reconstruct rows with `transform` and `inverse_transform`, and plot both.

        Parameters
        ----------
        estimator : fitted transformer
            `VAETransformer`, or any other transformer or pipeline with `inverse_transform`.
        X : array-like of shape (n_samples, n_features)
            Rows to reconstruct.
        image_shape : tuple of int, default=None
            Shape of an image: (height, width) or (channels, height, width). By default, the
            `image_shape` of the estimator. If both are None, X is a table.
        **options : dict
            Keyword arguments of `from_rows`.

        Returns
        -------
        display : ReconstructionDisplay
            Object that stores the data and the axes.

        Raises
        ------
        TypeError
            If the estimator has no `inverse_transform`.
        ValueError
            If X has columns of other values than finite numbers.
        """
        check_methods(cls, estimator, "inverse_transform")
        shape = resolve_image_shape(estimator, image_shape)
        original = without_conditions(estimator, X)
        if shape is None:
            check_table(original, None)
        if condition_positions(estimator):
            rows = final_estimator(estimator).reconstruct(apply_earlier_steps(estimator, X))
            reconstructed = invert_earlier_steps(estimator, without_conditions(estimator, rows))
        else:
            reconstructed = estimator.inverse_transform(estimator.transform(X))
        if options.get("feature_names") is None:
            options["feature_names"] = modelled_names(estimator, X)
        return cls.from_rows(original, reconstructed, image_shape=shape, **options)

    @classmethod
    def from_rows(
        cls,
        X: Any,
        X_reconstructed: Any,
        *,
        image_shape: tuple[int, ...] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **plot_options: Any,
    ) -> Self:
        """Plot rows and reconstructions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Original rows.
        X_reconstructed : array-like of shape (n_samples, n_features)
            Reconstructed rows.
        image_shape : tuple of int, default=None
            Shape of an image: (height, width) or (channels, height, width). None for tables.
        feature_names : sequence of str, default=None
            Names of the columns of a table. By default, the column names of a frame, or x0, x1, ...
        ax : matplotlib Axes, default=None
            Axes to draw on, split for tables. By default, a new figure is created.
        **plot_options : dict
            Keyword arguments of `plot`.

        Returns
        -------
        display : ReconstructionDisplay
            Object that stores the data and the axes.

        Raises
        ------
        ValueError
            If the shapes of `X`, `X_reconstructed`, `image_shape` or `feature_names` do not match.
        """
        numbers, names = check_table(X, feature_names)
        aligned = align_frame(X_reconstructed, X)
        reconstructed, _ = check_table(aligned, None, "X_reconstructed")
        if numbers.shape != reconstructed.shape:
            raise ValueError(
                f"X has shape {numbers.shape}, but X_reconstructed has shape {reconstructed.shape}."
            )
        display = cls(
            X=numbers, X_reconstructed=reconstructed, image_shape=image_shape, feature_names=names
        )
        return display.plot(ax, **plot_options)

    def plot(
        self,
        ax: Any = None,
        *,
        n_images: int = 10,
        max_features: int = 12,
        scatter_kwargs: dict[str, Any] | None = None,
        imshow_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Plot the images, or a panel for each column of a table.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on, split for tables. By default, a new figure is created.
        n_images : int, default=10
            Maximum number of images. The first images are shown.
        max_features : int, default=12
            Maximum number of columns of a table. The first columns are shown.
        scatter_kwargs : dict, default=None
            Keyword arguments for ``ax.scatter`` (tables), overriding the defaults.
        imshow_kwargs : dict, default=None
            Keyword arguments for ``ax.imshow`` (images), overriding the defaults.

        Returns
        -------
        display : ReconstructionDisplay
            Object that stores the data and the axes.
        """
        check_scalar(n_images, "n_images", Integral, min_val=1)
        check_scalar(max_features, "max_features", Integral, min_val=1)
        if self.image_shape is not None:
            pairs = np.stack([self.X[:n_images], self.X_reconstructed[:n_images]])
            images = to_images(pairs, self.image_shape)
            ax = new_axes((0.8 * images.shape[1] + 1.2, 1.8)) if ax is None else ax
            draw_images(ax, images, **imshow_kwargs or {})
            ax.set_xticks([])
            ax.set_yticks([0, 1], ["original", "reconstruction"])
            self.axes_ = np.array([ax])
        else:
            n_panels = min(max_features, self.X.shape[1])
            ax = new_axes(panel_grid_size(n_panels)) if ax is None else ax
            self.axes_ = panel_grid(ax, n_panels)
            self._draw_columns(scatter_kwargs or {})
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_columns(self, kwargs: dict[str, Any]) -> None:
        defaults = {"color": PRIMARY_COLOR, "linewidths": 0, "alpha": 0.5, "rasterized": True}
        defaults["s"] = np.clip(5_000 / len(self.X), 1.0, 15.0)
        names = column_names(self.feature_names, self.X.shape[1])
        for i, panel in enumerate(self.axes_):
            original, reconstructed = self.X[:, i], self.X_reconstructed[:, i]
            panel.scatter(original, reconstructed, **{**defaults, **kwargs})
            panel.axline((original.mean(),) * 2, slope=1, color="black", linewidth=0.8)
            title = names[i]
            if len(original) > 1:
                title += f", R² = {r2_score(original, reconstructed):.2f}"
            panel.set_title(title, fontsize=9, parse_math=False)
        self.axes_[0].set(xlabel="original", ylabel="reconstruction")
