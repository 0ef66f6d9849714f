"""Bounds on log p(x) and their terms, one value per row, in nats, constants included."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ._module import VAE, Posterior


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
    log_likelihood = module.log_likelihood(x, posterior.at(eps))
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
    posterior = module.encode(x)
    eps = eps.unsqueeze(1)  # (K, 1, k)
    z = posterior.at(eps)  # (K, n, k)
    # Both normal densities share their 2 pi, which cancels in the weight.
    log_prior = -0.5 * z.square()
    log_posterior = -0.5 * eps.square() - 0.5 * posterior.log_var
    log_weight = module.log_likelihood(x, z) + (log_prior - log_posterior).sum(-1)  # (K, n)
    return torch.logsumexp(log_weight, 0) - math.log(len(eps))
