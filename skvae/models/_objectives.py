"""Bounds on log p(x) and their terms, one value per row, in nats, constants included."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ._posterior import Posterior
from ._vae import VAE, VAEOutput


class ElboTerms(NamedTuple):
    """The two terms of the evidence lower bound, and the posterior."""

    log_likelihood: Tensor  # (n,)
    kl_divergence: Tensor  # (n,)
    posterior: Posterior

    @property
    def elbo(self) -> Tensor:
        """Lower bound on log p(x), (n,), in nats: higher is better."""
        return self.log_likelihood - self.kl_divergence


def kl_divergence(posterior: Posterior) -> Tensor:
    """Return KL(q(z | x) || N(0, I)) per row, (n,), in nats.

    Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix B:
    ``0.5 * sum(mean^2 + var - log(var) - 1)``.
    """
    excess = posterior.log_var.expm1() - posterior.log_var  # var - 1 - log(var)
    return 0.5 * torch.addcmul(excess, posterior.mean, posterior.mean).sum(-1)


def elbo_terms(module: VAE, x: Tensor, eps: Tensor, hidden: Tensor | None = None) -> ElboTerms:
    """Return the terms of the bound, with one draw for each row.

    Kingma and Welling (2014), equation 10 with L = 1. For a learned prior, the divergence is
    ``KL(q || N(0, I)) + E_q[log N(z; 0, I) - log p(z)]``, with the draw for the expectation.

    Parameters
    ----------
    module : VAE
    x : Tensor of shape (n, n_features)
        Standardised rows.
    eps : Tensor of shape (n, latent_dim)
        Standard normal draws.
    hidden : Tensor of shape (n, n_features), optional
        Entries that are hidden from the encoder.
    """
    posterior, z, log_likelihood = module(x, eps, hidden)
    kl = kl_divergence(posterior)
    if module.learns_prior:
        kl = kl - module.log_prior_ratio(z)
    return ElboTerms(log_likelihood, kl, posterior)


def importance_weighted_bound(module: VAE, x: Tensor, eps: Tensor) -> Tensor:
    """Return the importance-weighted bound on log p(x), (n,), in nats.

    Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", ICLR 2016,
    equation 8. In expectation, the bound rises with the number of draws towards log p(x).

    Parameters
    ----------
    module : VAE
    x : Tensor of shape (n, n_features)
        Standardised rows.
    eps : Tensor of shape (n_draws, latent_dim)
        Standard normal draws, the same for every row.
    """
    eps = eps.unsqueeze(1)
    return _log_mean_exp(_log_weights(module, module(x, eps), eps))


def importance_weighted_terms(
    module: VAE,
    x: Tensor,
    eps: Tensor,
    hidden: Tensor | None = None,
    kl_weight: float | Tensor = 1.0,
) -> tuple[Tensor, ElboTerms]:
    """Return the importance-weighted bound, (n,), and the terms of the plain bound, in nats.

    Burda, Grosse and Salakhutdinov (2016), equation 8. For rows with missing entries, the bound is
    equation 4 of Mattei and Frellsen, "MIWAE: deep generative modelling and imputation of
    incomplete data sets", ICML 2019, over the observed entries. The gradient of the bound with
    respect to the encoder is doubly reparameterised: Tucker, Lawson, Gu and Maddison, "Doubly
    reparameterized gradient estimators for Monte Carlo objectives", ICLR 2019, equation 8. The
    variance of the usual estimator grows with the number of draws, in relation to the gradient.

    Parameters
    ----------
    module : VAE
    x : Tensor of shape (n, n_features)
        Standardised rows.
    eps : Tensor of shape (n_draws, n, latent_dim)
        Standard normal draws.
    hidden : Tensor of shape (n, n_features), optional
        Entries that are hidden from the encoder.
    kl_weight : float or Tensor of shape (), default=1.0
        Weight of log p(z) - log q(z | x) in the logs of the importance weights.
    """
    posterior, z, log_likelihood = module(x, eps, hidden)
    kl = kl_divergence(posterior)
    # log q(z | x) depends on the encoder through the code only.
    constant = Posterior(posterior.mean.detach(), posterior.log_var.detach())
    path = eps / constant.std * (z - z.detach())  # zero, with the gradient of -log q on the code
    log_ratio = _log_normal_ratio(constant, z, eps) + path.sum(-1)
    log_weights = log_likelihood + kl_weight * log_ratio
    if not module.learns_prior:
        bound = _bound_with_scaled_gradient(log_weights, z)
        return bound, ElboTerms(log_likelihood.mean(0), kl, posterior)
    prior_ratio = module.log_prior_ratio(z)
    terms = ElboTerms(log_likelihood.mean(0), kl - prior_ratio.mean(0), posterior)
    if module.prior.training == "joint":
        return _bound_with_scaled_gradient(log_weights + kl_weight * prior_ratio, z), terms
    normal_bound = _bound_with_scaled_gradient(log_weights, z)
    bound = _log_mean_exp(log_weights.detach() + kl_weight * prior_ratio)
    return bound + (normal_bound - normal_bound.detach()), terms


def _bound_with_scaled_gradient(log_weights: Tensor, z: Tensor) -> Tensor:
    """Return the bound, (n,), and scale the gradient on codes by the normalised weights.

    Parameters
    ----------
    log_weights : Tensor of shape (K, n)
        Logs of the importance weights, which depend on the codes.
    z : Tensor of shape (K, n, k)
        Codes.
    """
    if z.requires_grad:
        weights = torch.softmax(log_weights.detach(), 0).unsqueeze(-1)
        z.register_hook(lambda gradient: weights * gradient)
    return _log_mean_exp(log_weights)


def importance_weighted_draws(module: VAE, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes, (K, n, k), and their importance weights, (K, n), to approximate p(z | x).

    The weights of a row sum to 1.

    Parameters
    ----------
    module : VAE
    x : Tensor of shape (n, n_features)
        Standardised rows.
    eps : Tensor of shape (n_draws, n, latent_dim), or (n_draws, 1, latent_dim)
        Standard normal draws.
    """
    output = module(x, eps)
    return output.z, torch.softmax(_log_weights(module, output, eps), 0)


