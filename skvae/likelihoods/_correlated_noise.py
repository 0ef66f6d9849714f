"""Normal noise with one covariance for all rows, in the form of a whitening matrix.

The whitening matrix T is lower triangular, and T (x - mean) are independent standard normal
variables: the modified Cholesky factor of the precision (Pourahmadi, "Joint mean-covariance models
with applications to longitudinal data", Biometrika, 1999). Any numbers are valid parameters::

    T = diag(exp(-log_noise)) (I + L) T_0

with the whitening matrix T_0 before training, and a learned strictly lower triangular matrix L. At
the start of training, ``log_noise`` and L are 0. The decoder predicts T_0 mean. A step of the
optimizer therefore moves the whitened residuals by a similar amount in all directions. In the units
of x, the same step would be far too large in a direction with hardly any noise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..utils import autocast
from ._base import Parameters, ParameterScope

SCOPES: dict[str, ParameterScope] = {
    "whitened_mean": "row",  # T_0 mean
    "log_noise": "feature",
    "whitening_change": "matrix",  # L
    "whitening": "fixed_matrix",  # T_0
    "coloring": "fixed_matrix",  # the inverse of T_0
}
_LOG_PEAK = -0.5 * math.log(2 * math.pi)


def correlated_params(mean: Tensor, covariance: Tensor) -> Parameters:
    """Return the parameters at the start of training.

    Parameters
    ----------
    mean : Tensor of shape (d,)
    covariance : Tensor of shape (d, d)
        Covariance of the noise.
    """
    coloring = torch.linalg.cholesky(covariance)
    whitening = _inverse(coloring)
    return {
        "whitened_mean": whitening @ mean,
        "log_noise": torch.zeros_like(mean),
        "whitening_change": torch.zeros_like(covariance),
        "whitening": whitening,
        "coloring": coloring,
    }


def mean(params: Parameters) -> Tensor:
    """Return the mean of x, (..., n, d)."""
    return params["whitened_mean"] @ params["coloring"].T


def color(eps: Tensor, params: Parameters) -> Tensor:
    """Return the noise for standard normal draws, (..., n, d)."""
    change = params["whitening_change"].tril(-1)
    scaled = (eps * torch.exp(params["log_noise"])).mT
    whitened = torch.linalg.solve_triangular(change, scaled, upper=False, unitriangular=True).mT
    return whitened @ params["coloring"].T


def whitening_matrix(params: Parameters) -> Tensor:
    """Return T, (d, d)."""
    start = params["whitening"]
    whitening = start + params["whitening_change"].tril(-1) @ start
    return whitening * torch.exp(-params["log_noise"]).unsqueeze(-1)


def log_prob(x: Tensor, params: Parameters) -> Tensor:
    """Return log p(x_j | x_1, ..., x_{j-1}, z) of each column j, (..., n, d)."""
    log_peak = params["whitening"].diagonal().log() - params["log_noise"] + _LOG_PEAK
    residual = _whitened_residual(x, params)
    return torch.addcmul(log_peak, residual, residual, value=-0.5)


def contributions(x: Tensor, params: Parameters) -> Tensor:
    """Split log p(x | z) into terms of the columns that do not depend on the order of the columns.

    The residuals are rotated such that each variable is as close as possible to the column of the
    same number: ZCA-cor whitening of Kessy, Lewin and Strimmer, "Optimal whitening and
    decorrelation", The American Statistician, 2018, and the corr-max transformation of Garthwaite
    and Koch, "Evaluating the contributions of individual variables to a quadratic form", Australian
    and New Zealand Journal of Statistics, 2016.
    """
    whitening = whitening_matrix(params)
    std = _inverse(whitening).norm(dim=1)
    # The rotation times the inverse square root of the correlations is whitening * std.
    left, values, right = torch.linalg.svd(whitening * std)
    residual = _whitened_residual(x, params) @ (left @ right)
    log_peak = values.log() @ right.square() - std.log() + _LOG_PEAK
    return torch.addcmul(log_peak, residual, residual, value=-0.5)


def _whitened_residual(x: Tensor, params: Parameters) -> Tensor:
    """Return T (x - mean), (..., n, d)."""
    # In bfloat16, products would lose the digits that a difference leaves.
    with autocast(x.device, torch.float32):
        residual = x @ params["whitening"].T - params["whitened_mean"]
        residual = residual + residual @ params["whitening_change"].tril(-1).T
    return residual * torch.exp(-params["log_noise"])


# ---- Missing entries -----------------------------------------------------------------


def observed_log_prob(x: Tensor, params: Parameters) -> Tensor:
    """Return log p(x_j | observed columns before j, z) of each column j, (..., n, d).

    Missing entries are NaN in x, (n, d).
    """
    is_observed = ~x.isnan()
    with autocast(x.device, torch.float32):
        factor = _observed_factor(is_observed, _covariance(params))
        residual = torch.where(is_observed, x - mean(params), 0.0)
        whitened = _solve(factor, residual, upper=False)
        log_peak = _LOG_PEAK - factor.diagonal(dim1=-2, dim2=-1).log()
        return (log_peak - 0.5 * whitened.square()).to(residual.dtype)


def complete(x: Tensor, draw: Tensor, params: Parameters) -> Tensor:
    """Return x, (n, d), with a value given z and the observed columns for each NaN, (..., n, d).

    Parameters
    ----------
    x : Tensor of shape (n, d)
    draw : Tensor of shape (..., n, d)
        The mean of x given z, for conditional means, or draws of x given z, for conditional draws
        by Matheron's rule (Journel and Huijbregts, "Mining geostatistics", Academic Press, 1978).
    params : dict of str to Tensor
    """
    is_observed, covariance = ~x.isnan(), _covariance(params)
    factor = _observed_factor(is_observed, covariance)
    residual = torch.where(is_observed, x - draw, 0.0)
    weights = _solve(factor.mT, _solve(factor, residual, upper=False), upper=True)
    return torch.where(is_observed, x, draw + (weights @ covariance).to(draw.dtype))


def _covariance(params: Parameters) -> Tensor:
    """Return the covariance of the noise, (d, d), in double precision if the device has it."""
    inverse = _inverse(whitening_matrix(params))
    inverse = inverse.to(torch.float32 if inverse.device.type == "mps" else torch.float64)
    return inverse @ inverse.mT


def _observed_factor(is_observed: Tensor, covariance: Tensor) -> Tensor:
    """Return the Cholesky factor for the observed columns of each row, (n, d, d).

    In the place of missing columns, the factor is the identity.
    """
    identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    both = is_observed.unsqueeze(-1) & is_observed.unsqueeze(-2)
    # Without checks, which would wait for a GPU.
    return torch.linalg.cholesky_ex(torch.where(both, covariance, identity)).L


def _solve(factor: Tensor, residual: Tensor, *, upper: bool) -> Tensor:
    """Solve a triangular system for each row of residuals, (..., n, d)."""
    n_codes = math.prod(residual.shape[:-2])
    columns = residual.to(factor.dtype).reshape(n_codes, *residual.shape[-2:]).permute(1, 2, 0)
    solved = torch.linalg.solve_triangular(factor, columns, upper=upper)  # (n, d, ...)
    return solved.permute(2, 0, 1).reshape(residual.shape)


def _inverse(lower: Tensor) -> Tensor:
    """Return the inverse of a lower triangular matrix, (d, d)."""
    identity = torch.eye(len(lower), dtype=lower.dtype, device=lower.device)
    return torch.linalg.solve_triangular(lower, identity, upper=False)
