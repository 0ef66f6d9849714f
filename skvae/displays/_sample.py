"""Rows that the model generates."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_array

from ._axes import divide, new_axes
from ._colors import FIRST, SECOND
from ._estimators import fitted_vae, undo_earlier_steps
from ._images import draw_images, image_shape_of, to_images
from ._tables import column_names, panels, panels_size, table

_N_IMAGES = 100
_CORRELATIONS_HEIGHT = 4.0  # inches
_MOST_NAMES = 20
_TITLES = ("real", "generated")


class SampleDisplay:
    """Generated rows: images in a grid, or a table next to real rows.

    Of a table it shows the distribution of each column and the correlations between columns,
    real and generated. Make one with `from_estimator` or `from_rows`; the constructor takes what
    is drawn.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_features)
        Generated rows.
    X : ndarray of shape (n_real, n_features), default=None
        Real rows. A table needs them.
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
        Of a table, one for each column shown, and then those of the real and of the generated
        correlations; of images, `ax_` alone.
    figure_ : matplotlib Figure
        The figure around them.

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
        noise: bool | None = None,
        random_state: Any = None,
        image_shape: tuple[int, ...] | None = None,
        **options: Any,
    ) -> Self:
        """Draw rows that an estimator generates.

        Parameters
        ----------
        estimator : fitted estimator
            A `VAETransformer`, or a pipeline or search that ends in one. The earlier steps
            of a pipeline are undone by their `inverse_transform`.
        X : array-like of shape (n_real, n_features), default=None
            Real rows, for a table.
        n_samples : int, default=None
            Number of rows to generate. None is 100 images, or as many rows as `X` has.
        noise : bool, default=None
            Whether rows are drawn from p(x | z) or are its mean. None is the mean for
            images, and draws for a table.
        random_state : int, RandomState instance or None, default=None
            Determines the rows.
        image_shape : tuple of int, default=None
            (height, width) or (channels, height, width) of the image in a row. None takes the
            estimator's; if that has none either, the rows are a table.
        **options : dict
            As `from_rows` takes them.

        Returns
        -------
        display : SampleDisplay
        """
        shape = image_shape_of(estimator, image_shape)
        if n_samples is None:
            n_samples = _N_IMAGES if shape is not None else len(_given(X))
        samples = fitted_vae(estimator).sample(
            n_samples, noise=shape is None if noise is None else noise, random_state=random_state
        )
        samples = undo_earlier_steps(estimator, samples)
        return cls.from_rows(samples, X, image_shape=shape, **options)

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
        """Draw generated rows.

        Parameters
        ----------
        samples : array-like of shape (n_samples, n_features)
            Generated rows.
        X : array-like of shape (n_real, n_features), default=None
            Real rows, for a table.
        image_shape : tuple of int, default=None
            (height, width) or (channels, height, width) of the image in a row. None if rows
            are not images.
        feature_names : sequence of str, default=None
            Names of the columns. None takes those of the frame `X`.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.
        **plot_options : dict
            As `plot` takes them.

        Returns
        -------
        display : SampleDisplay

        Raises
        ------
        ValueError
            If the rows are neither images nor accompanied by real ones.
        """
        generated = check_array(samples, input_name="samples")
        if image_shape is not None:
            return cls(samples=generated, image_shape=image_shape).plot(ax, **plot_options)
        real, names = table(_given(X), feature_names)
        if real.shape[1] != generated.shape[1]:
            raise ValueError(
                f"Samples have {generated.shape[1]} columns, but X has {real.shape[1]}."
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
        """Draw the images in a grid, or the columns and correlations of the table.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; divided for a table. None makes a new figure.
        max_features : int, default=12
            Draw the distributions of the first so many columns of a table. Correlations are
            between all.
        hist_kwargs : dict, default=None
            For ``ax.hist`` of a table, over the defaults.
        imshow_kwargs : dict, default=None
            For ``ax.imshow`` of images, over the defaults.

        Returns
        -------
        display : SampleDisplay
        """
        check_scalar(max_features, "max_features", Integral, min_val=1)
        if self.image_shape is not None:
            ax = new_axes((6.0, 6.0)) if ax is None else ax
            draw_images(
                ax, _in_grid(to_images(self.samples, self.image_shape)), **imshow_kwargs or {}
            )
            ax.set(xticks=[], yticks=[])
            self.axes_ = np.array([ax])
        else:
            n_panels = min(max_features, self.samples.shape[1])
            if ax is None:
                width, height = panels_size(n_panels)
                ax = new_axes((width, height + _CORRELATIONS_HEIGHT))
            self._draw_table(ax, n_panels, hist_kwargs or {})
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_table(self, ax: Any, n_panels: int, hist_kwargs: dict[str, Any]) -> None:
        real, generated = _given(self.X), self.samples
        names = column_names(self.feature_names, generated.shape[1])
        _, height = panels_size(n_panels)
        upper, lower = divide(ax, 2, 1, height_ratios=[height, _CORRELATIONS_HEIGHT])[:, 0]
        columns = panels(upper, n_panels)
        for i, panel in enumerate(columns):
            _draw_marginal(panel, real[:, i], generated[:, i], hist_kwargs)
            panel.set_title(names[i], fontsize=9)
        columns[0].legend(fontsize=8)
        matrices = divide(lower, 1, 2)[0]
        for panel, rows, title in zip(matrices, (real, generated), _TITLES, strict=True):
            picture = _draw_correlations(panel, rows, names)
            panel.set_title(f"correlations, {title}", fontsize=9)
        ax.figure.colorbar(picture, ax=list(matrices))
        self.axes_ = np.array([*columns, *matrices])


def _draw_marginal(
    ax: Any, real: np.ndarray, generated: np.ndarray, kwargs: dict[str, Any]
) -> None:
    # Bins from the bulk of the real values: a few extreme ones would leave them all in one bin.
    lowest, highest = np.quantile(real, [0.005, 0.995])
    if lowest == highest:
        lowest, highest = real.min() - 0.5, real.max() + 0.5
    bins = np.linspace(lowest, highest, 31)
    for values, label, style in (
        (real, _TITLES[0], {"color": FIRST, "alpha": 0.5}),
        (generated, _TITLES[1], {"color": SECOND, "histtype": "step"}),
    ):
        # Weights make bars shares of all rows, those beyond the bins included.
        weights = np.full(len(values), 1 / len(values))
        ax.hist(values, bins, **{"weights": weights, "label": label, **style, **kwargs})
    ax.set_yticks([])


def _draw_correlations(ax: Any, rows: np.ndarray, names: Sequence[str]) -> Any:
    with np.errstate(invalid="ignore", divide="ignore"):  # constant columns correlate with none
        correlations = np.corrcoef(rows, rowvar=False)
    picture = ax.imshow(np.atleast_2d(correlations), cmap="RdBu_r", vmin=-1, vmax=1)
    if len(names) <= _MOST_NAMES:
        ax.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        ax.set_yticks(range(len(names)), names, fontsize=7)
    else:
        ax.set(xticks=[], yticks=[])
    return picture


def _in_grid(images: np.ndarray) -> np.ndarray:
    """Return images in rows and columns, as square as can be; blank ones fill the last row."""
    n_columns = int(np.ceil(np.sqrt(len(images))))
    n_rows = -(-len(images) // n_columns)
    blank = n_rows * n_columns - len(images)
    padding = [(0, blank), *((0, 0) for _ in images.shape[1:])]
    return np.pad(images, padding).reshape(n_rows, n_columns, *images.shape[1:])


def _given(X: Any) -> Any:
    if X is None:
        raise ValueError("Pass image_shape if rows are images; for a table, pass real rows as X.")
    return X
