"""Torch modules: networks, the variational autoencoder, and the objectives to train it.

Works on tensors only, and has never heard of NumPy. May import likelihoods and utils.
"""

from ._autoregressive import AutoregressiveVAE
from ._networks import ACTIVATIONS, ARCHITECTURES
from ._objectives import (
    ElboTerms,
    contributions_to_bound,
    elbo_terms,
    importance_weighted_bound,
    importance_weighted_draws,
    importance_weighted_terms,
)
from ._vae import VAE, VAEConfig

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "VAE",
    "AutoregressiveVAE",
    "ElboTerms",
    "VAEConfig",
    "contributions_to_bound",
    "elbo_terms",
    "importance_weighted_bound",
    "importance_weighted_draws",
    "importance_weighted_terms",
]
