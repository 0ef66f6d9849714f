"""Columns that are linear functions of other columns, such as duplicates and totals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

# Largest fraction of a column's variance that the columns before leave unexplained: the square of
# the smallest noise of a likelihood, in standard deviations. A decoder could not do better.
_MAX_UNEXPLAINED = 1e-6
# Smallest unexplained fraction. Densities stay finite, and rounding errors of the deviations small.
_MIN_UNEXPLAINED = 1e-8
# With fewer different rows, columns may be dependent by chance, except for copies of one column.
_MIN_ROWS_PER_COLUMN = 3
_MIN_ROWS_FOR_COPIES = 30
# A function must also hold without this number of rows, those with the largest values: a single far
# row, or a few rows in which rare events coincide, make columns look dependent.
_N_LARGEST_ROWS = 10


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


def find_dependence(x: Tensor, var: Tensor) -> LinearDependence | None:
    """Find columns that are linear functions of the columns before them.

    If there are fewer than three different rows for each column, only functions of a single column
    count.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        Rows, in float64.
    var : Tensor of shape (d,)
        Variances of the columns, 0 for columns that are constant up to rounding.

    Returns
    -------
    dependence : LinearDependence or None
        None if no column is dependent, or if there are fewer than 30 different rows, or fewer than
        three for each of up to ten columns.
    """
    n, d = x.shape
    n_enough = _MIN_ROWS_PER_COLUMN * d
    n_for_copies = min(n_enough, _MIN_ROWS_FOR_COPIES)
    if n < n_for_copies:
        return None
    is_constant = (var == 0) | (x == x[0]).all(0)  # centred values of constants are rounding errors
    x = (x - x.mean(0)).masked_fill(is_constant, 0.0)
    std = x.square().mean(0).sqrt()
    scale = torch.where(is_constant, 1.0, std)
    correlations = (x / scale).T @ (x / scale) / n
    is_dependent = _eliminate(correlations)
    # Different rows are counted only where the number matters.
    if not is_dependent.any() or (n_different := len(x.unique(dim=0))) < n_for_copies:
        return None
    if n_different < n_enough:
        is_copy = correlations.square() > 1 - _MAX_UNEXPLAINED
        correlations = torch.where(is_copy, correlations, 0.0)
        is_dependent = _eliminate(correlations)
    (dependent,), (free,) = torch.where(is_dependent), torch.where(~is_constant & ~is_dependent)
    solution = torch.linalg.solve(correlations[free][:, free], correlations[free][:, dependent])
    coefficients = torch.zeros_like(correlations)
    coefficients[dependent[:, None], free] = solution.T * scale[dependent, None] / scale[free]
    residual = x - x @ coefficients.T
    is_dependent &= _holds_without_largest_rows(x, residual)
    return _dependence(coefficients, is_dependent, residual.square().mean(0), std.square())


def confirm_dependence(
    dependence: LinearDependence, chunks: Iterable[Tensor], mean: Tensor, var: Tensor
) -> LinearDependence | None:
    """Return the dependence in a sample of rows without the columns that vary freely in all rows.

    Parameters
    ----------
    dependence : LinearDependence
        Dependence in the sample.
    chunks : iterable of Tensor of shape (n, d)
        All rows, part by part.
    mean, var : Tensor of shape (d,)
        Means and variances of the columns of all rows.
    """
    n, squares = 0, torch.zeros_like(mean)
    for chunk in chunks:
        x = chunk - mean
        squares += (x - x @ dependence.coefficients.T).square().sum(0)
        n += len(x)
    is_dependent = dependence.is_dependent & (squares / n <= _MAX_UNEXPLAINED * var)
    return _dependence(dependence.coefficients, is_dependent, squares / n, var)


def _dependence(
    coefficients: Tensor, is_dependent: Tensor, unexplained: Tensor, var: Tensor
) -> LinearDependence | None:
    """Return the dependence of some columns, given the coefficients of more columns."""
    if not is_dependent.any():
        return None
    unexplained = torch.maximum(unexplained, _MIN_UNEXPLAINED * var)
    return LinearDependence(coefficients * is_dependent[:, None], is_dependent, unexplained)


def _holds_without_largest_rows(x: Tensor, residual: Tensor) -> Tensor:
    """Return whether the other columns explain each column in all rows but the largest, (d,).

    Columns without variance in the other rows do not count as explained.
    """
    n_rest = len(x) - min(_N_LARGEST_ROWS, len(x) // 3)
    order = x.abs().argsort(dim=0)[:n_rest]
    x, residual = x.gather(0, order), residual.gather(0, order)
    var = (x - x.mean(0)).square().mean(0)
    return (var > 0) & (residual.square().mean(0) <= _MAX_UNEXPLAINED * var)


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
