"""Linear models of standardised rows with normal noise: probabilistic PCA and factor analysis."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# The iterations end when the log-likelihood rises by less, in nats per row.
_TOL = 1e-6
_MAX_ITER = 200
# Largest number of iterations times d^3, so that a start takes a second or two.
_MAX_WORK = 1e9


class LinearModel(NamedTuple):
    """The linear model ``x = mean + loadings z + noise`` with ``z ~ N(0, I)``.

    The precision of an entry's noise is ``weight / noise_var`` on average. With normal noise and no
    missing entries, `weight` is 1.
    """

    mean: Tensor  # (d,)
    loadings: Tensor  # (d, k)
    noise_var: Tensor  # (d,)
    weight: Tensor  # (d,)

    def rotated(self) -> LinearModel:
        """Return the same model, with codes whose posterior is independent between dimensions."""
        precision = self.weight / self.noise_var
        _, axes = torch.linalg.eigh(self.loadings.T @ (precision[:, None] * self.loadings))
        return self._replace(loadings=self.loadings @ axes.flip(1))  # the largest precision first

    def distances(self, x: Tensor) -> Tensor:
        """Return the squared Mahalanobis distances of rows, (n, d), from the mean, (n,).

        The model must be `rotated`.
        """
        weight, var = self.posterior()
        residual = x - self.mean
        explained = ((residual @ weight.T).square() / var).sum(1)
        return residual.square() @ (self.weight / self.noise_var) - explained

    def posterior(self) -> tuple[Tensor, Tensor]:
        """Return the matrix that maps x - mean to posterior means, (k, d), and variances, (k,).

        The model must be `rotated`. Tipping and Bishop, "Probabilistic principal component
        analysis", JRSS B, 1999, section 3.1, with a noise variance for each column.
        """
        scaled = self.loadings * (self.weight / self.noise_var)[:, None]  # (d, k)
        var = 1 / (1 + (scaled * self.loadings).sum(0))
        return var[:, None] * scaled.T, var


def probabilistic_pca(
    covariance: Tensor, latent_dim: int, *, noise_var: Tensor | None, min_noise_var: float
) -> LinearModel:
    """Return the linear model with one noise variance for all columns, by maximum likelihood.

    Tipping and Bishop (1999), equations 7 and 8.

    Parameters
    ----------
    covariance : Tensor of shape (d, d)
    latent_dim : int
        At most d.
    noise_var : Tensor of shape (), optional
        Given variance of the noise. By default, the variance is estimated.
    min_noise_var : float
        Lower bound of an estimated variance.
    """
    variances, axes = torch.linalg.eigh(covariance)  # in ascending order
    if noise_var is None:
        n_rest = len(variances) - latent_dim
        noise_var = variances[:n_rest].sum() / max(n_rest, 1)
        noise_var = noise_var.clamp_min(min_noise_var)
    std = (variances[-latent_dim:] - noise_var).clamp_min(0).sqrt()
    return _normal_model(axes[:, -latent_dim:] * std, noise_var.expand_as(variances))


def factor_analysis(covariance: Tensor, latent_dim: int, *, min_noise_var: float) -> LinearModel:
    """Return the linear model with a noise variance for each column, by maximum likelihood.

    The loadings are optimal given the noise, and the noise follows from the loadings, in turn:
    Barber, "Bayesian reasoning and machine learning", Cambridge, 2012, algorithm 21.1. The
    algorithm is that of `sklearn.decomposition.FactorAnalysis`, which needs all rows at a time.

    Parameters
    ----------
    covariance : Tensor of shape (d, d)
    latent_dim : int
        At most d.
    min_noise_var : float
        Lower bound of the variances.
    """
    total = covariance.diagonal()
    noise_var, last = total.clamp_min(min_noise_var), -torch.inf
    loadings = torch.zeros_like(covariance)[:, :latent_dim]
    for _ in range(min(_MAX_ITER, int(_MAX_WORK / len(total) ** 3))):
        std = noise_var.sqrt()
        variances, axes = torch.linalg.eigh(covariance / std / std[:, None])
        rest, variances = variances[:-latent_dim], variances[-latent_dim:].clamp_min(1)
        loadings = std[:, None] * axes[:, -latent_dim:] * (variances - 1).sqrt()
        log_likelihood = -0.5 * (variances.log().sum() + rest.sum() + noise_var.log().sum())
        if log_likelihood - last < _TOL:
            break
        last = float(log_likelihood)
        noise_var = (total - loadings.square().sum(1)).clamp_min(min_noise_var)
    return _normal_model(loadings, noise_var)


def _normal_model(loadings: Tensor, noise_var: Tensor) -> LinearModel:
    return LinearModel(torch.zeros_like(noise_var), loadings, noise_var, torch.ones_like(noise_var))
