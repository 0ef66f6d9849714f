"""The covariance of the noise of a linear model, with correlations."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ._linear_model import LinearModel

# Candidate weights of the model without correlations. The smallest keeps the covariance regular.
_WEIGHTS = (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_N_FOLDS = 5


def noise_covariance(x: Tensor, model: LinearModel, fit: Callable[[Tensor], LinearModel]) -> Tensor:
    """Return the covariance of what the factors of a model leave unexplained, (d, d).

    The covariance is shrunk towards the variances of the noise of the model, so the covariance of
    the rows is shrunk towards the covariance of the model: Ledoit and Wolf, "Improved estimation of
    the covariance matrix of stock returns with an application to portfolio selection", Journal of
    Empirical Finance, 2003. Cross-validation of the likelihood chooses the weight of the model.
    With the covariance in place of the variances, the posterior of the codes is the same.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        Rows.
    model : LinearModel
        Factor analysis of the rows, rotated.
    fit : callable
        Returns factor analysis of some of the rows and columns.
    """
    residuals = _Residuals.of(x, model)
    variances = _shrunk(residuals.variances, _best_weight(x, fit))
    std = model.noise_var.sqrt()
    covariance = (residuals.axes * variances) @ residuals.axes.T * std * std[:, None]
    # The residuals of constant columns say nothing about later values.
    is_constant = (x == x[:1]).all(0)
    return torch.where(is_constant.diag(), model.noise_var.diag(), covariance)


class _Residuals(NamedTuple):
    """Principal axes of rows in units of the noise, without the variance that factors explain.

    Along the loadings, only the noise remains, so the variances are 1.
    """

    variances: Tensor  # (d,)
    axes: Tensor  # (d, d)

    @classmethod
    def of(cls, x: Tensor, model: LinearModel) -> _Residuals:
        whitened = (x - model.mean) / model.noise_var.sqrt()
        loadings = model.loadings / model.noise_var.sqrt()[:, None]  # orthogonal columns
        norms = loadings.norm(dim=0)
        explained = loadings / torch.where(norms > 0, norms, 1.0)
        rest = whitened - whitened @ explained @ explained.T
        covariance = rest.T @ rest / len(x) + explained @ explained.T
        return cls(*torch.linalg.eigh(covariance))


def _best_weight(x: Tensor, fit: Callable[[Tensor], LinearModel]) -> float:
    """Return the weight with the highest likelihood of held-out rows.

    Columns that are constant without the rows of a fold do not count: their likelihood depends on
    the smallest variance only.
    """
    fold = torch.arange(len(x), device=x.device) % _N_FOLDS
    varies = [(x[fold != i] != x[fold != i][:1]).any(0) for i in range(_N_FOLDS)]
    x = x[:, torch.stack(varies).all(0)]
    if len(x) < 2 * _N_FOLDS or not x.shape[1]:
        return 1.0
    weights = x.new_tensor(_WEIGHTS)[:, None]
    loss = x.new_zeros(len(weights))
    for i in range(_N_FOLDS):
        model = fit(x[fold != i]).rotated()
        variances, axes = _Residuals.of(x[fold != i], model)
        variances = _shrunk(variances, weights)  # (n_weights, d)
        # Along the loadings, the likelihood does not depend on the weight.
        squares = ((x[fold == i] - model.mean) / model.noise_var.sqrt() @ axes).square()
        loss += len(squares) * variances.log().sum(1) + (squares.sum(0) / variances).sum(1)
    return _WEIGHTS[int(loss.argmin())]


def _shrunk(variances: Tensor, weight: Tensor | float) -> Tensor:
    return (1 - weight) * variances.clamp_min(0) + weight
