"""Several embeddings of the same rows side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_array, column_or_1d

from ._axes import divide, new_axes
from ._latent_space import LatentSpaceDisplay


class EmbeddingsDisplay:
    """Embeddings of the same rows in two dimensions, one panel each.

    Make one with `from_estimators` or `from_codes`; the constructor takes what is drawn.

    Parameters
    ----------
    codes : dict of str to ndarray of shape (n_samples, 2)
        Points by the name of the method.
    labels : ndarray of shape (n_samples,), default=None
        Classes, or real numbers.
    target_names : sequence of str, default=None
        Names of the classes 0, 1, ... for integer labels.
    titles : dict of str to str, default=None
        Title for each name.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was divided.
    axes_ : ndarray of matplotlib Axes, of shape (n_embeddings,)
        One for each embedding.
    figure_ : matplotlib Figure
        The figure around them.

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
        """Draw what several fitted estimators make of the same rows.

        Parameters
        ----------
        estimators : dict of str to fitted transformer
            Estimators with `transform`, by name.
        X : array-like of shape (n_samples, n_features)
            Rows to embed.
        y : array-like of shape (n_samples,), default=None
            Their classes, or real numbers.
        **options : dict
            As `from_codes` takes them.

        Returns
        -------
        display : EmbeddingsDisplay
        """
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
        """Draw several embeddings.

        Parameters
        ----------
        codes : dict of str to array-like of shape (n_samples, 2)
            Embeddings by name, as `skvae.metrics.compare_embeddings` returns them.
        y : array-like of shape (n_samples,), default=None
            Classes of the rows, or real numbers.
        target_names : sequence of str, default=None
            Names of the classes 0, 1, ... for integer `y`.
        titles : dict of str to str, default=None
            Titles of the panels. None takes the names.
        ax : matplotlib Axes, default=None
            Where to draw; it is divided. None makes a new figure.
        **plot_options : dict
            As `plot` takes them.

        Returns
        -------
        display : EmbeddingsDisplay
        """
        points = {name: check_array(Z, input_name=name) for name, Z in codes.items()}
        if not points:
            raise ValueError("There are no embeddings to draw.")
        wrong = {name: Z.shape for name, Z in points.items() if Z.shape[1] != 2}
        if wrong:
            raise ValueError(f"Embeddings must have two columns; got shapes {wrong}.")
        labels = None if y is None else column_or_1d(y)
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
        """Draw the embeddings from left to right, with one legend.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; it is divided. None makes a new figure.
        legend : bool, default=True
            Whether to add a legend of the classes, or a colour bar.
        scatter_kwargs : dict, default=None
            For ``ax.scatter``, over the defaults.

        Returns
        -------
        display : EmbeddingsDisplay
        """
        ax = new_axes((4.2 * len(self.codes), 4.2)) if ax is None else ax
        self.axes_ = divide(ax, 1, len(self.codes))[0]
        for panel, (name, points) in zip(self.axes_, self.codes.items(), strict=True):
            display = LatentSpaceDisplay(
                codes=points, labels=self.labels, target_names=self.target_names
            )
            # The legend of the last stands for all: they have the same classes.
            last = legend and panel is self.axes_[-1]
            display.plot(panel, legend=last, scatter_kwargs=scatter_kwargs)
            panel.set(title=(self.titles or {}).get(name, name), xticks=[], yticks=[])
        self.ax_, self.figure_ = ax, ax.figure
        return self
