"""Torch modules: networks, the variational autoencoder, and objectives.

Modules compute with tensors only, and do not depend on NumPy. May import likelihoods, priors,
serialization and utils.
"""

from ._autoregressive import AutoregressiveVAE, HistogramVAE, build_vae, weight_shapes
from ._conditions import Condition
from ._config import VAEConfig
from ._convolutions import check_channels_first
from ._dependent_columns import LinearDependence, confirm_dependence, find_dependence
from ._linear_start import (
    decaying_weights,
    departures_of_noise,
    scale_given_conditions,
    start_at_linear_model,
)
from ._networks import ARCHITECTURES, widest_layer
from ._objectives import (
    ElboTerms,
    contributions_to_bound,
    elbo_terms,
    importance_resampled_codes,
    importance_weighted_bound,
    importance_weighted_draws,
    importance_weighted_terms,
)
from ._perceptrons import ACTIVATIONS
from ._vae import VAE, VAEOutput

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "VAE",
    "AutoregressiveVAE",
    "Condition",
    "ElboTerms",
    "HistogramVAE",
    "LinearDependence",
    "VAEConfig",
    "VAEOutput",
    "build_vae",
    "check_channels_first",
    "confirm_dependence",
    "contributions_to_bound",
    "decaying_weights",
    "departures_of_noise",
    "elbo_terms",
    "find_dependence",
    "importance_resampled_codes",
    "importance_weighted_bound",
    "importance_weighted_draws",
    "importance_weighted_terms",
    "scale_given_conditions",
    "start_at_linear_model",
    "weight_shapes",
    "widest_layer",
]
