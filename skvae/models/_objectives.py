"""Bounds on log p(x) and their terms, one value per row, in nats, constants included."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ._vae import VAE, Posterior


class ElboTerms(NamedTuple):
    """The two terms of the evidence lower bound and the posterior they come from."""

    log_likelihood: Tensor  # (n,)
    kl_divergence: Tensor  # (n,)
    posterior: Posterior

    @property
    def elbo(self) -> Tensor:
        """Lower bound on log p(x), (n,): higher is better."""
        return self.log_likelihood - self.kl_divergence


def kl_divergence(posterior: Posterior) -> Tensor:
    """Return KL(q(z | x) || N(0, I)) per row, (n,), in nats.

    Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix B:
    ``0.5 * sum(mean^2 + var - log(var) - 1)``.
    """
    excess = posterior.log_var.expm1() - posterior.log_var  # var - 1 - log(var)
    return 0.5 * torch.addcmul(excess, posterior.mean, posterior.mean).sum(-1)


def elbo_terms(module: VAE, x: Tensor, eps: Tensor) -> ElboTerms:
    """Return the terms of the bound for standardised rows, with one draw for each.

    Kingma and Welling (2014), equation 10 with L = 1.

    Parameters
    ----------
    module : VAE
    x : Tensor of shape (n, n_features)
    eps : Tensor of shape (n, latent_dim)
        Standard normal draws.
    """
    posterior = module.encode(x)
    log_likelihood = module.log_likelihood(x, posterior.rsample(eps))
    return ElboTerms(log_likelihood, kl_divergence(posterior), posterior)


def importance_weighted_bound(module: VAE, x: Tensor, eps: Tensor) -> Tensor:
    """Return the importance-weighted bound on log p(x) for standardised rows, (n,).

    Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", ICLR 2016,
    equation 8. In expectation it rises with the number of draws towards log p(x).

    Parameters
    ----------
    module : VAE
    x : Tensor of shape (n, n_features)
    eps : Tensor of shape (n_draws, latent_dim)
        Standard normal draws, the same for every row.
    """
    z, log_ratio = _draw(module.encode(x), eps.unsqueeze(1))
    return _log_mean_exp(module.log_likelihood(x, z) + log_ratio)


def importance_weighted_terms(module: VAE, x: Tensor, eps: Tensor) -> tuple[Tensor, ElboTerms]:
    """Return the importance-weighted bound, (n,), and the terms of the plain one.

    Burda, Grosse and Salakhutdinov (2016), equation 8. Over the observed entries of rows with
    missing ones it is that of Mattei and Frellsen, "MIWAE: deep generative modelling and
    imputation of incomplete data sets", ICML 2019, equation 4.

    Parameters
    ----------
    module : VAE
    x : Tensor of shape (n, n_features)
    eps : Tensor of shape (n_draws, n, latent_dim)
        Standard normal draws.
    """
    posterior = module.encode(x)
    z, log_ratio = _draw(posterior, eps)
    log_likelihood = module.log_likelihood(x, z)  # (K, n)
    terms = ElboTerms(log_likelihood.mean(0), kl_divergence(posterior), posterior)
    return _log_mean_exp(log_likelihood + log_ratio), terms


def importance_weighted_draws(module: VAE, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes, (K, n, k), and weights, (K, n), which stand for p(z | x): they sum to 1.

    Parameters
    ----------
    module : VAE
    x : Tensor of shape (n, n_features)
    eps : Tensor of shape (n_draws, n, latent_dim), or (n_draws, 1, latent_dim)
        Standard normal draws.
    """
    z, log_ratio = _draw(module.encode(x), eps)
    return z, torch.softmax(module.log_likelihood(x, z) + log_ratio, 0)


def contributions_to_bound(module: VAE, x: Tensor, eps: Tensor) -> Tensor:
    """Split the importance-weighted bound into one part for each feature, and one for the code.

    A feature's part is its log-likelihood, averaged over the draws by their normalised
    importance weights. What is left is the code's: minus the divergence from the prior, but for
    the error of the draws.

    Parameters
    ----------
    module : VAE
    x : Tensor of shape (n, n_features)
    eps : Tensor of shape (n_draws, latent_dim)
        Standard normal draws, the same for every row.

    Returns
    -------
    contributions : Tensor of shape (n, n_features + 1)
        The code's last. The sum over columns is `importance_weighted_bound`.
    """
    z, log_ratio = _draw(module.encode(x), eps.unsqueeze(1))
    log_likelihood = module.feature_log_likelihood(x, z)  # (K, n, d)
    log_weight = log_likelihood.sum(-1) + log_ratio
    share = torch.softmax(log_weight, 0).unsqueeze(-1)
    of_features = (share * log_likelihood).sum(0)
    code_weight = _log_mean_exp(log_weight) - of_features.sum(-1)
    return torch.cat([of_features, code_weight.unsqueeze(-1)], -1)


def _draw(posterior: Posterior, eps: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes, (K, n, k), and log p(z) - log q(z | x) of each, (K, n)."""
    z = posterior.rsample(eps)
    # Both normal densities share their 2 pi, which cancels.
    log_prior = -0.5 * z.square()
    log_posterior = -0.5 * eps.square() - 0.5 * posterior.log_var
    return z, (log_prior - log_posterior).sum(-1)


def _log_mean_exp(log_weight: Tensor) -> Tensor:
    """Return the log of the mean weight over the draws, which come first."""
    return torch.logsumexp(log_weight, 0) - math.log(len(log_weight))
