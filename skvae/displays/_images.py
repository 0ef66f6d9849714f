"""Rows of X as images."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._estimators import last_step


def image_shape_of(estimator: Any, image_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return the shape that was asked for, or else the estimator's own."""
    return (
        getattr(last_step(estimator), "image_shape", None) if image_shape is None else image_shape
    )


def to_images(rows: Any, image_shape: tuple[int, ...]) -> np.ndarray:
    """Return rows as images.

    Parameters
    ----------
    rows : array-like of shape (..., n_features)
        Images, flattened.
    image_shape : tuple of int
        (height, width) or (channels, height, width), with 1 or 3 channels.

    Returns
    -------
    images : ndarray of shape (..., height, width) or (..., height, width, 3)
    """
    rows = np.asarray(rows)
    shape = tuple(np.ravel(image_shape).tolist())
    if len(shape) == 3 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != 3):
        raise ValueError(
            "image_shape must be (height, width) or (channels, height, width) with 1 or 3 "
            f"channels; got {image_shape}."
        )
    if np.prod(shape) != rows.shape[-1]:
        raise ValueError(
            f"image_shape={image_shape} holds {np.prod(shape)} values, but rows have "
            f"{rows.shape[-1]}."
        )
    images = rows.reshape(*rows.shape[:-1], *shape)
    return np.moveaxis(images, -3, -1) if len(shape) == 3 else images


def draw_images(ax: Any, images: np.ndarray, **imshow_kwargs: Any) -> Any:
    """Draw a grid of images as one picture, a pixel apart.

    Tile (i, j) has its centre at x = j and y = i, counted from the top left.

    Parameters
    ----------
    ax : matplotlib Axes
        Where to draw.
    images : ndarray of shape (n_rows, n_columns, height, width) or with 3 channels
        In [0, 1], or else grey and drawn from the lowest value to the highest.
    **imshow_kwargs : dict
        For ``ax.imshow``, over the defaults.
    """
    n_rows, n_columns, height, width, *channels = images.shape
    lowest, highest = images.min(), images.max()
    if lowest >= 0 and highest <= 1:
        lowest, highest = 0, 1
    gap = 1 if channels else np.nan  # white, or nothing
    padding = [(0, 0), (0, 0), (0, 1), (0, 1), *((0, 0) for _ in channels)]
    tiles = np.pad(images.astype(np.float64), padding, constant_values=gap)
    picture = np.swapaxes(tiles, 1, 2).reshape(
        n_rows * (height + 1), n_columns * (width + 1), *channels
    )
    defaults = {"cmap": "gray", "vmin": lowest, "vmax": highest, "interpolation": "nearest"}
    artist = ax.imshow(
        picture[:-1, :-1],
        extent=(-0.5, n_columns - 0.5 - 1 / (width + 1), n_rows - 0.5 - 1 / (height + 1), -0.5),
        aspect=height / width,
        **{**defaults, **imshow_kwargs},
    )
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.tick_params(length=0)
    return artist
