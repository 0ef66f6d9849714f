"""Plots of several embeddings of the same rows, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_array

from ..estimators import VAEImputer
from ._axes import new_axes, split_axes
from ._colors import check_labels
from ._estimators import check_methods
from ._latent_space import LatentSpaceDisplay


class EmbeddingsDisplay:
    """Scatter plots of several two-dimensional embeddings of the same rows.

    Create a display with `from_estimators` or `from_codes`. The constructor takes the data to draw.

    Parameters
    ----------
    codes : dict of str to ndarray of shape (n_samples, 2)
        Embeddings by the name of the method.
    labels : ndarray of shape (n_samples,), default=None
        Classes or real numbers, shown as colours.
    target_names : sequence of str, default=None
        Names of the classes 0, 1, ... for integer labels.
    titles : dict of str to str, default=None
        Titles of the panels by the name of the method. By default, the names.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot, emptied if there are several panels.
    axes_ : ndarray of matplotlib Axes, of shape (n_embeddings,)
        Axes of the panel of each embedding.
    figure_ : matplotlib Figure
        Figure of the plot.

    See Also
    --------
    skvae.metrics.compare_embeddings : Computation and evaluation of embeddings.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from skvae import VAETransformer
    >>> from skvae.displays import EmbeddingsDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> vae = VAETransformer(likelihood="bernoulli", max_iter=5, random_state=0)
    >>> estimators = {"PCA": PCA(2).fit(X / 16), "VAE": vae.fit(X / 16)}
    >>> display = EmbeddingsDisplay.from_estimators(estimators, X / 16, y)
    >>> [ax.get_title() for ax in display.axes_]
    ['PCA', 'VAE']
    """

    def __init__(
        self,
        *,
        codes: Mapping[str, np.ndarray],
        labels: np.ndarray | None = None,
        target_names: Sequence[str] | None = None,
        titles: Mapping[str, str] | None = None,
    ) -> None:
        self.codes = codes
        self.labels = labels
        self.target_names = target_names
        self.titles = titles

    @classmethod
    def from_estimators(
        cls, estimators: Mapping[str, Any], X: Any, y: Any = None, **options: Any
    ) -> Self:
        """Embed rows with several fitted estimators and plot the embeddings.

        Parameters
        ----------
        estimators : dict of str to fitted transformer
            Estimators with `transform`, by name.
        X : array-like of shape (n_samples, n_features)
            Rows to embed.
        y : array-like of shape (n_samples,), default=None
            Classes or real numbers, shown as colours.
        **options : dict
            Keyword arguments of `from_codes`.

        Returns
        -------
        display : EmbeddingsDisplay
            Object that stores the data and the axes.

        Raises
        ------
        TypeError
            If an estimator does not compute codes: an outlier detector or an imputer.
        """
        for estimator in estimators.values():
            check_methods(cls, estimator, "transform", refused=(VAEImputer,))
        codes = {name: estimator.transform(X) for name, estimator in estimators.items()}
        return cls.from_codes(codes, y, **options)

    @classmethod
    def from_codes(
        cls,
        codes: Mapping[str, Any],
        y: Any = None,
        *,
        target_names: Sequence[str] | None = None,
        titles: Mapping[str, str] | None = None,
        ax: Any = None,
        **plot_options: Any,
    ) -> Self:
        """Plot several embeddings.

        Parameters
        ----------
        codes : dict of str to array-like of shape (n_samples, 2)
            Embeddings by name, as returned by `skvae.metrics.compare_embeddings`.
        y : array-like of shape (n_samples,), default=None
            Classes or real numbers, shown as colours.
        target_names : sequence of str, default=None
            Names of the classes 0, 1, ... for integer `y`.
        titles : dict of str to str, default=None
            Titles of the panels by the name of the method. By default, the names.
        ax : matplotlib Axes, default=None
            Axes to draw on, split if there are several embeddings. By default, a new figure is
            created.
        **plot_options : dict
            Keyword arguments of `plot`.

        Returns
        -------
        display : EmbeddingsDisplay
            Object that stores the data and the axes.

        Raises
        ------
        ValueError
            If `codes` is empty, an embedding does not have two columns, or the numbers of rows
            differ.
        """
        points = {name: check_array(Z, input_name=name) for name, Z in codes.items()}
        if not points:
            raise ValueError("codes must contain at least one embedding; got an empty mapping.")
        invalid = {name: Z.shape for name, Z in points.items() if Z.shape[1] != 2}
        if invalid:
            raise ValueError(
                f"Each embedding must have two columns; got the shapes {invalid}. Use "
                "LatentSpaceDisplay for embeddings of other dimensions."
            )
        labels = check_labels(y)
        check_consistent_length(*points.values(), labels)
        display = cls(codes=points, labels=labels, target_names=target_names, titles=titles)
        return display.plot(ax, **plot_options)

    def plot(
        self,
        ax: Any = None,
        *,
        legend: bool = True,
        scatter_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Plot the embeddings from left to right, with a common legend.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on, split if there are several embeddings. By default, a new figure is
            created.
        legend : bool, default=True
            Whether to add a legend of the classes or, for real numbers, a colour bar.
        scatter_kwargs : dict, default=None
            Keyword arguments for ``ax.scatter``, overriding the defaults.

        Returns
        -------
        display : EmbeddingsDisplay
            Object that stores the data and the axes.
        """
        ax = new_axes((4.2 * len(self.codes), 4.2)) if ax is None else ax
        self.axes_ = split_axes(ax, 1, len(self.codes))[0]
        for panel, (name, points) in zip(self.axes_, self.codes.items(), strict=True):
            display = LatentSpaceDisplay(
                codes=points, labels=self.labels, target_names=self.target_names
            )
            # All panels have the same classes, so the legend of the last panel is enough.
            last = legend and panel is self.axes_[-1]
            display.plot(panel, legend=last, scatter_kwargs=scatter_kwargs)
            panel.set(title=(self.titles or {}).get(name, name), xticks=[], yticks=[])
        self.ax_, self.figure_ = ax, ax.figure
        return self
