"""Scatter plot of codes, coloured by class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, NamedTuple, Self

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.utils import check_consistent_length, check_scalar
from sklearn.utils.validation import check_array

from ..estimators import BaseVAE, VAEImputer
from ..utils import local_random_state
from ._axes import new_axes
from ._colors import Classes, check_labels
from ._estimators import check_methods, final_estimator

_MAX_TSNE_POINTS = 5_000
_MAX_LEGEND_ROWS = 20
_GRID_SIZE = 200
_CONTOURS = (0.5, 0.9, 0.99)


class Density(NamedTuple):
    """Density on a grid of codes."""

    x: np.ndarray  # (n,)
    y: np.ndarray  # (n,)
    values: np.ndarray  # (n, n), by y and x

    @classmethod
    def on_grid(cls, log_density: Callable[[np.ndarray], np.ndarray], codes: np.ndarray) -> Self:
        """Evaluate a density on a grid that covers the codes, with a margin."""
        low, high = codes.min(axis=0), codes.max(axis=0)
        margin = 0.2 * (high - low)
        x, y = np.linspace(low - margin, high + margin, _GRID_SIZE).T
        grid = np.stack(np.meshgrid(x, y), -1)
        log_values = log_density(grid.reshape(-1, 2)).reshape(grid.shape[:2])
        return cls(x, y, np.exp(log_values - log_values.max()))

    def draw(self, ax: Any) -> None:
        """Draw contours around the regions of highest density."""
        ordered = np.sort(self.values, axis=None)[::-1]
        probability = ordered.cumsum() / ordered.sum()
        levels = np.unique(ordered[np.searchsorted(probability, _CONTOURS)])
        ax.contour(self.x, self.y, self.values, levels, colors="black", linewidths=0.8, alpha=0.7)


class LatentSpaceDisplay:
    """Scatter plot or histogram of codes, coloured by class or value.

    Create a display with `from_estimator` or `from_codes`. The constructor takes the data to draw.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, 1) or (n_samples, 2)
        Codes in one dimension (histogram) or two dimensions (scatter plot).
    labels : ndarray of shape (n_samples,), default=None
        Classes or real numbers, shown as colours; numbers as heights if `codes` have one
        dimension.
    target_names : sequence of str, default=None
        Names of the classes 0, 1, ... for integer labels.
    axis_names : sequence of str, default=None
        Names of the columns of `codes`, shown as axis labels.
    density : Density, default=None
        Density of the prior on a grid, drawn as contours.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure of the plot.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAETransformer
    >>> from skvae.displays import LatentSpaceDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> vae = VAETransformer(likelihood="bernoulli", max_iter=5, random_state=0).fit(X / 16)
    >>> display = LatentSpaceDisplay.from_estimator(vae, X / 16, y)
    >>> display.ax_.get_xlabel()
    'z[0]'
    """

    def __init__(
        self,
        *,
        codes: np.ndarray,
        labels: np.ndarray | None = None,
        target_names: Sequence[str] | None = None,
        axis_names: Sequence[str] | None = None,
        density: Density | None = None,
    ) -> None:
        self.codes = codes
        self.labels = labels
        self.target_names = target_names
        self.axis_names = axis_names
        self.density = density

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any = None, **options: Any) -> Self:
        """Encode rows with `transform` and plot the codes.

        For two latent dimensions and a learned prior, contours show the density of the prior.

        Parameters
        ----------
        estimator : fitted transformer
            `VAETransformer`, or any other transformer or pipeline with `transform`.
        X : array-like of shape (n_samples, n_features)
            Rows to encode.
        y : array-like of shape (n_samples,), default=None
            Classes or real numbers, shown as colours; numbers as heights if codes have one
            dimension.
        **options : dict
            Keyword arguments of `from_codes`.

        Returns
        -------
        display : LatentSpaceDisplay
            Object that stores the data and the axes.

        Raises
        ------
        TypeError
            If the estimator does not compute codes: an outlier detector or an imputer.
        """
        check_methods(cls, estimator, "transform", refused=(VAEImputer,))
        final = final_estimator(estimator)
        if isinstance(final, BaseVAE) and final.module_.learns_prior:
            options.setdefault("log_density", final._log_prior)
        return cls.from_codes(estimator.transform(X), y, **options)

    @classmethod
    def from_codes(
        cls,
        Z: Any,
        y: Any = None,
        *,
        target_names: Sequence[str] | None = None,
        projection: Any = "pca",
        max_points: int | None = None,
        log_density: Callable[[np.ndarray], np.ndarray] | None = None,
        random_state: Any = 0,
        ax: Any = None,
        **plot_options: Any,
    ) -> Self:
        """Plot codes, projected to two dimensions if necessary.

        Parameters
        ----------
        Z : array-like of shape (n_samples, latent_dim)
            Codes.
        y : array-like of shape (n_samples,), default=None
            Classes or real numbers, shown as colours; numbers as heights if codes have one
            dimension.
        target_names : sequence of str, default=None
            Names of the classes 0, 1, ... for integer `y`.
        projection : {"pca", "tsne"} or transformer, default="pca"
            Projection of codes with more than two dimensions: the first two principal components,
            t-SNE, or the first two columns returned by `fit_transform` of a transformer. The
            transformer itself is cloned, not fitted.
        max_points : int, default=None
            Maximum number of codes to plot. From a larger number of codes, a random subset is drawn
            before the projection. By default, there is no limit, except 5,000 codes for t-SNE.
        log_density : callable, default=None
            Maps codes, (n, 2), to log-densities, (n,). Contours show the regions of highest density
            with 50%, 90% and 99% of the probability. Ignored unless codes have two dimensions.
        random_state : int, RandomState instance or None, default=0
            Controls the random subset and the initialization of t-SNE. Pass an int for reproducible
            results.
        ax : matplotlib Axes, default=None
            Axes to draw on. By default, a new figure is created.
        **plot_options : dict
            Keyword arguments of `plot`.

        Returns
        -------
        display : LatentSpaceDisplay
            Object that stores the data and the axes.

        Raises
        ------
        ValueError
            If `projection` is invalid, `Z` and `y` differ in length, or a label is missing.
        """
        codes = check_array(Z, input_name="Z")
        labels = check_labels(y)
        check_consistent_length(codes, labels)
        rng = local_random_state(random_state)
        projected = codes.shape[1] > 2
        if max_points is None and projected and projection == "tsne":
            max_points = _MAX_TSNE_POINTS
        if max_points is not None:
            check_scalar(max_points, "max_points", Integral, min_val=1)
            n_points = min(max_points, len(codes))
            chosen = np.sort(rng.choice(len(codes), n_points, replace=False))
            codes = codes[chosen]
            labels = None if labels is None else labels[chosen]
        axis_names = [f"z[{i}]" for i in range(codes.shape[1])]
        if projected:
            codes, axis_names = _project(codes, projection, rng)
        density = None
        if log_density is not None and codes.shape[1] == 2 and not projected:
            density = Density.on_grid(log_density, codes)
        display = cls(
            codes=codes,
            labels=labels,
            target_names=target_names,
            axis_names=axis_names,
            density=density,
        )
        return display.plot(ax, **plot_options)

    def plot(
        self,
        ax: Any = None,
        *,
        legend: bool = True,
        scatter_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Plot the codes.

        Points are drawn in random order, so that no class hides another class. The size of the
        points decreases with the number of codes. In vector graphics, the points are rasterized.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. By default, a new figure is created.
        legend : bool, default=True
            Whether to add a legend of the classes or, for real numbers, a colour bar.
        scatter_kwargs : dict, default=None
            Keyword arguments for ``ax.scatter``, or ``ax.hist`` for one-dimensional codes,
            overriding the defaults.

        Returns
        -------
        display : LatentSpaceDisplay
            Object that stores the data and the axes.
        """
        ax = new_axes((6.4, 5.2)) if ax is None else ax
        classes = Classes.from_labels(self.labels, self.target_names)
        if self.codes.shape[1] == 1 and classes is None and self.labels is not None:
            points = np.column_stack([self.codes, self.labels])
            _draw_points(ax, points, None, scatter_kwargs or {})
            ax.set(aspect="auto", ylabel="y")
        elif self.codes.shape[1] == 1:
            _draw_histograms(ax, self.codes[:, 0], classes, scatter_kwargs or {})
        else:
            points = _draw_points(ax, self.codes, self._colors(classes), scatter_kwargs or {})
            if self.density is not None:
                self.density.draw(ax)
            if legend and classes is None and self.labels is not None:
                ax.figure.colorbar(points, ax=ax)
        if legend and classes is not None:
            outside = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "frameon": False}
            n_columns = -(-len(classes.names) // _MAX_LEGEND_ROWS)
            ax.legend(handles=classes.legend_handles(), ncols=n_columns, **outside)
        for axis, name in zip((ax.xaxis, ax.yaxis), self.axis_names or (), strict=False):
            axis.set_label_text(name)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _colors(self, classes: Classes | None) -> np.ndarray | None:
        return self.labels if classes is None else classes.colors[classes.indices]


def _draw_points(
    ax: Any, points: np.ndarray, colors: np.ndarray | None, kwargs: dict[str, Any]
) -> Any:
    order = np.random.RandomState(0).permutation(len(points))
    defaults: dict[str, Any] = {
        "s": np.clip(20_000 / len(points), 1.0, 20.0),
        "alpha": 0.5 if len(points) > 10_000 else 0.8,
        "linewidths": 0,
        "rasterized": True,
    }
    if colors is not None:
        defaults["c"] = colors[order]
    ax.set_aspect("equal", adjustable="datalim")
    return ax.scatter(*points[order].T, **{**defaults, **kwargs})


def _draw_histograms(
    ax: Any, values: np.ndarray, classes: Classes | None, kwargs: dict[str, Any]
) -> None:
    defaults = {"bins": np.histogram_bin_edges(values, 60), "histtype": "stepfilled", "alpha": 0.5}
    if classes is None:
        ax.hist(values, **{**defaults, **kwargs})
    else:
        for index, color in enumerate(classes.colors):
            ax.hist(values[classes.indices == index], **{**defaults, "color": color, **kwargs})
    ax.set_ylabel("rows")


def _project(
    codes: np.ndarray, projection: Any, rng: np.random.RandomState
) -> tuple[np.ndarray, list[str]]:
    """Project codes to two dimensions, and return the projection with names of the axes."""
    if len(codes) < 2:
        raise ValueError(
            f"A projection to two dimensions requires at least two codes; got {len(codes)}."
        )
    if projection == "pca":
        pca = PCA(2)
        with np.errstate(invalid="ignore"):  # NaN for equal codes
            ratios = np.nan_to_num(pca.fit(codes).explained_variance_ratio_)
        names = [
            f"principal component {i + 1} of z ({ratio:.0%} of variance)"
            for i, ratio in enumerate(ratios)
        ]
        return pca.transform(codes), names
    if projection == "tsne":
        return TSNE(2, random_state=rng).fit_transform(codes), ["t-SNE 1 of z", "t-SNE 2 of z"]
    if not hasattr(projection, "fit_transform"):
        raise ValueError(
            "projection must be 'pca', 'tsne' or a transformer with fit_transform; got "
            f"{projection!r}."
        )
    name = type(projection).__name__
    projected = check_array(clone(projection).fit_transform(codes))[:, :2]
    return projected, [f"{name} {i + 1} of z" for i in range(projected.shape[1])]
