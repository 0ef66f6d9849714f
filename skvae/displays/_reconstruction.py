"""Rows and what the model makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_array

from ._axes import new_axes
from ._colors import FIRST
from ._images import draw_images, image_shape_of, to_images
from ._tables import column_names, panels, panels_size, table


class ReconstructionDisplay:
    """Originals and their reconstructions: images above each other, or tables by column.

    Make one with `from_estimator` or `from_rows`; the constructor takes what is drawn.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Originals.
    X_reconstructed : ndarray of shape (n_samples, n_features)
        Their reconstructions.
    image_shape : tuple of int, default=None
        (height, width) or (channels, height, width) of the image in a row. None if rows are
        not images.
    feature_names : sequence of str, default=None
        Names of the columns.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn; emptied if it was divided.
    axes_ : ndarray of matplotlib Axes
        Of a table, one for each column shown; of images, `ax_` alone.
    figure_ : matplotlib Figure
        The figure around them.

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
        """Draw rows and what an estimator's `inverse_transform` makes of their codes.

        Parameters
        ----------
        estimator : fitted transformer
            A `VAETransformer`, a pipeline that ends in one, or any other with
            `inverse_transform`.
        X : array-like of shape (n_samples, n_features)
            Rows.
        image_shape : tuple of int, default=None
            (height, width) or (channels, height, width) of the image in a row. None takes the
            estimator's; if that has none either, the rows are a table.
        **options : dict
            As `from_rows` takes them.

        Returns
        -------
        display : ReconstructionDisplay
        """
        shape = image_shape_of(estimator, image_shape)
        reconstructed = estimator.inverse_transform(estimator.transform(X))
        return cls.from_rows(X, reconstructed, image_shape=shape, **options)

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
        """Draw rows and their reconstructions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Originals.
        X_reconstructed : array-like of shape (n_samples, n_features)
            Their reconstructions.
        image_shape : tuple of int, default=None
            (height, width) or (channels, height, width) of the image in a row. None if rows
            are not images.
        feature_names : sequence of str, default=None
            Names of the columns. None takes those of a frame.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.
        **plot_options : dict
            As `plot` takes them.

        Returns
        -------
        display : ReconstructionDisplay
        """
        numbers, names = table(X, feature_names)
        reconstructed = check_array(X_reconstructed, input_name="X_reconstructed")
        if numbers.shape != reconstructed.shape:
            raise ValueError(
                f"X has shape {numbers.shape}, but X_reconstructed {reconstructed.shape}."
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
        """Draw originals over reconstructions, or against them for each column of a table.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; divided for a table. None makes a new figure.
        n_images : int, default=10
            Draw the first so many images.
        max_features : int, default=12
            Draw the first so many columns of a table.
        scatter_kwargs : dict, default=None
            For ``ax.scatter`` of a table, over the defaults.
        imshow_kwargs : dict, default=None
            For ``ax.imshow`` of images, over the defaults.

        Returns
        -------
        display : ReconstructionDisplay
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
            ax = new_axes(panels_size(n_panels)) if ax is None else ax
            self.axes_ = panels(ax, n_panels)
            self._draw_columns(scatter_kwargs or {})
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_columns(self, kwargs: dict[str, Any]) -> None:
        defaults = {"color": FIRST, "linewidths": 0, "alpha": 0.5, "rasterized": True}
        defaults["s"] = np.clip(5_000 / len(self.X), 1.0, 15.0)
        names = column_names(self.feature_names, self.X.shape[1])
        for i, panel in enumerate(self.axes_):
            original, reconstructed = self.X[:, i], self.X_reconstructed[:, i]
            panel.scatter(original, reconstructed, **{**defaults, **kwargs})
            panel.axline((original.mean(),) * 2, slope=1, color="black", linewidth=0.8)
            panel.set_title(f"{names[i]}, R² = {r2_score(original, reconstructed):.2f}", fontsize=9)
        self.axes_[0].set(xlabel="original", ylabel="reconstruction")
