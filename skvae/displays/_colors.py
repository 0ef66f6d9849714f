"""Colours, and the classes they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.multiclass import type_of_target

# Ten colours chosen to be told apart with each kind of colour blindness: Petroff, "Accessible
# color sequences for data visualization", arXiv 2107.02270.
_TEN_COLORS = (
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
# Two that go together: data and model, training and validation.
FIRST, SECOND = _TEN_COLORS[0], _TEN_COLORS[2]
# Colour tells no more classes than these apart: more integers are a scale.
_MOST_CLASSES = 20


@dataclass(frozen=True)
class Classes:
    """Which of which classes each point belongs to."""

    names: list[str]
    indices: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray | None, target_names: Sequence[str] | None) -> Self | None:
        """Return the classes among labels, or None if there are no labels or they are a scale."""
        if labels is None or type_of_target(labels) not in ("binary", "multiclass"):
            return None
        values, indices = np.unique(labels, return_inverse=True)
        if values.dtype.kind in "iuf" and len(values) > _MOST_CLASSES:
            return None
        if target_names is None:
            return cls([str(value) for value in values], indices)
        if values.dtype.kind not in "iub" or values.min() < 0 or values.max() >= len(target_names):
            raise ValueError(
                f"target_names names the classes 0 to {len(target_names) - 1}, but the labels are "
                f"{values.tolist()}."
            )
        return cls([str(target_names[int(value)]) for value in values], indices)

    @property
    def colors(self) -> np.ndarray:
        """One colour for each class, as (n_classes, 4)."""
        from matplotlib import colormaps
        from matplotlib.colors import to_rgba_array

        n_classes = len(self.names)
        if n_classes <= len(_TEN_COLORS):
            return to_rgba_array(list(_TEN_COLORS[:n_classes]))
        return colormaps["viridis"](np.linspace(0, 1, n_classes))

    def legend_handles(self) -> list[Any]:
        """Return one marker for each class."""
        from matplotlib.lines import Line2D

        return [
            Line2D([], [], color=color, marker="o", linestyle="none", label=name)
            for name, color in zip(self.names, self.colors, strict=True)
        ]
