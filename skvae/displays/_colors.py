"""Colours of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import column_or_1d

from ..utils import import_optional

# Ten colours that remain distinguishable with every kind of colour blindness: Petroff, "Accessible
# color sequences for data visualization", arXiv 2107.02270.
_PALETTE = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
# A pair of contrasting colours: data and model, training and validation.
PRIMARY_COLOR, SECONDARY_COLOR = _PALETTE[0], _PALETTE[2]
# More distinct numbers than this are drawn on a continuous colour scale.
_MAX_CLASSES = 20


def check_labels(y: Any) -> np.ndarray | None:
    """Return the labels of points as an array, (n_samples,), or None if `y` is None.

    Raises
    ------
    ValueError
        If a label is missing or infinite, or if the labels are neither classes nor numbers.
    """
    if y is None:
        return None
    dtype = getattr(y, "dtype", None)
    is_nullable = not isinstance(dtype, np.dtype) and getattr(dtype, "kind", None) in (*"biu",)
    labels = column_or_1d(y.astype(object) if is_nullable else y)  # and no floats
    is_invalid = np.array(np.ma.getmaskarray(y)) if np.ma.isMA(y) else _is_not_finite(labels)
    if is_invalid.any():
        row = int(is_invalid.argmax())
        raise ValueError(
            f"y has the label {labels[row]} in row {row}. Drop rows with missing or infinite "
            "labels, or give them a class of their own by [str(label) for label in y]."
        )
    if labels.dtype == object and type_of_target(labels) == "unknown":
        inferred = np.array(labels.tolist())
        if inferred.dtype.kind in "biuf" and inferred.ndim == 1:
            return inferred
        try:
            return labels.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                "y must consist of classes or real numbers; convert y to strings to draw classes."
            ) from error
    return labels


def _is_not_finite(labels: np.ndarray) -> np.ndarray:
    if labels.dtype == object:
        return import_optional("pandas", "Labels of objects").isna(labels)
    if labels.dtype.kind in "mM":
        return np.isnat(labels)
    return ~np.isfinite(labels) if labels.dtype.kind in "fc" else np.zeros(len(labels), dtype=bool)


@dataclass(frozen=True)
class Classes:
    """Classes of points.

    Parameters
    ----------
    names : list of str
        Names of the classes.
    indices : ndarray of shape (n_samples,)
        Index of the class of each point.
    """

    names: list[str]
    indices: np.ndarray

    @classmethod
    def from_labels(
        cls, labels: np.ndarray | None, target_names: Sequence[str] | None
    ) -> Self | None:
        """Return the classes of labels, or None if the labels are missing or continuous."""
        if labels is None or type_of_target(labels) not in ("binary", "multiclass"):
            return None
        values, indices = np.unique(labels, return_inverse=True)
        if values.dtype.kind in "iuf" and len(values) > _MAX_CLASSES:
            return None
        if target_names is None:
            return cls([str(value) for value in values], indices)
        if values.dtype.kind not in "iub" or values.min() < 0 or values.max() >= len(target_names):
            raise ValueError(
                f"target_names names the classes 0 to {len(target_names) - 1}, but the labels are "
                f"{values.tolist()}. With target_names, pass integer labels from 0 to "
                f"{len(target_names) - 1}."
            )
        return cls([str(target_names[int(value)]) for value in values], indices)

    @property
    def colors(self) -> np.ndarray:
        """RGBA colours of the classes, of shape (n_classes, 4)."""
        from matplotlib import colormaps
        from matplotlib.colors import to_rgba_array

        n_classes = len(self.names)
        if n_classes <= len(_PALETTE):
            return to_rgba_array(list(_PALETTE[:n_classes]))
        return colormaps["viridis"](np.linspace(0, 1, n_classes))

    def legend_handles(self) -> list[Any]:
        """Return a legend entry for each class."""
        from matplotlib.lines import Line2D

        return [
            Line2D([], [], color=color, marker="o", linestyle="none", label=name)
            for name, color in zip(self.names, self.colors, strict=True)
        ]
