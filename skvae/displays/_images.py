"""Conversion of rows to images, and plots of grids of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..models import check_channels_first
from ._estimators import final_estimator

# White: images without a transparent value have white gaps.
GAP_IN_COLOR = 1.0


def resolve_image_shape(
    estimator: Any, image_shape: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    """Return `image_shape` if given, otherwise the `image_shape` of the estimator, if any."""
    if image_shape is None:
        return getattr(final_estimator(estimator), "image_shape", None)
    return image_shape


def to_images(rows: Any, image_shape: tuple[int, ...]) -> np.ndarray:
    """Reshape rows to images.

    Parameters
    ----------
    rows : array-like of shape (..., n_features)
        Flattened images.
    image_shape : tuple of int
        Shape of an image: (height, width) or (channels, height, width), with 1 or 3 channels.

    Returns
    -------
    images : ndarray of shape (..., height, width) or (..., height, width, 3)
        Images for matplotlib, with the channels last.

    Raises
    ------
    ValueError
        If `image_shape` is invalid or does not match the length of the rows.
    """
    rows = np.asarray(rows)
    shape = tuple(np.ravel(image_shape).tolist())
    if len(shape) == 3 and shape[0] == 1:
        shape = shape[1:]
    check_channels_first(shape)
    are_integers = all(isinstance(size, int) for size in shape)
    if not are_integers or len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != 3):
        raise ValueError(
            "image_shape must be (height, width) or (channels, height, width) with 1 or 3 "
            f"channels; got {image_shape}."
        )
    if np.prod(shape) != rows.shape[-1]:
        raise ValueError(
            f"image_shape={image_shape} has {np.prod(shape)} values, but each row has "
            f"{rows.shape[-1]}."
        )
    images = rows.reshape(*rows.shape[:-1], *shape)
    return np.moveaxis(images, -3, -1) if len(shape) == 3 else images


def draw_images(ax: Any, images: np.ndarray, **imshow_kwargs: Any) -> Any:
    """Draw a grid of images with gaps of one pixel.

    The centre of tile (i, j), counted from the top left, lies at x = j and y = i.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw on.
    images : ndarray of shape (n_rows, n_columns, height, width) or (..., height, width, 3)
        Images with values in [0, 1]. For grey images with other values, the colour scale extends
        from the lowest to the highest value. NaN is transparent in grey images.
    **imshow_kwargs : dict
        Keyword arguments for ``ax.imshow``, overriding the defaults.

    Returns
    -------
    artist : matplotlib AxesImage
        The drawn grid.
    """
    n_rows, n_columns, height, width, *channels = images.shape
    lowest, highest = np.nanmin(images), np.nanmax(images)
    if lowest >= 0 and highest <= 1:
        lowest, highest = 0, 1
    gap = GAP_IN_COLOR if channels else np.nan  # transparent in grey images
    padding = [(0, 0), (0, 0), (0, 1), (0, 1), *((0, 0) for _ in channels)]
    # matplotlib clips colour images, too, but with a message.
    images = np.clip(images, 0, 1) if channels else images
    tiles = np.pad(images.astype(np.float64), padding, constant_values=gap)
    mosaic = np.swapaxes(tiles, 1, 2).reshape(
        n_rows * (height + 1), n_columns * (width + 1), *channels
    )
    defaults = {"cmap": "gray", "vmin": lowest, "vmax": highest, "interpolation": "nearest"}
    artist = ax.imshow(
        mosaic[:-1, :-1],
        extent=(-0.5, n_columns - 0.5 - 1 / (width + 1), n_rows - 0.5 - 1 / (height + 1), -0.5),
        aspect=height / width,
        **{**defaults, **imshow_kwargs},
    )
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.tick_params(length=0)
    return artist