def importance_resampled_codes(
    module: VAE, x: Tensor, eps: Tensor, n_codes: int, generator: Generator
) -> Tensor:
    """Draw codes from p(z | x), (n, n_codes, k), by sampling importance resampling.

    Mattei and Frellsen (2019), section 4.

    Parameters
    ----------
    module : VAE
    x : Tensor of shape (n, n_features)
        Standardised rows.
    eps : Tensor of shape (n_draws, n, latent_dim)
        Standard normal draws.
    n_codes : int
        Number of codes for each row, drawn with replacement.
    generator : torch.Generator
    """
    z, weights = importance_weighted_draws(module, x, eps)
    chosen = torch.multinomial(weights.T, n_codes, True, generator=generator)  # (n, n_codes)
    chosen = chosen.unsqueeze(-1).expand(-1, -1, module.latent_dim)
    return z.transpose(0, 1).gather(1, chosen)


def contributions_to_bound(module: VAE, x: Tensor, eps: Tensor) -> Tensor:
    """Split the importance-weighted bound into one term for each feature and one for the code.

    The term of a feature is the feature's log-likelihood, averaged over the draws by normalised
    importance weights. The term of the code is the remainder: up to the error of the draws, minus
    the divergence of the posterior from the prior.

    Parameters
    ----------
    module : VAE
    x : Tensor of shape (n, n_features)
        Standardised rows.
    eps : Tensor of shape (n_draws, latent_dim)
        Standard normal draws, the same for every row.

    Returns
    -------
    contributions : Tensor of shape (n, n_features + 1)
        Terms of the features, and last the term of the code, in nats. The sum over columns is
        `importance_weighted_bound`.
    """
    posterior, eps = module.encode(x), eps.unsqueeze(1)
    z = posterior.rsample(eps)
    log_likelihood = module.feature_log_likelihood(x, z)  # (K, n, d)
    log_weights = log_likelihood.sum(-1) + _log_ratio(module, posterior, z, eps)
    weights = torch.softmax(log_weights, 0).unsqueeze(-1)
    features = (weights * log_likelihood).sum(0)
    code = _log_mean_exp(log_weights) - features.sum(-1)
    return torch.cat([features, code.unsqueeze(-1)], -1)


def _log_weights(module: VAE, output: VAEOutput, eps: Tensor) -> Tensor:
    """Return log p(x, z) - log q(z | x) of each draw, (K, n)."""
    return output.log_likelihood + _log_ratio(module, output.posterior, output.z, eps)


def _log_ratio(module: VAE, posterior: Posterior, z: Tensor, eps: Tensor) -> Tensor:
    """Return log p(z) - log q(z | x) of each draw, (K, n)."""
    ratio = _log_normal_ratio(posterior, z, eps)
    return ratio + module.log_prior_ratio(z) if module.learns_prior else ratio


def _log_normal_ratio(posterior: Posterior, z: Tensor, eps: Tensor) -> Tensor:
    """Return log N(z; 0, I) - log q(z | x) of each draw, (K, n)."""
    # The factors 2 pi of the two normal densities cancel.
    log_normal = -0.5 * z.square()
    log_posterior = -0.5 * eps.square() - 0.5 * posterior.log_var
    return (log_normal - log_posterior).sum(-1)


def _log_mean_exp(log_weight: Tensor) -> Tensor:
    """Return the log of the mean weight over the draws, which are the first axis."""
    return torch.logsumexp(log_weight, 0) - math.log(len(log_weight))
