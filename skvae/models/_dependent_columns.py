"""Columns that are linear functions of other columns, such as duplicates and totals."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Largest fraction of a column's variance that the columns before leave unexplained: the square of
# the smallest noise of a likelihood, in standard deviations. A decoder could not do better.
_MAX_UNEXPLAINED = 1e-6
# Smallest unexplained fraction, so that densities stay finite.
_MIN_UNEXPLAINED = 1e-12
# With fewer rows, columns may be dependent by chance.
_MIN_ROWS_PER_COLUMN = 3


class LinearDependence(NamedTuple):
    """Dependent columns as linear functions of the other columns.

    Attributes
    ----------
    coefficients : Tensor of shape (d, d)
        For centred rows x, ``x @ coefficients.T`` are the predictions of the dependent columns. The
        rows of other columns are 0.
    is_dependent : Tensor of shape (d,)
        Whether each column is dependent.
    unexplained : Tensor of shape (d,)
        Variance of ``x - x @ coefficients.T`` in each dependent column.
    """

    coefficients: Tensor
    is_dependent: Tensor
    unexplained: Tensor


def find_dependence(x: Tensor) -> LinearDependence | None:
    """Find columns that are linear functions of the columns before them.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        Centred rows, in float64.

    Returns
    -------
    dependence : LinearDependence or None
        None if no column is dependent, or if there are fewer than three rows for each column.
    """
    n, d = x.shape
    std = x.square().mean(0).sqrt()
    scale = torch.where(std > 0, std, 1.0)
    if n < _MIN_ROWS_PER_COLUMN * d:
        return None
    correlations = (x / scale).T @ (x / scale) / n
    is_dependent = _eliminate(correlations)
    if not is_dependent.any():
        return None
    (dependent,), (free,) = torch.where(is_dependent), torch.where((std > 0) & ~is_dependent)
    solution = torch.linalg.solve(correlations[free][:, free], correlations[free][:, dependent])
    coefficients = torch.zeros_like(correlations)
    coefficients[dependent[:, None], free] = solution.T * scale[dependent, None] / scale[free]
    unexplained = (x - x @ coefficients.T).square().mean(0)
    unexplained = torch.maximum(unexplained, _MIN_UNEXPLAINED * std.square())
    return LinearDependence(coefficients, is_dependent, unexplained)


def _eliminate(correlations: Tensor) -> Tensor:
    """Return whether each column depends on the columns before, by Gaussian elimination."""
    rest, total = correlations.clone(), correlations.diagonal()
    is_dependent = torch.zeros_like(total, dtype=torch.bool)
    for j in range(len(rest)):
        pivot = rest[j, j]
        if pivot > _MAX_UNEXPLAINED:
            rest -= rest[:, j : j + 1] * (rest[j : j + 1] / pivot)
        else:
            is_dependent[j] = total[j] > 0  # a constant column is not
    return is_dependent
