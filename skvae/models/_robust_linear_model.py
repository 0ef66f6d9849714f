"""Linear models with Student's t noise, by expectation maximisation."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ._linear_model import LinearModel

_N_ITER = 20
# A weak prior, worth one observation: loadings are small in units of the noise, and the variance of
# the noise is a small fraction of the column's variance. Without the prior, the model of a few rows
# may reproduce a column without noise.
_PRIOR_COUNT = 1.0
_PRIOR_NOISE_VAR = 0.02
_N_BISECTIONS = 30
# Largest number of rows times d * k^2, so that a start takes a second or two. Of more rows, every
# second, third, ... row is used.
_MAX_WORK = 3e7
_MIN_ROWS = 500
# Largest number of operations of all iterations. Many dimensions allow fewer iterations, or none.
_MAX_OPERATIONS = 2e9

NoiseScope = Literal["feature", "shared", "fixed"]


class StudentNoise(NamedTuple):
    """Independent t-distributed noise of the columns.

    Attributes
    ----------
    scope : {"feature", "shared", "fixed"}
        Whether each column has a squared scale, or all columns have one learned or given scale.
    df : Tensor of shape (d,) or ()
        Degrees of freedom.
    df_bounds : tuple of float or None
        Range of degrees of freedom to learn, one value per column. None if `df` is given.
    min_var : float
        Lower bound of learned squared scales.
    """

    scope: NoiseScope
    df: Tensor
    df_bounds: tuple[float, float] | None
    min_var: float


def robust_linear_model(
    x: Tensor, model: LinearModel, noise: StudentNoise
) -> tuple[LinearModel, Tensor]:
    """Return the linear model of rows with outlying entries, and the degrees of freedom.

    An entry with t-distributed noise is normal, given a precision that follows a gamma
    distribution. The expectation of the precision is the weight of the entry: Lange, Little and
    Taylor, "Robust statistical modeling using the t distribution", JASA, 1989. The posterior is
    approximated as independent between the code and the precisions.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        Standardised rows.
    model : LinearModel
        Initial model.
    noise : StudentNoise

    Returns
    -------
    model : LinearModel
        Linear model whose `noise_var` are squared scales.
    df : Tensor of shape (d,) or ()
        Degrees of freedom.
    """
    n_used = max(_MIN_ROWS, int(_MAX_WORK / (x.shape[1] * model.loadings.shape[1] ** 2)))
    x, df = x[:: -(-len(x) // n_used)], noise.df
    weights = torch.ones_like(x)
    for _ in range(_n_iter(len(x), *model.loadings.shape)):
        codes = _posterior_codes(x, weights, model)
        weights = (df + 1) / (df + _squared_errors(x, codes, model) / model.noise_var)
        if noise.df_bounds is not None:
            df = _learn_df(weights, df, noise.df_bounds)
        model = _regress_on_codes(x, weights, codes, model)
        errors = (weights * _squared_errors(x, codes, model)).sum(0)
        model = model._replace(noise_var=_learn_variance(errors, len(x), model, noise))
    return model._replace(weight=weights.mean(0)), df


def _n_iter(n: int, d: int, k: int) -> int:
    """Return the number of iterations for n rows, d columns and k factors."""
    return min(_N_ITER, int(_MAX_OPERATIONS / (n * d * k**2 + (n + d) * k**3)))


class _Codes(NamedTuple):
    """Normal posterior of the code of each row."""

    mean: Tensor  # (n, k)
    covariance: Tensor  # (n, k, k)


def _posterior_codes(x: Tensor, weights: Tensor, model: LinearModel) -> _Codes:
    loadings, k = model.loadings, model.loadings.shape[1]
    precision = weights / model.noise_var  # (n, d)
    identity = torch.eye(k, dtype=x.dtype)
    evidence = (precision @ _products(loadings)).unflatten(1, (k, k))
    covariance = torch.linalg.inv(identity + evidence)
    projection = (precision * (x - model.mean)) @ loadings
    return _Codes((covariance @ projection.unsqueeze(2)).squeeze(2), covariance)


def _squared_errors(x: Tensor, codes: _Codes, model: LinearModel) -> Tensor:
    """Return the expected squared error of each entry, (n, d)."""
    residual = x - model.mean - codes.mean @ model.loadings.T
    return residual.square() + codes.covariance.flatten(1) @ _products(model.loadings).T


def _products(vectors: Tensor) -> Tensor:
    """Return the outer product of each row of (n, k) with itself, (n, k * k)."""
    return (vectors.unsqueeze(2) * vectors.unsqueeze(1)).flatten(1)


def _regress_on_codes(x: Tensor, weights: Tensor, codes: _Codes, model: LinearModel) -> LinearModel:
    """Return the model with the mean and the loadings of a weighted regression on the codes."""
    k = codes.mean.shape[1]
    z = torch.cat([codes.mean, torch.ones_like(codes.mean[:, :1])], 1)  # (n, k + 1)
    moments = _products(z).unflatten(1, (k + 1, k + 1))
    moments[:, :k, :k] += codes.covariance
    gram = (weights.T @ moments.flatten(1)).unflatten(1, (k + 1, k + 1))  # of each column
    gram.diagonal(dim1=1, dim2=2).add_(_PRIOR_COUNT)
    coefficients = torch.linalg.solve(gram, ((weights * x).T @ z).unsqueeze(2)).squeeze(2)
    return model._replace(loadings=coefficients[:, :k], mean=coefficients[:, k])


def _learn_variance(errors: Tensor, n_rows: int, model: LinearModel, noise: StudentNoise) -> Tensor:
    """Return the squared scale of each column, (d,), given the sums of weighted squared errors."""
    if noise.scope == "fixed":
        return model.noise_var
    if noise.scope == "shared":
        errors = errors.mean().expand_as(errors)
    var = (errors + _PRIOR_COUNT * _PRIOR_NOISE_VAR) / (n_rows + _PRIOR_COUNT)
    return var.clamp_min(noise.min_var)


def _learn_df(weights: Tensor, df: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Return the degrees of freedom of each column, (d,).

    Liu and Rubin, "ML estimation of the t distribution using EM and its extensions, ECM and ECME",
    Statistica Sinica 5, 1995, equation 30, by bisection.
    """
    half = (df + 1) / 2
    rest = (weights.log() - weights).mean(0) + 1 + torch.digamma(half) - half.log()
    low, high = (torch.full_like(rest, bound) for bound in bounds)
    for _ in range(_N_BISECTIONS):
        middle = (low * high).sqrt()
        is_too_low = (middle / 2).log() - torch.digamma(middle / 2) + rest > 0
        low, high = torch.where(is_too_low, middle, low), torch.where(is_too_low, high, middle)
    return middle
