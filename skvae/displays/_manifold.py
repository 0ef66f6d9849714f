"""Plot of images decoded from a grid of codes."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_array

from ..estimators import TabularVAE
from ..utils import check_choice
from ._axes import new_axes
from ._estimators import check_methods, fitted_vae, invert_earlier_steps
from ._images import draw_images, resolve_image_shape, to_images

_MAX_TICKS = 9


class ManifoldDisplay:
    """Images decoded from a grid in the latent plane, or along single latent dimensions.

    Create a display with `from_estimator` or `from_rows`. The constructor takes the data to draw.

    Parameters
    ----------
    images : ndarray of shape (n_rows, n_steps, height, width) or (..., height, width, 3)
        Decoded images. For a plane, z[1] increases with the row and z[0] with the column. For
        latent traversals, each row of images belongs to a latent dimension.
    steps : ndarray of shape (n_steps,), (2, n_steps) or (n_rows, n_steps)
        Values of z along the axes: along all axes, both axes of a plane, or each row of images.
    dims : sequence of int, default=None
        Latent dimension traversed by each row of images. None for a plane.

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
        conditions: Any = None,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        imshow_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Decode a grid of codes and plot the images.

        With two latent dimensions, the grid covers the latent plane. Otherwise, each row of images
        is a latent traversal: a single dimension varies, and all other dimensions are at the median
        of the prior. The traversals are sorted by the variance of the images, largest first. The
        quantiles of a learned prior are the quantiles of each dimension, from 10,000 draws.

        Parameters
        ----------
        estimator : fitted estimator
            `VAETransformer`, or a pipeline or hyperparameter search with a `VAETransformer` as the
            final step.
        kind : {"quantile", "linear"}, default="quantile"
            Spacing of the grid. "quantile": equal steps of the prior probability, by the inverse of
            the cumulative distribution function, so that each image represents an equal fraction of
            the generated images. "linear": equal steps of z.
        n_steps : int, default=15
            Number of steps along each dimension.
        coverage : float, default=0.95
            Fraction of the prior probability between the first step and the last step.
        n_dims : int, default=10
            Maximum number of traversals.
        conditions : mapping, default=None
            Value of each condition column, for all images. Required if the model has condition
            columns.
        image_shape : tuple of int, default=None
            Shape of an image: (height, width) or (channels, height, width). By default, the
            `image_shape` of the estimator.
        ax : matplotlib Axes, default=None
            Axes to draw on. By default, a new figure is created.
        imshow_kwargs : dict, default=None
            Keyword arguments for ``ax.imshow``, overriding the defaults.

        Returns
        -------
        display : ManifoldDisplay
            Object that stores the data and the axes.

        Raises
        ------
        TypeError
            If the estimator is no `VAETransformer`.
        ValueError
            If `image_shape` is unknown, or a parameter is invalid.
        """
        vae = fitted_vae(estimator)
        check_methods(cls, estimator, "inverse_transform", refused=(TabularVAE,))
        check_scalar(n_steps, "n_steps", Integral, min_val=2)
        check_scalar(n_dims, "n_dims", Integral, min_val=1)
        check_scalar(coverage, "coverage", Real, min_val=0, max_val=1, include_boundaries="neither")
        shape = resolve_image_shape(estimator, image_shape)
        if shape is None:
            raise ValueError(
                "The estimator has no image_shape: pass image_shape=(height, width). "
                "ManifoldDisplay draws images only."
            )
        latent_dim = vae.module_.latent_dim
        steps = _steps(vae, kind, n_steps, coverage)  # (latent_dim, n_steps)
        plane = latent_dim == 2
        Z = _plane(steps) if plane else _traversals(steps, vae._prior_quantiles(np.array([0.5])))
        decoded = vae.inverse_transform(Z.reshape(-1, latent_dim), conditions=conditions)
        decoded = invert_earlier_steps(estimator, decoded)
        rows = np.reshape(decoded, (*Z.shape[:2], -1))  # (n_rows, n_steps, n_features)
        if plane:
            dims = None
        else:
            dims = np.argsort(-rows.var(axis=1).sum(axis=1))[:n_dims]
            rows, steps = rows[dims], steps[dims]
        if (steps == steps[0]).all():
            steps = steps[0]
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
        """Plot rows decoded from a grid of codes.

        Parameters
        ----------
        rows : array-like of shape (n_rows, n_steps, n_features)
            Flattened images. For a plane, ``rows[i, j]`` is decoded from the code
            ``(steps[j], steps[i])``, and ``n_rows`` equals ``n_steps``. For latent traversals,
            ``rows[i]`` traverses the dimension ``dims[i]``.
        steps : array-like of shape (n_steps,), (2, n_steps) or (n_rows, n_steps)
            Values of z in increasing order: of all dimensions, of both dimensions of a plane, or of
            the dimension of each row of images.
        image_shape : tuple of int
            Shape of an image: (height, width) or (channels, height, width).
        dims : sequence of int, default=None
            Latent dimension traversed by each row of images. None for a plane.
        ax : matplotlib Axes, default=None
            Axes to draw on. By default, a new figure is created.
        imshow_kwargs : dict, default=None
            Keyword arguments for ``ax.imshow``, overriding the defaults.

        Returns
        -------
        display : ManifoldDisplay
            Object that stores the data and the axes.

        Raises
        ------
        ValueError
            If the shape of `rows` does not match `steps`, `dims` or `image_shape`.
        """
        rows, steps = check_array(rows, allow_nd=True, input_name="rows"), np.asarray(steps)
        n_steps = steps.shape[-1]
        n_rows = n_steps if dims is None else len(dims)
        if rows.ndim != 3 or rows.shape[:2] != (n_rows, n_steps):
            raise ValueError(
                f"rows must have shape ({n_rows}, {n_steps}, n_features); got {rows.shape}."
            )
        n_axes = 2 if dims is None else n_rows
        if steps.shape not in ((n_steps,), (n_axes, n_steps)):
            raise ValueError(
                f"steps must have shape ({n_steps},) or ({n_axes}, {n_steps}); got {steps.shape}."
            )
        images = to_images(rows, image_shape)
        display = cls(images=images, steps=steps, dims=None if dims is None else np.asarray(dims))
        return display.plot(ax, imshow_kwargs=imshow_kwargs)

    def plot(self, ax: Any = None, *, imshow_kwargs: dict[str, Any] | None = None) -> Self:
        """Plot the images, with the values of z along the axes.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. By default, a new figure is created.
        imshow_kwargs : dict, default=None
            Keyword arguments for ``ax.imshow``, overriding the defaults.

        Returns
        -------
        display : ManifoldDisplay
            Object that stores the data and the axes.
        """
        n_rows, n_steps = self.images.shape[:2]
        if ax is None:
            ax = new_axes((7.0, 0.8 + 6.2 * n_rows / n_steps))
        # z[1] increases upwards, as on a usual vertical axis.
        images = self.images[::-1] if self.dims is None else self.images
        draw_images(ax, images, **imshow_kwargs or {})
        ticks = np.arange(0, n_steps, -(-n_steps // _MAX_TICKS))
        if self.dims is None:
            x, y = np.broadcast_to(self.steps, (2, n_steps))[:, ticks]
            ax.set_xticks(ticks, _labels(x))
            ax.set_yticks(n_rows - 1 - ticks, _labels(y))
            ax.set(xlabel="z[0]", ylabel="z[1]")
        else:
            ax.set_yticks(range(n_rows), [f"z[{dim}]" for dim in self.dims])
            if self.steps.ndim == 1:
                ax.set_xticks(ticks, _labels(self.steps[ticks]))
                ax.set_xlabel("value of z")
            else:
                ax.set_xticks([])
                ax.set_xlabel("increasing values of z")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _steps(vae: Any, kind: str, n_steps: int, coverage: float) -> np.ndarray:
    """Return steps between the quantiles of the prior for a central `coverage`, (k, n_steps)."""
    check_choice("kind", kind, ("quantile", "linear"))
    tail = (1 - coverage) / 2
    if kind == "quantile":
        return vae._prior_quantiles(np.linspace(tail, 1 - tail, n_steps))
    first, last = vae._prior_quantiles(np.array([tail, 1 - tail])).T
    return np.linspace(first, last, n_steps, axis=1)


def _plane(steps: np.ndarray) -> np.ndarray:
    """Return codes of shape (n_steps, n_steps, 2): z[1] varies by row and z[0] by column."""
    return np.stack(np.meshgrid(*steps), axis=-1)


def _traversals(steps: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return codes of shape (latent_dim, n_steps, latent_dim): in row i, only z[i] varies."""
    latent_dim, n_steps = steps.shape
    Z = np.tile(centre.T, (latent_dim, n_steps, 1))
    for dim in range(latent_dim):
        Z[dim, :, dim] = steps[dim]
    return Z


def _labels(values: np.ndarray) -> list[str]:
    """Return labels of ticks, with two digits for the largest value."""
    decimals = max(0, 1 - int(np.floor(np.log10(np.abs(values).max()))))
    values = np.round(values, decimals) + 0.0  # no negative zero
    return [f"{value:.{decimals}f}" for value in values]
