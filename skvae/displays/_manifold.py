"""What the decoder makes of a grid of codes."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from scipy.stats import norm
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_array

from ._axes import new_axes
from ._estimators import fitted_vae
from ._images import draw_images, image_shape_of, to_images

_MOST_TICKS = 9


class ManifoldDisplay:
    """Images decoded from a grid over the latent plane, or along single latent dimensions.

    Make one with `from_estimator` or `from_rows`; the constructor takes what is drawn.

    Parameters
    ----------
    images : ndarray of shape (n_rows, n_steps, height, width) or with 3 channels
        Of a plane, the first row is that of the lowest z[1]; of traversals, one row for each
        latent dimension.
    steps : ndarray of shape (n_steps,)
        Values of z.
    dims : sequence of int, default=None
        The latent dimension that each row traverses. None if the rows are a plane.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure around it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAETransformer
    >>> from skvae.displays import ManifoldDisplay
    >>> X = load_digits().data / 16
    >>> vae = VAETransformer(likelihood="bernoulli", max_iter=5, random_state=0).fit(X)
    >>> display = ManifoldDisplay.from_estimator(vae, image_shape=(8, 8), n_steps=10)
    >>> display.images.shape
    (10, 10, 8, 8)
    """

    def __init__(
        self, *, images: np.ndarray, steps: np.ndarray, dims: np.ndarray | None = None
    ) -> None:
        self.images = images
        self.steps = steps
        self.dims = dims

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        kind: str = "quantile",
        n_steps: int = 15,
        coverage: float = 0.95,
        n_dims: int = 10,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        imshow_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Decode a grid of codes and draw it.

        With two latent dimensions the grid covers the plane. With one or more than two, each
        row of images goes along one dimension while the others are zero, the prior's mean: first
        the dimension along which the images differ most.

        Parameters
        ----------
        estimator : fitted estimator
            A `VAETransformer`, or a pipeline or search that ends in one.
        kind : {"quantile", "linear"}, default="quantile"
            Steps between equal parts of the prior's mass, by its inverse cumulative
            distribution function, so that the grid shows images as often as the model draws
            them; or equal steps in z.
        n_steps : int, default=15
            Number of steps along each dimension.
        coverage : float, default=0.95
            Fraction of the prior's mass between the first step and the last.
        n_dims : int, default=10
            Show at most so many dimensions, if there are more than two.
        image_shape : tuple of int, default=None
            (height, width) or (channels, height, width). None takes the estimator's.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.
        imshow_kwargs : dict, default=None
            For ``ax.imshow``, over the defaults.

        Returns
        -------
        display : ManifoldDisplay

        Raises
        ------
        ValueError
            If no image_shape is known, or an argument is out of its range.
        """
        check_scalar(n_steps, "n_steps", Integral, min_val=2)
        check_scalar(n_dims, "n_dims", Integral, min_val=1)
        check_scalar(coverage, "coverage", Real, min_val=0, max_val=1, include_boundaries="neither")
        shape = image_shape_of(estimator, image_shape)
        if shape is None:
            raise ValueError("The rows must be images: pass image_shape=(height, width).")
        vae = fitted_vae(estimator)
        latent_dim = vae.module_.latent_dim
        steps = _steps(kind, n_steps, coverage) * vae.prior_std
        plane = latent_dim == 2
        Z = _plane(steps) if plane else _traversals(steps, latent_dim)
        decoded = estimator.inverse_transform(Z.reshape(-1, latent_dim))
        rows = np.reshape(decoded, (*Z.shape[:2], -1))  # (n_rows, n_steps, n_features)
        if plane:
            dims = None
        else:
            dims = np.argsort(-rows.var(axis=1).sum(axis=1))[:n_dims]
            rows = rows[dims]
        return cls.from_rows(
            rows, steps, dims=dims, image_shape=shape, ax=ax, imshow_kwargs=imshow_kwargs
        )

    @classmethod
    def from_rows(
        cls,
        rows: Any,
        steps: Any,
        *,
        image_shape: tuple[int, ...],
        dims: Sequence[int] | np.ndarray | None = None,
        ax: Any = None,
        imshow_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw rows decoded from a grid of codes.

        Parameters
        ----------
        rows : array-like of shape (n_rows, n_steps, n_features)
            Of a plane, decoded from the codes ``(steps[j], steps[i])``, with as many rows as
            steps; of traversals, one row for each latent dimension.
        steps : array-like of shape (n_steps,)
            Values of z, rising.
        image_shape : tuple of int
            (height, width) or (channels, height, width).
        dims : sequence of int, default=None
            The latent dimension that each row traverses. None if the rows are a plane.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.
        imshow_kwargs : dict, default=None
            For ``ax.imshow``, over the defaults.

        Returns
        -------
        display : ManifoldDisplay
        """
        rows, steps = check_array(rows, allow_nd=True, input_name="rows"), np.asarray(steps)
        n_rows = len(steps) if dims is None else len(dims)
        if rows.ndim != 3 or rows.shape[:2] != (n_rows, len(steps)):
            raise ValueError(
                f"rows must have shape ({n_rows}, {len(steps)}, n_features); got {rows.shape}."
            )
        images = to_images(rows, image_shape)
        display = cls(images=images, steps=steps, dims=None if dims is None else np.asarray(dims))
        return display.plot(ax, imshow_kwargs=imshow_kwargs)

    def plot(self, ax: Any = None, *, imshow_kwargs: dict[str, Any] | None = None) -> Self:
        """Draw the images, with the values of z along the axes.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.
        imshow_kwargs : dict, default=None
            For ``ax.imshow``, over the defaults.

        Returns
        -------
        display : ManifoldDisplay
        """
        n_rows, n_steps = self.images.shape[:2]
        if ax is None:
            ax = new_axes((7.0, 0.8 + 6.2 * n_rows / n_steps))
        # z[1] grows upwards, as on any plane.
        images = self.images[::-1] if self.dims is None else self.images
        draw_images(ax, images, **imshow_kwargs or {})
        ticks, labels = _ticks(self.steps)
        ax.set_xticks(ticks, labels)
        if self.dims is None:
            ax.set_yticks(n_rows - 1 - ticks, labels)
            ax.set(xlabel="z[0]", ylabel="z[1]")
        else:
            ax.set_yticks(range(n_rows), [f"z[{dim}]" for dim in self.dims])
            ax.set_xlabel("value of z")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _steps(kind: str, n_steps: int, coverage: float) -> np.ndarray:
    """Return values that cover so much of a standard normal."""
    tail = (1 - coverage) / 2
    if kind == "quantile":
        return norm.ppf(np.linspace(tail, 1 - tail, n_steps))
    if kind == "linear":
        return np.linspace(norm.ppf(tail), norm.ppf(1 - tail), n_steps)
    raise ValueError(f"kind must be 'quantile' or 'linear'; got {kind!r}.")


def _plane(steps: np.ndarray) -> np.ndarray:
    """Return (n_steps, n_steps, 2) codes: z[1] by row and z[0] by column."""
    return np.stack(np.meshgrid(steps, steps), axis=-1)


def _traversals(steps: np.ndarray, latent_dim: int) -> np.ndarray:
    """Return (latent_dim, n_steps, latent_dim) codes: in row i, z[i] alone is not zero."""
    return np.eye(latent_dim)[:, None] * steps[:, None]


def _ticks(steps: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return which steps to label, and the labels, two digits for the largest."""
    some = np.arange(0, len(steps), -(-len(steps) // _MOST_TICKS))
    decimals = max(0, 1 - int(np.floor(np.log10(np.abs(steps).max()))))
    values = np.round(steps[some], decimals) + 0.0  # no negative zero
    return some, [f"{value:.{decimals}f}" for value in values]
